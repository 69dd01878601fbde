"""What an inspection costs in passes: a healthy model gets its verdict in float32; float64 is asked in doubt alone."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroinit.symmetry import inspect

from .hub import HUB
from .zoo import HEALTHY, IMAGES, VECTORS, cnn, mlp, seeded

pytestmark = pytest.mark.usefixtures("without_type_checks")

MOST = 10
DOUBTFUL = {
    "zero_head_absent_classes": "units of classes that no target has are equal for ever",
    "zero_weights_random_biases": "biases alone tell units apart",
    "vision_transformer": "positions of the border are equal",
    "diffusion_transformer": "faint gradients that come late, behind gates of zero",
    "soft_mixture_of_two_zero_router": "a softmax over two mirrors its rows",
}
"""Healthy models whose units are equal or whose gradients are faint, so that float32 alone would not be enough."""


class Counted:
    """Counts passes, forward and backward, by the type of the numbers."""

    def __init__(self, model: nn.Module):
        self.forward: Counter = Counter()
        self.backward: Counter = Counter()
        model.register_forward_hook(self)

    def __deepcopy__(self, memo):
        return self

    def __call__(self, module, arguments, output):
        tensor = next(each for each in _tensors(output) if each.is_floating_point())
        self.forward[tensor.dtype] += 1
        if tensor.requires_grad:
            tensor.register_hook(self._note)

    def _note(self, error):
        self.backward[error.dtype] += 1


def _tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [found for each in values if each is not None for found in _tensors(each)]


@pytest.mark.parametrize("name", [*HEALTHY, *HUB])
def test_a_healthy_model_takes_few_passes(name):
    case = seeded((HEALTHY | HUB)[name])
    counted = Counted(case.model)
    report = inspect(case.model, case.inputs, case.targets, **case.settings)
    if name in DOUBTFUL:
        assert counted.forward[torch.float64] > 2
        return
    assert sum(counted.forward.values()) <= MOST
    assert counted.forward[torch.float64] <= 3
    assert sum(counted.forward.values()) >= report.num_steps


@pytest.mark.parametrize(("make", "inputs"), [(mlp, VECTORS), (cnn, IMAGES)])
def test_the_count_is_exact(make, inputs):
    """Four updates, and a forward pass to look at the end."""
    model = make()
    counted = Counted(model)
    inspect(model, inputs, steps=4)
    assert counted.forward[torch.float32] == 5
    assert counted.backward[torch.float32] == 4


def first_bias(model: nn.Module, **settings):
    report = inspect(model, VECTORS, **settings)
    return {each.name: each for each in report.parameters}["0.bias"]


@pytest.mark.parametrize(("width", "exact"), [(64, 0), (4, 2)])
def test_rounding_is_told_from_signal_without_float64_where_many_values_tell(width, exact):
    """Before a norm a bias has a gradient of rounding alone: drawn anew at each step.

        A few values do not tell; one more pass
    then shows that the loss is the same with another bias.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 5))
    counted = Counted(model)
    found = first_bias(model)
    assert (found.first_gradient_step, found.rounding_step, found.reason) == (None, 1, "cancelled")
    assert counted.forward[torch.float64] == exact


class Faint(nn.Module):
    """A branch that adds next to nothing, and yet learns."""

    def forward(self, x):
        return 1e-7 * x


@pytest.mark.parametrize("width", [64, 4])
def test_a_faint_signal_is_no_rounding(width):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, width), nn.Tanh(), Faint(), nn.Linear(width, 5))
    report = inspect(model, VECTORS)
    assert report.warnings == ()
    assert set(report.first_gradient_steps.values()) == {1}


def test_rounding_that_moves_a_matrix_is_seen():
    """A norm over one value gives back its bias: what is below gets rounding alone, and float64 says so."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 6), nn.Unflatten(1, (6, 1)), nn.LayerNorm(1))
    model.extend([nn.Flatten(), nn.Linear(6, 5)])
    report = inspect(model, VECTORS)
    assert {"0", "2"} <= {finding.path for finding in report.warnings}


def test_dropout_is_tried_off_in_float32_first():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 5))
    nn.init.zeros_(model[3].weight), nn.init.zeros_(model[3].bias)  # equal rows, which what is above tells apart
    counted = Counted(model)
    report = inspect(model, VECTORS)
    assert (report.layer("3").source, counted.forward[torch.float64] <= 1) == ("other layers", True)


def test_sixteen_bits_are_a_doubt():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return self.net(x.to(torch.bfloat16).to(x.dtype))

    for model, doubtful in ((Half(), True), (mlp(), False)):
        counted = Counted(model)
        inspect(model, VECTORS)
        assert (counted.forward[torch.float64] > 0) == doubtful


def test_a_norm_over_constant_channels_is_a_doubt():
    torch.manual_seed(0)
    for flat in (False, True):
        model = nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))
        if flat:
            model[0].weight.data[1] = 0
        counted = Counted(model)
        inspect(model, VECTORS, loss_fn=lambda output: F.mse_loss(output, torch.ones_like(output)))
        assert (counted.forward[torch.float64] > 2) == flat
