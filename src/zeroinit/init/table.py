"""The table of initializers by name."""

from dataclasses import replace
from functools import partial

from zeroinit.init.distributions import CONSTANT, FAN_IN_UNIFORM, NORMAL, UNIFORM, ZERO
from zeroinit.init.initializers import Initializer, initializer
from zeroinit.init.schemes import lsuv, mimetic, residual, structured, variance, zero_family

__all__ = ["INITIALIZERS"]

_PAPER = "Schicho 2023, section 3"
_IDENTICAL = "all units of a layer are identical, and no update makes them differ"

_ENTRIES: dict[str, Initializer] = {
    "pytorch": Initializer(
        FAN_IN_UNIFORM, FAN_IN_UNIFORM, "PyTorch's default for dense and convolutional layers", "torch.nn, 2.x"
    ),
    "zero": Initializer(
        ZERO, ZERO, "everything zero: symmetry is never broken", _PAPER, limits=_IDENTICAL, is_random=False
    ),
    "normal_bias": Initializer(ZERO, NORMAL, "zero weights, normal biases", _PAPER),
    "uniform_bias": Initializer(ZERO, UNIFORM, "zero weights, biases uniform on [0, 1)", _PAPER),
    "constant_bias": Initializer(
        ZERO,
        CONSTANT,
        "zero weights, every bias the same: symmetry is never broken",
        "control for the paper's claim",
        limits=_IDENTICAL,
        is_random=False,
    ),
    "xavier_uniform": initializer(variance.xavier_uniform),
    "xavier_normal": initializer(variance.xavier_normal),
    "kaiming_uniform": initializer(variance.kaiming_uniform),
    "kaiming_normal": initializer(variance.kaiming_normal),
    "lecun_uniform": initializer(partial(variance.lecun_normal, "uniform")),
    "lecun_normal": initializer(variance.lecun_normal),
    "lecun_truncated": initializer(partial(variance.lecun_normal, "truncated_normal")),
    "variance_scaling": initializer(variance.variance_scaling),
    "orthogonal": initializer(structured.orthogonal),
    "delta_orthogonal": initializer(structured.delta_orthogonal),
    "identity": initializer(structured.identity),
    "sparse": initializer(structured.sparse),
    "zeros": initializer(zero_family.zeros),
    "zer_o": initializer(zero_family.zer_o),
    "idinit": initializer(zero_family.idinit),
    "sinusoidal": initializer(zero_family.sinusoidal),
    "fixup": initializer(residual.fixup),
    "zero_branch": initializer(residual.zero_branch),
    "constnet": initializer(residual.constnet),
    "lsuv": initializer(lsuv.lsuv),
    "mimetic": initializer(mimetic.mimetic),
}

INITIALIZERS: dict[str, Initializer] = {name: replace(entry, name=name) for name, entry in _ENTRIES.items()}
"""Initializers by name; ``make_initializer`` takes options."""
