"""What a user hands to the bench and cannot be used: the argument, its value and a way out, before anything runs."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit import InputError
from zeroinit.bench import Checkpoint, Observer, TensorBoardObserver, build_model, compare, evaluate, fit, load_dataset
from zeroinit.bench.comparison.entries import read_entry

pytestmark = pytest.mark.usefixtures("without_type_checks")
IMAGES, LABELS = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)


def refused(call, *arguments, **settings) -> str:
    with pytest.raises(InputError) as refusal:
        call(*arguments, **settings)
    return str(refusal.value)


def trained(**settings):
    return fit(**{"model": nn.Linear(3, 2), "train": (IMAGES, LABELS), "epochs": 1} | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": nn.Linear}, "model=Linear: is a class; make an instance, as Linear(...)"),
        ({"model": [nn.Linear(3, 2), None]}, "model=None: is no nn.Module"),
        ({"train": None}, "train=None: must be a pair of tensors, images and classes"),
        ({"learning_rate": "1e-3"}, "learning_rate='1e-3': must be a finite number above 0"),
        ({"learning_rate": True}, "learning_rate=True: must be a finite number above 0"),
        ({"learning_rate": math.nan}, "learning_rate=nan: must be a finite number above 0"),
        ({"momentum": None}, "momentum=None: must be a finite number of at least 0 and below 1"),
        ({"momentum": 1}, "momentum=1: must be a finite number of at least 0 and below 1"),
        ({"transform": nn.Flatten}, "transform=Flatten: is a class; make an instance, as Flatten()"),
        ({"transform": "normalize"}, "transform='normalize': must be a function of images to the model's input"),
        ({"augment": 3}, "augment=3: must be a function of images to images"),
        (
            {"parameters": nn.Linear(3, 2)},
            "parameters=a Linear: must be nn.Parameters, as model.parameters() gives them",
        ),
        ({"parameters": [3]}, "parameters: must be nn.Parameters, as model.parameters()"),
        ({"generator": 5}, "generator=5: must be a torch.Generator: torch.Generator().manual_seed(5)"),
        ({"checkpoint": "runs"}, "checkpoint='runs': must be a Checkpoint, as Checkpoint('folder')"),
        ({"observers": Observer()}, "observers=an Observer: must be a list, as [observer]"),
        ({"observers": None}, "observers=None: must be a list, as [observer]"),
        ({"stacking": "stack"}, "stacking='stack': did you mean 'stacked'?"),
    ],
)
def test_what_fit_cannot_use(settings, message):
    assert refused(trained, **settings).startswith(message)


def test_what_fit_can_use():
    """NumPy's numbers are numbers."""
    settings = {"learning_rate": np.float32(0.01), "momentum": np.float64(0.5), "batch_size": np.int64(2)}
    history = trained(**settings, optimizer="sgd", augment=nn.Identity(), observers=(Observer(),))
    assert history.num_steps == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": nn.Linear}, "model=Linear: is a class"),
        ({"images": None}, "images, labels=a tuple: must be a pair of tensors"),
        ({"labels": LABELS[:3]}, "images, labels: has 4 images and 3 labels; needs as many"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"transform": lambda: 0}, "transform=<lambda>: must be a function of images to the model's input"),
    ],
)
def test_what_evaluate_cannot_use(settings, message):
    given = {"model": nn.Linear(3, 2), "images": IMAGES, "labels": LABELS}
    assert refused(evaluate, **given | settings).startswith(message)
    assert evaluate(**given, batch_size=np.int64(3))[1] in (0.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_shape": None}, "input_shape=None: must be three positive counts"),
        ({"input_shape": (1, 8.0, 8)}, "input_shape=(1, 8.0, 8): must be three positive counts"),
        ({"num_classes": "10"}, "num_classes='10': must be a whole number"),
        ({"num_classes": 1}, "num_classes=1: must be at least 2"),
        ({"hidden": 16}, "hidden=16: must be positive counts"),
        ({"hidden": [16.0]}, "hidden=[16.0]: must be positive counts"),
    ],
)
def test_what_build_model_cannot_use(settings, message):
    assert refused(build_model, "mnist_fnn", **{"input_shape": (1, 8, 8)} | settings).startswith(message)
    build_model("mnist_fnn", [1, np.int64(8), 8], hidden=[np.int64(4)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": None}, "margin=None: must lie between 0 and 1, as a share of the test images"),
        ({"margin": True}, "margin=True: must lie between 0 and 1"),
        ({"target": "0.9"}, "target='0.9': must lie between 0 and 1"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"study": 3}, "study='3': must be one of "),
        ({"seeds": 10**30}, f"seeds={10**30}: are more than 100,000"),
        ({"seeds": 0}, "seeds=0: must be at least 1"),
        ({"results": None}, "results=None: must be a path, as 'folder'"),
        ({"data_dir": 3}, "data_dir=3: must be a path, as 'folder'"),
        ({"reference": None}, "reference=None: must be a name or a function; write a name"),
        ({"reference": "builtins:dict"}, "reference='builtins:dict': is a class"),
        ({"initializers": ["zero*nan"]}, "entry='zero*nan': scale=nan: must be a finite number"),
        ({"initializers": ["normal_bias+warmup:-1"]}, "entry='normal_bias+warmup:-1': steps=-1: must be at least 0"),
        ({"initializers": ["zero+"]}, "entry='zero+': names no remedy behind +; write a name"),
    ],
)
def test_what_compare_cannot_use(settings, message, tmp_path):
    given = {"initializers": ["zero"], "seeds": 1, "learning_rates": [0.01], "results": tmp_path}
    assert refused(compare, **given | settings).startswith(message)
    assert list(tmp_path.iterdir()) == []
    assert read_entry("normal_bias+warmup:5").settings["remedy"] == "warmup:5"


def test_places_and_times():
    for call in (Checkpoint, TensorBoardObserver):
        assert refused(call, None).endswith("=None: must be a path, as 'folder'")
    for every in (-1, math.nan, "60", None):
        assert refused(Checkpoint, "folder", every=every).startswith(f"every={every!r}: must be a finite number")
    assert Checkpoint(Path("folder"), every=math.inf).every == math.inf
    assert refused(TensorBoardObserver, "folder", histogram_every=1.5).startswith(
        "histogram_every=1.5: must be a whole"
    )
    assert refused(load_dataset, "digits", 3) == "data_dir=3: must be a path, as 'folder'"
