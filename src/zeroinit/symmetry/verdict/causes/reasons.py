"""Candidates for why a parameter never gets a gradient, read off the graph of a loss; ``explain`` tries them."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from zeroinit.symmetry.verdict.causes.batch import of_batch, of_kept_targets, small, what_is_flat
from zeroinit.symmetry.verdict.causes.flat import of_flat, of_norm, second_derivative
from zeroinit.symmetry.verdict.causes.functions import of_function
from zeroinit.symmetry.verdict.causes.removed import equal_terms, may_remove, of_copies, removals, taken_out_above
from zeroinit.symmetry.verdict.causes.still import cuts_in_loss, is_still, of_still
from zeroinit.symmetry.verdict.causes.views import (
    ATTENTION,
    LOSSES,
    NORMS,
    RECTIFIERS,
    ROUNDING,
    SATURATING,
    Candidate,
    View,
    drawing,
    has_zero_constant,
    lost_at,
)
from zeroinit.symmetry.verdict.causes.zeros import (
    constant_factor,
    is_times_zero,
    of_own_zeros,
    rounded_away,
    text_of_times_zero,
    zero_input,
    zero_sources,
)
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call
from zeroinit.symmetry.verdict.passes.graph import FAINT, Graph, Node
from zeroinit.symmetry.verdict.passes.naming import of_model, operation, starred
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["candidates", "last_operation"]

ADDED = {("Addmm", 0), ("Convolution", 2), ("NativeBatchNorm", 2), ("NativeLayerNorm", 2), ("NativeGroupNorm", 2)}
"""Where an argument is added, so that its gradient does not depend on the others."""


def candidates(name: str, view: View) -> Iterator[Candidate]:
    """Yield what may keep a parameter's gradient at zero, the likeliest first."""
    uses = view.graph.uses(name)
    seen: set[tuple] = set()
    for each in _all(name, uses, view):
        mark = (each.reason.kind, each.change)
        if mark not in seen:
            seen.add(mark)
            yield each
            if (wide := view.widened(each.change)) != each.change and (each.reason.kind, wide) not in seen:
                seen.add((each.reason.kind, wide))
                repairs = tuple((view.widened(change), line) for change, line in each.repairs)
                yield replace(each, change=wide, repairs=repairs)


def _all(name: str, uses: list[tuple[Node, int]], view: View) -> Iterator[Candidate]:
    hooked = [each for each in (view.model.get_parameter(name),) if getattr(each, "_backward_hooks", None)]
    if hooked:
        text = f"A hook on `{name}` sets its gradient to zero."
        yield Candidate(Reason("hook", text, (name,)), Change(hooks=True), ((Change(hooks=True), _no_hook(name)),))
    if what_is_flat(view):
        yield from of_batch(view)
    yield from of_kept_targets(view)
    yield from equal_terms(view)
    yield from rounded_away(view)
    for node, position in uses:
        cutter, call = lost_at(node), view.call(node)
        if cutter is not None:
            yield from _above(name, *cutter, view)
        elif node.function is not None or (call is not None and _has_slope(call)):
            yield from _above(name, node, position, view)
        else:
            yield from _below(name, node, position, view)
    yield from of_own_zeros(name, view)
    for node, _ in uses:
        yield from taken_out_above(node, view)
    if uses and name not in view.zeros:
        yield from small(view)
    if uses:
        yield Candidate(Reason("hook", "A hook on a module sets its gradient to zero."), Change(hooks=True))
    everything = tuple(sorted(view.zeros & view.stuck - {each for each in view.zeros if each.endswith("bias")}))
    if len(everything) > 1:
        yield drawing(everything, view)


def _has_slope(call: Call) -> bool:
    """Tell whether a call has a slope of its own, which may be zero."""
    return call.name in (*RECTIFIERS, *SATURATING, *ROUNDING) or is_still(call)


def _no_hook(name: str) -> str:
    return f"Remove the hook: keep what `{of_model(name)}.register_hook(...)` returned and call its `.remove()`."


