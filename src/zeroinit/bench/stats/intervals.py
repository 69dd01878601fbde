"""The table of interval methods, for one number per seed and for whole curves. A new method is one line in BOUNDS."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from zeroinit._common import InputError, lookup
from zeroinit._shapes import Float, Real
from zeroinit.bench.stats.bootstrap import bootstrap_t_bounds, percentile_bounds
from zeroinit.bench.stats.estimate import Bounds, Estimate, check_level, estimate_mean
from zeroinit.bench.stats.t_interval import t_bounds

BOUNDS: Mapping[str, Bounds] = {
    "t": t_bounds,
    "bootstrap_t": bootstrap_t_bounds,
    "percentile_bootstrap": percentile_bounds,
}
"""The rules on columns: ``(values [seeds columns], generator, level) -> (low [columns], high [columns])``."""

INTERVALS: Mapping[str, Callable[..., Estimate]] = {
    name: partial(estimate_mean, bounds=bounds, method=name) for name, bounds in BOUNDS.items()
}
"""The methods by name, all called as ``(values, generator, level=0.95) -> Estimate``; ``"t"`` ignores the generator."""


def curve_intervals(
    values: Real[np.ndarray, "seeds epochs"],
    method: str = "t",
    generator: np.random.Generator | None = None,
    level: float = 0.95,
) -> tuple[Float[np.ndarray, " epochs"], Float[np.ndarray, " epochs"], Float[np.ndarray, " epochs"]]:
    """Return a curve's mean over seeds and the ends of its band, epoch by epoch.

    The band is pointwise: it covers each epoch at its level, the whole curve less often. A bootstrap resamples whole
    runs, so all epochs share its draws.

    Args:
        values: One row per seed, one column per epoch. An epoch with a value that is not finite has no mean and no
            band: all three are NaN there.
        method: A key of ``INTERVALS``.
        generator: Where a bootstrap's draws come from; ``"t"`` needs none.
        level: The nominal coverage, between 0 and 1.

    Returns:
        Mean, lower ends and upper ends, each of shape (epochs,). With one seed the ends are NaN.

    Raises:
        InputError: ``values`` is not two-dimensional or has no row, ``method`` is unknown, ``level`` is outside (0, 1)
            or a bootstrap got no generator.

    Example:
        >>> mean, low, high = curve_intervals(np.array([[0.1, 0.5], [0.2, 0.7], [0.3, 0.9]]))
        >>> mean.round(3).tolist(), low.round(3).tolist(), high.round(3).tolist()
        ([0.2, 0.7], [-0.048, 0.203], [0.448, 1.197])
    """
    numbers = np.asarray(values, dtype=float)
    check_level(level)
    bounds = lookup(BOUNDS, method, "method")
    if numbers.ndim != 2 or len(numbers) == 0:
        raise InputError(f"values has shape {numbers.shape}: must have shape (seeds, epochs) with at least one seed")
    mean, low, high = np.full((3, numbers.shape[1]), np.nan)
    finite = np.isfinite(numbers).all(axis=0)
    mean[finite] = numbers[:, finite].mean(axis=0)
    if len(numbers) > 1:
        low[finite], high[finite] = bounds(numbers[:, finite], generator, level)
    return mean, low, high
