"""From a model and a batch to one loss: how the model is called, and what is minimized."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import InputError, derive_seed
from zeroinit.symmetry.precision import cast_floats

__all__ = ["Objective", "describe", "first_tensor"]

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

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Tensor | Mapping | tuple | list):
            raise InputError(
                f"inputs={describe(self.inputs)}: must be a tensor, a tuple of positional arguments or a dictionary of "
                "named ones"
            )
        if isinstance(self.inputs, Mapping):
            self.inputs = dict(self.inputs)

    def output(self, model: nn.Module, dtype: torch.dtype) -> Any:
        """Call the model on a fresh copy of the inputs."""
        inputs = cast_floats(self.inputs, dtype)
        if isinstance(inputs, dict):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)

    def loss(self, output: Any, dtype: torch.dtype) -> Tensor:
        """Return the loss of an output.

        Raises:
            InputError: There is no way to a loss.
        """
        targets = cast_floats(self.targets, dtype)
        if self.loss_fn is not None:
            loss, self.kind = self._own_loss(output, targets), "loss_fn"
        elif targets is None and (own := _named(output, "loss")) is not None:
            loss, self.kind = own, "the output's own loss"
        else:
            loss = self._default_loss(output, targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            raise InputError(f"loss_fn: the loss is {describe(loss)}; it must be a tensor with one float")
        return loss.reshape(())

    def _own_loss(self, output: Any, targets: Any) -> Any:
        assert self.loss_fn is not None
        try:
            return self.loss_fn(output) if targets is None else self.loss_fn(output, targets)
        except Exception as error:
            given = "output" if targets is None else "output, targets"
            raise InputError(
                f"loss_fn({given}): failed on {describe(output)} ({type(error).__name__}: {error})"
            ) from error

    def _default_loss(self, output: Any, targets: Any) -> Tensor:
        scores = first_tensor(output)
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
            raise InputError(f"targets={describe(targets)}: must be a tensor, or hand over a loss_fn")
        try:
            if targets.is_floating_point():
                self.kind = f"mean squared error{drawn}"
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
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "targets"))
        if scores.dim() in (2, 3) and scores.shape[-1] > 1:
            drawn = torch.randint(scores.shape[-1], scores.shape[:-1], generator=generator)
        else:
            drawn = torch.randn(scores.shape, generator=generator)
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


def describe(value: Any) -> str:
    """Name a value in a message: a tensor by its shape and type, a container by its entries.

    Example:
        >>> describe(torch.zeros(2, 3)), describe({"a": 1})
        ('a tensor (2, 3) of float32', 'a dict with a')
    """
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(str, value)) or 'nothing in it'}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _named(output: Any, name: str) -> Any:
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with classes on the last axis, or on axis 1 where the targets' shape says so."""
    if scores.dim() > 2 and targets.shape == scores.shape[:-1]:
        return F.cross_entropy(scores.flatten(0, -2), targets.flatten())
    return F.cross_entropy(scores, targets)
