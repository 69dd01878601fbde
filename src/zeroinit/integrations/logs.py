"""Logs of numbers: to TensorBoard, to your function, or nowhere."""

from pathlib import Path
from typing import Any

from zeroinit._common import InputError, missing
from zeroinit.integrations.arguments import can_take

__all__ = ["Log", "check_log"]


class Log:
    """Hands numbers by name to TensorBoard or to a function.

    Args:
        target: A folder for TensorBoard's event files, a ``SummaryWriter`` (whatever has ``add_scalar``), a function
            ``(numbers, update) -> None``, or ``None``.

    Raises:
        InputError: ``target`` is none of these, or is a folder and TensorBoard is not installed.

    Example:
        >>> log = Log(lambda numbers, update: print(update, numbers))
        >>> log({"zeroinit/identical_units": 3.0}, 100)
        100 {'zeroinit/identical_units': 3.0}
    """

    def __init__(self, target: Any = None):
        check_log(target)
        self._own = _writer(target) if isinstance(target, str | Path) else None
        writer, self._write = self._own or target, target
        if hasattr(writer, "add_scalar"):
            self._write = lambda numbers, update: [writer.add_scalar(*each, update) for each in numbers.items()]

    def __call__(self, numbers: dict[str, float], update: int) -> None:
        """Hand over the numbers of one update."""
        if self._write is not None:
            self._write(numbers, update)

    def close(self) -> None:
        """Close the event file that this object opened; your own writer stays open."""
        if self._own is not None:
            self._own.close()


def check_log(target: Any) -> None:
    """Refuse what is no place for numbers; opens and makes nothing.

    Raises:
        InputError: As ``Log``.

    Example:
        >>> check_log("runs/first")
    """
    fits = target != "" if isinstance(target, str | Path) else target is None or hasattr(target, "add_scalar")
    if not fits and not (callable(target) and can_take(target, 2)):
        raise InputError(
            f"log={target!r}: must be a folder for TensorBoard, a SummaryWriter, a function (numbers, update) -> "
            "None, or None"
        )


def _writer(folder: str | Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(f"log={str(folder)!r}: {missing('TensorBoard', 'tensorboard')}") from error
    try:
        return SummaryWriter(str(folder))
    except OSError as error:
        raise InputError(f"log={str(folder)!r}: {error.strerror or error}; name a folder to write to") from error
