"""How a report shows itself in a notebook: the verdict, the findings with their repairs, the wake-up chart."""

import math
from html import escape
from typing import TYPE_CHECKING

from zeroinit._findings.formats import shortened
from zeroinit.symmetry.verdict.report.drawing import LEAST, MOST_ROWS
from zeroinit.symmetry.verdict.report.formats import HEAD, layer_rows
from zeroinit.symmetry.verdict.report.sentence import by_cause

if TYPE_CHECKING:
    from zeroinit.symmetry.verdict.report.parts import Finding, ParameterReport
    from zeroinit.symmetry.verdict.report.report import SymmetryReport

__all__ = ["shown_in_notebook", "summary", "wake_up_chart"]

MOST_STEPS = 64
ROW, COLUMN, NAMES = 18, 14, 260
"""Height of a row, width of a column, and the space for names, in pixels."""


def summary(report: "SymmetryReport") -> str:
    """Return one line for ``repr``: the model, the number of warnings, and the beginning of the verdict.

    Example:
        >>> import torch
        >>> from zeroinit.symmetry import inspect
        >>> summary(inspect(torch.nn.Linear(2, 1), torch.ones(4, 2), steps=1))
        "SymmetryReport(Linear, warnings=0, 'Will learn: all 2 parameters get a gradient by step 1.')"
    """
    verdict = report.verdict if len(report.verdict) <= 90 else f"{report.verdict[:89]}…"
    return f"SymmetryReport({report.model}, warnings={len(report.warnings)}, {verdict!r})"


def shown_in_notebook(report: "SymmetryReport") -> str:
    """Return an HTML fragment for a notebook's cell, every name escaped.

    The fragment has no scripts and no style sheets. Colors follow the notebook's own theme.
    """
    color = "#b3261e" if report.warnings else "#1b7f3b"
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in layer_rows(report))
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEAD)
    return (
        f'<div class="zeroinit"><p style="border-left:4px solid {color};padding-left:.6em"><b>'
        f"{escape(report.verdict)}</b></p>{_causes(report)}{wake_up_chart(report)}"
        f"<details><summary>{len(report.layers)} layers, {report.num_steps} updates ({escape(report.optimizer)}, "
        f"{escape(report.loss)})</summary><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"</details></div>"
    )


def wake_up_chart(report: "SymmetryReport") -> str:
    """Return the wake-up chart as SVG: a row for each weight, a column for each update, filled where it has a gradient.

    The darker a cell, the larger the gradient. At most 60 weights and 64 updates are drawn. A report without gradients
    gives an empty string.
    """
    shown = [each for each in report.parameters if len(each.shape) > 1 and each.reason != "frozen"]
    shown = [each for each in (shown or list(report.parameters)) if each.gradients][:MOST_ROWS]
    if not shown:
        return ""
    steps = min(max(len(each.gradients) for each in shown), MOST_STEPS)
    width, height = NAMES + COLUMN * steps + 8, ROW * len(shown) + 34
    rows = "".join(_row(each, number, steps) for number, each in enumerate(shown))
    numbers = "".join(
        f'<text x="{NAMES + COLUMN * (step - 0.5):g}" y="{ROW * len(shown) + 14}" text-anchor="middle">{step}</text>'
        for step in range(1, steps + 1)
        if step == 1 or step % 5 == 0
    )
    label = f'<text x="{NAMES}" y="{height - 4}">update: filled where the weight has a gradient</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="wake-up chart" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-size="11" fill="currentColor">'
        f"{rows}{numbers}{label}</svg>"
    )


def _row(parameter: "ParameterReport", number: int, steps: int) -> str:
    """One weight: its name and a cell for each update."""
    top = ROW * number
    name = escape(shortened(parameter.name, 38))
    cells = "".join(
        f'<rect x="{NAMES + COLUMN * at}" y="{top + 2}" width="{COLUMN - 2}" height="{ROW - 4}" '
        f'fill="{"#0072B2" if size > 0 else "none"}" fill-opacity="{_depth(size):.2f}" stroke="#8888"/>'
        for at, size in enumerate(parameter.gradients[:steps])
    )
    title = f"<title>{escape(parameter.name)}: {escape(_first(parameter))}</title>"
    return f'<g>{title}<text x="{NAMES - 8}" y="{top + 13}" text-anchor="end">{name}</text>{cells}</g>'


def _first(parameter: "ParameterReport") -> str:
    step = parameter.first_gradient_step
    return "never gets a gradient" if step is None else f"first gradient at update {step}"


def _depth(size: float) -> float:
    """Map the size of a gradient to an opacity: 1 for 1 and above, 0.25 for 1e-12 and below."""
    if not size > 0:
        return 0.0
    return 0.25 + 0.75 * (1 - min(max(math.log10(size), LEAST), 0) / LEAST)


def _causes(report: "SymmetryReport") -> str:
    """List the warnings, one entry a cause, then the number of informational findings."""
    entries = "".join(_cause(members) for members in by_cause(report.warnings))
    infos = len(report.findings) - len(report.warnings)
    more = f"<p><small>{infos} findings of severity info, in <code>.findings</code></small></p>" if infos else ""
    return (f"<ul>{entries}</ul>" if entries else "") + more


def _cause(members: "list[Finding]") -> str:
    first = members[0]
    paths = dict.fromkeys(each.path or "(the model itself)" for each in members)
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return (
        f"<li><b>{escape(first.code)}</b> <code>{escape(next(iter(paths)))}</code>{more}: {escape(first.message)}"
        f"<br/>→ {escape(first.suggestion)}</li>"
    )
