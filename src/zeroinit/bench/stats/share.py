"""A share of the seeds with its exact interval."""

import numpy as np
import scipy

from zeroinit._common import InputError
from zeroinit._shapes import Shaped
from zeroinit.bench.stats.estimate import Estimate, check_level

__all__ = ["share_interval"]


def share_interval(hits: Shaped[np.ndarray, " seeds"], level: float = 0.95) -> Estimate:
    """Return the share of seeds for which something holds, with the exact (Clopper-Pearson) interval.

    It covers at least at its level, whatever the true share and the number of seeds.

    Args:
        hits: 1 for each seed for which it holds, 0 for the others.
        level: The nominal coverage.

    Returns:
        The share with its interval; with one seed, too.

    Raises:
        InputError: No seed, a value that is neither 0 nor 1, or a level that is not between 0 and 1.

    Source:
        Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".

    Example:
        >>> print(share_interval(np.ones(5)))
        1.0000 [0.4782, 1.0000]
    """
    check_level(level)
    if not len(hits) or not np.isin(hits, (0, 1)).all():
        raise InputError(f"hits={hits.tolist()}: must be one 0 or 1 for each seed, at least one")
    num_seeds, num_hits, tail = len(hits), int(hits.sum()), (1 - level) / 2
    low = scipy.stats.beta.ppf(tail, num_hits, num_seeds - num_hits + 1) if num_hits else 0.0
    high = scipy.stats.beta.isf(tail, num_hits + 1, num_seeds - num_hits) if num_hits < num_seeds else 1.0
    return Estimate(num_hits / num_seeds, float(low), float(high), num_seeds, level, "clopper_pearson")
