"""Several rectifiers that are all given zeros, where their slope is 0: no single one of them explains all."""

from zeroinit.symmetry.verdict.causes.flat import OFF, in_front, leaky_line
from zeroinit.symmetry.verdict.causes.views import View, plain_zero
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call
from zeroinit.symmetry.verdict.passes.naming import draw_line, few, joined, operation, sentence
from zeroinit.symmetry.verdict.search.search import MORE_PASSES, Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["behind_closed_gates", "of_closed_gates"]

FLAT_AT_ZERO = ("relu", "relu6", "threshold", "clamp", "clip", "clamp_min")
MOST_GATES = 6


def of_closed_gates(search: Search, view: View) -> dict[str, Reason]:
    """Return one reason for all that learn once several rectifiers let something pass at zero, as ReLU gates do.

    Some of them must need more than one open rectifier; a single one is found by itself.
    """
    closed = _closed(view)
    if not 1 < len(closed) <= MOST_GATES:
        return {}
    change = _opened(closed)
    freed = search.trials.frees(change, view.step, MORE_PASSES)
    alone = [search.trials.frees(view.act(each, "leaky"), view.step, MORE_PASSES) for each in closed] if freed else []
    if not freed.difference(*alone):
        return {}
    culprits = _front(closed, view)
    text, repair = _text(closed, culprits, view), leaky_line(closed[-1], view, *closed[:-1])
    drawn = tuple(sorted(each for each in culprits if each in view.zeros))
    if drawn and freed <= search.trials.frees(Change(draw=drawn), view.step, MORE_PASSES):
        vectors = any(view.model.get_parameter(each).dim() < 2 for each in drawn)
        repair += f" Or start with {draw_line(list(drawn), len(drawn), vectors, view.names.values())}."
    search.changes[text] = change
    reason = Reason("dead", text, culprits, repair, text, view.lines(change))
    return dict.fromkeys(freed, reason)


def behind_closed_gates(search: Search, culprits: list[str], names: set[str], view: View, repair: str) -> Reason | None:
    """Return the reason of parameters that zeros keep still by closing rectifiers: open, these pass gradients to all.

    Args:
        search: In whose trials the rectifiers are opened.
        culprits: The parameters that are zero.
        names: The parameters to be explained.
        view: A pass.
        repair: What frees them.
    """
    closed = _closed(view)
    if not 0 < len(closed) <= MOST_GATES or not names <= search.trials.frees(_opened(closed), view.step):
        return None
    starts = "starts" if len(culprits) == 1 else "start"
    text = f"{_text(closed, (), view)[:-1]}, since {few(culprits)} {starts} at zero. At exactly 0, its slope is 0."
    return Reason("dead", text, _front(closed, view), repair, text, view.lines(_opened(closed)))


def _front(closed: list[Call], view: View) -> tuple[str, ...]:
    nodes = [node for node in view.graph.nodes.values() if any(view.call(node) is each for each in closed)]
    return tuple(dict.fromkeys(name for node in nodes for name in in_front(node, view)))


def _closed(view: View) -> list[Call]:
    return [each for each in view.calls.calls if each.name in FLAT_AT_ZERO and each.path != LOSS and _is_closed(each)]


def _opened(closed: list[Call]) -> Change:
    return Change(calls=tuple((each.key, "leaky") for each in closed))


def _is_closed(call: Call) -> bool:
    return bool(call.given) and call.given[0].requires_grad and plain_zero(call.given[0]) and plain_zero(call.out[0])


def _text(closed: list[Call], culprits: tuple[str, ...], view: View) -> str:
    places = list(dict.fromkeys(operation(each, view.model) for each in closed))
    calls = f", in each of {len(closed)} calls" if len(closed) > 1 else ""
    text = f"{sentence(places[0])} {OFF} input of the batch{calls}."
    if len(places) > 1:
        text = f"Each of these {OFF} input of the batch: {joined(places)}."
    zero = [each for each in culprits if each in view.zeros]
    starts = "starts" if len(zero) == 1 else "start"
    return text + (f" {few(zero)} {starts} at zero, where the slope is 0." if zero else "")
