"""zeroinit: neural-network initialization and symmetry breaking.

The library's public names. Each is imported when it is first used: ``import zeroinit`` itself loads no torch.
``zeroinit.bench`` holds what reproduces the paper: data, networks, training, studies.
"""

from typing import TYPE_CHECKING

from zeroinit._common import InputError, __version__
from zeroinit._imports import names_when_used, tell_extras

if TYPE_CHECKING:
    from zeroinit.audit import AuditReport, assert_initialized, audit
    from zeroinit.init import (
        INITIALIZERS,
        InitRecord,
        InitWarning,
        SymmetryWarning,
        gain,
        initialize_,
        make_initializer,
    )
    from zeroinit.integrations import watch
    from zeroinit.remedies import REMEDIES, AffineNorms, RemedyWarning, make_remedy
    from zeroinit.symmetry import (
        DIAGNOSTICS,
        Finding,
        SymmetryObserver,
        SymmetryReport,
        assert_symmetry_broken,
        inspect,
    )
    from zeroinit.zero_start import ZeroStart, zero_start_

__all__ = [
    "DIAGNOSTICS",
    "INITIALIZERS",
    "REMEDIES",
    "AffineNorms",
    "AuditReport",
    "Finding",
    "InitRecord",
    "InitWarning",
    "InputError",
    "RemedyWarning",
    "SymmetryObserver",
    "SymmetryReport",
    "SymmetryWarning",
    "ZeroStart",
    "__version__",
    "assert_initialized",
    "assert_symmetry_broken",
    "audit",
    "gain",
    "initialize_",
    "inspect",
    "make_initializer",
    "make_remedy",
    "watch",
    "zero_start_",
]

HOMES = {
    "zeroinit.audit": ["AuditReport", "assert_initialized", "audit"],
    "zeroinit.init": [
        "INITIALIZERS",
        "InitRecord",
        "InitWarning",
        "SymmetryWarning",
        "gain",
        "initialize_",
        "make_initializer",
    ],
    "zeroinit.integrations": ["watch"],
    "zeroinit.zero_start": ["ZeroStart", "zero_start_"],
    "zeroinit.remedies": ["REMEDIES", "RemedyWarning", "AffineNorms", "make_remedy"],
    "zeroinit.symmetry": [
        "DIAGNOSTICS",
        "Finding",
        "SymmetryObserver",
        "SymmetryReport",
        "assert_symmetry_broken",
        "inspect",
    ],
}
"""Where each name comes from, as the imports above say it to a type checker."""

tell_extras()
__getattr__ = names_when_used(__name__, HOMES, ("bench", "init", "integrations", "remedies", "symmetry", "zero_start"))


def __dir__() -> list[str]:
    return [*__all__, "bench"]
