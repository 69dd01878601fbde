"""The paper's networks, one file per architecture; any activation by name, any input shape.

To add an architecture: write one file with a function ``(input_shape, num_classes, activation) -> nn.Module``
and add one line to ``MODELS``. The contract tests then try it with every initializer.
"""

from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import nn

from zeroinit._common import InputError, lookup, whole_number
from zeroinit.bench.models.activations import ACTIVATIONS, make_activation
from zeroinit.bench.models.cnn import cifar_cnn, cifar_cnn_quarter, mnist_cnn, mnist_cnn_quarter
from zeroinit.bench.models.fnn import cifar_fnn, dense_network, logistic_regression, mnist_fnn
from zeroinit.bench.models.norms import NORMS, ExactBatchNorm2d, replace_norms
from zeroinit.bench.models.residual import residual_fnn
from zeroinit.bench.models.resnet import (
    resnet8,
    resnet18,
    resnet18_standard,
    resnet34,
    resnet34_standard,
    resnet50,
    resnet50_quarter,
    resnet50_standard,
    resnet101,
    resnet101_standard,
)
from zeroinit.bench.models.transformer import row_transformer, small_vit

__all__ = ["ACTIVATIONS", "MODELS", "NORMS", "ExactBatchNorm2d", "build_model", "make_activation"]

Architecture = Callable[[tuple[int, int, int], int, str], nn.Module]

MODELS: dict[str, Architecture] = {
    "logistic_regression": logistic_regression,
    "mnist_fnn": mnist_fnn,
    "mnist_cnn": mnist_cnn,
    "mnist_cnn_quarter": mnist_cnn_quarter,
    "cifar_fnn": cifar_fnn,
    "cifar_cnn": cifar_cnn,
    "cifar_cnn_quarter": cifar_cnn_quarter,
    "residual_fnn": residual_fnn,
    "row_transformer": row_transformer,
    "small_vit": small_vit,
    "resnet8": resnet8,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet50_quarter": resnet50_quarter,
    "resnet101": resnet101,
    "resnet18_standard": resnet18_standard,
    "resnet34_standard": resnet34_standard,
    "resnet50_standard": resnet50_standard,
    "resnet101_standard": resnet101_standard,
}


DENSE = ("mnist_fnn", "cifar_fnn")
"""Networks whose hidden layers can be chosen."""


def build_model(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int = 10,
    *,
    activation: str = "elu",
    norm: str = "batch",
    hidden: Sequence[int] = (),
) -> nn.Module:
    """Build a network by name; the global random state is left as it was.

    The parameters carry PyTorch's default from a fixed seed until ``initialize_`` sets them.

    Args:
        name: A key of ``MODELS``.
        input_shape: Channels, height and width of one image.
        num_classes: The number of outputs, at least 2.
        activation: A key of ``ACTIVATIONS``, placed after every layer but the last.
        norm: A key of ``NORMS``: the norm that replaces batch norm.
        hidden: Units of each hidden layer of a dense network; the network's own if empty.

    Returns:
        A module from images (batch, channels, height, width) to logits (batch, num_classes).

    Raises:
        InputError: An unknown name, a shape that is not three positive counts, or fewer than two classes. Another norm
            for a network without batch norm. Hidden layers for a network that is not dense.

    Example:
        >>> build_model("mnist_fnn", (1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    architecture = lookup(MODELS, name, "model")
    lookup(ACTIVATIONS, activation, "activation")
    if not _are_counts(input_shape) or len(input_shape) != 3:
        raise InputError(f"input_shape={input_shape}: must be three positive counts (channels, height, width)")
    num_classes = whole_number(num_classes, "num_classes", 2)
    if not _are_counts(hidden) or (hidden and name not in DENSE):
        raise InputError(f"hidden={hidden!r}: must be positive counts, for {' or '.join(DENSE)} alone, not {name}")
    # On the CPU first: torch.manual_seed and layers made on a GPU would disturb the random state of every GPU.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(0)
        model: nn.Module = (
            dense_network(input_shape, hidden, num_classes, activation)
            if hidden
            else architecture(input_shape, num_classes, activation)
        )
        replace_norms(model, norm)
    return model.to(torch.get_default_device())


def _are_counts(sizes: Sequence[int]) -> bool:
    return isinstance(sizes, Sequence) and all(isinstance(each, Integral) and each > 0 for each in sizes)
