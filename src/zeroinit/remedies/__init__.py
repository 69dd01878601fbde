"""Remedies: hooks that help a zero-weight network start training; they act for the first updates and remove themselves.

A remedy attaches hooks to a model and removes them again. Your training loop does not change. Use a remedy as a context
manager or as an observer of ``fit``.

To add a remedy, write a factory ``(model, steps, *, strength, generator)`` in its own file and add one line to
``REMEDIES``. The contract tests then try it on several models.
"""

from zeroinit.remedies.affine_norms import AffineNorms, affine_norms
from zeroinit.remedies.combination import Combination, make_remedy
from zeroinit.remedies.draw_stuck import DrawStuck, draw_stuck
from zeroinit.remedies.early_dropout import early_channel_dropout, early_dropout
from zeroinit.remedies.early_muon import early_muon, orthogonalized
from zeroinit.remedies.gradient_masks import (
    channel_signs,
    class_signs,
    example_signs,
    fixed_position_signs,
    position_signs,
    unit_masks,
    unit_signs,
)
from zeroinit.remedies.gradient_noise import gradient_noise
from zeroinit.remedies.optimizer_remedies import moment_reset, warmup
from zeroinit.remedies.remedy import Remedy, RemedyWarning
from zeroinit.remedies.revive_units import ReviveUnits, revive_units
from zeroinit.remedies.table import REMEDIES, RemedyEntry
from zeroinit.remedies.until_moved import until_moved
from zeroinit.remedies.weight_orthonormal import WeightOrthonormal, polar_factor, weight_orthonormal
from zeroinit.remedies.weight_rescale import WeightRescale, weight_orthogonal, weight_rescale

__all__ = [
    "REMEDIES",
    "AffineNorms",
    "Combination",
    "DrawStuck",
    "Remedy",
    "RemedyEntry",
    "RemedyWarning",
    "ReviveUnits",
    "WeightOrthonormal",
    "WeightRescale",
    "affine_norms",
    "channel_signs",
    "class_signs",
    "draw_stuck",
    "early_channel_dropout",
    "early_dropout",
    "early_muon",
    "example_signs",
    "fixed_position_signs",
    "gradient_noise",
    "make_remedy",
    "moment_reset",
    "orthogonalized",
    "polar_factor",
    "position_signs",
    "revive_units",
    "unit_masks",
    "unit_signs",
    "until_moved",
    "warmup",
    "weight_orthogonal",
    "weight_orthonormal",
    "weight_rescale",
]
