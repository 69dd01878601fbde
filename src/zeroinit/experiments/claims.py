"""Claims: a statement about the final test accuracies of two curves, and how it is decided."""

from dataclasses import dataclass

import numpy as np

from zeroinit._common import lookup
from zeroinit.stats import Estimate, holm, one_sample, paired_difference

__all__ = ["KINDS", "Claim", "Decision", "decide"]


@dataclass(frozen=True)
class Claim:
    """A statement that results can support or refute.

    Attributes:
        id: Stable; starts with the paper's claim, as in ``"C1-normal-beats-baseline"``.
        statement: One sentence.
        kind: A key of ``KINDS``.
        curve: Label of the curve that the statement is about.
        reference: Label of the curve it is compared with; for kinds that compare with a number ``""``.
        margin: What counts as close, or as harmless, in accuracy; stated before the runs.
        value: The number that the kinds ``at`` and ``below`` compare with; ``"majority"`` for the share of the
            test set's most frequent class.
    """

    id: str
    statement: str
    kind: str
    curve: str
    reference: str = ""
    margin: float = 0.0
    value: float | str = 0.0
