"""Results that are joined in one tensor, of which an index or a split leaves some out."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from torch import nn

from zeroinit._findings.lines import readable
from zeroinit.symmetry.verdict.causes.views import View, lost_at
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import Call
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import exact, joined, sentence, starred, where
from zeroinit.symmetry.verdict.search.search import Search

__all__ = ["JOINS", "left_out"]

JOINS = ("stack", "cat", "concat", "concatenate", "hstack", "vstack", "dstack", "column_stack", "row_stack")
SELECTIONS = {
    "getitem": "index", "select": "select", "narrow": "narrow", "index_select": "index_select", "unbind": "unbind",
    "split": "split", "chunk": "chunk", "tensor_split": "tensor_split", "split_with_sizes": "split",
    "unsafe_chunk": "chunk", "unsafe_split": "split", "gather": "gather",
}  # fmt: skip
"""Calls that keep some of the values that go in, as a user names them."""
MOST_TRIED = 4


def left_out(name: str, search: Search, view: View) -> Reason | None:
    """Return the reason of a parameter whose result is joined with others, and left out by an index behind that."""
    for node, _ in view.graph.uses(name):
        cutter = lost_at(node)
        join = view.call(cutter[0]) if cutter is not None else None
        if cutter is None or join is None or join.name not in JOINS:
            continue
        for call in islice(_selections(cutter[0], view), MOST_TRIED):
            freed = search.trials.frees(view.act(call, "all values"), view.step)
            if name in freed:
                return _reason(call, _modules(freed, search), name, search)
    return None


def _selections(start: Node, view: View) -> Iterator[Call]:
    """Yield the selections on the way from a join to the loss, nearest first."""
    queue, seen = deque([start]), {id(start)}
    while queue:
        for parent, _ in queue.popleft().above:
            if id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)
                call = view.call(parent)
                if call is not None and call.name in SELECTIONS:
                    yield call


def _modules(freed: frozenset[str], search: Search) -> list[str]:
    """Return the outermost modules of which nothing else learns than what a change frees."""
    found: list[str] = []
    for path, module in search.replica.named_modules():
        own = {f"{path}.{name}" for name, each in module.named_parameters() if each.requires_grad}
        inside = any(path.startswith(f"{each}.") for each in found)
        if path and own and own <= freed and not inside and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            found.append(path)
    return found


def _reason(call: Call, modules: list[str], name: str, search: Search) -> Reason:
    what = f"the {SELECTIONS[call.name]} in {where(call.path, search.replica, call.method)}"
    if not any(name.startswith(f"{path}.") for path in modules):  # of a module that others use as well
        them, verb = "{it}", "makes"
    else:
        groups: dict[str, list[str]] = {}
        for path in modules:
            groups.setdefault(starred(path), []).append(path)
        known = [path for path, _ in search.replica.named_modules()]
        them = joined(f"`{exact(each, known)}`" for each in groups.values())
        verb = "compute" if len(modules) > 1 else "computes"
    text = f"{sentence(what)} throws away what {them} {verb}. Nothing in the loss depends on it."
    repair = f"Keep it there, as `[-1]` keeps the last of several results, or remove {them}."
    return Reason("unused", text, (), repair, f"left out by {what}", readable([call.line]))
