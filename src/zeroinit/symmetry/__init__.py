"""The symmetry inspector: for any module, what will learn, what stays identical, and when each gradient begins."""

from zeroinit._findings.codes import CODES
from zeroinit.symmetry.inspector import assert_symmetry_broken, inspect
from zeroinit.symmetry.measures.diagnostics import DIAGNOSTICS, Diagnostic
from zeroinit.symmetry.observer import LayerRecord, SymmetryObserver
from zeroinit.symmetry.verdict.report.parts import Finding, LayerReport, ParameterReport
from zeroinit.symmetry.verdict.report.report import SymmetryReport

__all__ = [
    "CODES",
    "DIAGNOSTICS",
    "Diagnostic",
    "Finding",
    "LayerRecord",
    "LayerReport",
    "ParameterReport",
    "SymmetryObserver",
    "SymmetryReport",
    "assert_symmetry_broken",
    "inspect",
]
