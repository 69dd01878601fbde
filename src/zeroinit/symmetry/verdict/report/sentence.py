"""The verdict: one sentence that a newcomer understands, the gravest cause first."""

import math
import re
from typing import TYPE_CHECKING

from zeroinit.symmetry.verdict.evidence import THROWN
from zeroinit.symmetry.verdict.passes.naming import few, joined
from zeroinit.symmetry.verdict.report.parts import AS_MADE, FROZEN_HEAD, GRADIENTS_OFF, STILL_FINITE, Finding

if TYPE_CHECKING:
    from zeroinit.symmetry.verdict.report.parts import ParameterReport
    from zeroinit.symmetry.verdict.report.report import SymmetryReport  # for checkers alone: the report calls this file

__all__ = ["by_cause", "first_sentence", "learns_on", "of_units", "verdict"]

AS_MADE_IN = f"{AS_MADE} in "
ALSO_AT = " also `"
"""In what is said of a frozen layer that has two places."""
GRAVEST = (
    "ZI013", "ZI018", "ZI016", "ZI017", "ZI023", "ZI025", "ZI022", "ZI006", "ZI009", "ZI019", "ZI008", "ZI011", "ZI007",
    "ZI012", "ZI020", "ZI014", "ZI015", "ZI021", "ZI001", "ZI004", "ZI002", "ZI003", "ZI005", "ZI010", "ZI024",
)  # fmt: skip
"""Codes of warnings, the gravest first."""
NEVER = {"ZI006", "ZI007", "ZI008", "ZI009", "ZI011", "ZI012", "ZI018", "ZI019", "ZI020", "ZI022"}
"""Codes of parameters that never get a gradient, or never move."""


