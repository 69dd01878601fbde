"""What a recorder has seen, in one sentence."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from zeroinit._common import counted

if TYPE_CHECKING:
    from zeroinit.integrations.recorder import Recorder  # for checkers alone: the recorder calls this file
    from zeroinit.symmetry.observer import LayerRecord

__all__ = ["EMPTIED", "no_update", "sentence"]

EMPTIED = (
    "does zero_grad() stand between backward() and step(), or does the loss not reach this model (no_grad, detach)?"
)
"""What to ask where no step had a gradient."""
ZEROS = (
    "the gradients are there and are 0; are all labels ignored, is the loss or the clipping 0, or does "
    "zero_grad(set_to_none=False) stand between backward() and step()?"
)
"""What to ask where the gradients of every step were zeros."""


def sentence(seen: "Recorder", num_updates: int) -> str:
    """Say what is wrong after the last record, or that nothing is.

    Args:
        seen: What was seen.
        num_updates: Updates so far, recorded or not.
    """
    after = f"After {counted(num_updates, 'update')}"
    if not seen._trained:
        return f"{after}: all parameters were replaced after the last record."
    unknown, paths = seen._observer.not_looked_at, seen._observer.paths
    latest = {each.path: each for each in [*seen.records, *seen._last] if each.path in paths}
    num_layers, num = counted(len(latest), "layer"), len(seen._trained)
    texts = [
        f"{start} {len(names)} of {num_layers if start else counted(num, 'parameter')} ({_few(names)}) {end}".strip()
        for start, names, end in _rows(seen, latest, num_updates)
        if names
    ]
    fine = "no units are identical" if latest else "no layer has units that could be compared"
    none = len(seen.without_effect & seen._trained.keys())
    each = f"each of {counted(num - none, 'parameter')}" if num > 1 else "its one parameter"
    also = f", and {none} {'has' if none == 1 else 'have'} no effect" if none else ""
    found = ", ".join(texts) or f"{fine}{',' if none else ', and'} {each} had a gradient{also}"
    found += f", {counted(len(unknown), 'layer')} ({_few(_quoted(unknown))}) not looked at" if unknown else ""
    if seen._held and not seen._seen:
        return f"{after}: {found}; {ZEROS if seen.num_zeros else EMPTIED}"
    last = seen._latest_gradients
    return f"{after}: {found}{'' if last >= num_updates else f' (gradients were last seen at update {last})'}."


def no_update(seen: "Recorder") -> str:
    """Say why no update was made, if gradients are the reason; an empty text otherwise."""
    parameters = [each for each in seen.model.parameters() if each.requires_grad]
    by_hand = (seen.not_finite_gradients, "and no step was made; lower the loss or the learning rate")
    told = [(each.not_finite, f"so {each}") for each in seen.steps.faults] or [by_hand]
    return "; ".join(
        f"gradients of {len(names)} of {counted(len(parameters), 'parameter')} ({_few(_quoted(names))}) are NaN or "
        f"infinite, {then}"
        for names, then in told
        if names
    )


def _rows(seen: "Recorder", latest: "dict[str, LayerRecord]", num_updates: int) -> Iterator[tuple[str, list[str], str]]:
    """Yield what is wrong, with names of parameters, or of layers after a beginning."""
    when = "" if num_updates <= seen.num_recorded else " at the recorded updates"
    skipped = {name for each in seen.steps.faults for name in each.names}
    missed, lost, not_held = (
        _quoted(name for name in names if name not in left_out)
        for names, left_out in (
            (seen.without_gradient, seen.without_effect),
            (seen.lost, seen.without_effect),
            (seen.not_held, skipped),
        )
    )
    identical = [each for each in latest.values() if each.num_driven_apart < each.num_units]
    yield "", _quoted(seen.not_finite), f"became NaN or infinite, first seen after {_first(seen.not_finite)}"
    yield "units are identical in", [f"`{each.path}`: {_distinct(each)}" for each in identical], ""
    yield "units merged again in", _quoted(each.path for each in latest.values() if each.num_merged), ""
    yield "", missed, f"had no gradient{when}"
    yield "", lost, f"lost their gradient, first seen at {_first(seen.lost)}"
    yield "units had no gradient in any record in", [_dead(*each) for each in seen.dead.items()], ""
    yield "", not_held, "are held by no optimizer"
    yield "", _quoted(seen.still), f"had a learning rate of 0{when}"
    for each in seen.steps.faults:
        yield "", _quoted(each.not_finite), f"had gradients that are NaN or infinite, so {each}"


def _distinct(record: "LayerRecord") -> str:
    return f"{record.num_driven_apart} different of {record.num_units}"


def _dead(path: str, units: np.ndarray) -> str:
    return f"`{path}`: {units.sum()} of {len(units)}"


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _first(seen: dict[str, int]) -> str:
    return f"update {min(seen.values(), default=0)}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
