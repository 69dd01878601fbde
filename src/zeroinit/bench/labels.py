"""The labels of curves: the paper's words, and in a study the network's name before them."""

__all__ = ["ALL_ZERO", "BASELINE", "NORMAL", "PYTORCH", "UNIFORM", "ZERO_START", "split_label"]

BASELINE, PYTORCH = "Logistic regression", "PyTorch's default"
NORMAL, UNIFORM = "zero weights, normal biases", "zero weights, uniform biases"
ALL_ZERO = "all zero"
ZERO_START = "zero start"


def split_label(label: str) -> tuple[str, str]:
    """Split a label into network and name.

    Example:
        >>> split_label("MNIST FNN: early dropout")
        ('MNIST FNN', 'early dropout')
    """
    network, _, name = label.partition(": ")
    return network, name