def by_cause(findings: tuple[Finding, ...] | list[Finding]) -> list[list[Finding]]:
    """Group findings with one cause; the gravest group comes first, and in it the finding that names the cause."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for at, each in enumerate(findings):
        groups.setdefault((each.severity, each.cause or f"{at}"), []).append(each)
    ranked = [sorted(members, key=_in_group) for members in groups.values()]
    return sorted(ranked, key=lambda members: (members[0].severity != "warning", _rank_of(members[0])))


def _in_group(finding: Finding) -> tuple[bool, int, bool]:
    """Sort identical units first, which cause the failure of what chooses among them, and consequences last."""
    follows = finding.code == "ZI018" and " a gradient. " in finding.message
    return finding.code not in ("ZI001", "ZI004"), _rank(finding.code), follows


def _rank_of(finding: Finding) -> float:
    """Rank a finding. Parameters outside the optimizer come behind parameters in it that get no gradient."""
    if finding.code == "ZI102" and finding.cause:
        return -1  # frozen, and hardly meant to be
    if finding.code == "ZI018" and " does not hold " in finding.message:
        return GRAVEST.index("ZI012") + 0.5
    return _rank(finding.code)


def _rank(code: str) -> int:
    if code in ("ZI109", "ZI110", "ZI112", "ZI113", "ZI114"):
        return -1  # the information that matters most
    last = ("ZI102", "ZI101")  # long lists of what is meant, in most models
    return GRAVEST.index(code) if code in GRAVEST else len(GRAVEST) + (last.index(code) + 1 if code in last else 0)


def verdict(report: "SymmetryReport") -> str:
    """Return one sentence about a report, and a second one where gradients are off and much else is wrong."""
    if not report.warnings and report.left_out:
        return f"No other warning: {joined(report.left_out)}."
    told, off = _of_model(report), GRADIENTS_OFF in report.notes
    if off and told.startswith("Will learn: "):
        return told.replace("Will learn: ", "Will learn once gradients are switched on: ", 1)
    return f"{told} Gradients are off here, so your own backward pass fails." if off else told


def _of_model(report: "SymmetryReport") -> str:
    groups = by_cause(report.warnings)
    outside = {name for each in report.findings if each.code == "ZI113" for name in each.parameters}
    trained = [each for each in report.parameters if each.reason != "frozen" and each.name not in outside]
    if not groups and not trained:
        return "No verdict: none of its parameters can be inspected; the list below says why."
    if not groups:
        lost = [name for each in report.findings if each.code == "ZI109" for name in each.parameters]
        still = f", but updates of {len(lost)} are lost in the model's own precision" if lost else ""
        if held := [name for each in report.findings if each.code == "ZI112" for name in each.parameters]:
            still += f", but a hook keeps part of {few(held)} still"
        if reset := [name for each in report.findings if each.code == "ZI111" for name in each.parameters]:
            still += f", but each forward pass sets {few(reset)} back"
        if slow := [name for each in report.findings if each.code == "ZI114" for name in each.parameters]:
            still += f", but {few(slow)} hardly {'moves' if len(slow) == 1 else 'move'} at this learning rate"
        still += ", but targets are out of its reach" if "ZI110" in {each.code for each in report.findings} else ""
        if heads := [each.path for each in report.findings if each.cause == FROZEN_HEAD]:
            still += f", and the head `{heads[0]}` is frozen"
        elif new := [each.cause.removeprefix(AS_MADE_IN) for each in report.findings if AS_MADE_IN in each.cause]:
            shared = [each.path for each in report.findings if each.cause == AS_MADE and ALSO_AT in each.message]
            still += f", and the frozen layers of {few(dict.fromkeys([*shared, *new]))} have the values of new ones"
        learns = any(each.first_gradient_step is not None for each in trained)
        start = "Will learn" if learns else "Will not learn from this batch and loss"
        still += "".join(f"; {first_sentence(each.message)}" for each in report.findings if each.code == "ZI113")
        return f"{start}: {_with_gradient(report, trained)}{still}."
    first = groups[0][0]
    never = [each for each in report.warnings if each.code in NEVER and not of_units(each)]
    causes = {each.cause for each in never if each.cause}
    without = [each for each in report.findings if each.code == "ZI103" and each.cause in causes]
    stuck = {name for each in [*never, *without] for name in each.parameters}
    counted = trained
    if any(len(each.shape) > 1 for each in trained):  # beside weights, vectors do not count
        counted = [each for each in trained if len(each.shape) > 1 or _is_number(each)]
    moving = {each.name for each in counted if each.first_gradient_step is not None} - stuck
    cause = first_sentence(_cause_of(first))
    if (first.code == "ZI013" and not learns_on(first)) or (first in never and not moving):
        start = "Will not learn as it is"
    elif STILL_FINITE in cause:
        start, cause = "Gradients arrive, but", cause.replace(f", {STILL_FINITE}", "")
    elif first in never:
        here = stuck & {each.name for each in trained}
        start = f"{len(here)} of {len(trained)} parameters will not learn" if here else "Learns, but not all of it"
    elif first.code in ("ZI017", "ZI021"):
        start = "Learns something else than it should"
    elif first.code == "ZI024":
        start = "Learns more than it should"
    elif first.code == "ZI023":
        start = "Learns less than it could"
    elif first.code in ("ZI014", "ZI015"):
        start = "Stops learning" if first.code == "ZI014" else "Will not learn at this learning rate"
    else:
        start = "Learns, but not all of it"
    if not any(each.first_gradient_step is not None for each in trained) and start.startswith(("Learns", "Stops")):
        start = "Will not learn as it is"
    more = len(groups) - 1
    also = f" And {more} more cause{'' if more == 1 else 's'}, below." if more else ""
    return f"{start}{' ' if start.endswith('but') else ': '}{cause}.{also}"


def _is_number(parameter: "ParameterReport") -> bool:
    """Tell whether a parameter is one number of its own, as a temperature is."""
    return math.prod(parameter.shape) == 1 and not parameter.name.endswith("bias")


def learns_on(finding: Finding) -> bool:
    """Tell whether numbers that are not finite leave gradients that are, so that parameters learn all the same."""
    return of_units(finding) or STILL_FINITE in finding.message


def of_units(finding: Finding) -> bool:
    """Tell whether a finding is about some units of a parameter, not about all of it."""
    return re.match(r"\d+ of \d+ ", finding.message) is not None


def _with_gradient(report: "SymmetryReport", trained: list) -> str:
    steps = [each.first_gradient_step for each in trained if each.first_gradient_step is not None]
    if not steps:
        told = next((each.explanation for each in trained if each.explanation), "")
        why = f": {first_sentence(told)}" if told else ""
        return f"none of the {len(trained)} parameters gets a gradient{why}"
    last = f"by step {max(steps)}"
    which = f"all {len(trained)}" if len(steps) == len(trained) else f"{len(steps)} of {len(trained)}"
    if len(trained) == 1:
        return f"the only trained parameter gets a gradient {last}"
    second = sum(each.reason == "idle" and " a second loss " in each.explanation for each in trained)
    outside = sum(each.reason == "idle" and " does not hold " in each.explanation for each in trained)
    copies = sum(each.reason == "idle" and " is a copy of " in each.explanation for each in trained)
    thrown = sum(each.reason == "idle" and f" {THROWN} in " in each.explanation for each in trained)
    idle = sum(each.reason == "idle" for each in trained) - second - outside - copies - thrown
    later = sum(each.reason == "later" for each in trained)
    none = sum(each.reason in ("cancelled", "no_effect") for each in trained)
    rest = len(trained) - len(steps) - second - outside - copies - thrown - idle - later - none
    words = [f"{idle} {'is' if idle == 1 else 'are'} not used for this batch and loss"] if idle else []
    words += [f"{thrown} {'computes' if thrown == 1 else 'compute'} what is {THROWN}"] if thrown else []
    words += [f"{copies} of a copy {'gets' if copies == 1 else 'get'} none"] if copies else []
    words += [f"{outside} outside of the optimizer {'gets' if outside == 1 else 'get'} none"] if outside else []
    words += [f"{second} through a second loss alone, which is left out"] if second else []
    words += [f"{later} later"] if later else []
    words += [f"{none} {'has' if none == 1 else 'have'} no effect"] if none else []
    words += [f"{rest} {'gets' if rest == 1 else 'get'} none"] if rest else []
    return f"{', '.join([f'{which} parameters get a gradient {last}', *words])}"


def _cause_of(finding: Finding) -> str:
    """Return the part of a message that names the cause."""
    if finding.code in NEVER or finding.code in ("ZI001", "ZI010", "ZI016"):
        match = re.match(r"(.*? (?:a gradient|rounding alone)\.) (.+)", finding.message)
        if match is not None:
            return match[2]
    return finding.message


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop, which is left out.

    Example:
        >>> first_sentence("`a.b` is zero. It stays so.")
        '`a.b` is zero'
    """
    first = re.split(r"\.(?:\s|$)", text, maxsplit=1)[0]
    named = any(letter.isupper() for letter in first.partition(" ")[0][1:])
    return first if named else first[:1].lower() + first[1:]
