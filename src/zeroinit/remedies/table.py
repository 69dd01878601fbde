"""The remedies by name."""

from dataclasses import dataclass

from zeroinit.remedies import gradient_masks as masks
from zeroinit.remedies.affine_norms import AffineNorms
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.early_dropout import EarlyChannelDropout, EarlyDropout
from zeroinit.remedies.early_muon import EarlyMuon
from zeroinit.remedies.gradient_noise import GradientNoise
from zeroinit.remedies.optimizer_remedies import MomentReset, Warmup
from zeroinit.remedies.remedy import Remedy
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import UntilMoved
from zeroinit.remedies.weight_orthonormal import WeightOrthonormal
from zeroinit.remedies.weight_rescale import WeightOrthogonal, WeightRescale

__all__ = ["REMEDIES", "RemedyEntry"]


@dataclass(frozen=True)
class RemedyEntry:
    """One remedy of the table.

    Attributes:
        remedy: The class. It says what the remedy takes: a strength (``default_strength``, ``below``), and whether it
            draws random numbers (``draws``).
        summary: One line.
        source: Who proposed it.
    """

    remedy: type[Remedy]
    summary: str
    source: str = "this package"


REMEDIES: dict[str, RemedyEntry] = {
    "affine_norms": RemedyEntry(
        AffineNorms,
        "norms act as γx + β at first, so they do not cancel constant channels",
        "this package; Ioffe and Szegedy 2015, algorithm 2 (a norm with fixed statistics)",
    ),
    "early_dropout": RemedyEntry(
        EarlyDropout, "dropout of single elements before each layer but the first", "Liu et al. 2023"
    ),
    "early_channel_dropout": RemedyEntry(
        EarlyChannelDropout,
        "dropout of whole channels, separately for each example",
        "Tompson et al. 2015; Liu et al. 2023",
    ),
    "unit_signs": RemedyEntry(masks.UnitSigns, "random signs on the gradient, one per unit, new each step"),
    "example_signs": RemedyEntry(masks.ExampleSigns, "random signs on the gradient, one per unit and example"),
    "channel_signs": RemedyEntry(
        masks.ChannelSigns, "random signs on the gradient, one per channel of a convolution's output and example"
    ),
    "position_signs": RemedyEntry(
        masks.PositionSigns, "random signs on the gradient, one per channel, position and example"
    ),
    "fixed_position_signs": RemedyEntry(
        masks.FixedPositionSigns,
        "random signs on the gradient, one per channel and position, fixed",
        "this package; Lillicrap et al. 2016 (fixed random feedback)",
    ),
    "unit_masks": RemedyEntry(
        masks.UnitMasks,
        "dropout of the gradient alone, per unit and example",
        "this package; Srivastava et al. 2014 (dropout)",
    ),
    "class_signs": RemedyEntry(masks.ClassSigns, "signs on the gradient, one per unit and class, fixed"),
    "gradient_noise": RemedyEntry(
        GradientNoise, "normal noise as large as each parameter's gradient", "Neelakantan et al. 2015"
    ),
    "warmup": RemedyEntry(Warmup, "a learning rate that rises linearly", "Goyal et al. 2017"),
    "moment_reset": RemedyEntry(MomentReset, "the optimizer's state is cleared after the steps"),
    "weight_rescale": RemedyEntry(WeightRescale, "weights get the size of PyTorch's default after the steps"),
    "weight_orthogonal": RemedyEntry(
        WeightOrthogonal,
        "weights become orthogonal after the steps, in the size of PyTorch's default",
        "this package; Saxe et al. 2014; Jordan et al. 2024",
    ),
    "weight_orthonormal": RemedyEntry(
        WeightOrthonormal,
        "weights become orthonormal after half of the steps and after the last, however small their directions were",
        "this package; Saxe et al. 2014",
    ),
    "until_moved": RemedyEntry(
        UntilMoved, "the other remedies end after twice as many steps as every weight needs to leave zero"
    ),
    "draw_stuck": RemedyEntry(
        DrawStuck, "draws zero weights that keep each other at zero; names weights that never move"
    ),
    "revive_units": RemedyEntry(
        ReviveUnits,
        "units that a rectifier cuts off get a positive bias; units that never move are named",
        "this package; Lu et al. 2020 (an asymmetric draw of biases)",
    ),
    "early_muon": RemedyEntry(EarlyMuon, "updates of weights are made orthogonal", "Jordan et al. 2024"),
}
