"""Logs of numbers: to TensorBoard, to your function, or nowhere."""

from pathlib import Path
from typing import Any

from zeroinit._common import InputError
from zeroinit._imports import missing
from zeroinit._modules.arguments import can_take
from zeroinit.symmetry.observer import LayerRecord

__all__ = ["Log", "check_log", "metrics_of"]

RANKS = ("effective_rank_weights", "effective_rank_updates", "effective_rank_gradients")
WORDS_OF_WANDB = ("gradients", "parameters", "all")
"""What ``log=`` of ``wandb.watch`` takes; no folder should be made of it by chance."""


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
    if isinstance(target, str) and target in WORDS_OF_WANDB:
        raise InputError(
            f"log={target!r}: is a word of wandb.watch; for Weights & Biases hand over a function: "
            "log=lambda numbers, update: wandb.log(numbers)"
        )
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


def metrics_of(
    records: list[LayerRecord], num_without_gradient: int, num_not_finite: int, by_layer: bool = False
) -> dict[str, float]:
    """Sum up the records of one update.

    Args:
        records: One for each layer.
        num_without_gradient: Parameters without a gradient.
        num_not_finite: Parameters that are NaN or infinite.
        by_layer: Give numbers for each layer, too.

    Returns:
        ``zeroinit/identical_units`` counts units that are identical to an earlier one and get identical updates.
        ``zeroinit/merged_units`` counts those among them that differed before. ``zeroinit/units_without_gradient`` and
        ``zeroinit/parameters_without_gradient`` count what gets no gradient, and ``zeroinit/parameters_not_finite``
        what is NaN or infinite. ``zeroinit/effective_rank_weights``, ``_updates`` and ``_gradients`` are means over
        layers, on at most 32 units and inputs.
    """
    found: dict[str, float] = {
        "identical_units": sum(each.num_units - each.num_driven_apart for each in records),
        "merged_units": sum(each.num_merged for each in records),
        "units_without_gradient": sum(each.num_silent for each in records),
        "parameters_without_gradient": num_without_gradient,
        "parameters_not_finite": num_not_finite,
    }
    for name in RANKS if records else ():
        found[name] = sum(each.diversity[name] for each in records) / len(records)
    for each in records if by_layer else ():
        found[f"{each.path or 'model'}/distinct_units"] = each.num_distinct
        found[f"{each.path or 'model'}/units_without_gradient"] = each.num_silent
        found |= {f"{each.path or 'model'}/{name}": each.diversity[name] for name in RANKS}
    return {f"zeroinit/{name}": float(value) for name, value in found.items()}
