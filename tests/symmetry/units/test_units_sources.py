"""What units owe their difference to: weights, biases, dropout, other layers, rounding, or kernels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroinit.symmetry import inspect

from ..zoo import IMAGES, VECTORS, drawn, mlp, vgg_with_batch_norm


class InSingle(nn.Module):
    """Insists on float32, as many norms of language models do; removes the mean over the batch."""

    def forward(self, x):
        x = x.to(torch.float32)
        return (x - x.float().mean(0)).to(dtype=torch.float32)


class Transposed(nn.Module):
    """A dense layer of its own kind: ``x @ weight``, and square."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.weight, self.bias = nn.Parameter(drawn(width, width, seed=3) / 3), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x @ self.weight + self.bias


def test_a_cast_to_float32_does_not_hide_rounding():
    model = nn.Sequential(nn.Linear(12, 6), InSingle(), nn.Linear(6, 5))
    report = inspect(model, VECTORS)
    by_name = {each.name: each for each in report.parameters}
    assert (by_name["0.bias"].first_gradient_step, by_name["0.bias"].rounding_step) == (None, 1)
    assert [(finding.code, finding.path) for finding in report.findings] == [("ZI103", "0")]
    assert report.first_gradient_steps["0.weight"] == 1


def test_the_axis_of_units_is_measured():
    model = nn.Sequential(Transposed(), nn.Tanh(), nn.Linear(12, 5))
    model[0].weight.data[:, 7] = model[0].weight.data[:, 2]
    model[2].weight.data[:, 7] = model[2].weight.data[:, 2]
    report = inspect(model, VECTORS)
    assert report.layer("0").identical_units == (2, 7)
    assert report.layer("0").num_distinct_units == 11
    assert [(finding.code, finding.path) for finding in report.warnings] == [("ZI001", "0")]


@pytest.mark.parametrize(("share", "width"), [(0.0, 1), (0.5, 16)])
def test_dropout_breaks_a_symmetry_and_is_named(share, width):
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Dropout(share), nn.Linear(16, 5))
    for parameter in (*model[0].parameters(), model[3].weight):
        nn.init.constant_(parameter, 0.1)
    report = inspect(model, VECTORS)
    assert report.layer("0").num_distinct_units == width
    assert report.layer("0").source == ("dropout" if width > 1 else "")


def test_dropout_by_a_functional_call_is_named_as_well():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.above = nn.Linear(12, 16), nn.Linear(16, 5)
            for parameter in (*self.below.parameters(), self.above.weight):
                nn.init.constant_(parameter, 0.1)

        def forward(self, x):
            return self.above(F.dropout(torch.tanh(self.below(x)), 0.3, self.training))

    assert inspect(Noisy(), VECTORS).layer("below").source == "dropout"


def test_rounding_parts_twins_in_float32_alone():
    """Identical units may drift apart by rounding; the shadow in float64 is not fooled by it."""
    model = mlp(nn.Tanh, widths=(64,))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.constant_(model[0].bias, 0.1)
    nn.init.constant_(model[2].weight, 0.1)
    layer = inspect(model, VECTORS).layer("0")
    assert layer.num_distinct_units == 1
    assert layer.num_distinct_in_float32 >= layer.num_distinct_units


def test_the_source_of_differences_is_named():
    report = inspect(mlp(nn.Tanh), VECTORS)
    assert [layer.source for layer in report.layers] == ["weights"] * 3


def test_rounding_is_named_where_it_alone_parts_units():
    """Channels with equal biases in front of a batch norm: in float32 its backward pass leaves rounding behind."""
    model = vgg_with_batch_norm()
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, 0.3)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.bias.data = 0.5 * drawn(8)
    layer = inspect(model, IMAGES).layer("3")
    assert (layer.source, layer.num_distinct_units) == ("rounding", 1)
    assert layer.num_distinct_in_float32 > 1


