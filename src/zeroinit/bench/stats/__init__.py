"""Arrays to estimates, intervals and tests. NumPy and SciPy only: this package knows nothing of the others.

The default is Student's t, paired by seed; ``INTERVALS`` holds the methods for the mean of a few seeds.
"""

from zeroinit.bench.stats.association import determination, grouped_bootstrap, rank_correlation
from zeroinit.bench.stats.bootstrap import bootstrap_t_interval, percentile_bootstrap
from zeroinit.bench.stats.differences import PairedDifference, one_sample, paired_difference
from zeroinit.bench.stats.equivalence import EquivalenceResult, equivalence
from zeroinit.bench.stats.estimate import Estimate
from zeroinit.bench.stats.holm import holm
from zeroinit.bench.stats.intervals import INTERVALS, curve_intervals
from zeroinit.bench.stats.ratio import ratio_interval
from zeroinit.bench.stats.sample_size import num_seeds_for_equivalence, num_seeds_needed
from zeroinit.bench.stats.share import share_interval
from zeroinit.bench.stats.t_interval import mean_interval

__all__ = [
    "INTERVALS",
    "EquivalenceResult",
    "Estimate",
    "PairedDifference",
    "bootstrap_t_interval",
    "curve_intervals",
    "determination",
    "equivalence",
    "grouped_bootstrap",
    "holm",
    "mean_interval",
    "num_seeds_for_equivalence",
    "num_seeds_needed",
    "one_sample",
    "paired_difference",
    "percentile_bootstrap",
    "rank_correlation",
    "ratio_interval",
    "share_interval",
]
