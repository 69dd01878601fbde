"""What candidates for a reason are made of: a pass with its graph and calls, and words for kinds of operations."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from zeroinit._findings.lines import Line, readable
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.graph import FAINT, Graph, Node
from zeroinit.symmetry.verdict.passes.naming import draw_line, starred
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = [
    "ATTENTION",
    "COMPARISONS",
    "DIFFERENCES",
    "DIVISIONS",
    "DROPOUTS",
    "LOSSES",
    "MULTIPLICATIONS",
    "NORMS",
    "RECTIFIERS",
    "ROUNDING",
    "SAME_VALUES",
    "SATURATING",
    "Candidate",
    "View",
    "drawing",
    "factors",
    "has_zero_constant",
    "line_for",
    "lost_at",
    "plain_zero",
    "zero_parameters",
]

RECTIFIERS = ("relu", "relu6", "threshold", "hardtanh", "clamp", "clip", "clamp_min", "clamp_max", "hardswish",
              "hardsigmoid", "hardshrink", "softshrink", "elu", "selu", "celu", "gelu", "silu")  # fmt: skip
SATURATING = ("sigmoid", "tanh", "softmax", "log_softmax", "softmin", "erf", "hardsigmoid")
COMPARISONS = ("gt", "lt", "ge", "le", "eq", "ne", "logical_and")
ROUNDING = ("round", "sign", "floor", "ceil", "trunc", "heaviside", "sgn")
NORMS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "native_layer_norm")
ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward")
LOSSES = ("cross_entropy", "nll_loss")
SAME_VALUES = (
    "to", "float", "double", "half", "bfloat16", "type_as", "getitem", "view", "reshape", "unsqueeze", "squeeze",
    "expand", "flatten", "clone", "contiguous", "transpose", "permute", "detach",
)  # fmt: skip
"""Calls that hand values on as they are."""
DIFFERENCES = ("sub", "subtract")
DIVISIONS = ("div", "truediv", "true_divide", "divide")
MULTIPLICATIONS = ("mul", "multiply", "rmul")
DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout")


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
        copied: Groups of parameters that are copies of each other.
        nothing_moves: Whether no parameter of the model ever got a gradient.
    """

    step: int
    model: nn.Module
    graph: Graph
    calls: Calls
    inputs: object
    zeros: set[str]
    stuck: set[str]
    copied: list[list[str]] = field(default_factory=list)
    nothing_moves: bool = False

    def __post_init__(self) -> None:
        self.owners = self.calls.by_node()
        self.names = {id(parameter): name for name, parameter in self.model.named_parameters()}

    def call(self, node: Node | None) -> Call | None:
        """Return the call that made an operation."""
        return self.owners.get(node.call) if node is not None else None

    def lines(self, change: Change) -> tuple[Line, ...]:
        """Return where the calls stand that a change acts on."""
        keys = {key for key, _ in change.calls} | set(change.attach)
        return readable(call.line for call in self.calls.calls if call.key in keys)

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


def drawing(names: tuple[str, ...], view: View, kind: str = "zero") -> Candidate:
    """Zeros that are drawn at random; ``explain`` works out which of them matter."""
    return Candidate(
        Reason(kind, "", names),
        Change(draw=names),
        ((Change(draw=names), f"Start with {line_for(names, names, view)}."),),
    )


def line_for(names, together, view: View) -> str:
    """Write the line that draws parameters, as a trial did that drew all of ``together``."""
    vectors = any(view.model.get_parameter(each).dim() < 2 for each in names)
    return draw_line(list(names), len(together), vectors, view.names.values())


def plain_zero(tensor: Tensor) -> bool:
    """Tell whether a tensor that is no parameter is zero everywhere."""
    if isinstance(tensor, nn.Parameter) or not tensor.numel():
        return False
    return not tensor.any() if tensor.dtype == torch.bool else float(tensor.detach().abs().max()) <= FAINT


def has_zero_constant(call: Call) -> bool:
    """Tell whether a call was given zeros that are no parameter."""
    return any(map(plain_zero, factors(call)))


def factors(call: Call) -> list[Tensor]:
    """Return the float tensors that went into a call; of a product its masks of truth values as well."""
    if call.name not in MULTIPLICATIONS:
        return call.given
    return [each for each in tensors_in([call.args]) if each.is_floating_point() or each.dtype == torch.bool]


def lost_at(start: Node) -> tuple[Node, int] | None:
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


def zero_parameters(model: nn.Module) -> set[str]:
    """Return the names of all parameters that are zero everywhere."""
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.layout == torch.strided and parameter.numel() and not parameter.detach().any()
    }
