"""The table of initializers: a distribution for the weights, one for the biases, and the source."""

from dataclasses import dataclass

from zeroinit.init.distributions import CONSTANT, FAN_IN_UNIFORM, NORMAL, UNIFORM, ZERO, Distribution

__all__ = ["INITIALIZERS", "Initializer"]


@dataclass(frozen=True)
class Initializer:
    """The distributions of weights and of biases, and the source."""

    weight: Distribution
    bias: Distribution
    summary: str
    source: str

    @property
    def uses_scale(self) -> bool:
        """Whether ``scale`` changes anything."""
        return self.weight.scaled or self.bias.scaled

    @property
    def draws_biases_alone(self) -> bool:
        """Whether only the biases can break the symmetry: the weights are zero, the biases are not."""
        return self.bias.scaled and not self.weight.scaled


_PAPER = "Schicho 2023, section 3"

INITIALIZERS: dict[str, Initializer] = {
    "pytorch": Initializer(
        FAN_IN_UNIFORM, FAN_IN_UNIFORM, "PyTorch's default for dense and convolutional layers", "torch.nn, 2.x"
    ),
    "zero": Initializer(ZERO, ZERO, "everything zero: symmetry is never broken", _PAPER),
    "normal_bias": Initializer(ZERO, NORMAL, "zero weights, normal biases", _PAPER),
    "uniform_bias": Initializer(ZERO, UNIFORM, "zero weights, biases uniform on [0, 1)", _PAPER),
    "constant_bias": Initializer(
        ZERO, CONSTANT, "zero weights, every bias the same: symmetry is never broken", "control for the paper's claim"
    ),
}
