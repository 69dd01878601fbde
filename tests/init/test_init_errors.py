"""Every error names the argument, the value and the way out, and leaves the model bitwise as it was."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from zeroinit._common import InputError
from zeroinit.init import SymmetryWarning, initialize_


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2))


def assert_refused(model, snapshot, message: str, name: str = "normal_bias", **settings) -> None:
    before = snapshot(model)
    with pytest.raises(InputError, match=message):
        initialize_(model, name, **settings)
    assert snapshot(model) == before


def test_unknown_name(model, snapshot):
    message = r"initializer='normal': did you mean 'normal_bias'\? It must be one of constant_bias, "
    assert_refused(model, snapshot, message, name="normal")


@pytest.mark.parametrize("scale", [-1.0, -1e-300, float("nan"), float("inf"), -float("inf")])
def test_scale_out_of_range(model, snapshot, scale):
    assert_refused(model, snapshot, rf"scale={scale}: must be a finite number of at least 0", scale=scale)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("scale", [True, False, "2", None, 1j, [1.0]])
def test_scale_that_is_no_number(model, snapshot, scale):
    message = rf"scale={re.escape(repr(scale))}: must be a finite number of at least 0"
    assert_refused(model, snapshot, message, scale=scale)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("scale", [2, np.float32(2), np.float64(2), np.int64(2)])
def test_every_real_number_is_a_scale(model, generator, scale):
    record = initialize_(model, "constant_bias", scale=scale, generator=generator(0))
    assert (model[0].bias == 2).all()
    assert type(record.scale) is float


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": 0}, r"generator=0: must be a torch.Generator: torch.Generator\(\).manual_seed\(0\)"),
        ({"include": 3}, r"include=\[3\]: must be a pattern or a list of patterns over names"),
        ({"exclude": ["0", None]}, r"exclude=\['0', None\]: must be a pattern or a list of patterns over names"),
        ({"frozen": True}, "frozen=True: must be 'keep' or 'set'"),
    ],
)
def test_arguments_of_another_type(model, snapshot, settings, message):
    assert_refused(model, snapshot, message, **settings)


def test_scale_without_effect(model, snapshot):
    message = r"scale=0.5: initializer 'zero' draws nothing, so a scale has no effect; leave it out"
    assert_refused(model, snapshot, message, name="zero", scale=0.5)


def test_no_layer_to_set(snapshot):
    assert_refused(nn.ReLU(), snapshot, "model=ReLU: has no dense, convolutional or attention layer to initialize")
    assert_refused(nn.Sequential(), snapshot, "model=Sequential: has no dense, convolutional")
    assert_refused(nn.Sequential(nn.Embedding(2, 2)), snapshot, "model=Sequential: has no dense, convolutional")


@pytest.mark.parametrize("kind", [nn.LazyLinear, lambda width: nn.LazyConv2d(width, 3)], ids=["linear", "conv2d"])
def test_lazy_layer(model, snapshot, kind):
    model.append(kind(2))
    assert_refused(model, snapshot, "3.weight: is lazy and has no shape yet; run one forward pass first")


def test_lazy_layer_after_a_forward_pass(model, generator):
    model.append(nn.LazyLinear(2))
    model(torch.zeros(1, 3))
    initialize_(model, "zero", generator=generator(0))
    assert not model[3].weight.any()


PARAMETRIZATIONS = {
    "SpectralNorm": parametrizations.spectral_norm,
    "Orthogonal": parametrizations.orthogonal,
    "WeightNorm and SpectralNorm": lambda layer: parametrizations.spectral_norm(parametrizations.weight_norm(layer)),
    "SpectralNorm(?# the older one)": nn.utils.spectral_norm,
}


@pytest.mark.parametrize("kind", PARAMETRIZATIONS)
def test_parametrized_weight(model, snapshot, kind):
    PARAMETRIZATIONS[kind](model[2])
    message = (
        f"2.weight: is computed by {kind} and cannot be set in place; exclude the layer, or call initialize_ before"
    )
    assert_refused(model, snapshot, message)


class Counted(nn.Module):
    """A parametrization with a memory, as spectral norm has one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, value):
        self.calls += 1
        return 2 * value


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_parametrization_is_not_even_run(model, snapshot, part):
    nn.utils.parametrize.register_parametrization(model[2], part, Counted())
    assert_refused(model, snapshot, f"2.{part}: is computed by Counted and cannot be set in place")
    assert_refused(model, snapshot, "include='x': matches no", include="x")
    before = snapshot(model)
    initialize_(model, "zero", include="0")
    assert (
        snapshot(model)["2.parametrizations." + part + ".0.calls"] == before["2.parametrizations." + part + ".0.calls"]
    )


def test_parametrized_weight_may_be_excluded(model, generator):
    parametrizations.spectral_norm(model[2])
    record = initialize_(model, "normal_bias", exclude="2", generator=generator(0))
    assert {entry.name for entry in record.parameters} == {"0.weight", "0.bias"}
    assert len(record.untouched) == 2


def test_meta_device(model, snapshot):
    model.append(nn.Linear(2, 2, device="meta"))
    message = r"3.weight: is on the meta device and has no values; call model.to_empty\(device=...\) first"
    assert_refused(model, snapshot, message)


def test_meta_device_after_to_empty(generator):
    model = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    initialize_(model, "zero", generator=generator(0))
    assert not model.weight.any()


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_weights_that_are_not_floating_point(model, snapshot, dtype):
    model[2].weight = nn.Parameter(model[2].weight.detach().to(dtype), requires_grad=False)
    message = rf"2.weight: has dtype {dtype}, which is not floating point; exclude the layer"
    assert_refused(model, snapshot, message, frozen="set")


def test_inference_tensors(model, snapshot, generator):
    with torch.inference_mode():
        model.append(nn.Linear(2, 2))
    message = (
        "3.weight: was made under torch.inference_mode and cannot be changed; build the model outside of this mode"
    )
    assert_refused(model, snapshot, message)
    with torch.inference_mode():
        initialize_(model[3], "zero", generator=generator(0))
    assert not model[3].weight.any()


@pytest.mark.filterwarnings("error::zeroinit.init.SymmetryWarning")
def test_a_warning_that_is_an_error_changes_nothing(model, snapshot):
    model.append(nn.Linear(2, 2, bias=False))
    before = snapshot(model)
    with pytest.raises(SymmetryWarning):
        initialize_(model, "normal_bias")
    assert snapshot(model) == before


def test_the_snapshot_sees_a_change(model, snapshot, generator):
    """The negative case of every test here."""
    before = snapshot(model)
    initialize_(model[2], "zero", generator=generator(0))
    assert snapshot(model) != before
