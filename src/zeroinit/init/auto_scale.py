"""``scale="auto"``: a factor for the biases of each layer, from the shape of the layer that follows."""

from collections.abc import Iterable, Mapping

from torch import nn

from zeroinit.init.layers import num_inputs

__all__ = ["LAST_SCALE", "auto_scales"]

NORM = 3.0
"""Size of the vector of biases that enters the next layer, about."""

LAST_SCALE = 0.01
"""Factor of the last layer's biases."""


def auto_scales(model: nn.Module, layers: Mapping[str, nn.Module], others: Iterable[str] = ()) -> dict[str, float]:
    """Return the factor of the biases of each layer: min(1, 3 / sqrt(fan-in of the next layer)), 0.01 for the last.

    With zero weights the next layer gets the constants f(b_j). One gradient step moves its output along them by
    learning rate x gradient x the sum of f(b_j)^2, and along its own bias, whose input is 1, by learning rate x
    gradient x 1. With abs f(b) of the size of abs b, factor s and n inputs that sum is about n s^2: at s = 3 / sqrt(n)
    it is 9 at any width. A smaller sum is safer at large learning rates; but the signals to the layers below grow
    with it, and with a sum of 1 two hidden layers learn nothing for hundreds of steps of SGD. 3 was chosen among 1, 3
    and 10. The learning rate is not known here: for SGD at small ones larger biases learn sooner (docs/findings.md).

    Offsets of the last layer have to be unlearned and do nothing else: 0.01 is soon unlearned, and keeps units apart
    if the last layer in the model's order should be a hidden one.

    Args:
        model: Its modules' order tells which layer comes next; branches are taken as a chain.
        layers: All layers of the model that have a rule, by path. For a transposed convolution the fan-in is the
            true one, on average over positions.
        others: Paths of norms, whose beta enters the next layer as a bias does.

    Returns:
        By path, for layers and norms.

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
