"""What the inspector found, as plain data and as a table."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from zeroinit._findings.finding import Finding
from zeroinit._findings.lines import Line
from zeroinit._findings.report import WIDTH, Report
from zeroinit._imports import import_extra
from zeroinit.symmetry.verdict.report.parts import Check, LayerReport, ParameterReport
from zeroinit.symmetry.verdict.report.sentence import verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

__all__ = ["SymmetryReport"]

# A report prints itself in formats that take a report. Methods import the formats; the formats import this class for
# checkers alone; this is the only circle of the subpackage.


@dataclass(frozen=True)
class SymmetryReport(Report):
    """What ``inspect`` found: when each layer gets its first gradient, whether its units differ, and what is wrong.

    Attributes:
        model: The model's type.
        loss: Which loss was used.
        optimizer: Which optimizer updated the copy.
        num_steps: How many updates the copy had.
        losses: The loss before each update.
        parameters: Trainable parameters and frozen ones, in the model's order.
        layers: Layers with units.
        findings: Warnings first.
        not_inspected: What was left out, with the reason, by name.
        notes: What the reader should know about the inspection itself.
        checks: Each check with its numbers, even if nothing is wrong.
        homes: For each module that findings name, by path: where its class begins in the source.
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
    homes: dict[str, Line] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """One sentence: will the model learn as it is, and if not, why not."""
        return verdict(self)

    @property
    def first_gradient_steps(self) -> dict[str, int | None]:
        """Update step of each parameter's first true gradient, by name; ``None`` where there is none."""
        return {each.name: each.first_gradient_step for each in self.parameters}

    def layer(self, path: str) -> LayerReport:
        """Return the first layer at a module's path, or of a parameter's name."""
        return next(each for each in self.layers if path in (each.path, each.weight))

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each layer."""
        pandas = import_extra("pandas", "bench")
        rows = []
        for each in self.layers:
            row = {
                key: value
                for key, value in asdict(each).items()
                if key not in ("diversity", "diversity_by_step", "distinct_in", "identical_units")
            }
            row |= {f"distinct_in_{name}": count for name, count in each.distinct_in.items()}
            rows.append(row | each.diversity)
        return pandas.DataFrame(rows)

    def to_series(self) -> "pandas.DataFrame":
        """Return ranks step by step: one row for each layer and step, the columns of ``diversity_by_step``."""
        pandas = import_extra("pandas", "bench")
        frames = []
        for each in self.layers:
            if ranks := each.diversity_by_step:
                steps = range(1, len(next(iter(ranks.values()))) + 1)
                frames.append(pandas.DataFrame({"path": each.path, "weight": each.weight, "step": steps, **ranks}))
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the wake-up chart: parameters by steps, see ``draw_wake_up``."""
        from zeroinit.symmetry.verdict.report.drawing import draw_wake_up

        return draw_wake_up(self, axes)

    def to_html(self) -> str:
        """Return an HTML fragment, every name escaped."""
        from zeroinit.symmetry.verdict.report.formats import to_html

        return to_html(self)

    def to_text(self, width: int = WIDTH) -> str:
        """Return the report as text of this many columns; ``str(report)`` has 100. Lines of code may be longer."""
        from zeroinit.symmetry.verdict.report.formats import to_text

        return to_text(self, width)

    def __repr__(self) -> str:
        from zeroinit.symmetry.verdict.report.notebook import summary

        return summary(self)

    def _repr_html_(self) -> str:
        from zeroinit.symmetry.verdict.report.notebook import shown_in_notebook

        return shown_in_notebook(self)
