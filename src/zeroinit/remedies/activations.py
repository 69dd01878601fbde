"""Remedies that change what enters dense and convolutional layers; layers that see the data stay as they are."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError
from zeroinit._modules.layers import weight_layers
from zeroinit._modules.state import is_recomputing
from zeroinit.remedies.remedy import Remedy

__all__ = ["ActivationRemedy", "kept", "mask_shape", "signs"]

EVERY_ELEMENT = ("example", "unit", "position")


class ActivationRemedy(Remedy):
    """Changes what enters each dense or convolutional layer whose input carries a gradient.

    So the layer that sees the data stays as it is. Functional activations, poolings and residuals are no obstacle. A
    layer that is called several times in one pass is changed at each call.

    Activation checkpointing calls layers again in the backward pass. The second call uses the mask of the first. With
    ``use_reentrant=True`` the first call shows no gradient, so only the second call is changed.
    """

    draws = True

    def _set_up(self) -> None:
        self._sites: dict[nn.Module, str] = {layer: name for name, layer in weight_layers(self._model).items()}

    def _is_needed(self) -> bool:
        return bool(self._sites)

    def _hook_in(self) -> Sequence[RemovableHandle]:
        return [site.register_forward_pre_hook(self._enter, with_kwargs=True) for site in self._sites]

    def _enter(self, site: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        inputs = args[0] if args else kwargs.get("input")
        if not (self._is_on() and torch.is_grad_enabled() and isinstance(inputs, Tensor) and inputs.requires_grad):
            return None
        if is_recomputing():
            changed = self._change_again(site, inputs)
        else:
            self._met.add(site)
            changed = self._change(site, inputs)
        return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"input": changed})

    def _change_again(self, site: nn.Module, inputs: Tensor) -> Tensor:
        """Return what enters a layer that runs again in the backward pass, in place of ``inputs``.

        Masks on gradients belong to the graph that is differentiated: the graph of the first call, if it had one.
        """
        return inputs if site in self._met else self._change(site, inputs)

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        """Return what enters a layer in place of ``inputs``, in the same shape."""
        raise NotImplementedError


def mask_shape(site: nn.Module, inputs: Tensor, per: Collection[str]) -> list[int]:
    """Return the shape of a mask over a layer's input with one entry for each kind in ``per``.

    Args:
        site: A dense layer, whose input is (examples, *positions, units), or a convolution: (examples, units,
            *positions). The axis of examples may be missing.
        inputs: Its input.
        per: Some of ``"example"``, ``"unit"`` (for a convolution a channel) and ``"position"``.

    Returns:
        As many axes as the input has; 1 along axes on which the mask is constant.

    Example:
        >>> mask_shape(nn.Conv2d(3, 4, 2), torch.ones(8, 3, 5, 6), {"example", "unit"})
        [8, 3, 1, 1]
        >>> mask_shape(nn.Linear(3, 4), torch.ones(8, 7, 3), {"unit", "position"})
        [1, 7, 3]
    """
    num_axes = inputs.dim()
    if isinstance(site, _ConvNd):
        num_positions = len(site.kernel_size)
        kinds = ["example"] * (num_axes - num_positions - 1) + ["unit"] + ["position"] * num_positions
    else:
        kinds = [*["example", *["position"] * (num_axes - 2)][: num_axes - 1], "unit"]
    return [size if kind in per else 1 for size, kind in zip(inputs.shape, kinds, strict=True)]


def signs(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Draw -1 and 1 with the same probability, on the generator's device; return them as numbers like ``like``."""
    drawn = _uniform(shape, generator) < 0.5
    return drawn.to(device=like.device, dtype=like.dtype).mul_(2).sub_(1)


def kept(shape: Sequence[int], drop: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Draw 0 with probability ``drop``, otherwise 1 / (1 - ``drop``), so that the mean is 1; as ``signs`` does."""
    drawn = _uniform(shape, generator) >= drop
    return drawn.to(device=like.device, dtype=like.dtype).div_(1 - drop)


def _uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw from U[0, 1).

    Raises:
        InputError: ``torch.vmap`` refuses random numbers.
    """
    try:
        return torch.rand(*shape, generator=generator, device=generator.device)
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise InputError(
            "model: a remedy or a zero start draws random numbers in this pass, and torch.vmap refuses them; pass "
            "randomness='different' to vmap, or take gradients per example after the first updates"
        ) from error
