"""What is drawn: zeros, how the scale acts, the ranges, and PyTorch's own default."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torch import nn

from zeroinit._modules.layers import fan_in
from zeroinit.init import INITIALIZERS, initialize_
from zeroinit.init.distributions import CONSTANT, FAN_IN_UNIFORM, NORMAL, UNIFORM, ZERO

ZERO_WEIGHTS = sorted(name for name, entry in INITIALIZERS.items() if entry.weight is ZERO and not entry.others)
SCALED = sorted(name for name, entry in INITIALIZERS.items() if entry.uses_scale and not entry.others)
NUM_DRAWS, WIDTH = 20, 200
REJECT = 1e-4


def values(layer: nn.Module, name: str, generator: torch.Generator, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    initialize_(layer, name, generator=generator, **settings)
    return layer.weight.detach().clone(), layer.bias.detach().clone()


@pytest.mark.parametrize("name", ZERO_WEIGHTS)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_weights_are_exactly_zero(layer, name, scale, generator):
    weight, _ = values(layer, name, generator(0), **({"scale": scale} if name != "zero" else {}))
    assert not weight.any()
    assert not torch.signbit(weight).any()


def test_zero_means_zero_biases_too(layer, generator):
    assert not values(layer, "zero", generator(0))[1].any()


def test_constant_bias_is_the_scale(layer, generator):
    assert (values(layer, "constant_bias", generator(0), scale=0.5)[1] == 0.5).all()


@pytest.mark.parametrize("name", SCALED)
def test_scale_multiplies_what_is_drawn(layer, name, generator):
    weight, bias = values(layer, name, generator(3))
    assert bias.any()
    for scale in (0.0, 0.01, 2.0, 100.0):
        scaled_weight, scaled_bias = values(layer, name, generator(3), scale=scale)
        assert torch.equal(scaled_bias, scale * bias)
        assert torch.equal(scaled_weight, scale * weight)


def test_biases_follow_their_law(generator):
    """Against SciPy's distributions, and each against the other's as the negative case."""
    layer = nn.Linear(1, 5000)
    normal = values(layer, "normal_bias", generator(0))[1].numpy()
    uniform = values(layer, "uniform_bias", generator(0))[1].numpy()
    assert kstest(normal, "norm").pvalue > 0.01
    assert kstest(uniform, "uniform").pvalue > 0.01
    assert kstest(uniform, "norm").pvalue < REJECT
    assert kstest(normal / 100, "norm").pvalue < REJECT
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_layers_do_not_share_their_draws(generator):
    model = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 8))
    initialize_(model, "normal_bias", generator=generator(0))
    assert not torch.isin(model[0].bias, model[1].bias).any()


def pooled(layer: nn.Module, part: str, draw) -> np.ndarray:
    """Draws the layer anew several times, each time from its own seed, and pools the values of one part."""
    draws = []
    for seed in range(NUM_DRAWS):
        draw(layer, seed)
        draws.append(getattr(layer, part).detach().flatten().clone())
    return torch.cat(draws).numpy()


def by_torch(layer: nn.Module, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(10_000 + seed)
        layer.reset_parameters()


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_pytorch_equals_reset_parameters(make_layer, part, generator):
    layer = make_layer(WIDTH)
    ours = pooled(layer, part, lambda layer, seed: initialize_(layer, "pytorch", generator=generator(seed)))
    theirs = pooled(layer, part, by_torch)
    assert ks_2samp(ours, theirs).pvalue > 0.001
    bound = fan_in(layer) ** -0.5
    for drawn in (ours, theirs):
        assert 0.99 * bound < np.abs(drawn).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_another_law_is_told_apart_from_reset_parameters(make_layer, part, generator):
    """The negative cases: another width of the uniform distribution, and a normal distribution of the same variance."""
    layer = make_layer(WIDTH)
    theirs = pooled(layer, part, by_torch)
    wider = pooled(layer, part, lambda layer, seed: initialize_(layer, "pytorch", scale=1.2, generator=generator(seed)))
    assert ks_2samp(wider, theirs).pvalue < REJECT
    normal = torch.randn(len(theirs), generator=generator(0)).numpy() * theirs.std()
    assert ks_2samp(normal, theirs).pvalue < REJECT


def test_pytorch_equals_reset_parameters_value_by_value(layer, generator):
    """Stronger than a test of the distribution: torch's own draws from the same seed."""
    initialize_(layer, "pytorch", generator=generator(10_007))
    ours = [parameter.detach().clone() for parameter in layer.parameters()]
    by_torch(layer, 7)
    torch.testing.assert_close(ours, [parameter.detach() for parameter in layer.parameters()])


def test_transposed_convolutions_follow_torch_and_not_the_true_fan_in(generator):
    """torch counts the second axis of a weight that is stored (in, out / groups, ...): 20 * 9 here, not 10 * 9."""
    layer = nn.ConvTranspose2d(10, 20, 3)
    assert fan_in(layer) == 180
    theirs = pooled(layer, "weight", by_torch)
    true_fan_in = torch.empty(4000).uniform_(-(90**-0.5), 90**-0.5, generator=generator(0)).numpy()
    assert ks_2samp(true_fan_in, theirs).pvalue < REJECT


def test_descriptions_name_the_law_and_the_scale():
    assert NORMAL.describe(1.0) == "N(0, 1)"
    assert UNIFORM.describe(0.01) == "U[0, 1) * 0.01"
    assert CONSTANT.describe(100.0) == "1 * 100"
    assert ZERO.describe(2.0) == "0"
    assert FAN_IN_UNIFORM.describe(2.0) == "U(-1/sqrt(fan_in), 1/sqrt(fan_in)) * 2"