def _above(name: str, cut: Node, position: int, view: View) -> Iterator[Candidate]:
    """The error is lost in an operation on the way."""
    graph, call = view.graph, view.call(cut)
    if cut.function is not None:
        together = tuple(sorted({name, *graph.weights_of(cut)} & view.zeros))
        if len(together) > 1:
            yield drawing(together, view)
        yield from of_function(name, cut, position, view)
    elif call is not None and call.name in RECTIFIERS:
        yield from cuts_in_loss(name, cut, position, call, view)
    elif call is not None and is_still(call):
        yield from of_still(name, cut, position, call, view)
    if view.copied and call is not None and call.name in SATURATING:
        yield from of_copies(view)
    others = [edge for at, edge in enumerate(cut.edges) if at != position and edge is not None]
    weights = [each for each in graph.weights_of(cut) if each != name and each in view.zeros]
    if call is not None and call.name in NORMS and all(each.endswith("bias") for each in weights):
        yield from of_norm(name, call, view)
    zero = weights or _zeros_under(others, graph, view.zeros - {name})
    zero = zero or (zero_sources(call, view, name) if call is not None else [])
    if zero:
        yield drawing(tuple(zero), view)
        if name in view.zeros:
            yield drawing(tuple(sorted({name, *zero})), view)
    if call is None:
        return
    if call.name in NORMS:
        yield from of_norm(name, call, view)
    if call.name in (*RECTIFIERS, *SATURATING, *ATTENTION, *ROUNDING, *LOSSES):
        yield from of_flat(cut, call, view)
    if call.name == "grad":
        yield from second_derivative(view.calls, view.model)
    if call.name == "ctc_loss":
        yield _of_short_inputs(call, view)
    if has_zero_constant(call):
        yield from constant_factor(call, view)
    if is_times_zero(call):
        change = view.act(call, "take out")
        kind = "idle" if call.path == LOSS else "constant"
        reason = Reason(kind, text_of_times_zero(call, view), cause=f"times 0 {starred(call.path)}")
        line = "Give that factor another value than 0."
        if call.path == LOSS:
            line = "Hand over a batch for which the loss does not multiply by 0, as one with labels that count. "
            line += "If the 0 is a weight in your code, change it."
        yield Candidate(reason, change, ((change, line),))
    if may_remove(call):
        yield from removals(cut, call, view)


def _of_short_inputs(call: Call, view: View) -> Candidate:
    change = view.act(call, "short targets")
    text = "Every target is longer than the input allows: the CTC loss is infinite, and zero_infinity makes it 0."
    repair = "Hand over longer inputs or shorter targets, or subsample less."
    return Candidate(Reason("dead", text, cause="ctc"), change, ((change, repair),))


def _below(name: str, node: Node, position: int, view: View) -> Iterator[Candidate]:
    """An error arrives, and what the parameter is multiplied with is zero; or what it adds is removed again."""
    others = [edge for at, edge in enumerate(node.edges) if at != position and edge is not None and not edge.leaf]
    added = (node.name, position) in ADDED or (node.name.startswith(("Add", "Sub")) and node.name != "Addmm")
    call = view.call(node)
    if not added and (_saves_zero(node, name, view.zeros) or (call is not None and has_zero_constant(call))):
        zero = _zeros_under(others, view.graph, view.zeros - {name})
        zero = zero or (zero_sources(call, view, name) if call is not None else [])
        if zero:
            yield drawing(tuple(zero), view)
            if name in view.zeros:
                yield drawing(tuple(sorted({name, *zero})), view)
        norm = view.graph.nearest_norm(node)
        if name in view.zeros and norm is not None and (found := view.call(norm)) is not None:
            yield from of_norm(name, found, view)
        yield from of_own_zeros(name, view)
        if call is not None:
            yield from zero_input(name, call, view)
    norm = view.graph.nearest_norm(node)
    if norm is not None and (found := view.call(norm)) is not None:
        yield from of_norm(name, found, view)


def last_operation(name: str, view: View) -> str:
    """Name the last operation on the way from the loss that an error arrives at."""
    for node, _ in view.graph.uses(name):
        cutter = lost_at(node)
        call = view.call(cutter[0] if cutter is not None else node)
        if call is not None:
            return operation(call, view.model)
    return "an operation that cannot be seen"


def _saves_zero(node: Node, name: str, zeros: set[str]) -> bool:
    """Tell whether an operation kept an operand that is zero everywhere, other than the parameter itself."""
    kept = []
    for attribute in dir(node.call):
        if attribute.startswith("_saved_"):
            try:
                value = getattr(node.call, attribute)
            except RuntimeError:
                continue
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                kept.append(float(value.detach().abs().max()) <= FAINT)
    return sum(kept) > (1 if name in zeros and len(kept) > 1 else 0)


def _zeros_under(edges: list[Node], graph: Graph, zeros: set[str]) -> list[str]:
    """Return the nearest parameters of several values, or gains, below some operations that are zero everywhere."""
    for edge in edges:
        for node in graph.below(edge):
            found = [node.leaf] if node.leaf in zeros else [each for each in graph.weights_of(node) if each in zeros]
            if found:
                weights = [each for each in found if not each.endswith("bias")]
                return weights[:1] or found[:1]
    return []
