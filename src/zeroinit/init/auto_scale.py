"""``scale="auto"``: a factor for the biases of each layer, from the shape of the layer that follows."""

from collections.abc import Iterable, Mapping

from torch import nn

from zeroinit.init.laws import fan_in

__all__ = ["LAST_SCALE", "auto_scales"]

LAST_SCALE = 0.01
"""Factor of the last layer's biases."""


def auto_scales(model: nn.Module, layers: Mapping[str, nn.Module], others: Iterable[str] = ()) -> dict[str, float]:
    """Return the factor of the biases of each layer: min(1, 1 / sqrt(fan-in of the next layer)), 0.01 for the last.

    With zero weights the next layer gets the constants f(b_j). One gradient step moves its output along them by
    learning rate x gradient x the sum of f(b_j)^2, and along its own bias, whose input is 1, by learning rate x
    gradient x 1. With |f(b)| of the size of |b|, factor s and n inputs that sum is about n s^2; it is that of the bias
    at s = 1 / sqrt(n). So features add no direction with more curvature than the bias has anyway, at any width, and
    units work where the activation bends. Offsets of the last layer have to be unlearned and do nothing else: 0.01 is
    soon unlearned, and keeps units apart if the last layer in the model's order should be a hidden one.

    Args:
        model: Its modules' order tells which layer comes next; branches are taken as a chain.
        layers: All dense and convolutional layers of the model, by path.
        others: Paths of norms, whose beta enters the next layer as a bias does.

    Returns:
        By path, for layers and norms.

    Example:
        >>> model = nn.Sequential(nn.Linear(784, 400), nn.ELU(), nn.Linear(400, 10))
        >>> auto_scales(model, {"0": model[0], "2": model[2]})
        {'0': 0.05, '2': 0.01}
    """
    paths = {*layers, *others}
    found: dict[str, float] = {}
    following = LAST_SCALE
    for path, _ in reversed(list(model.named_modules())):
        if path not in paths:
            continue
        found[path] = following
        if path in layers:
            following = min(1.0, max(fan_in(layers[path]), 1) ** -0.5)
    return {path: found[path] for path in reversed(found)}
