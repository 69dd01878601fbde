"""From what the shadows showed to findings and a report."""

from collections.abc import Iterator

from torch import nn

from zeroinit._findings.codes import CODES
from zeroinit.symmetry.verdict.checklist import checks
from zeroinit.symmetry.verdict.evidence import THROWN, Evidence, Symptom
from zeroinit.symmetry.verdict.explain import of_frozen
from zeroinit.symmetry.verdict.layer_findings import of_copies, of_layers
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.report.parts import Finding, ParameterReport, finding
from zeroinit.symmetry.verdict.report.report import SymmetryReport
from zeroinit.symmetry.verdict.rows import layer_row, parameter_rows
from zeroinit.symmetry.verdict.symptoms.frozen import frozen_adapters, frozen_apart

__all__ = ["judge"]

REASON_CODES = {
    "frozen": "ZI102",
    "later": "ZI104",
    "unused": "ZI010",
    "idle": "ZI105",
    "detached": "ZI009",
    "checkpoint": "ZI009",
    "zero_pair": "ZI006",
    "zero_above": "ZI007",
    "zero_input": "ZI007",
    "constant": "ZI007",
    "batch": "ZI007",
    "dead": "ZI008",
    "one_key": "ZI008",
    "cancelled": "ZI011",
    "no_effect": "ZI012",
    "copies": "ZI012",
    "equal": "ZI001",
    "unknown": "ZI012",
    "hook": "ZI019",
    "outside": "ZI018",
    "replaced": "ZI016",
}


def judge(evidence: Evidence) -> SymmetryReport:
    """Turn evidence into a report."""
    evidence.reasons = of_frozen(evidence.model) | evidence.reasons
    parameters = tuple(parameter_rows(evidence))
    steps = {each.name: each.first_gradient_step for each in parameters}
    layers = tuple(layer_row(each, evidence, steps) for each in evidence.watch.layers)
    findings = [*_of_parameters(parameters, evidence), *of_layers(layers, evidence, steps)]
    findings += of_copies(evidence, findings)
    findings += [_of_symptom(each) for each in evidence.symptoms]
    if (idle := frozen_adapters(evidence)) is not None:
        names, text, repair = idle
        findings = [each for each in findings if each.code != "ZI102" or not set(each.parameters) & set(names)]
        findings.append(finding("ZI012", names[0].rpartition(".")[0], names, text, repair, "frozen adapters"))
    optimizer = evidence.settings.optimizer
    return SymmetryReport(
        model=type(evidence.model).__name__,
        loss=evidence.objective.kind,
        optimizer=optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", "own optimizer"),
        num_steps=len(evidence.double.losses),
        losses=tuple(evidence.double.losses),
        parameters=parameters,
        layers=layers,
        findings=tuple(sorted(findings, key=lambda each: each.severity != "warning")),
        checks=checks(evidence, parameters, layers, findings),
        not_inspected=evidence.not_inspected,
        notes=tuple(evidence.notes),
    )


def _of_symptom(each: Symptom) -> Finding:
    return finding(each.code, each.path, each.parameters, each.text, each.repair, each.text, each.lines)


def _of_parameters(parameters: tuple[ParameterReport, ...], evidence: Evidence) -> Iterator[Finding]:
    """One finding for each module and cause; the weights speak for a bias with the same one."""
    groups: dict[tuple[str, str, str], list[ParameterReport]] = {}
    apart = frozen_apart(evidence)
    for each in parameters:
        code = _code_of(each, evidence)
        if code:
            reason = evidence.reasons.get(each.name)
            own = apart.get(each.name, ("", ""))[0]
            cause = (reason.cause or reason.text) if reason is not None and code != "ZI102" else own
            cause = f"step {each.first_gradient_step}" if code == "ZI101" and not each.name.endswith("bias") else cause
            groups.setdefault((each.path, code, cause), []).append(each)
    for (path, code, cause), members in groups.items():
        names = [each.name for each in members]
        reason = evidence.reasons.get(max(members, key=lambda each: len(each.shape)).name)
        if code == "ZI101":
            step = max(each.first_gradient_step or 0 for each in members)
            if any(len(each.shape) > 1 or not each.name.endswith("bias") for each in members):
                verbs = ("starts", "gets") if len(names) == 1 else ("start", "get")
                message = f"{few(names)} {verbs[0]} at zero and {verbs[1]} the first gradient at step {step}."
                yield finding(code, path, names, message)
            continue
        assert reason is not None
        text = reason.text.replace("{it}", few(names))
        if code == "ZI102":
            text = " ".join(filter(None, [apart.get(names[0], ("", ""))[1], _also_known(names, evidence.model)]))
        repair = "" if CODES[code].severity == "info" else reason.repair
        yield finding(code, path, names, f"{_begin(code, names, evidence)} {text}".strip(), repair, cause, reason.lines)


def _also_known(names: list[str], model: nn.Module) -> str:
    """Name other places of frozen parameters, as of a module that two parts share."""
    places: dict[int, list[str]] = {}
    for name, each in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(each), []).append(name)
    others = [other for name in names for other in places[id(model.get_parameter(name))] if other != name]
    return f"{'It is' if len(names) == 1 else 'They are'} also {few(others)}." if others else ""


def _begin(code: str, names: list[str], evidence: Evidence) -> str:
    """Say what happens, before the reason."""
    one, listed = len(names) == 1, few(names)
    if code == "ZI102":
        return f"{listed} {'is' if one else 'are'} frozen: requires_grad is False."
    if code == "ZI103":
        return f"{listed} {'has' if one else 'have'} no effect."
    if code == "ZI104":
        return f"{listed} {'has' if one else 'have'} no gradient yet after step {len(evidence.double.losses)}."
    if code == "ZI105" and THROWN in evidence.reasons[names[0]].text:
        return f"{listed} {'gets' if one else 'get'} no gradient."
    if code == "ZI105":
        return f"{listed} {'gets' if one else 'get'} no gradient from this batch and loss."
    if code == "ZI011" and any(evidence.double.rounding_step(name) for name in names):
        return f"{listed} {'gets' if one else 'get'} a gradient through rounding alone."
    return f"{listed} never {'gets' if one else 'get'} a gradient."


def _code_of(each: ParameterReport, evidence: Evidence) -> str:
    if each.reason:
        vector = len(each.shape) < 2 or _is_bias_table(each, evidence)
        return "ZI103" if vector and each.reason in ("cancelled", "no_effect") else REASON_CODES[each.reason]
    return "ZI101" if each.starts_at_zero and each.first_gradient_step is not None else ""


def _is_bias_table(each: ParameterReport, evidence: Evidence) -> bool:
    """Tell whether a parameter is a bias for each entry of a table, as that of a user."""
    owner = evidence.model.get_submodule(each.path)
    return isinstance(owner, nn.Embedding) and len(each.shape) == 2 and each.shape[1] == 1
