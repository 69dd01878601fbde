"""``scale="auto"``: a factor for the biases of each layer, from the shape of the layer that follows."""

from collections.abc import Iterable, Mapping

from torch import nn

from zeroinit._modules.layers import num_inputs

__all__ = ["LAST_SCALE", "auto_scales"]

NORM = 3.0
"""Approximate norm of the vector of biases that enters the next layer."""

LAST_SCALE = 0.01
"""Factor of the last layer's biases."""


def auto_scales(model: nn.Module, layers: Mapping[str, nn.Module], others: Iterable[str] = ()) -> dict[str, float]:
    """Return the factor of the biases of each layer: min(1, 3 / sqrt(fan-in of the next layer)), 0.01 for the last.

    With zero weights the next layer gets the constants f(b_j). One gradient step changes its output in two ways. Its
    weights contribute learning rate x gradient x S, where S is the sum of f(b_j)^2. Its own bias contributes learning
    rate x gradient x 1. If abs f(b) is about abs b, then with factor s and n inputs S is about n s^2. At
    s = 3 / sqrt(n), S is 9 at any width.

    A smaller S is safer at large learning rates. But the signals to the layers below grow with S: with S = 1, two
    hidden layers learn nothing for hundreds of steps of SGD. We chose 3 among 1, 3 and 10. This function does not know
    the learning rate. With small learning rates of SGD, larger biases learn sooner (docs/results/large_bias_grid.md).

    The last layer's biases must be unlearned and have no other effect; with factor 0.01 this is quick. If the last
    layer in the model's order is in fact a hidden layer, its units still differ by these biases.

    Args:
        model: The order of its modules decides which layer comes next; branches are taken as a chain.
        layers: All layers of the model that have a rule, by path. For a transposed convolution the fan-in is the
            true one, on average over positions.
        others: Paths of norms, whose beta enters the next layer as a bias does.

    Returns:
        The factors of layers and norms, by path.

    Example:
        >>> model = nn.Sequential(nn.Linear(784, 100), nn.ELU(), nn.Linear(100, 10))
        >>> auto_scales(model, {"0": model[0], "2": model[2]})
        {'0': 0.3, '2': 0.01}
    """
    paths = {*layers, *others}
    found: dict[str, float] = {}
    following = LAST_SCALE
    for path, _ in reversed(list(model.named_modules())):
        if path not in paths:
            continue
        found[path] = following
        if path in layers:
            following = min(1.0, NORM / max(num_inputs(layers[path]), 1) ** 0.5)
    return {path: found[path] for path in reversed(found)}
