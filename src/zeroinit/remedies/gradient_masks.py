"""Masks on the gradients at the activations during the first steps; the forward pass is bitwise unchanged.

All but ``channel_signs`` act at the input of each weight layer, as ``ActivationRemedy`` does. They multiply the
gradient that the layer sends down. A dense layer after a flattened image has one unit for each channel and position.
"""

from collections.abc import Collection, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError, derive_seed
from zeroinit.remedies.activations import EVERY_ELEMENT, ActivationRemedy, kept, mask_shape, signs
from zeroinit.remedies.remedy import check_strength, fresh_generator, no_strength
from zeroinit.remedies.updates import is_recomputing

__all__ = [
    "ChannelSigns",
    "ClassSigns",
    "FixedSigns",
    "GradientMasks",
    "channel_signs",
    "class_signs",
    "example_signs",
    "fixed_position_signs",
    "position_signs",
    "unit_masks",
    "unit_signs",
]


class GradientMasks(ActivationRemedy):
    """Multiplies gradients by random masks, fresh at each step: signs, or zeros if ``drop`` is given."""

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        per: Collection[str],
        generator: torch.Generator | None,
        drop: float | None = None,
    ):
        super().__init__(model, steps, fresh_generator(generator))
        self._per = per
        self._drop = drop if drop is None else check_strength(drop, below=1)

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        masked = inputs.view_as(inputs)
        masked.register_hook(partial(torch.mul, self._mask(site, inputs)))
        return masked

    def _mask(self, site: nn.Module, inputs: Tensor) -> Tensor:
        assert self._generator is not None
        shape = mask_shape(site, inputs, self._per)
        if self._drop is None:
            return signs(shape, self._generator, inputs)
        return kept(shape, self._drop, self._generator, inputs)


class ChannelSigns(GradientMasks):
    """Signs on the gradient at the outputs of convolutions; see ``channel_signs``."""

    def __init__(self, model: nn.Module, steps: int, generator: torch.Generator | None):
        super().__init__(model, steps, ("example", "unit"), generator)
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


class FixedSigns(GradientMasks):
    """Signs that never change; they depend only on a seed, the layer's name and the shape, in any order of calls."""

    def __init__(self, model: nn.Module, steps: int, per: Collection[str], generator: torch.Generator | None):
        super().__init__(model, steps, per, generator)
        assert self._generator is not None
        drawn = torch.randint(2**62, (), generator=self._generator, device=self._generator.device)
        self._seed = int(drawn)
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
        return self._fixed(site, mask_shape(site, inputs, self._per), inputs)

    def _fixed(self, site: nn.Module, shape: Sequence[int], like: Tensor) -> Tensor:
        key = (site, *shape)
        if key not in self._drawn:
            seed = derive_seed(self._seed, f"{self._sites[site]}/{list(shape)}")
            self._drawn[key] = signs(shape, torch.Generator().manual_seed(seed), like)
        return self._drawn[key].to(device=like.device, dtype=like.dtype)


class ClassSigns(FixedSigns):
    """Signs by class, which is read from the gradient at the model's output; see ``class_signs``."""

    def __init__(self, model: nn.Module, steps: int, generator: torch.Generator | None):
        super().__init__(model, steps, ("unit",), generator)
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
        unit = mask_shape(site, gradient, self._per)
        by_class = self._fixed(site, [gradients.shape[1], *unit[1:]], gradient)
        return gradient * by_class[classes]

    def _end_pass(self, output: object) -> None:
        if not self.remaining:
            return
        if not isinstance(output, Tensor) or output.dim() != 2 or self._batch_sizes - {len(output)}:
            raise InputError(
                "model: class_signs cannot read the class of each example: the model's output must be one tensor "
                "(batch, classes), and the input of every layer must have this batch as its first axis; use "
                "example_signs instead"
            )
        if output.requires_grad:
            output.register_hook(self._seen.append)


def unit_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> GradientMasks:
    """Multiply the gradient at each unit or channel by one random sign, new at each step, for all examples.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of the signs; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> with unit_signs(model, steps=10):
        ...     changed = model(torch.ones(4, 2))
        >>> torch.equal(changed, model(torch.ones(4, 2)))
        True
    """
    no_strength("unit_signs", strength)
    return GradientMasks(model, steps, ("unit",), generator)


def channel_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> ChannelSigns:
    """Multiply the gradient at each convolution's output by a random sign per channel and example, new each step.

    Unlike the other masks, these signs act at outputs. So all positions of a channel have one sign, even before a
    flatten. The signs make channels differ, but not positions. Dense layers stay as they are.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of the signs; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.
    """
    no_strength("channel_signs", strength)
    return ChannelSigns(model, steps, generator)


def example_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> GradientMasks:
    """Multiply the gradient by random signs, one for each unit or channel and example; otherwise as ``unit_signs``.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of the signs; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.
    """
    no_strength("example_signs", strength)
    return GradientMasks(model, steps, ("example", "unit"), generator)


def position_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> GradientMasks:
    """Multiply every element of the gradient by its own random sign; otherwise as ``unit_signs``.

    Signs that differ between positions break the symmetry of a convolution under translation, too.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of the signs; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.
    """
    no_strength("position_signs", strength)
    return GradientMasks(model, steps, EVERY_ELEMENT, generator)


def fixed_position_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> FixedSigns:
    """Multiply the gradient by fixed signs, one for each channel and position, for all examples and steps.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of their seed; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package; Lillicrap et al. 2016 (fixed random feedback in place of the true one).
    """
    no_strength("fixed_position_signs", strength)
    return FixedSigns(model, steps, ("unit", "position"), generator)


def unit_masks(
    model: nn.Module, steps: int, *, strength: float = 0.5, generator: torch.Generator | None = None
) -> GradientMasks:
    """Drop the gradient at each unit or channel and example with probability p = ``strength``; else divide by 1 - p.

    This is the backward pass of ``early_channel_dropout`` without its forward pass.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: The probability p, in [0, 1).
        generator: Source of the masks; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        This package; Srivastava et al. 2014 (dropout), in the backward pass alone.
    """
    return GradientMasks(model, steps, ("example", "unit"), generator, drop=strength)


def class_signs(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> ClassSigns:
    """Multiply the gradient by fixed signs, one for each unit or channel and class, for all steps.

    The class of an example is where the gradient at the model's output is smallest. With cross entropy this gradient is
    negative at the example's class and nowhere else.

    Args:
        model: The model that is trained; maps a batch to logits (batch, classes).
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of their seed; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given; at a pass, if the output is not such a tensor.

    Source:
        This package.
    """
    no_strength("class_signs", strength)
    return ClassSigns(model, steps, generator)
