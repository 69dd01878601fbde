"""Candidates for why a parameter never gets a gradient, read off the graph of a loss; ``explain`` tries them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from zeroinit.symmetry.calls import LOSS, Call, Calls, is_constant, tensors_in
from zeroinit.symmetry.graph import FAINT, Graph, Node
from zeroinit.symmetry.naming import draw_line, few, of_model, operation, sentence, starred, where
from zeroinit.symmetry.trials import Change

__all__ = ["Candidate", "Reason", "View", "candidates", "last_operation", "small", "times_zero", "zero_parameters"]

ADDED = {("Addmm", 0), ("Convolution", 2), ("NativeBatchNorm", 2), ("NativeLayerNorm", 2), ("NativeGroupNorm", 2)}
"""Where an argument is added, so that its gradient does not depend on the others."""
RECTIFIERS = ("relu", "relu6", "threshold", "hardtanh", "clamp", "clip", "clamp_min", "clamp_max", "hardswish",
              "hardsigmoid", "hardshrink", "softshrink", "elu", "selu", "celu", "gelu", "silu")  # fmt: skip
SATURATING = ("sigmoid", "tanh", "softmax", "log_softmax", "softmin", "erf", "hardsigmoid")
ROUNDING = ("round", "sign", "floor", "ceil", "trunc", "heaviside", "sgn")
NORMS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "native_layer_norm")
ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward")
RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
LOSSES = ("cross_entropy", "nll_loss")
DIVISIONS = ("div", "truediv", "true_divide", "divide")
DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout")
TAKEN_OUT = (
    *NORMS, *DIVISIONS, *DROPOUTS, "sub", "subtract", "normalize", "softmax", "log_softmax", *RECTIFIERS, *ROUNDING,
    "sigmoid", "tanh",
)  # fmt: skip
CLAMPS = ("hardtanh", "relu6", "clamp", "clip", "clamp_min", "clamp_max", "hardsigmoid")
CHOOSING = (
    "argmax", "topk", "one_hot", "eq", "gt", "lt", "ge", "le", "ne", "bernoulli", "rand", "rand_like", "dropout",
    "where", "scatter", "multinomial", "isin", "max", "argsort", "sort",
)  # fmt: skip
"""Calls that choose by data, or at random."""
MOST_ABOVE = 8
MOST_CHOICES = 200


@dataclass(frozen=True)
class Reason:
    """Why a parameter stays where it is.

    Attributes:
        kind: See ``REASON_CODES`` of ``findings``.
        text: A sentence about the cause.
        culprits: Names of the parameters that the cause is made of.
        repair: What to type; tried on a copy, unless ``tried`` is false.
        tried: Whether the cause was changed on a copy and the parameter got a gradient.
        cause: The same for all parameters with one cause.
    """

    kind: str
    text: str
    culprits: tuple[str, ...] = ()
    repair: str = ""
    tried: bool = False
    cause: str = ""


@dataclass(frozen=True)
class Candidate:
    """A reason that may be true, the change that tells, and repairs to try: each a change and what to type."""

    reason: Reason
    change: Change
    repairs: tuple[tuple[Change, str], ...] = ()


@dataclass(eq=False)
class View:
    """One forward pass: the graph of its loss, measured, and its calls.

    Attributes:
        step: What its random numbers derive from.
        model: The copy.
        inputs: The batch.
        zeros: Names of the parameters that are zero everywhere.
        stuck: Names of the parameters that never got a gradient.
        twins: Groups of modules' parameters that are copies of each other.
    """

    step: int
    model: nn.Module
    graph: Graph
    calls: Calls
    inputs: object
    zeros: set[str]
    stuck: set[str]
    twins: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owners = self.calls.by_node()
        self.names = {id(parameter): name for name, parameter in self.model.named_parameters()}

    def call(self, node: Node | None) -> Call | None:
        """Return the call that made an operation."""
        return self.owners.get(node.call) if node is not None else None

    def like(self, names: list[str]) -> tuple[str, ...]:
        """Return the zero parameters that differ from these by a number in the path alone."""
        patterns = {starred(each) for each in names}
        return tuple(sorted(each for each in self.zeros if starred(each) in patterns))

    def act(self, call: Call, action: str) -> Change:
        """Return the change that acts on a call."""
        return Change(calls=((call.key, action),))

    def widened(self, change: Change) -> Change:
        """Return the same change on everything that differs from it by a number in a path alone."""
        calls = []
        for key, action in change.calls:
            mine = (starred(key[0]), *key[1:])
            found = [each.key for each in self.calls.calls if (starred(each.path), *each.key[1:]) == mine]
            calls += [(each, action) for each in dict.fromkeys(found)]
        drawn = set(self.like(list(change.draw))) | set(change.draw)
        zeroed = {starred(each) for each in change.zero}
        zero = {name for name in self.names.values() if starred(name) in zeroed}
        return replace(change, calls=tuple(calls), draw=tuple(sorted(drawn)), zero=tuple(sorted(zero)))


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
    if _what_is_flat(view):
        yield from _batch(view)
    for node, position in uses:
        cutter = _cutter(node)
        if cutter is not None:
            yield from _above(name, *cutter, view)
        else:
            yield from _below(name, node, position, view)
    yield from _own(name, view)
    for node, _ in uses:
        yield from _taken_out_above(node, view)
    if uses and name not in view.zeros:
        yield from small(view)
    if uses:
        yield Candidate(Reason("hook", "A hook on a module sets its gradient to zero."), Change(hooks=True))
    everything = tuple(sorted(view.zeros & view.stuck - {each for each in view.zeros if each.endswith("bias")}))
    if len(everything) > 1:
        yield _draw(everything, view)


def _no_hook(name: str) -> str:
    return f"Remove the hook: keep what `{of_model(name)}.register_hook(...)` returned and call its `.remove()`."


def _draw(names: tuple[str, ...], view: View, kind: str = "zero") -> Candidate:
    """Zeros that are drawn at random; ``explain`` works out which of them matter."""
    return Candidate(
        Reason(kind, "", names), Change(draw=names), ((Change(draw=names), f"Start with {_line(names, names)}."),)
    )


def _line(names, together) -> str:
    return draw_line(list(names), len(together))


def _above(name: str, cut: Node, position: int, view: View) -> Iterator[Candidate]:
    """The error is lost in an operation on the way."""
    graph, call = view.graph, view.call(cut)
    if view.twins and call is not None and call.name in SATURATING:
        yield from _copies(view)
    if call is not None and call.name in NORMS:
        yield from _norm(name, call, view)
    others = [edge for at, edge in enumerate(cut.edges) if at != position and edge is not None]
    weights = [each for each in graph.weights_of(cut) if each != name and each in view.zeros]
    zero = weights or _zeros_under(others, graph, view.zeros - {name})
    zero = zero or (_zero_sources(call, view, name) if call is not None else [])
    if zero:
        yield _draw(tuple(zero), view)
        if name in view.zeros:
            yield _draw(tuple(sorted({name, *zero})), view)
    if call is None:
        return
    if call.name in (*RECTIFIERS, *SATURATING, *ATTENTION, *ROUNDING, *LOSSES):
        yield from _flat(cut, call, view)
    if _has_zero_constant(call):
        yield _constant_factor(call, view)
    if _is_times_zero(call):
        change = view.act(call, "take out")
        kind = "idle" if call.path == LOSS else "constant"
        reason = Reason(kind, _times_zero(call, view), cause=f"times 0 {starred(call.path)}")
        yield Candidate(reason, change, ((change, "Give that factor another value than 0."),))
    if call.name in TAKEN_OUT:
        yield _without(call, view)


def _is_times_zero(call: Call) -> bool:
    numbers = [each for each in call.args if isinstance(each, int | float)]
    return call.name in ("mul", "multiply", "rmul") and 0 in numbers


def _times_zero(call: Call, view: View) -> str:
    return f"{sentence(operation(call, view.model))} multiplies what {{it}} makes by 0."


def times_zero(name: str, view: View) -> Reason | None:
    """Return the reason of a parameter that is only there to be multiplied by 0, as a dummy is."""
    for node, _ in view.graph.uses(name):
        cutter = _cutter(node)
        call = view.call(cutter[0]) if cutter is not None else None
        if call is not None and _is_times_zero(call):
            return Reason("idle", _times_zero(call, view), cause=f"times 0 {starred(call.path)}")
    return None


def _constant_factor(call: Call, view: View) -> Candidate:
    factors = [each for each in call.given if _plain_zero(each)]
    buffers = [path for path, each in view.model.named_buffers() if any(each is factor for factor in factors)]
    change, place = view.act(call, "noise"), operation(call, view.model)
    if not buffers and _is_chosen(call, view):
        text = f"{sentence(place)} multiplies what {{it}} makes by zero for every example of this batch."
        reason = Reason("idle", text, cause=f"not chosen {starred(call.path)}")
        return Candidate(reason, change, ((change, "Nothing to do if other examples choose it."),))
    what = f"the buffer `{buffers[0]}`" if buffers else "a constant"
    text = f"{sentence(place)} multiplies what {{it}} makes by {what}, which is zero."
    repair = f"Let {what} start at another value than zero."
    return Candidate(Reason("constant", text, cause=f"constant {starred(call.path)}"), change, ((change, repair),))


def _is_chosen(call: Call, view: View) -> bool:
    """Tell whether what goes into a call was chosen by data or at random."""
    waiting, seen = [call], {id(call)}
    while waiting and len(seen) < MOST_CHOICES:
        for each in tensors_in([waiting.pop(0).args]):
            made = view.calls.producer(each)
            if made is not None and id(made) not in seen:
                if made.name in CHOOSING:
                    return True
                seen.add(id(made))
                waiting.append(made)
    return False


def _below(name: str, node: Node, position: int, view: View) -> Iterator[Candidate]:
    """An error arrives, and what the parameter is multiplied with is zero; or what it adds is removed again."""
    others = [edge for at, edge in enumerate(node.edges) if at != position and edge is not None and not edge.leaf]
    added = (node.name, position) in ADDED or (node.name.startswith(("Add", "Sub")) and node.name != "Addmm")
    call = view.call(node)
    if not added and (_saves_zero(node, name, view.zeros) or (call is not None and _has_zero_constant(call))):
        zero = _zeros_under(others, view.graph, view.zeros - {name})
        zero = zero or (_zero_sources(call, view, name) if call is not None else [])
        if zero:
            yield _draw(tuple(zero), view)
            if name in view.zeros:
                yield _draw(tuple(sorted({name, *zero})), view)
        norm = view.graph.nearest_norm(node)
        if name in view.zeros and norm is not None and (found := view.call(norm)) is not None:
            yield from _norm(name, found, view)
        yield from _own(name, view)
        if call is not None:
            yield from _zero_input(name, call, view)
    norm = view.graph.nearest_norm(node)
    if norm is not None and (found := view.call(norm)) is not None:
        yield from _norm(name, found, view)


def _batch(view: View) -> Iterator[Candidate]:
    what = _what_is_flat(view)
    if what:
        change = Change(inputs="other")
        text = f"The batch is the reason: {what}."
        yield Candidate(
            Reason("batch", text, cause="batch"), change, ((change, "Hand over a batch of real or random values."),)
        )


def _what_is_flat(view: View) -> str:
    """Say what is the same in a batch: all values, all examples, or all positions; empty where nothing is."""
    given = [each for each in tensors_in(view.inputs) if each.numel() > 1 and each.dtype != torch.bool]
    floats = [each for each in given if each.is_floating_point()]
    who = "all values in it are" if len(given) == 1 else "all values of an input are"
    if any(not each.any() for each in floats):
        return f"{who} zero"
    first = given[0] if given else None
    if first is None:
        return ""
    if is_constant(first) or any(map(is_constant, floats)):
        return f"{who} the same"
    if first.dim() > 1 and len(first) > 1 and bool((first == first[:1]).all()):
        return "all examples in it are the same"
    if first.dim() > 1 and first.shape[1] > 1 and bool((first == first[:, :1]).all()):
        return "all positions of each example are the same"
    return ""


def small(view: View) -> Iterator[Candidate]:
    """The inputs are so small that one place is left of them."""
    if any(each.dim() > 2 for each in tensors_in(view.inputs)) and any(map(_is_over_one, view.calls.calls)):
        change = Change(inputs="larger")
        text = "The batch is the reason: its inputs are so small that one place is left for a softmax, norm or pooling."
        repair = "Hand over larger images or longer sequences; four times the size was tried."
        yield Candidate(Reason("batch", text, cause="small"), change, ((change, repair),))


def _is_over_one(call: Call) -> bool:
    """Tell whether a softmax, an attention, a norm or a pooling has one value to work on."""
    if not call.given:
        return False
    shape = call.given[0].shape
    if call.name in ("softmax", "log_softmax"):
        return _softmax_size(call) == 1
    if call.name in ATTENTION:
        return _num_keys(call) == 1
    return (call.name in NORMS or "pool" in call.name) and len(shape) > 2 and (shape[2:].numel() == 1 or shape[1] == 1)


def _zero_input(name: str, call: Call, view: View) -> Iterator[Candidate]:
    origin = _origin(call, view)
    if origin is not None and origin.name in ("sub", "rsub", "__sub__", "batch_norm", "instance_norm", "group_norm"):
        yield from small(view)
    if origin is not None and origin.name in (*DROPOUTS, "sub", "subtract"):
        yield _without(origin, view)
    if origin is not None and origin.name in RECTIFIERS:
        change = view.act(origin, "leaky")
        text = f"The input of {{it}} is zero: {operation(origin, view.model)} is off for every input of the batch."
        yield Candidate(Reason("zero_input", text), change, ((change, f"{_leaky_line(origin, view)}"),))
    change = view.act(call, "noise")
    if call.name in RECURRENT:
        text = (
            f"Only the first step of each sequence reaches the loss through `{name}`, and the state in front of it is "
            "zero."
        )
        repair = "Use sequences of two or more steps, or read the output where the state has been through them."
        yield Candidate(Reason("zero_input", text, cause=f"state {call.path}"), change, ((change, repair),))
        return
    text = "The input of {it} is zero for the whole batch."
    if origin is not None and origin is not call:
        text += f" {sentence(operation(origin, view.model))} makes these zeros."
    yield Candidate(Reason("zero_input", text), change, ((change, "Feed it values that are not all zero."),))


def _origin(call: Call, view: View) -> Call | None:
    """Follow zeros back to the call that made them of something else."""
    for _ in range(50):
        zero = next((each for each in call.given if _plain_zero(each)), None)
        made = view.calls.producer(zero) if zero is not None else None
        if made is None or made is call:
            return None if zero is not None else call
        call = made
        if not any(_plain_zero(each) for each in call.given):
            return call
    return None


def _zero_sources(call: Call, view: View, name: str) -> list[str]:
    """Follow zeros back to parameters that are zero, frozen ones among them."""
    waiting, found, left = [call], [], 50
    while waiting and left:
        taken, left = waiting.pop(0), left - 1
        for each in taken.given:
            zero = view.names.get(id(each), "")
            if zero in view.zeros and zero != name:
                found.append(zero)
            elif _plain_zero(each) and (made := view.calls.producer(each)) is not None and made is not taken:
                waiting.append(made)
        if found:
            return [each for each in found if not each.endswith("bias")][:1] or found[:1]
    return []


def _plain_zero(tensor: Tensor) -> bool:
    return not isinstance(tensor, nn.Parameter) and bool(tensor.numel()) and float(tensor.detach().abs().max()) <= FAINT


def _has_zero_constant(call: Call) -> bool:
    return any(_plain_zero(each) for each in call.given)


def _norm(name: str, call: Call, view: View) -> Iterator[Candidate]:
    """What a norm removes again."""
    change, shape = view.act(call, "take out"), call.given[0].shape
    if shape.numel() and len(shape) > 2 and (shape[2:].numel() == 1 or shape[1] == 1):
        yield from small(view)
    what = operation(call, view.model)
    size = _normalized_size(call)
    if size == 1:
        text = f"{sentence(what)} is over one value, so it always returns its bias. Nothing in front of it matters."
        repair = f"Take {what} out, or normalize over more than one value."
    elif call.name == "batch_norm" and shape.numel() == shape[1]:
        text = f"{sentence(what)} sees one value per channel in this batch and subtracts it."
        repair = "Use a larger batch."
    else:
        text = f"{sentence(what)} removes whatever {{it}} adds."
        if name in view.zeros:
            text = f"`{name}` is zero, so each channel has one value everywhere, and {what} subtracts it."
        repair = f"Take {what} out, or let it act as an affine map in the first steps."
    drawn = [(Change(draw=(name,)), f"Start with {_line([name], [name])}.")] if name in view.zeros else []
    reason = Reason("cancelled", text, cause=f"norm {starred(call.path)} {size == 1}")
    yield Candidate(reason, change, (*drawn, (change, repair)))


def _normalized_size(call: Call) -> int:
    given = call.given[0]
    if call.name in ("layer_norm", "rms_norm", "native_layer_norm"):
        shape = call.kwargs.get("normalized_shape") or (call.args[1] if len(call.args) > 1 else given.shape[-1:])
        return int(torch.Size(tuple(shape) if not isinstance(shape, int) else (shape,)).numel())
    if call.name == "group_norm":
        groups = call.args[1] if len(call.args) > 1 else call.kwargs.get("num_groups", 1)
        return given[0].numel() // max(1, int(groups))
    return given[0, 0].numel() if call.name == "instance_norm" and given.dim() > 2 else 0


def _flat(cut: Node, call: Call, view: View) -> Iterator[Candidate]:
    """An operation whose slope is zero for the whole batch."""
    what, model = operation(call, view.model), view.model
    if call.name in LOSSES:
        if call.given[0].dim() > 1 and call.given[0].shape[1] == 1:
            change = view.act(call, "squared")
            text = "Cross entropy over one class is always zero."
            line = "Give the model two or more outputs, or use `binary_cross_entropy_with_logits` for one."
            yield Candidate(Reason("dead", text, cause="one class"), change, ((change, line),))
        return
    if call.name in ATTENTION:
        if _num_keys(call) == 1:
            yield from small(view)
            change = view.act(call, "more keys")
            text = f"{sentence(what)} has a single key, and a softmax over one value is always 1."
            repair = "Hand over longer sequences or larger images, so that there is more than one key."
            yield Candidate(Reason("one_key", text, cause="one key"), change, ((change, repair),))
        return
    if call.name in ("softmax", "log_softmax") and _softmax_size(call) == 1:
        yield from small(view)
        change = view.act(call, "sigmoid")
        text = f"{sentence(what)} is over one value, so it is always 1."
        repair = f"Use a sigmoid in place of {what}, or give it two or more values."
        if any(each.dim() > 2 for each in tensors_in(view.inputs)):
            repair = (
                f"Give {what} two or more values: larger images, longer sequences. A sigmoid in its place was tried."
            )
        yield Candidate(Reason("dead", text, cause=f"softmax of one {starred(call.path)}"), change, ((change, repair),))
        return
    biases = tuple(
        each for edge in cut.edges if edge is not None for each in view.graph.weights_of(edge) if _is_bias(each, model)
    )
    level = [(Change(zero=biases), "Set the biases in front to zero: " + _zero_line(biases))] if biases else []
    if call.name in ROUNDING:
        change = view.act(call, "take out")
        text = f"{sentence(what)} has slope zero everywhere."
        repair = f"Let the gradient pass {what}: `x + (x.{call.name}() - x).detach()`."
        yield Candidate(Reason("dead", text), change, ((change, repair),))
    elif call.name in SATURATING:
        change = view.act(call, "cooler")
        text = f"{sentence(what)} is saturated for every input of the batch."
        repair = f"Divide what goes into {what} by its largest value, or scale the layer in front of it down."
        yield Candidate(Reason("dead", text), change, (*level, (change, repair)))
    elif call.name in CLAMPS:
        change = view.act(call, "take out")
        text = f"{sentence(what)} cuts off every value of the batch: all are outside its range."
        yield Candidate(Reason("dead", text), change, (*level, (change, f"Take {what} out, or widen its range.")))
    elif call.path == LOSS:
        change = view.act(call, "leaky")
        text = f"{sentence(what)} is off for every example of this batch, so there is nothing to learn from it."
        yield Candidate(Reason("idle", text, cause="nothing to learn"), change, ((change, ""),))
    else:
        change = view.act(call, "leaky")
        text = f"{sentence(what)} is off for every input of the batch."
        yield Candidate(Reason("dead", text), change, (*level, (change, _leaky_line(call, view))))


def _leaky_line(call: Call, view: View) -> str:
    child = dict(view.model.named_modules()).get(call.path)
    if child is not None and call.path and not any(True for _ in child.children()) and type(child).__name__ != "M":
        return f"Use an activation with a slope below zero: `{of_model(call.path)} = nn.LeakyReLU()`."
    return f"Use an activation with a slope below zero in {where(call.path, view.model)}: `F.leaky_relu`."


def _zero_line(names: tuple[str, ...]) -> str:
    return "; ".join(f"`nn.init.zeros_({of_model(name)})`" for name in names) + "."


def _is_bias(name: str, model: nn.Module) -> bool:
    return model.get_parameter(name).dim() == 1 and bool(model.get_parameter(name).detach().any())


def _softmax_size(call: Call) -> int:
    axis = call.kwargs.get("dim", next((each for each in call.args[1:] if isinstance(each, int)), -1))
    given = call.given[0]
    return given.shape[-1 if axis is None else axis] if given.dim() else 1


def _num_keys(call: Call) -> int:
    if call.name == "multi_head_attention_forward":
        return call.args[1].shape[0]
    keys = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    return keys.shape[-2]


def _copies(view: View) -> Iterator[Candidate]:
    """Copies of one module in a row: what is chosen among them makes no difference."""
    redrawn = tuple(name for group in view.twins for name in group[1:])
    first = [group[0] for group in view.twins]
    what = few([starred(each) for each in first][:1])
    text = f"{{it}} chooses among copies of one module ({what}), which are all equal."
    change = Change(draw=redrawn)
    repair = f"Draw each copy anew: {_line(redrawn, redrawn)}."
    yield Candidate(Reason("copies", text, tuple(redrawn), cause="copies"), change, ((change, repair),))


def _without(call: Call, view: View) -> Candidate:
    change, what = view.act(call, "take out"), operation(call, view.model)
    text = f"{sentence(what)} lets nothing through."
    if call.name in DIVISIONS:
        text = f"{sentence(what)} divides what {{it}} makes by itself. The result is always 1."
        if call.name in DIVISIONS and len(call.given) > 1 and call.given[0].shape != call.given[1].shape:
            text = f"{sentence(what)} divides what {{it}} makes by its own sum. The result is always 1."
    elif call.name in DROPOUTS:
        text = f"{sentence(what)} drops every value: its p is 1."
    elif call.name in ("sub", "subtract"):
        text = f"{sentence(what)} subtracts what {{it}} makes from itself, so that nothing is left."
    elif call.name == "normalize" and call.out and _normalized_by_itself(call):
        text = f"{sentence(what)} is over one value, so only its sign is left."
    elif call.name in ("softmax", "log_softmax"):
        text = f"{sentence(what)} undoes whatever {{it}} changes."
    return Candidate(
        Reason("no_effect", text, cause=f"{call.name} {starred(call.path)}"), change, ((change, f"Take {what} out."),)
    )


def _normalized_by_itself(call: Call) -> bool:
    axis = call.kwargs.get("dim", call.args[2] if len(call.args) > 2 else 1)
    return isinstance(axis, int) and call.given[0].shape[axis] == 1


def _own(name: str, view: View) -> Iterator[Candidate]:
    """The parameter's own zeros: it is multiplied with itself, or used twice."""
    if name in view.zeros:
        yield _draw((name,), view, "self")


