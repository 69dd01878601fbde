"""What recorded gradients say: when each layer's first one comes, and whether it is a signal or rounding."""

import numpy as np

from zeroinit.bench.experiments.store import Result

__all__ = ["CAUSES", "gradient_sizes", "is_awake", "wake_causes"]

AGREE, SHRINK = 2.0, 1e3
"""A first gradient is a signal if float32 and float64 agree within the first factor, rounding if float64's is smaller
by the second at least."""

CAUSES = ("signal", "rounding", "unclear", "never")


def gradient_sizes(result: Result) -> tuple[list[str], np.ndarray]:
    """Return the names of the weights, from input to output, and their largest absolute gradients (layers, steps)."""
    assert result.recorded is not None
    weights = {name: entry for name, entry in result.recorded["parameters"].items() if len(entry["shape"]) >= 2}
    sizes = [[np.nan if size is None else size for size in entry["max_abs"]] for entry in weights.values()]
    return list(weights), np.array(sizes, dtype=float)


def is_awake(result: Result) -> np.ndarray:
    """Tell for each weight and update step (layers, steps) whether any entry of the gradient differs from zero."""
    return gradient_sizes(result)[1] != 0


def wake_causes(single: Result, double: Result) -> list[tuple[str, int | None, str]]:
    """Judge the first gradient of each weight by the same run in two precisions.

    Args:
        single: In float32.
        double: In float64, from the same values.

    Returns:
        From input to output the name, the first step with a gradient in float32 (``None`` if there is none) and one of
        ``CAUSES``: ``"signal"`` if float64 has its first gradient at the same step and of the same size within a factor
        of 2; ``"rounding"`` if float64's is a thousandth at most at that step (or exactly zero); else ``"unclear"``.
    """
    names, sizes = gradient_sizes(single)
    exact = gradient_sizes(double)[1]
    judged: list[tuple[str, int | None, str]] = []
    for name, row, reference in zip(names, sizes, exact, strict=True):
        steps = np.flatnonzero(row)
        if not len(steps):
            judged.append((name, None, "never"))
            continue
        first = int(steps[0])
        size, true = row[first], reference[first]
        is_first = not reference[:first].any()
        if is_first and size <= AGREE * true and true <= AGREE * size:
            cause = "signal"
        else:
            cause = "rounding" if size >= SHRINK * true else "unclear"
        judged.append((name, first + 1, cause))
    return judged