def test_steps_end_when_there_is_no_news():
    assert inspect(mlp(), VECTORS).num_steps == 4
    assert inspect(mlp(), VECTORS, steps=2).num_steps == 2
    deep = mlp(nn.ELU, widths=(6,) * 9)
    for at, layer in enumerate(each for each in deep if isinstance(each, nn.Linear)):
        nn.init.zeros_(layer.weight)
        layer.bias.data = drawn(len(layer.bias), seed=at)
    report = inspect(deep, VECTORS)
    assert report.num_steps == 12
    assert report.first_gradient_steps["0.weight"] == 10
    early = inspect(deep, VECTORS, steps=3)
    assert early.warnings == ()
    assert {finding.path for finding in early.findings if finding.code == "ZI104"} >= {"0", "12"}


def told_apart_above(norm: bool, biases: bool) -> nn.Sequential:
    """Units of the first layer with equal weights that a random head tells apart."""
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(8)] if norm else []
    model = nn.Sequential(nn.Linear(VECTORS.shape[1], 8), *middle, nn.Tanh(), nn.Linear(8, 4))
    nn.init.constant_(model[0].weight, 0.1)
    if not biases:
        nn.init.constant_(model[0].bias, 0.0)
    return model


def test_units_that_the_layer_above_tells_apart():
    report = inspect(told_apart_above(norm=False, biases=False), VECTORS)
    assert (report.layer("0").source, report.layer("0").num_distinct_units) == ("other layers", 8)


@pytest.mark.parametrize("biases", [True, False])
def test_biases_without_effect_do_not_hide_that_weights_part(biases):
    """In front of a norm over the batch the partition is that of the weights, which the head's gradients split."""
    report = inspect(told_apart_above(norm=True, biases=biases), VECTORS)
    assert report.layer("0").num_distinct_units == 8
    assert "ZI001" not in {finding.code for finding in report.findings}


class FreeKernel(torch.autograd.Function):
    """The identity, whose backward pass has other bits each time unless deterministic kernels are asked for."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, error):
        if torch.are_deterministic_algorithms_enabled() or error.dtype == torch.float64:
            return error
        return error * (1 + 1e-6 * torch.randn(error.shape))


class Free(nn.Module):
    def forward(self, values):
        return FreeKernel.apply(values)


def twins_before(module: nn.Module) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(12, 6), module, nn.Linear(6, 5))
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, 0.1)
    nn.init.zeros_(model[0].bias)
    return model


def test_kernels_are_named_where_they_alone_part_units():
    before = torch.are_deterministic_algorithms_enabled()
    report = inspect(twins_before(Free()), VECTORS, steps=4)
    layer = report.layer("0")
    assert (layer.source, layer.num_distinct_units, layer.num_distinct_in_float32 > 1) == ("kernels", 1, True)
    assert "In float32, kernels that give other bits each time part them into" in report.warnings[0].message
    assert torch.are_deterministic_algorithms_enabled() == before
    layer = inspect(twins_before(nn.Tanh()), VECTORS, steps=4).layer("0")
    assert (layer.source != "kernels", layer.num_distinct_units) == (True, 1)


class Switch(nn.Module):
    """Goes one way or the other by the sign of its input's sum; has a third way that no input takes."""

    def __init__(self):
        super().__init__()
        self.positive, self.negative, self.never = (nn.Linear(12, 5) for _ in range(3))

    def forward(self, values):
        return self.positive(values) if values.sum() > 0 else self.negative(values)


def test_what_other_inputs_use_is_no_warning():
    report = inspect(Switch(), VECTORS + 0.1 - VECTORS.mean())
    assert [(each.code, each.path) for each in report.findings] == [("ZI010", "never"), ("ZI105", "negative")]


def test_a_bias_that_a_norm_removes_is_not_asleep():
    """What cancels it, the norm's weight, learns; the bias never will."""
    for norm in (nn.BatchNorm1d(6), nn.InstanceNorm1d(6, affine=True)):
        channels = nn.Sequential(nn.Unflatten(1, (3, 4)), nn.Conv1d(3, 6, 1), norm, nn.Flatten(), nn.Linear(24, 5))
        report = inspect(channels, VECTORS)
        reasons = {each.name: each.reason for each in report.parameters}
        assert (reasons["1.bias"], reasons["2.weight"]) == ("cancelled", "")
        assert [(each.code, each.path) for each in report.findings] == [("ZI103", "1")]
