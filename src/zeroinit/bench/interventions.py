"""Interventions on a network at step 0 that separate the three effects of large biases: units, features, outputs.

Units of a layer with zero weights and bias b put out f(b), whatever the image. A large b puts the unit where f is flat
or linear, *and* makes f(b) a large constant among the next layer's inputs. ``shift_features`` changes one without the
other. ``scale_output_bias`` sets the third effect alone: offsets of the logits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, lookup
from zeroinit._modules.layers import weight_layers
from zeroinit.bench.training.observers import modes_kept

__all__ = ["ABLATIONS", "ablate_weights", "scale_output_bias", "shift_features"]


def shift_features(model: nn.Module, reference: nn.Module, input_shape: Sequence[int]) -> None:
    """Add constants to the inputs of all layers but the first, so at step 0 these inputs are those of ``reference``.

    With units at f(w x + b) and a reference with biases c, the next layer gets f(w x + b) - f(b) + f(c), in training
    and evaluation, for ever. The constants are kept in buffers that are no part of the state.

    Args:
        model: All weights zero, so that features do not depend on the image.
        reference: The same network with other biases.
        input_shape: Of one image.

    Raises:
        InputError: Features of one of them depend on the image.
    """
    wanted, present = _features(reference, input_shape), _features(model, input_shape)
    for name, layer in list(weight_layers(model).items())[1:]:
        layer.register_buffer("feature_shift", wanted[name] - present[name], persistent=False)
        layer.register_forward_pre_hook(_shift)


def _shift(layer: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    assert isinstance(layer.feature_shift, Tensor)
    return (args[0] + layer.feature_shift,)


def scale_output_bias(model: nn.Module, scale: float, output_scale: float) -> None:
    """Multiply the biases of the last layer from ``scale``, with which they were drawn, to ``output_scale``.

    Raises:
        InputError: ``scale`` is 0, so the draws are lost, or the last layer has no bias.
    """
    name, layer = list(weight_layers(model).items())[-1]
    if layer.bias is None or scale == 0:
        raise InputError(
            f"output_scale={output_scale}: needs biases of the last layer, {name}, and a scale other than 0"
        )
    with torch.no_grad():
        layer.bias.mul_(output_scale / scale)


@torch.no_grad()
def _features(model: nn.Module, input_shape: Sequence[int]) -> dict[str, Tensor]:
    """Return what enters each layer but the first, with one example: (1, units) or (1, channels, height, width)."""
    seen: dict[str, list[Tensor]] = {}
    layers = list(weight_layers(model).items())[1:]
    handles = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.setdefault(name, []).append(args[0]))
        for name, layer in layers
    ]
    with modes_kept(model):
        model.eval()
        for fill in (0.0, 1.0):
            model(torch.full((1, *input_shape), fill))
    for handle in handles:
        handle.remove()
    for name, (first, second) in seen.items():
        if not torch.equal(first, second):
            raise InputError(
                f"offset_scale: features that enter {name} depend on the image; choose an initializer with zero weights"
            )
    return {name: first for name, (first, _) in seen.items()}


def _rank_one(weight: Tensor) -> Tensor:
    """Return the nearest matrix of rank 1, with the size of the whole."""
    flat = weight.flatten(1)
    left, values, right = torch.linalg.svd(flat, full_matrices=False)
    nearest = values[0] * left[:, :1] @ right[:1]
    return (nearest * flat.norm() / nearest.norm()).view_as(weight)


def _constant_kernels(weight: Tensor) -> Tensor:
    """Return kernels with one value at all positions, and the size of the whole."""
    if weight.ndim < 3:
        return weight
    mean = weight.flatten(2).mean(2).view(*weight.shape[:2], *[1] * (weight.ndim - 2)).expand_as(weight)
    return mean * weight.norm() / mean.norm()


ABLATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rank_one": _rank_one,
    "constant_kernels": _constant_kernels,
    "small": lambda weight: weight * 0.01,
}
"""Changes to each weight of an initialized network: properties that zero weights have after their first steps."""


@torch.no_grad()
def ablate_weights(model: nn.Module, name: str) -> None:
    """Change all weights of a network so that they have a property that zero weights have after their first steps.

    Args:
        model: Its dense and convolutional layers are changed; biases are not.
        name: A key of ``ABLATIONS``.

    Raises:
        InputError: An unknown name.
    """
    ablation = lookup(ABLATIONS, name, "spoiler")
    for layer in weight_layers(model).values():
        layer.weight.copy_(ablation(layer.weight))
