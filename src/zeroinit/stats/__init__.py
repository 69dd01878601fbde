"""Arrays to estimates, intervals and tests. NumPy and SciPy only: this room knows nothing of the others.

The default is Student's t, paired by seed; ``INTERVALS`` holds the methods for the mean of a few seeds.
"""

from zeroinit.stats.association import determination, grouped_bootstrap, rank_correlation
from zeroinit.stats.bootstrap import bootstrap_t_interval, percentile_bootstrap
from zeroinit.stats.differences import PairedDifference, one_sample, paired_difference
from zeroinit.stats.equivalence import EquivalenceResult, equivalence
from zeroinit.stats.estimate import Estimate
from zeroinit.stats.holm import holm
from zeroinit.stats.intervals import INTERVALS, curve_intervals
from zeroinit.stats.ratio import ratio_interval
from zeroinit.stats.sample_size import num_seeds_needed
from zeroinit.stats.share import share_interval
from zeroinit.stats.t_interval import mean_interval

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
    "num_seeds_needed",
    "one_sample",
    "paired_difference",
    "percentile_bootstrap",
    "rank_correlation",
    "ratio_interval",
    "share_interval",
]
