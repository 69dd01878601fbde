"""The remedies by name."""

from collections.abc import Callable
from dataclasses import dataclass

from zeroinit.remedies.affine_norms import affine_norms
from zeroinit.remedies.draw_stuck import draw_stuck
from zeroinit.remedies.early_dropout import early_channel_dropout, early_dropout
from zeroinit.remedies.early_muon import early_muon
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
from zeroinit.remedies.remedy import Remedy
from zeroinit.remedies.revive_units import revive_units
from zeroinit.remedies.until_moved import until_moved
from zeroinit.remedies.weight_orthonormal import weight_orthonormal
from zeroinit.remedies.weight_rescale import weight_orthogonal, weight_rescale

__all__ = ["REMEDIES", "RemedyEntry"]


@dataclass(frozen=True)
class RemedyEntry:
    """One remedy of the table.

    Attributes:
        factory: Takes a model and a number of steps, and by keyword ``strength`` and ``generator``.
        summary: One line.
        source: Who proposed it.
        strength: The default strength; ``None`` if the remedy takes none.
    """

    factory: Callable[..., Remedy]
    summary: str
    source: str
    strength: float | None = None


OWN = "this package"

REMEDIES: dict[str, RemedyEntry] = {
    "affine_norms": RemedyEntry(
        affine_norms,
        "norms act as gamma * x + beta at first, so they do not cancel constant channels",
        "this package; Ioffe and Szegedy 2015, algorithm 2 (a norm with fixed statistics)",
    ),
    "early_dropout": RemedyEntry(
        early_dropout, "dropout of single elements before each layer but the first", "Liu et al. 2023", 0.5
    ),
    "early_channel_dropout": RemedyEntry(
        early_channel_dropout,
        "dropout of whole channels, separately for each example",
        "Tompson et al. 2015; Liu et al. 2023",
        0.5,
    ),
    "unit_signs": RemedyEntry(unit_signs, "random signs on the gradient, one per unit, new each step", OWN),
    "example_signs": RemedyEntry(example_signs, "random signs on the gradient, one per unit and example", OWN),
    "channel_signs": RemedyEntry(
        channel_signs, "random signs on the gradient, one per channel of a convolution's output and example", OWN
    ),
    "position_signs": RemedyEntry(
        position_signs, "random signs on the gradient, one per channel, position and example", OWN
    ),
    "fixed_position_signs": RemedyEntry(
        fixed_position_signs,
        "random signs on the gradient, one per channel and position, fixed",
        "this package; Lillicrap et al. 2016 (fixed random feedback)",
    ),
    "unit_masks": RemedyEntry(
        unit_masks,
        "dropout of the gradient alone, per unit and example",
        "this package; Srivastava et al. 2014 (dropout)",
        0.5,
    ),
    "class_signs": RemedyEntry(class_signs, "signs on the gradient, one per unit and class, fixed", OWN),
    "gradient_noise": RemedyEntry(
        gradient_noise, "normal noise as large as each parameter's gradient", "Neelakantan et al. 2015", 1.0
    ),
    "warmup": RemedyEntry(warmup, "a learning rate that rises linearly", "Goyal et al. 2017"),
    "moment_reset": RemedyEntry(moment_reset, "the optimizer's state is cleared after the steps", OWN),
    "weight_rescale": RemedyEntry(
        weight_rescale, "weights get the size of PyTorch's default after the steps", OWN, 1.0
    ),
    "weight_orthogonal": RemedyEntry(
        weight_orthogonal,
        "weights become orthogonal after the steps, in the size of PyTorch's default",
        "this package; Saxe et al. 2014; Jordan et al. 2024",
        1.0,
    ),
    "weight_orthonormal": RemedyEntry(
        weight_orthonormal,
        "weights become orthonormal after half of the steps and after the last, however small their directions were",
        "this package; Saxe et al. 2014",
        1.0,
    ),
    "until_moved": RemedyEntry(
        until_moved, "the other remedies end after twice as many steps as every weight needs to leave zero", OWN
    ),
    "draw_stuck": RemedyEntry(
        draw_stuck, "draws zero weights that keep each other at zero; names weights that never move", OWN
    ),
    "revive_units": RemedyEntry(
        revive_units,
        "units that a rectifier cuts off get a positive bias; units that never move are named",
        "this package; Lu et al. 2020 (an asymmetric draw of biases)",
    ),
    "early_muon": RemedyEntry(early_muon, "updates of weights are made orthogonal", "Jordan et al. 2024"),
}
