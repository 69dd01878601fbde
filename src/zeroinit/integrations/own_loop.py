"""Watch a model in your own training loop: identical units, ranks, missing gradients."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit._common import counted, whole_number
from zeroinit._modules.sharded import num_processes
from zeroinit.integrations.logs import Log, check_log
from zeroinit.integrations.recorder import Recorder
from zeroinit.integrations.rounds import Rounds
from zeroinit.integrations.sentence import EMPTIED, no_update, sentence
from zeroinit.zero_start.unused import Unused

if TYPE_CHECKING:
    import pandas

    from zeroinit.symmetry.observer import LayerRecord

__all__ = ["Watch", "WatchWarning", "is_first_rank", "watch"]

UNUSED = "watch(model) sees nothing before it is started; train inside `with zeroinit.watch(model) as seen:`"


class WatchWarning(UserWarning):
    """A ``watch`` saw no update of its model."""


class Watch:
    """Records a model before some of its updates; a context manager that ``watch`` returns.

    Attributes:
        is_active: Whether this process watches; under ``torch.distributed`` the first one does.
    """

    def __init__(self, model: nn.Module, every: int = 100, log: Any = None, by_layer: bool = False):
        self.is_active = is_first_rank()
        self._recorder = Recorder(model, whole_number(every, "every", least=1), by_layer)
        check_log(log)
        self._updates = Rounds(self._recorder.model, self._recorder.steps)
        self._unused: Unused | None = Unused(self, self._recorder.model, WatchWarning(UNUSED))
        self._target = log
        self._log = Log()

    @property
    def num_updates(self) -> int:
        """Updates done so far: each changes a parameter at most once; see ``zeroinit.integrations.rounds``."""
        return self._updates.num

    @property
    def records(self) -> "list[LayerRecord]":
        """One ``LayerRecord`` for each layer and recorded update."""
        return self._recorder.records

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """Names of the parameters that had no gradient at any recorded update, also of those in no optimizer."""
        return self._recorder.without_gradient

    @property
    def verdict(self) -> str:
        """One sentence about what was seen so far."""
        if not self.is_active:
            return "Watched in the first process."
        if self._unused is not None:
            return f"Not started: {UNUSED}."
        if not self._recorder.num_recorded:
            text = f"Nothing was seen: {self._reason or 'no optimizer of torch has updated this model'}"
            return text if text.endswith("?") else f"{text}."
        return sentence(self._recorder, self.num_updates)

    @property
    def _reason(self) -> str:
        """Why no update was made, if something was seen of it."""
        num = self._updates.num_empty
        times = "once" if num == 1 else f"{num} times"
        empty = f"optimizer.step() ran {times}, always without gradients; {EMPTIED}" if num else ""
        return no_update(self._recorder) or empty

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each layer and recorded update."""
        return self._recorder._observer.to_frame()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self.detach()
        if kind is None and self.is_active and not self.num_updates:
            reason = self._reason or (
                f"no optimizer of torch updated this {type(self._recorder.model).__name__}; make the optimizer from "
                "this model's parameters, and call optimizer.step() inside the with statement"
            )
            warnings.warn(f"watch saw no update: {reason}", WatchWarning, stacklevel=2)

    def start(self) -> None:
        """Begin to watch, as the ``with`` statement does."""
        if self._unused is not None:
            self._unused.end()
            self._unused = None
        if self.is_active:
            self._log = Log(self._target)
            self._recorder.start()
            self._updates.start(self)

    def detach(self) -> None:
        """End with a last look at the model, as the ``with`` statement does; may be called more than once."""
        is_first = bool(self._updates.parts)
        self._updates.end()
        if is_first:
            self._recorder.finish(self.num_updates)
        self._log.close()
        self._log = Log()

    def look(self, optimizer: Optimizer, parameters: set[nn.Parameter], update: int) -> None:
        """Look at parameters before their update, if it is due."""
        if self._recorder.is_due(update, parameters):
            scale = getattr(optimizer, "grad_scale", None)  # set by a GradScaler for a fused optimizer
            self._recorder.look(update, optimizer.param_groups, 1.0 if scale is None else float(scale))

    def drop(self) -> None:
        """Forget an update that changed nothing."""
        self._recorder.drop()

    def keep(self, update: int, is_late: bool) -> None:
        """Keep what was seen of an update, and log it once."""
        numbers = self._recorder.take()
        if numbers and not is_late:
            self._log(numbers, update)

    def __getstate__(self) -> dict[str, Any]:
        """What was seen so far, without the hooks and the log."""
        updates = Rounds(self._recorder.model, self._recorder.steps)
        updates.num, updates.num_empty = self.num_updates, self._updates.num_empty
        return {**vars(self), "_updates": updates, "_unused": None, "_target": None, "_log": Log()}

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return f"Watch({type(self._recorder.model).__name__}, {counted(self.num_updates, 'update')})"


def watch(model: nn.Module, every: int = 100, log: Path | str | Any | None = None, *, by_layer: bool = False) -> Watch:
    """Watch a model while your own loop trains it: identical units, ranks, parameters without a gradient.

    ``watch`` records the first ten updates, then one in ``every``, and the first update of each new parameter. At the
    end it looks at the model once more. An update is a step of an optimizer with gradients. So the count is right with
    accumulated gradients, several optimizers, and steps that a ``GradScaler`` skips. The model gets no hooks, and a
    compiled model stays compiled. Under ``torch.distributed`` only the first process watches.

    Args:
        model: Any module, also compiled or in ``DistributedDataParallel``.
        every: Updates between two records.
        log: A folder for TensorBoard, a ``SummaryWriter``, a function ``(numbers, update) -> None``, or ``None``.
        by_layer: Log numbers for each layer, too. ``Watch.records`` always has these numbers.

    Returns:
        A context manager. ``print`` shows what was seen.

    Raises:
        InputError: An argument cannot be used, or the model is sharded over processes.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> _ = nn.init.constant_(model[0].weight, 0.5), nn.init.zeros_(model[0].bias)
        >>> _ = nn.init.constant_(model[2].weight, 0.5)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model) as seen:
        ...     for _ in range(3):
        ...         model(torch.ones(8, 3)).square().mean().backward()
        ...         optimizer.step()
        >>> print(seen)
        After 3 updates: units are identical in 1 of 2 layers (`0`: 1 different of 4).
    """
    return Watch(model, every, log, by_layer)


def is_first_rank() -> bool:
    """Whether this process is the first one, or the only one.

    Example:
        >>> is_first_rank()
        True
    """
    return num_processes() == 1 or torch.distributed.get_rank() == 0
