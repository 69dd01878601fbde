"""Masks on the gradients at the activations during the first updates; the forward pass is bitwise unchanged.

All but ``ChannelSigns`` act at the input of each weight layer, as ``ActivationRemedy`` does. They multiply the gradient
that the layer sends down. A dense layer after a flattened image has one unit for each channel and position.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError, derive_seed
from zeroinit._modules.state import is_recomputing
from zeroinit.remedies.activations import EVERY_ELEMENT, ActivationRemedy, kept, mask_shape, signs

__all__ = [
    "ChannelSigns",
    "ClassSigns",
    "ExampleSigns",
    "FixedPositionSigns",
    "PositionSigns",
    "UnitMasks",
    "UnitSigns",
]


class UnitSigns(ActivationRemedy):
    """Multiplies the gradient at each unit or channel by one random sign, new at each step, for all examples.

    Attributes:
        per: What has a sign of its own: some of ``"example"``, ``"unit"`` and ``"position"``.

    Source:
        This package.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> with UnitSigns(model, steps=10):
        ...     changed = model(torch.ones(4, 2))
        >>> torch.equal(changed, model(torch.ones(4, 2)))
        True
    """

    per: ClassVar[Collection[str]] = ("unit",)

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        masked = inputs.view_as(inputs)
        masked.register_hook(partial(torch.mul, self._mask(site, inputs)))
        return masked

    def _mask(self, site: nn.Module, inputs: Tensor) -> Tensor:
        return signs(mask_shape(site, inputs, self.per), self._generator, inputs)


class ExampleSigns(UnitSigns):
    """Multiplies the gradient by random signs, one for each unit or channel and example; otherwise as ``UnitSigns``.

    Source:
        This package.
    """

    per = ("example", "unit")


class PositionSigns(UnitSigns):
    """Multiplies every element of the gradient by its own random sign; otherwise as ``UnitSigns``.

    Signs that differ between positions break the symmetry of a convolution under translation, too.

    Source:
        This package.
    """

    per = EVERY_ELEMENT


class ChannelSigns(ExampleSigns):
    """Multiplies the gradient at each convolution's output by a random sign per channel and example, new each step.

    Unlike the other masks, these signs act at outputs. So all positions of a channel have one sign, even before a
    flatten. The signs make channels differ, but not positions. Dense layers stay as they are.

    Source:
        This package.
    """

    def _set_up(self) -> None:
        super()._set_up()
        self._sites = {site: name for site, name in self._sites.items() if isinstance(site, _ConvNd)}

    def _hook_in(self) -> Sequence[RemovableHandle]:
        return [site.register_forward_hook(self._exit) for site in self._sites]

    def _exit(self, site: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        if not (self._is_on() and torch.is_grad_enabled() and output.requires_grad):
            return None
        if is_recomputing():
            return self._change_again(site, output)
        self._met.add(site)
        return self._change(site, output)


class UnitMasks(ExampleSigns):
    """Drops the gradient at each unit or channel and example with probability p, the strength; else divides by 1 - p.

    This is the backward pass of ``EarlyChannelDropout`` without its forward pass.

    Source:
        This package; Srivastava et al. 2014 (dropout), in the backward pass alone.
    """

    default_strength = 0.5
    below = 1

    def _mask(self, site: nn.Module, inputs: Tensor) -> Tensor:
        return kept(mask_shape(site, inputs, self.per), self._strength, self._generator, inputs)


class FixedPositionSigns(UnitSigns):
    """Multiplies the gradient by fixed signs, one for each channel and position, for all examples and steps.

    The signs depend only on a seed, the layer's name and the shape, in any order of calls.

    Source:
        This package; Lillicrap et al. 2016 (fixed random feedback in place of the true one).
    """

    per: ClassVar[Collection[str]] = ("unit", "position")

    def _set_up(self) -> None:
        super()._set_up()
        self._seed = int(torch.randint(2**62, (), generator=self._generator, device=self._generator.device))
        self._drawn: dict[tuple, Tensor] = {}

    def state_dict(self) -> dict:
        """Return the state, with the seed."""
        return super().state_dict() | {"seed": self._seed}

    def load_state_dict(self, state: dict) -> None:
        """Continue with the saved signs."""
        self._seed = state["seed"]
        self._drawn = {}
        super().load_state_dict(state)

    def _mask(self, site: nn.Module, inputs: Tensor) -> Tensor:
        return self._fixed(site, mask_shape(site, inputs, self.per), inputs)

    def _fixed(self, site: nn.Module, shape: Sequence[int], like: Tensor) -> Tensor:
        key = (site, *shape)
        if key not in self._drawn:
            seed = derive_seed(self._seed, f"{self._sites[site]}/{list(shape)}")
            self._drawn[key] = signs(shape, torch.Generator().manual_seed(seed), like)
        return self._drawn[key].to(device=like.device, dtype=like.dtype)


class ClassSigns(FixedPositionSigns):
    """Multiplies the gradient by fixed signs, one for each unit or channel and class, for all steps.

    The class of an example is where the gradient at the model's output is smallest. With cross entropy this gradient is
    negative at the example's class and nowhere else. The model has to map a batch to logits (batch, classes); a pass
    with another output raises an ``InputError``.

    Source:
        This package.
    """

    per = ("unit",)

    def _set_up(self) -> None:
        super()._set_up()
        self._seen: list[Tensor] = []
        self._batch_sizes: set[int] = set()

    def _is_on(self) -> bool:
        """Whether it acts; not if you call a part of the model alone, as the class is read at the model's output."""
        return super()._is_on() and (self._updates.is_in_pass or is_recomputing())

    def _begin_pass(self) -> None:
        super()._begin_pass()
        self._seen = []
        self._batch_sizes = set()

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        masked = inputs.view_as(inputs)
        self._batch_sizes.add(len(inputs))
        masked.register_hook(partial(self._apply, site, self._seen))
        return masked

    def _apply(self, site: nn.Module, seen: list[Tensor], gradient: Tensor) -> Tensor:
        gradients = seen[-1]
        classes = gradients.argmin(dim=1)
        unit = mask_shape(site, gradient, self.per)
        by_class = self._fixed(site, [gradients.shape[1], *unit[1:]], gradient)
        return gradient * by_class[classes]

    def _end_pass(self, output: object) -> None:
        if not self.remaining:
            return
        if not isinstance(output, Tensor) or output.dim() != 2 or self._batch_sizes - {len(output)}:
            raise InputError(
                "model: class_signs cannot read the class of each example; use example_signs instead. class_signs "
                "needs one output (batch, classes), and this batch as the first axis of every layer's input"
            )
        if output.requires_grad:
            output.register_hook(self._seen.append)
