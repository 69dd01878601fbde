"""Is a difference too small to matter: two one-sided tests against a margin that is stated beforehand."""

import dataclasses
import math

import numpy as np

from zeroinit._common import InputError, jsonable
from zeroinit.bench.stats.differences import t_test
from zeroinit.bench.stats.estimate import Estimate, Values, checked_values
from zeroinit.bench.stats.t_interval import mean_interval


@dataclasses.dataclass(frozen=True)
class EquivalenceResult:
    """A mean difference against a margin.

    Attributes:
        margin: The largest difference that does not matter.
        p_equivalent: Small where the difference lies inside the margin, on both sides.
        p_different: Small where the difference lies outside the margin, on one side.
        estimate_90: The difference with its 90 % interval; inside the margin exactly when ``p_equivalent < 0.05``.
        estimate_95: The difference with its 95 % interval; outside the margin exactly when ``p_different < 0.05``.
    """

    margin: float
    p_equivalent: float
    p_different: float
    estimate_90: Estimate
    estimate_95: Estimate

    def __str__(self) -> str:
        return (
            f"{self.estimate_90} against a margin of {self.margin:g}: "
            f"p_equivalent = {self.p_equivalent:.3g}, p_different = {self.p_different:.3g}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values, ready for JSON: what is not finite becomes ``None``."""
        return jsonable(dataclasses.asdict(self))


def equivalence(differences: Values, margin: float) -> EquivalenceResult:
    """Test whether the mean difference lies inside ``±margin``, and whether it lies outside.

    A large p-value of an ordinary test is no evidence for equality. A small ``p_equivalent`` is. If both p-values are
    large, there are too few seeds to decide.

    Args:
        differences: One finite difference per seed.
        margin: The largest difference that does not matter, above 0, chosen before the results are seen.

    Returns:
        Both p-values and the difference with its 90 % and its 95 % interval; NaN for one seed.

    Raises:
        InputError: ``differences`` is empty, not one-dimensional or not finite, or ``margin`` is not above 0.

    Source:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", Journal of
        Pharmacokinetics and Biopharmaceutics 15, 1987.

    Example:
        >>> print(equivalence([0.001, -0.002, 0.000, 0.001, -0.001], margin=0.005))
        -0.0002 [-0.0014, 0.0010] against a margin of 0.005: p_equivalent = 0.000594, p_different = 1
    """
    numbers = checked_values(differences, "differences")
    if not 0 < margin < math.inf:
        raise InputError(f"margin={margin}: must be above 0 and finite; state the largest difference that is harmless")
    scale = max(float(np.abs(numbers).max()), margin)
    above, below = t_test(numbers, margin, scale), t_test(numbers, -margin, scale)
    return EquivalenceResult(
        margin=margin,
        p_equivalent=max(above.less, below.greater),
        p_different=min(1.0, 2 * min(above.greater, below.less)) if len(numbers) > 1 else math.nan,
        estimate_90=mean_interval(numbers, 0.90),
        estimate_95=mean_interval(numbers, 0.95),
    )
