"""Blocks of a fused weight, such as the queries in a packed projection, that never get a gradient."""

from collections.abc import Iterator

import numpy as np

from zeroinit.symmetry.units.watching import LayerWatch
from zeroinit.symmetry.verdict.causes.flat import of_one
from zeroinit.symmetry.verdict.causes.views import View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.search.cuts import cuts
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["blocks_without_gradient", "find_cut_blocks"]

FEWEST, SHARE = 4, 0.2
"""A block has at least this number of units and this share of its layer."""
MOST = 8
"""So many causes are tried."""


def blocks_without_gradient(watch: LayerWatch) -> np.ndarray:
    """Return which units lie in long runs without a gradient; none where such runs may be chance (units,)."""
    silent, found = ~watch.tracker.moved, np.zeros(watch.tracker.num_units, dtype=bool)
    if not watch.layer.known or silent.all() or not silent.any():
        return found
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(int)))
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    if len(runs) <= 3 and all(end - start >= max(FEWEST, SHARE * len(silent)) for start, end in runs):
        found[silent] = True
    return found


def find_cut_blocks(search: Search, blocks: dict[str, np.ndarray]) -> dict[str, Reason]:
    """Try what keeps blocks of units without a gradient.

    Args:
        search: Whose trials watch these weights.
        blocks: By the name of a weight, which units have had no gradient.

    Returns:
        Reasons by the name of the weight, for blocks all of which one cause explains.
    """
    view, _ = search.view(search.step)
    found: dict[str, Reason] = {}
    if view is None:
        return found
    for tried, (change, kind, text, repair, cause) in enumerate(_causes(view, search), 1):
        for name, mask in blocks.items():
            freed = search.trials.freed_rows(change, name, view.step)
            if name not in found and len(freed) == len(mask) and freed[mask].all():
                found[name] = Reason(kind, text, (), repair, True, cause)
        if tried == MOST or len(found) == len(blocks):
            break
    return found


def _causes(view: View, search: Search) -> Iterator[tuple[Change, str, str, str, str]]:
    for call in view.calls.calls:
        for each in of_one(call, view):
            for change in (view.widened(each.change), each.change):
                yield change, each.reason.kind, each.reason.text, each.repairs[0][1], each.reason.cause
    for change, text, repair in cuts(view.calls, search.replica):
        yield change, "detached", text, repair, text
