"""Everything that the runs showed, before it is judged: reasons, silent units, symptoms."""

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from zeroinit._findings.lines import Line
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.trace import Settings, Trace
from zeroinit.symmetry.units.runs import Subject
from zeroinit.symmetry.units.watching import Watch

__all__ = ["THROWN", "Evidence", "Reason", "Silent", "Symptom"]

THROWN = "thrown away"
"""What is said of results that ``forward`` drops."""


@dataclass(frozen=True)
class Reason:
    """Why a parameter stays where it is.

    Attributes:
        kind: See ``REASON_CODES`` of ``findings``.
        text: A sentence about the cause.
        culprits: Names of the parameters that the cause is made of.
        repair: What to type.
        cause: The same for all parameters with one cause.
        lines: Where the cause stands in the user's code.
    """

    kind: str
    text: str
    culprits: tuple[str, ...] = ()
    repair: str = ""
    cause: str = ""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Silent:
    """The units of one layer that never get a gradient, though others do.

    Attributes:
        dead: Which a rectifier cuts for every input of this size (units,).
        zero: Which are zero, and multiplied with each other (units,).
        text: Why the dead ones are.
        repair: What frees them; it was tried.
    """

    dead: np.ndarray
    zero: np.ndarray
    text: str = ""
    repair: str = ""


@dataclass(frozen=True)
class Symptom:
    """One thing that is wrong, as a finding will tell it."""

    code: str
    path: str
    parameters: tuple[str, ...]
    text: str
    repair: str
    lines: tuple[Line, ...] = ()


@dataclass
class Evidence:
    """Everything that the runs showed, before it is judged.

    Attributes:
        subject: What was inspected.
        single: The float32 run.
        double: The float64 run; the float32 run, without what is rounding, where that settles everything.
        watch: What was kept of the run that counts.
        widths_in_float32: Groups of units that are the same bit for bit in float32, by the layer's weight.
        not_inspected: Why parameters were left out, by name.
        notes: What the reader should know about the inspection itself.
        widths_without: Groups of units without dropout, and with equal biases.
        widths_deterministic: Groups of units that are the same bit for bit with deterministic kernels.
        reasons: Why parameters never get a gradient, by name.
        fed_to_weights: Weights that other weights follow.
        silent: Units without a gradient, by the layer's weight.
        cut_blocks: Why blocks of a layer's units never get a gradient, by its weight.
        symptoms: What else is wrong.
        still: Parameters that the updates of the float32 run moved by less than rounding.
        thrown: How far the first update threw parameters that no later one moves, by name.
        speeds: By how much of its largest value an update of the float32 run moves a weight, by name.
        left_to_others: Parameters that the user's own optimizer need not hold.
        competing: Weights and axes whose slices are identical although they would learn different things.
        without_targets: Weights whose gradient no target has a part in.
        of_loss: Rates of what trains in the loss alone, by name: 0 where no optimizer holds it, NaN where another one
            does or that is not known.
    """

    subject: Subject
    single: Trace
    double: Trace
    watch: Watch
    widths_in_float32: dict[str, int]
    not_inspected: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    widths_without: dict[str, dict[str, int]] = field(default_factory=dict)
    widths_deterministic: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    fed_to_weights: set[str] = field(default_factory=set)
    silent: dict[str, Silent] = field(default_factory=dict)
    cut_blocks: dict[str, Reason] = field(default_factory=dict)
    symptoms: list[Symptom] = field(default_factory=list)
    still: set[str] = field(default_factory=set)
    thrown: dict[str, float] = field(default_factory=dict)
    speeds: dict[str, float] = field(default_factory=dict)
    left_to_others: set[str] = field(default_factory=set)
    competing: set[tuple[str, str]] = field(default_factory=set)
    without_targets: set[str] = field(default_factory=set)
    of_loss: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        """The model as it was handed over."""
        return self.subject.model

    @property
    def objective(self) -> Objective:
        """The batch and the loss."""
        return self.subject.objective

    @property
    def settings(self) -> Settings:
        """How the copies train."""
        return self.subject.settings
