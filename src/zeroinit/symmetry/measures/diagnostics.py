"""The table of pure diagnostics: arrays in, a number or labels out."""

from collections.abc import Callable
from dataclasses import dataclass

from zeroinit.symmetry.measures.diversity import (
    direction_spread,
    distinct_rows,
    effective_rank,
    num_constant_columns,
    num_duplicate_columns,
    position_spread,
    stable_rank,
)
from zeroinit.symmetry.measures.partition import group_equal_rows, group_mirrored_rows, refine

__all__ = ["DIAGNOSTICS", "Diagnostic"]


@dataclass(frozen=True)
class Diagnostic:
    """A pure function and what it tells in one line."""

    compute: Callable
    summary: str


DIAGNOSTICS: dict[str, Diagnostic] = {
    "group_equal_rows": Diagnostic(group_equal_rows, "groups of equal rows"),
    "group_mirrored_rows": Diagnostic(group_mirrored_rows, "groups of rows that are equal or each other's negative"),
    "refine": Diagnostic(refine, "splits groups whose rows differ by more than rounding"),
    "effective_rank": Diagnostic(effective_rank, "exponential of the entropy of the singular values"),
    "stable_rank": Diagnostic(stable_rank, "squared Frobenius norm over the squared largest singular value"),
    "direction_spread": Diagnostic(direction_spread, "how far rows are from pointing along one line"),
    "position_spread": Diagnostic(position_spread, "how much kernels vary over their positions"),
    "distinct_rows": Diagnostic(distinct_rows, "rows that stay different in low precision"),
    "num_constant_columns": Diagnostic(num_constant_columns, "features that do not depend on the input"),
    "num_duplicate_columns": Diagnostic(num_duplicate_columns, "features that are copies of an earlier one"),
}
"""Pure diagnostics by name."""