def _taken_out_above(node: Node, view: View) -> Iterator[Candidate]:
    """Operations above that may remove what a parameter adds, nearest first."""
    queue, seen, left = [node], {id(node)}, MOST_ABOVE
    done: set[tuple] = set()
    if view.twins:
        yield from _copies(view)
    while queue and left:
        taken = queue.pop(0)
        call = view.call(taken)
        mark = (starred(call.path), call.key[1:]) if call is not None else ()
        if call is not None and call.name in TAKEN_OUT and mark not in done:
            done.add(mark)
            left -= 1
            yield _without(call, view)
        for parent, _ in taken.above:
            if id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)


def last_operation(name: str, view: View) -> str:
    """Name the last operation on the way from the loss that an error arrives at."""
    for node, _ in view.graph.uses(name):
        cutter = _cutter(node)
        call = view.call(cutter[0] if cutter is not None else node)
        if call is not None:
            return operation(call, view.model)
    return "an operation that cannot be seen"


def _cutter(start: Node) -> tuple[Node, int] | None:
    """Return the operation above, and its argument, where the error on the way to ``start`` is lost."""
    queue, seen, lost = [start], {id(start)}, []
    while queue:
        node = queue.pop(0)
        for parent, position in node.above:
            passed = parent.passed[position] if position < len(parent.passed) else 0.0
            if parent.error > 0 and passed <= FAINT * parent.error:
                lost.append((parent, position))
            elif parent.error > 0:
                return None if node is start and start.error > 0 else next(iter(lost), None)
            elif id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)
    return next(iter(lost), None)


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


def zero_parameters(model: nn.Module) -> set[str]:
    """Return the names of all parameters that are zero everywhere."""
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.layout == torch.strided and parameter.numel() and not parameter.detach().any()
    }
