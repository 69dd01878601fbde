"""T1 to T9 through the public call, each with its negative case, under SGD and Adam."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from zeroinit.symmetry import SymmetryObserver, inspect
from zeroinit.symmetry.measures.diversity import position_spread

from .zoo import Case, drawn, mlp, seeded

pytestmark = pytest.mark.usefixtures("without_type_checks")  # four times as fast; other files keep them

OPTIMIZERS = ["sgd", "adam"]
VECTORS = drawn(32, 12, seed=50)


def network(activation=nn.ELU, widths=(16, 16, 16), random=(), value=0.5, dtype=torch.float32) -> nn.Sequential:
    """Zero weights; biases of the named hidden layers drawn, the others one value."""
    model = seeded(lambda: Case(mlp(activation, widths), None)).model
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    for at, layer in enumerate(dense):
        nn.init.zeros_(layer.weight)
        layer.bias.data = drawn(len(layer.bias), seed=at) if at in random else torch.full_like(layer.bias, value)
    return model.to(dtype)


def look(model, optimizer, **settings):
    return inspect(model, VECTORS, optimizer=optimizer, **settings)


def widths(report) -> list[int]:
    return [layer.num_distinct_units for layer in report.layers[:-1]]


def dense_steps(report) -> list[int | None]:
    return [layer.first_gradient_step for layer in report.layers if layer.is_matrix]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", [nn.ELU, nn.Tanh, nn.GELU])
def test_t1_layers_wake_from_the_output_down(activation, optimizer):
    report = look(network(activation, random=(0, 1, 2)), optimizer)
    assert dense_steps(report) == [4, 3, 2, 1]
    assert [report.first_gradient_steps[name] for name in ("0.bias", "2.bias", "4.bias", "6.bias")] == [4, 3, 2, 1]
    assert report.warnings == ()
    assert dense_steps(look(mlp(activation), optimizer)) == [1, 1, 1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t1_convolutions_likewise(optimizer):
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ELU(), nn.Conv2d(6, 6, 3), nn.ELU(), nn.Flatten(), nn.Linear(96, 5))
    for at, layer in enumerate(model):
        if hasattr(layer, "weight"):
            nn.init.zeros_(layer.weight)
            layer.bias.data = drawn(len(layer.bias), seed=at)
    assert dense_steps(inspect(model, drawn(8, 1, 8, 8), optimizer=optimizer)) == [3, 2, 1]


def round_convolutions(draw_weights: bool) -> nn.Sequential:
    """Two convolutions without borders, zero or drawn weights, drawn biases, in float64."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular"),
        nn.ELU(),
        nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular"),
        nn.ELU(),
        nn.Flatten(),
        nn.Linear(384, 5),
    )
    for at, layer in enumerate(model):
        if hasattr(layer, "weight"):
            layer.weight.data = drawn(*layer.weight.shape, seed=20 + at) * 0.1 * draw_weights
            layer.bias.data = drawn(len(layer.bias), seed=at)
    return model.double()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_taps_of_a_kernel_get_one_first_gradient(optimizer):
    """Features and errors are constant over positions at the start; what layers above learn from images ends that."""
    images = drawn(16, 1, 8, 8, seed=50).double()
    paths = ("0", "2")
    spreads = {
        (path, steps): inspect(round_convolutions(False), images, optimizer=optimizer, steps=steps)
        .layer(path)
        .diversity["position_spread_end"]
        for path in paths
        for steps in (3, 12)
    }
    assert 0 < spreads["0", 3] < 1e-20
    assert spreads["2", 3] < 1e-6
    assert spreads["0", 12] > 1e-9
    default = inspect(round_convolutions(True), images, optimizer=optimizer, steps=3)
    assert all(0.7 < default.layer(path).diversity["position_spread"] < 1 for path in paths)
    assert "position_spread" not in default.layer("5").diversity
    assert default.to_frame()["position_spread"].notna().tolist() == [True, True, False]


def test_position_spread_where_there_are_positions_also_while_training():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.Linear(27, 2))
    watch = SymmetryObserver()
    watch.on_start(SimpleNamespace(model=model))
    model(drawn(8, 1, 4, 4)).square().sum().backward()
    watch.on_gradients(SimpleNamespace(model=model, step=1))
    watch.on_end(SimpleNamespace(model=model))
    spreads = watch.to_frame()["position_spread"]
    assert spreads.notna().tolist() == [False, True, False]
    assert spreads[1] == pytest.approx(position_spread(model[1].weight))
    report = inspect(model, drawn(8, 1, 4, 4), steps=2)
    assert report.to_frame()["position_spread_end"].notna().tolist() == [False, True, False]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t2_first_gradients_have_rank_one(optimizer):
    ranks = [
        layer.diversity["effective_rank_first_gradient"] for layer in look(network(random=(0, 1, 2)), optimizer).layers
    ]
    assert max(ranks) < 1 + 1e-6
    others = [layer.diversity["effective_rank_first_gradient"] for layer in look(mlp(nn.ELU), optimizer).layers]
    assert min(others) > 1.5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("random", "expected"),
    [((0, 1, 2), [16, 16, 16]), ((2,), [1, 1, 16]), ((0,), [16, 1, 1]), ((1,), [1, 16, 1]), ((), [1, 1, 1])],
)
def test_t3_layers_separate_by_their_own_biases(random, expected, optimizer):
    report = look(network(random=random), optimizer)
    assert widths(report) == expected
    assert [layer.source for layer in report.layers[:-1]] == ["biases" if width > 1 else "" for width in expected]
    assert {finding.path for finding in report.warnings if finding.code == "ZI001"} == {
        str(2 * at) for at, width in enumerate(expected) if width == 1
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t4_num_distinct_units_is_the_number_of_distinct_biases(optimizer):
    model = network(random=(0, 1, 2))
    for layer in (model[0], model[2], model[4]):
        layer.bias.data[8:] = layer.bias.data[:8]
    report = look(model, optimizer)
    assert widths(report) == [8, 8, 8]
    assert report.layer("0").identical_units in {(at, at + 8) for at in range(8)}
    assert widths(look(network(random=(0, 1, 2)), optimizer)) == [16, 16, 16]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(torch.rand, {"bfloat16": 301, "float16": 471}), (torch.randn, {"bfloat16": 416, "float16": 497})],
)
def test_t4b_low_precision_makes_biases_collide(draw, expected):
    model = nn.Sequential(nn.Linear(2, 512), nn.ELU(), nn.Linear(512, 3))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[2].weight)
    model[0].bias.data = draw(512, generator=torch.Generator().manual_seed(0))
    report = inspect(model, drawn(8, 2), steps=2)
    assert report.layer("0").distinct_in == pytest.approx(expected, abs=20)
    assert ("ZI106", "0") in {(finding.code, finding.path) for finding in report.findings}
    stored = inspect(model.to(torch.bfloat16), drawn(8, 2), steps=4)
    assert stored.layer("0").num_distinct_units == report.layer("0").distinct_in["bfloat16"]


