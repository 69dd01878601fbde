"""Remedies: hooks that help a zero-weight network start training; they act for the first updates and remove themselves.

A remedy attaches hooks to a model and removes them again. Your training loop does not change. Use a remedy as a context
manager or as an observer of ``fit``.

To add a remedy, write a subclass of ``Remedy`` in its own file and add one line to ``REMEDIES``. The contract tests
then try it on several models.
"""

from zeroinit.remedies.affine_norms import AffineNorms
from zeroinit.remedies.combination import Combination, make_remedy
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.early_dropout import EarlyChannelDropout, EarlyDropout
from zeroinit.remedies.early_muon import EarlyMuon, orthogonalized
from zeroinit.remedies.gradient_masks import (
    ChannelSigns,
    ClassSigns,
    ExampleSigns,
    FixedPositionSigns,
    PositionSigns,
    UnitMasks,
    UnitSigns,
)
from zeroinit.remedies.gradient_noise import GradientNoise
from zeroinit.remedies.optimizer_remedies import MomentReset, Warmup
from zeroinit.remedies.remedy import Remedy, RemedyWarning
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.table import REMEDIES, RemedyEntry
from zeroinit.remedies.until_moved import UntilMoved
from zeroinit.remedies.weight_orthonormal import WeightOrthonormal
from zeroinit.remedies.weight_rescale import WeightOrthogonal, WeightRescale
from zeroinit.remedies.weight_sizes import polar_factor

__all__ = [
    "REMEDIES",
    "AffineNorms",
    "ChannelSigns",
    "ClassSigns",
    "Combination",
    "DrawStuck",
    "EarlyChannelDropout",
    "EarlyDropout",
    "EarlyMuon",
    "ExampleSigns",
    "FixedPositionSigns",
    "GradientNoise",
    "MomentReset",
    "PositionSigns",
    "Remedy",
    "RemedyEntry",
    "RemedyWarning",
    "ReviveUnits",
    "UnitMasks",
    "UnitSigns",
    "UntilMoved",
    "Warmup",
    "WeightOrthogonal",
    "WeightOrthonormal",
    "WeightRescale",
    "make_remedy",
    "orthogonalized",
    "polar_factor",
]
