"""A run that is killed. See ``test_running_killed``."""

from pathlib import Path

import torch

from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Run

RUN = Run(
    dataset="digits",
    model="cifar_cnn_quarter",
    initializer="normal_bias",
    norm="exact",
    remedy="affine_norms",
    remedy_steps=9,
    augmentation="crop_flip",
    pixels="standardized",
    num_train=120,
    num_validation=20,
    batch_size=16,
    epochs=3,
    max_steps=20,
    warmup_steps=5,
)


def ready() -> None:
    """Read the data, and import what torch imports with the first optimizer."""
    load("digits", None)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


def carry_out(results: str) -> None:
    """Carry out the run with a checkpoint at every step."""
    torch.set_num_threads(1)
    run_all([Task(RUN, 3)], Options(Path(results), checkpoint_every=0))
