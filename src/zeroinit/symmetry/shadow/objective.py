"""From a model and a batch to one loss: how the model is called, and what is minimized."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import InputError, derive_seed
from zeroinit._modules.batch import call_model, describe, tensors_in
from zeroinit._modules.copying import copier_of
from zeroinit._modules.reach import leads_to
from zeroinit.symmetry.shadow.precision import cast_floats

__all__ = ["FORM", "Objective", "first_tensor"]

FORM = "of an output, or of an output and targets, to a loss"
"""What ``loss_fn`` must be."""
WAYS = "hand over targets, or loss_fn=lambda output: ..., or inputs with which the output has a .loss"


@dataclass
class Objective:
    """A batch and the loss over it.

    Attributes:
        inputs: A tensor, a tuple of arguments or a mapping of named ones.
        targets: What ``loss_fn`` or the default loss compares the output with; drawn where ``None``.
        loss_fn: Maps output and targets (output alone where there are none) to a scalar.
        seed: For targets that are drawn.
        kind: How the last loss came about, in words.
    """

    inputs: Any
    targets: Any = None
    loss_fn: Callable | None = None
    seed: int = 0
    kind: str = ""
    _copies: dict[int, Tensor] = field(default_factory=dict)

    def output(self, model: nn.Module, dtype: torch.dtype) -> Any:
        """Call the model on a fresh copy of the inputs."""
        self._copies = {}
        return call_model(model, cast_floats(self.inputs, dtype, self._copies))

    def bound_to(self, replica: nn.Module) -> Callable | None:
        """Return ``loss_fn`` with a copy in the place of the model, and the copied inputs in the place of the inputs.

        Functions with the model in their closure, in their globals or as the object they belong to work on the copy.
        """
        copier = copier_of(replica)
        if self.loss_fn is None or copier is None:
            return self.loss_fn
        given = {id(each) for each in tensors_in((self.inputs, self.targets))}
        uses_inputs = leads_to(self.loss_fn, lambda each: id(each) in given)
        return copier.bound(self.loss_fn, self._copies if uses_inputs else {})

    def loss(self, output: Any, dtype: torch.dtype, replica: nn.Module | None = None) -> Tensor:
        """Return the loss of an output; of a copy of the model, ``loss_fn`` works on that copy.

        Raises:
            InputError: There is no way to a loss.
        """
        targets = cast_floats(self.targets, dtype, self._copies)
        if self.loss_fn is not None:
            function = self.loss_fn if replica is None else self.bound_to(replica)
            loss, self.kind = self._own_loss(function, output, targets), "loss_fn"
        elif targets is None and (own := _named(output, "loss")) is not None:
            loss, self.kind = own, "the output's own loss"
        else:
            loss = self._default_loss(output, targets)
        if isinstance(loss, Tensor) and loss.is_complex():
            raise InputError("loss_fn: the loss is complex; hand over loss_fn=lambda output: ... with a real value")
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            raise InputError(f"loss_fn: the loss is {describe(loss)}; it must be a tensor with one float")
        return loss.reshape(())

    def _own_loss(self, function: Any, output: Any, targets: Any) -> Any:
        try:
            return function(output) if targets is None else function(output, targets)
        except Exception as error:
            given = "output" if targets is None else "output, targets"
            raise InputError(
                f"loss_fn({given}): failed on {describe(output)} ({type(error).__name__}: {error})"
            ) from error

    def _default_loss(self, output: Any, targets: Any) -> Tensor:
        losses = _losses_in(output) if targets is None else []
        if losses:
            self.kind = "the sum of the output's losses"
            return torch.stack([each.reshape(()) for each in losses]).sum()
        scores = first_tensor(output)
        if scores is not None and scores.is_complex():
            scores = torch.view_as_real(scores)
        if scores is None or not scores.is_floating_point():
            raise InputError(f"model: its output is {describe(output)}, which has no loss; {WAYS}")
        if targets is None and scores.dim() == 0:
            self.kind = "the output itself"
            return scores
        if targets is None:
            targets, drawn = self._drawn_targets(scores), ", targets drawn"
        else:
            drawn = ""
        if not isinstance(targets, Tensor):
            raise InputError(
                f"targets={describe(targets)}: must be a tensor, as torch.as_tensor(targets), or hand over a loss_fn"
            )
        try:
            if targets.is_floating_point() or targets.is_complex():
                self.kind = f"mean squared error{drawn}"
                if targets.is_complex():
                    targets = torch.view_as_real(targets)
                if targets.shape != scores.shape:
                    raise ValueError(f"the output has shape {tuple(scores.shape)}")
                return F.mse_loss(scores, targets.to(scores.dtype))
            self.kind = f"cross entropy{drawn}"
            return _cross_entropy(scores, targets)
        except (ValueError, RuntimeError, IndexError) as error:
            raise InputError(
                f"targets={describe(targets)}: do not fit the output {describe(scores)} ({error}); hand over classes "
                "for cross entropy, floats of the output's shape for the squared error, or a loss_fn"
            ) from error

    def _drawn_targets(self, scores: Tensor) -> Tensor:
        """Draw classes for scores (batch, classes) or (batch, positions, classes), else normal values."""
        generator = torch.Generator("cpu").manual_seed(derive_seed(self.seed, "targets"))
        if scores.dim() in (2, 3) and scores.shape[-1] > 1:
            drawn = torch.randint(scores.shape[-1], scores.shape[:-1], generator=generator, device="cpu")
        else:
            drawn = torch.randn(scores.shape, generator=generator, device="cpu")
        return drawn.to(scores.device, scores.dtype if drawn.is_floating_point() else None)


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor of scores in an output: itself, its logits, or the first float tensor in it.

    Example:
        >>> first_tensor({"hidden": torch.zeros(2), "logits": torch.ones(1)})
        tensor([1.])
    """
    if isinstance(output, Tensor):
        return output
    if (logits := _named(output, "logits")) is not None:
        return logits
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next(
        (found for each in values if (found := first_tensor(each)) is not None and found.is_floating_point()), None
    )


def _losses_in(output: Any) -> list[Tensor]:
    """Return the losses that a model gives by name in train mode, as detectors do; none for any other output."""
    if not isinstance(output, Mapping) or not output:
        return []
    scalars = [each for each in output.values() if isinstance(each, Tensor) and each.numel() == 1]
    named = all("loss" in str(name) for name in output)
    return scalars if named and len(scalars) == len(output) and len(output) > 1 else []


def _named(output: Any, name: str) -> Any:
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with classes on the last axis, or on axis 1 where the targets' shape says so."""
    if scores.dim() > 2 and targets.shape == scores.shape[:-1]:
        return F.cross_entropy(scores.flatten(0, -2), targets.flatten())
    return F.cross_entropy(scores, targets)
