"""Blocks of a fused weight, such as the queries in a packed projection, that never get a gradient."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit._findings.lines import readable
from zeroinit.symmetry.units.watching import LayerWatch
from zeroinit.symmetry.verdict.causes.one_value import of_one
from zeroinit.symmetry.verdict.causes.views import View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.noise import uneven
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
    watches = {each.layer.weight: each for each in search.evidence.watch.layers}
    for tried, (change, reason) in enumerate(_causes(view, search), 1):
        for name, mask in blocks.items():
            freed = search.trials.freed_rows(change, name, view.step)
            if name not in found and len(freed) == len(mask) and freed[mask].all():
                found[name] = reason
        if tried == MOST or len(found) == len(blocks):
            break
    for name in set(blocks) - set(found):
        if _is_unread(search, watches[name], blocks[name]):
            found[name] = Reason("unread", "Nothing in the loss depends on {it}.", cause="unread")
    return found


def _is_unread(search: Search, watch: LayerWatch, mask: np.ndarray) -> bool:
    """Tell whether the loss is the same whatever some units of a layer's output are."""
    module = search.replica.get_submodule(watch.layer.path)
    if not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return False
    ran = []

    def disturb(module: nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        shape = [1] * output.dim()
        shape[-1 if isinstance(module, nn.Linear) else 1] = len(mask)
        ran.append(module)
        units = torch.as_tensor(mask, device=output.device).reshape(shape)
        return torch.where(units, output + (1 + 2 * output.abs().amax()) * uneven(output), output)

    losses = []
    for hook in (None, disturb):
        handle = module.register_forward_hook(hook) if hook is not None else None
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            losses.append(float(search.trials.loss(Change(), search.step)))
        if handle is not None:
            handle.remove()
    return bool(ran) and losses[0] == losses[1]


def _causes(view: View, search: Search) -> Iterator[tuple[Change, Reason]]:
    for call in view.calls.calls:
        for each in of_one(call, view):
            for change in (view.widened(each.change), each.change):
                yield change, replace(each.reason, repair=each.repairs[0][1], lines=readable([call.line]))
    for change, text, repair, lines, *_ in cuts(view.calls, search.replica):
        yield change, Reason("detached", text, (), repair, text, lines)
