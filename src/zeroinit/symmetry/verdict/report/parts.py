"""What a report is made of: findings, checks, and a row for each parameter and layer."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zeroinit._findings.finding import Finding, finding

__all__ = [
    "AS_MADE",
    "FROZEN_HEAD",
    "GRADIENTS_OFF",
    "STILL_FINITE",
    "Check",
    "Finding",
    "LayerReport",
    "ParameterReport",
    "finding",
    "in_wrapper",
]

AS_MADE = "frozen as made"
"""The cause of findings about frozen layers that hold the values of new ones."""
FROZEN_HEAD = "frozen head"
"""The cause of a finding about a head that is frozen behind adapters that learn."""
STILL_FINITE = "though gradients are finite"
"""What is said of a loss that is not finite by a part that leads to no parameter."""
GRADIENTS_OFF = (
    "gradients are off where `inspect` was called, and it switched them on for its copies; "
    "`torch.set_grad_enabled(True)` switches them on for your own loop"
)
"""A note: the user's own ``loss.backward()`` would fail."""


def in_wrapper(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Write lines to type for a model inside ``DataParallel`` or its like, whose parts are those of its ``.module``.

    Example:
        >>> in_wrapper([finding("ZI018", "", (), "...", "Train `model.fc`.")])[0].suggestion
        'Train `model.module.fc`.'
    """
    there = re.compile(r"\bmodel(?=[.\[])")
    return tuple(
        replace(
            each,
            message=there.sub("model.module", each.message),
            suggestion=there.sub("model.module", each.suggestion),
        )
        for each in findings
    )


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        result: What was seen, with numbers.
        passed: Whether nothing is wrong.
    """

    name: str
    result: str
    passed: bool


@dataclass(frozen=True)
class ParameterReport:
    """When one parameter starts to learn.

    Attributes:
        name: As in ``named_parameters``.
        path: The module that owns it.
        shape: Its shape.
        first_gradient_step: Update step, from 1, of the first true gradient; ``None`` if there is none.
        rounding_step: Step of the first gradient in float32 that is rounding alone; ``None`` if there is none.
        starts_at_zero: Whether it is zero everywhere at the start.
        reason: Why it never gets a gradient; empty where it does. ``explanation`` says it in words.
        gradients: Largest absolute gradient at each step in float64, rounding set to zero; NaN without one.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    first_gradient_step: int | None
    rounding_step: int | None
    starts_at_zero: bool
    reason: str = ""
    explanation: str = ""
    gradients: tuple[float, ...] = ()


@dataclass(frozen=True)
class LayerReport:
    """The units of one layer.

    Attributes:
        path: The module.
        weight: The parameter that names the layer.
        kind: The module's type.
        unit: What is counted: units, channels, features, or slices of an axis.
        num_units: How many there are.
        num_distinct_units: Groups of units; the units of a group are identical and get identical updates.
        num_distinct_at_start: Groups of units whose values are identical at the start.
        num_distinct_up_to_rounding: Groups where values may differ by rounding.
        num_distinct_in_float32: Groups of units that are bit for bit the same in float32 training.
        num_distinct_up_to_sign: Groups where a unit and its negative count as one.
        identical_units: The largest group of identical units, at most ten of their numbers.
        dead: Units that get no gradient from any input of the batch's size.
        silent: Units without a gradient in any step.
        first_gradient_step: Step of the weights' first true gradient; ``None`` if there is none.
        is_output: Whether no weights follow, so that the targets make its units differ.
        is_matrix: Whether the weights have two or more axes; norms and gains have one.
        distinct_in: Different units once stored as ``bfloat16`` and ``float16``.
        source: What makes its units differ: ``weights``, ``biases``, ``dropout``, ``other layers``, ``targets``, or the
            ``loss`` where no target has a part. In float32 alone ``rounding`` or ``kernels`` (that give other bits each
            time). Empty for nothing.
        diversity: Numbers by name; those of the last step have the suffix ``_end``.
        diversity_by_step: Effective and stable rank of weights, updates so far, gradients and activations before each
            update, on at most 32 units and 32 inputs. NaN where there is none.
    """

    path: str
    weight: str
    kind: str
    unit: str
    num_units: int
    num_distinct_units: int
    num_distinct_at_start: int
    num_distinct_up_to_rounding: int
    num_distinct_in_float32: int
    num_distinct_up_to_sign: int
    identical_units: tuple[int, ...]
    dead: int
    silent: int
    first_gradient_step: int | None
    is_output: bool
    is_matrix: bool
    distinct_in: dict[str, int]
    source: str = ""
    diversity: dict[str, float] = field(default_factory=dict)
    diversity_by_step: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        step = (
            "no gradient" if self.first_gradient_step is None else f"first gradient at step {self.first_gradient_step}"
        )
        units = f"{self.num_units} {self.unit}, {self.num_distinct_units} distinct"
        return f"LayerReport({self.path or self.weight!r}, {self.kind}, {units}, {step})"
