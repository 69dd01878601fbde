"""The objects that ``Updates`` notifies: remedies, and all else that follows the updates of a model."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

__all__ = ["Part"]


class Part:
    """Follows the updates of a model; override what you need.

    Attributes:
        remaining: Updates still to come in which it acts; without an end if infinite.
    """

    remaining: Any
    _handles: Sequence[RemovableHandle] = ()
    """Its own hooks on the model; copies of the model come without them."""

    def detach(self) -> None:
        """No updates remain: act no longer."""

    def _begin_pass(self) -> None:
        """A training pass of the model begins."""

    def _leave(self) -> None:
        """Clean up after a pass that is over, has failed, or was interrupted. May be called more than once."""

    def _end_pass(self, output: object) -> None:
        """A training pass of the model has succeeded."""

    def _before_step(self, optimizer: Optimizer, is_late: bool) -> None:
        """An optimizer is about to update the model; late if the other optimizers have ended this update."""

    def _after_step(self, optimizer: Optimizer) -> None:
        """The optimizer has made its step, which may have changed nothing."""

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        """An update is done: ``remaining`` counts it already.

        Args:
            optimizers: Those that hold parameters of the model; none if you update parameters by hand.
            parameters: Parameters updated so far, in this update or an earlier one.
        """

    def _end_update(self) -> None:
        """Forget the passes of an update."""