def test_t4b_random_weights_do_not_collide():
    report = inspect(mlp(), drawn(8, 12))
    assert report.layer("0").distinct_in == {"bfloat16": 16, "float16": 16}
    assert "ZI106" not in {finding.code for finding in report.findings}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t5_relu_units_with_a_bias_of_at_most_zero_are_dead(optimizer):
    model = network(nn.ReLU, widths=(16,), random=(0,))
    dead = int((model[0].bias <= 0).sum())
    report = look(model, optimizer)
    assert report.layer("0").dead == dead > 0
    assert [finding.code for finding in report.warnings] == ["ZI005"]
    model[0].bias.data.abs_()
    assert look(model, optimizer).layer("0").dead == 0
    model[0].bias.data[3] = 0.0
    assert look(model, optimizer).layer("0").dead == 1
    assert look(network(nn.ELU, widths=(16,), random=(0,)), optimizer).layer("0").dead == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t6_mirrored_units_stay_mirrored(optimizer):
    def mirrored(activation):
        model = network(activation, widths=(16,), random=(0,))
        model[0].bias.data[8:] = -model[0].bias.data[:8]
        return look(model, optimizer)

    report = mirrored(nn.Tanh)
    assert (report.layer("0").num_distinct_units, report.layer("0").num_distinct_up_to_sign) == (16, 8)
    assert ("ZI003", "0") in {(finding.code, finding.path) for finding in report.warnings}
    assert mirrored(nn.ELU).layer("0").num_distinct_up_to_sign == 16
    assert mirrored(nn.ELU).warnings == ()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", [nn.ELU, nn.Tanh, nn.ReLU])
def test_t7_everything_zero_moves_the_output_bias_alone(activation, optimizer):
    report = look(network(activation, value=0.0), optimizer)
    assert {name for name, step in report.first_gradient_steps.items() if step} == {"6.bias"}
    assert {(finding.code, finding.path) for finding in report.warnings} == {("ZI006", path) for path in "0246"}
    assert None not in look(network(activation, random=(0, 1, 2), value=0.5), optimizer).first_gradient_steps.values()


def normed(norm, beta: bool) -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ELU(), norm(6), nn.Conv2d(6, 6, 3, padding=1), nn.ELU(), norm(6),
        nn.Flatten(), nn.Linear(384, 5),
    )  # fmt: skip
    for at, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.zeros_(layer.weight)
            layer.bias.data = drawn(len(layer.bias), seed=at)
        elif beta and hasattr(layer, "bias"):
            layer.bias.data = drawn(6, seed=at)
    return model


def affine_instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d, affine_instance_norm, lambda channels: nn.GroupNorm(channels, channels)]
)
def test_t8_a_norm_cancels_constant_channels(norm, optimizer):
    images = drawn(16, 1, 8, 8)
    assert dense_steps(inspect(normed(norm, beta=False), images, optimizer=optimizer)) == [None, None, None]
    report = inspect(normed(norm, beta=True), images, optimizer=optimizer)
    assert dense_steps(report) == [None, None, 1]
    assert ("ZI011", "3") in {(finding.code, finding.path) for finding in report.warnings}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t8_norms_over_several_channels_are_no_obstacle(optimizer):
    report = inspect(
        normed(lambda channels: nn.GroupNorm(1, channels), beta=True), drawn(16, 1, 8, 8), optimizer=optimizer
    )
    assert dense_steps(report) == [3, 2, 1]
    assert report.warnings == ()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_t9_rounding_is_told_from_signal(optimizer):
    report = inspect(normed(nn.BatchNorm2d, beta=True), drawn(16, 1, 8, 8), optimizer=optimizer)
    by_name = {each.name: each for each in report.parameters}
    assert by_name["3.weight"].rounding_step is not None
    assert by_name["3.weight"].first_gradient_step is None
    assert not any(by_name["3.weight"].gradients)
    assert (by_name["7.weight"].first_gradient_step, by_name["7.weight"].rounding_step) == (1, None)


def test_a_faint_signal_is_no_rounding():
    """Under SGD the bottom of a deep network of zero weights has true gradients far below machine epsilon."""
    report = look(network(widths=(8,) * 6, random=range(6)), "sgd", learning_rate=1e-3)
    assert dense_steps(report) == [7, 6, 5, 4, 3, 2, 1]
    assert max(next(size for size in report.parameters[0].gradients if size > 0), 0) < 1e-12
