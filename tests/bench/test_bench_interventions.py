"""Interventions at step 0: each moves what it names and nothing else."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.interventions import ABLATIONS, ablate_weights, scale_output_bias, shift_features
from zeroinit.bench.models import build_model
from zeroinit.init import initialize_

SHAPE = (1, 8, 8)


def network(name: str, scale: float, initializer: str = "normal_bias") -> nn.Module:
    model = build_model(name, SHAPE)
    initialize_(model, initializer, scale=scale, generator=torch.Generator().manual_seed(1))
    return model


def entering_last_layer(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the last layer is multiplied with, by a last layer that lets its input through."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    kept = {}
    handle = last.register_forward_hook(lambda module, args, output: kept.update(inputs=args[0]))
    model(images)
    handle.remove()
    return kept["inputs"]


@pytest.mark.parametrize("name", ["mnist_fnn", "mnist_cnn"])
def test_features_have_the_constant_part_of_the_reference(name):
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    large, plain = network(name, 100.0), network(name, 1.0)
    shift_features(plain, large, SHAPE)
    inside, wanted = entering_last_layer(plain, images), entering_last_layer(large, images)
    assert torch.allclose(inside, wanted, rtol=1e-6, atol=1e-5)
    assert not torch.allclose(entering_last_layer(network(name, 1.0), images), wanted, atol=1.0)


def test_units_work_where_they_did():
    """Once weights are there, the features move as those of the network without the shift."""
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    shifted, twin = network("mnist_fnn", 1.0), network("mnist_fnn", 1.0)
    shift_features(shifted, network("mnist_fnn", 100.0), SHAPE)
    before = [entering_last_layer(model, images) for model in (shifted, twin)]
    for model in (shifted, twin):
        nn.init.normal_(model.dense_1.weight, generator=torch.Generator().manual_seed(3))
    moved = [entering_last_layer(model, images) - old for model, old in zip((shifted, twin), before, strict=True)]
    assert torch.allclose(*moved, atol=1e-4)
    assert moved[0].abs().max() > 0.1


def test_the_shift_is_no_parameter_and_follows_the_model():
    model, names = network("mnist_fnn", 1.0), list(network("mnist_fnn", 1.0).state_dict())
    shift_features(model, network("mnist_fnn", 100.0), SHAPE)
    assert list(model.state_dict()) == names
    assert model.double()(torch.zeros(1, *SHAPE, dtype=torch.float64)).dtype == torch.float64


def test_features_that_depend_on_the_image_cannot_be_shifted():
    with pytest.raises(InputError, match=r"^offset_scale: features that enter dense_2 depend on the image; choose"):
        shift_features(network("mnist_fnn", 1.0, "pytorch"), network("mnist_fnn", 1.0), SHAPE)


def test_output_biases_are_scaled_alone():
    model, twin, wanted = (network("mnist_fnn", scale) for scale in (10.0, 10.0, 2.0))
    scale_output_bias(model, 10.0, 2.0)
    assert torch.allclose(model.dense_2.bias, wanted.dense_2.bias)
    assert torch.equal(model.dense_1.bias, twin.dense_1.bias)
    assert not torch.allclose(model.dense_2.bias, twin.dense_2.bias)


@pytest.mark.parametrize("has_bias", [True, False])
def test_output_biases_that_cannot_be_scaled(has_bias):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=has_bias))
    with pytest.raises(InputError, match=r"^output_scale=3\.0: needs biases of the last layer, 1, and a scale other"):
        scale_output_bias(model, 0.0 if has_bias else 1.0, 3.0)


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablated_weights(name):
    model, twin = network("mnist_cnn", 1.0, "pytorch"), network("mnist_cnn", 1.0, "pytorch")
    ablate_weights(model, name)
    for layer in ("conv_1", "conv_2", "dense_1"):
        weight, before = (getattr(each, layer).weight.detach() for each in (model, twin))
        size = 0.01 if name == "small" else 1.0
        assert (weight.norm() / before.norm()).item() == pytest.approx(size, rel=1e-4)
        rank = int(torch.linalg.matrix_rank(weight.flatten(1), rtol=1e-4))
        assert (rank == 1) == (name == "rank_one" or (name == "constant_kernels" and layer == "conv_1"))
        if weight.ndim == 4:
            spread = (weight - weight.mean((2, 3), keepdim=True)).abs().max()
            assert (spread < 1e-6).item() == (name == "constant_kernels")
        assert torch.equal(getattr(model, layer).bias, getattr(twin, layer).bias)


def test_rank_one_is_the_nearest():
    """Against power iteration."""
    weight = torch.randn(6, 9, generator=torch.Generator().manual_seed(5))
    vector = torch.ones(9)
    for _ in range(500):
        vector = weight.T @ (weight @ vector)
        vector = vector / vector.norm()
    nearest = torch.outer(weight @ vector, vector)
    ablated = ABLATIONS["rank_one"](weight)
    assert torch.allclose(ablated / ablated.norm(), nearest / nearest.norm(), atol=1e-5)


def test_an_unknown_ablation():
    with pytest.raises(InputError, match=r"spoiler.*rank_one"):
        ablate_weights(network("mnist_fnn", 1.0), "rank one")
