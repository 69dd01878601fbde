"""What the inspector found, as plain data and as a table."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from zeroinit._common import jsonable
from zeroinit.symmetry.verdict.report.sentence import verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

__all__ = ["Check", "Finding", "LayerReport", "ParameterReport", "SymmetryReport"]

WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        code: Stable, as ``"ZI001"``; see ``CODES``.
        severity: ``"warning"`` for what keeps the model from learning as it should, else ``"info"``.
        path: The module; ``""`` is the model itself.
        parameters: The parameters concerned.
        message: What is the matter, in plain words.
        suggestion: What to do about it.
        cause: The same for all findings with one cause; empty where each stands for itself.
    """

    code: str
    severity: str
    path: str
    parameters: tuple[str, ...]
    message: str
    suggestion: str
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.severity} {self.path or '(the model itself)'}: {self.message}"


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
        unlock_step: Update step, from 1, of the first gradient that is signal; ``None`` if there is none.
        rounding_step: Step of the first gradient in float32 that is rounding alone; ``None`` if there is none.
        starts_at_zero: Whether it is zero everywhere at the start.
        reason: Why it never gets a gradient; empty where it does. ``explanation`` says it in words.
        gradients: Largest absolute gradient at each step in float64, rounding set to zero; NaN without one.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    unlock_step: int | None
    rounding_step: int | None
    starts_at_zero: bool
    reason: str = ""
    explanation: str = ""
    gradients: tuple[float, ...] = ()

    @property
    def first_gradient_step(self) -> int | None:
        """Another name of ``unlock_step``."""
        return self.unlock_step


@dataclass(frozen=True)
class LayerReport:
    """The units of one layer.

    Attributes:
        path: The module.
        weight: The parameter that names the layer.
        kind: The module's type.
        unit: What is counted: units, channels, features, or slices of an axis.
        num_units: How many there are.
        effective_width: Groups of units that are identical now and receive identical updates.
        initial_width: Groups of units that are identical now.
        width_up_to_rounding: Groups where values may differ by rounding.
        width_in_float32: Groups of units that are bit for bit the same in float32 training.
        mirrored_width: Groups where a unit and its negative count as one.
        twins: The largest group of identical units, at most ten of their numbers.
        dead: Units that no input of the batch's size can wake.
        silent: Units without a gradient in any step.
        unlock_step: Step of the weights' first signal.
        is_output: Whether no weights follow, so that the targets tell its units apart.
        is_matrix: Whether the weights have two or more axes; norms and gains have one.
        distinct_in: Different units once stored as ``bfloat16`` and ``float16``.
        source: What tells its units apart: ``weights``, ``biases``, ``dropout``, ``other layers``, in float32 alone
            ``rounding`` or ``kernels`` (that give other bits each time), or nothing (empty).
        diversity: Numbers by name; those of the last step have the suffix ``_end``.
        diversity_by_step: Effective and stable rank of weights, updates so far, gradients and activations before each
            update, on at most 32 units and 32 inputs of them; NaN where there is none.
    """

    path: str
    weight: str
    kind: str
    unit: str
    num_units: int
    effective_width: int
    initial_width: int
    width_up_to_rounding: int
    width_in_float32: int
    mirrored_width: int
    twins: tuple[int, ...]
    dead: int
    silent: int
    unlock_step: int | None
    is_output: bool
    is_matrix: bool
    distinct_in: dict[str, int]
    source: str = ""
    diversity: dict[str, float] = field(default_factory=dict)
    diversity_by_step: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SymmetryReport:
    """Whether a model's units will separate, when each layer starts to learn, and what is wrong, if anything.

    Attributes:
        model: The model's type.
        loss: How the loss came about.
        optimizer: What updated the shadow.
        num_steps: Updates of the shadow training.
        losses: Loss before each update.
        parameters: Trainable parameters and frozen ones, in the model's order.
        layers: Layers with units.
        findings: Warnings first.
        not_inspected: What was left out, with the reason, by name.
        notes: What the reader should know about the inspection itself.
        checks: What was looked at, with its numbers, also where nothing is wrong.
    """

    model: str
    loss: str
    optimizer: str
    num_steps: int
    losses: tuple[float, ...]
    parameters: tuple[ParameterReport, ...]
    layers: tuple[LayerReport, ...]
    findings: tuple[Finding, ...]
    not_inspected: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence: will the model learn as it is, and if not, why not."""
        return verdict(self)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that keep the model from learning as it should."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def unlock_steps(self) -> dict[str, int | None]:
        """Step of each parameter's first signal, by name."""
        return {each.name: each.unlock_step for each in self.parameters}

    @property
    def first_gradient_steps(self) -> dict[str, int | None]:
        """Another name of ``unlock_steps``."""
        return self.unlock_steps

    def layer(self, path: str) -> LayerReport:
        """Return the first layer at a module's path, or of a parameter's name."""
        return next(each for each in self.layers if path in (each.path, each.weight))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, strings and numbers, ready for JSON; what is not finite is ``None``."""
        return jsonable(asdict(self))

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each layer."""
        import pandas

        rows = []
        for each in self.layers:
            row = {
                key: value
                for key, value in asdict(each).items()
                if key not in ("diversity", "diversity_by_step", "distinct_in", "twins")
            }
            row |= {f"distinct_in_{name}": count for name, count in each.distinct_in.items()}
            rows.append(row | each.diversity)
        return pandas.DataFrame(rows)

    def to_series(self) -> "pandas.DataFrame":
        """Return ranks step by step: one row for each layer and step, the columns of ``diversity_by_step``."""
        import pandas

        frames = []
        for each in self.layers:
            if ranks := each.diversity_by_step:
                steps = range(1, len(next(iter(ranks.values()))) + 1)
                frames.append(pandas.DataFrame({"path": each.path, "weight": each.weight, "step": steps, **ranks}))
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw when each parameter wakes up: parameters by steps, see ``draw_wake_up``."""
        from zeroinit.symmetry.verdict.report.drawing import draw_wake_up

        return draw_wake_up(self, axes)

    def to_html(self) -> str:
        """Return an HTML fragment, every name escaped."""
        from zeroinit.symmetry.verdict.report.formats import to_html

        return to_html(self)

    def to_sarif(self) -> dict[str, Any]:
        """Return the findings as a SARIF 2.1.0 log."""
        from zeroinit.symmetry.verdict.report.formats import to_sarif

        return to_sarif(self)

    def __str__(self) -> str:
        from zeroinit.symmetry.verdict.report.formats import to_text

        return to_text(self, WIDTH)
