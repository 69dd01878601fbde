"""Many tests at once: Holm's correction."""

from collections.abc import Sequence

import numpy as np

from zeroinit._common import InputError
from zeroinit._shapes import Float


def holm(p_values: Float[np.ndarray, " tests"] | Sequence[float | int]) -> Float[np.ndarray, " tests"]:
    """Return the p-values adjusted for their number, so that the chance of any false rejection keeps its level.

    Reject where the adjusted value is below the level. The correction holds under any dependence between the tests. It
    rejects at least what Bonferroni rejects.

    Args:
        p_values: One p-value per test; NaN where a test could not be made.

    Returns:
        The adjusted p-values in the same order, shape (tests,); NaN stays NaN and does not count as a test.

    Raises:
        InputError: A p-value is outside [0, 1], or they do not form one row.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03, float("nan")]).tolist()
        [0.03, 0.06, 0.06, nan]
    """
    given = np.asarray(p_values, dtype=float)
    if given.ndim != 1:
        raise InputError(f"p_values has shape {given.shape}: must have shape (tests,); flatten it first")
    outside = given[(given < 0) | (given > 1)]
    if outside.size:
        raise InputError(f"p_values has {outside[0]}: must lie between 0 and 1, or be NaN for a test not made")
    order = np.argsort(given)[: np.count_nonzero(~np.isnan(given))]  # NaN sorts last
    adjusted = np.full_like(given, np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return adjusted
