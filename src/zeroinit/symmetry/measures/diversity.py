"""How diverse the rows of a matrix are: ranks, the spread of directions, collisions in low precision."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from zeroinit._shapes import Float, Shaped
from zeroinit.symmetry.measures.partition import group_equal_rows, num_groups

__all__ = [
    "both_ranks",
    "direction_spread",
    "distinct_rows",
    "effective_rank",
    "num_constant_columns",
    "num_duplicate_columns",
    "position_spread",
    "ranks_of",
    "repeated_features",
    "stable_rank",
]


def effective_rank(matrix: Float[Tensor, "rows columns"]) -> float:
    """Return the exponential of the entropy of the singular values, normalized to sum 1; 0 for a matrix of zeros.

    Args:
        matrix: Rows are units, examples or whatever is compared.

    Source:
        Roy and Vetterli 2007, "The effective rank".

    Example:
        >>> round(effective_rank(torch.eye(4)), 6), round(effective_rank(torch.ones(4, 4)), 3)
        (4.0, 1.0)
    """
    return _effective_rank(torch.linalg.svdvals(matrix.detach().double()))


def _effective_rank(values: Tensor) -> float:
    total = float(values.sum())
    if not total > 0 or not math.isfinite(total):
        return 0.0
    shares = values / total
    return float(torch.special.entr(shares).sum().exp())


def stable_rank(matrix: Float[Tensor, "rows columns"]) -> float:
    """Return the squared Frobenius norm over the squared largest singular value; 0 for a matrix of zeros.

    Args:
        matrix: Rows are units, examples or whatever is compared.

    Source:
        Rudelson and Vershynin 2007, "Sampling from large matrices".

    Example:
        >>> round(stable_rank(torch.eye(4)), 6), round(stable_rank(torch.diag(torch.tensor([2.0, 1.0]))), 6)
        (4.0, 1.25)
    """
    return _stable_rank(torch.linalg.svdvals(matrix.detach().double()))


def _stable_rank(values: Tensor) -> float:
    if not len(values) or not float(values[0]) > 0:
        return 0.0
    return float((values / values[0]).square().sum())


def both_ranks(matrix: Float[Tensor, "rows columns"]) -> tuple[float, float]:
    """Return the effective and the stable rank; NaN for a matrix that is not finite.

    Args:
        matrix: Rows are units, examples or whatever is compared.

    Example:
        >>> [round(rank, 6) for rank in both_ranks(torch.eye(4))]
        [4.0, 4.0]
    """
    if not torch.isfinite(matrix).all():
        return math.nan, math.nan
    if 1 in matrix.shape:
        rank = 1.0 if bool(matrix.any()) else 0.0
        return rank, rank
    values = torch.linalg.svdvals(matrix.detach().double())
    return _effective_rank(values), _stable_rank(values)


def ranks_of(matrices: Mapping[str, Float[Tensor, "rows columns"]]) -> dict[str, float]:
    """Return ``effective_rank_<name>`` and ``stable_rank_<name>`` of each matrix.

    Example:
        >>> {name: round(rank, 3) for name, rank in ranks_of({"weights": torch.eye(4)}).items()}
        {'effective_rank_weights': 4.0, 'stable_rank_weights': 4.0}
    """
    found: dict[str, float] = {}
    for name, matrix in matrices.items():
        found[f"effective_rank_{name}"], found[f"stable_rank_{name}"] = both_ranks(matrix)
    return found


def repeated_features(features: Float[Tensor, "examples features"], suffix: str = "") -> dict[str, float]:
    """Return the shares of features that are constant, and of those that repeat another; none for one example.

    Example:
        >>> repeated_features(torch.tensor([[1.0, 2.0], [1.0, 3.0]]))
        {'constant_features': 0.5, 'duplicate_features': 0.0}
    """
    if len(features) < 2:
        return {}
    count = features.shape[1]
    return {
        f"constant_features{suffix}": num_constant_columns(features) / count,
        f"duplicate_features{suffix}": num_duplicate_columns(features) / count,
    }


def direction_spread(rows: Float[Tensor, "units features"]) -> float:
    """Return 1 minus the mean absolute cosine between different rows: 0 if all point along one line.

    Rows of zeros are left out; 0 where fewer than two are left.

    Args:
        rows: One row for each unit.

    Source:
        Luo et al. 2021, "Phase diagram for two-layer ReLU neural networks at infinite-width limit" (condensation).

    Example:
        >>> one_line = torch.tensor([[1.0, 1.0], [-2.0, -2.0]])
        >>> round(direction_spread(torch.eye(4)), 6), round(direction_spread(one_line), 6)
        (1.0, 0.0)
    """
    norms = rows.detach().double().norm(dim=1, keepdim=True)
    kept = rows.detach().double()[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    if len(kept) < 2:
        return 0.0
    cosines = (kept @ kept.T).abs()
    return float(1 - (cosines.sum() - cosines.diagonal().sum()) / (len(kept) * (len(kept) - 1)))


def distinct_rows(rows: Shaped[Tensor, "units features"], dtype: torch.dtype) -> int:
    """Return how many different rows are left once they are stored as ``dtype``.

    Args:
        rows: One row for each unit, of a floating-point type.
        dtype: For instance ``torch.bfloat16``.

    Source:
        Schicho 2023 draws one bias for each unit; in bf16 and fp16 many of them coincide.

    Example:
        >>> biases = torch.tensor([[1.0], [1.0 + 2**-9], [2.0]])
        >>> distinct_rows(biases, torch.float32), distinct_rows(biases, torch.bfloat16)
        (3, 2)
    """
    return num_groups(group_equal_rows(rows.detach().to(dtype)))


def position_spread(weight: Float[Tensor, "units channels *positions"]) -> float:
    """Return the share of a weight's squared norm that varies over positions: 0 if each kernel is constant.

    Entries that are drawn alone, with mean 0, have about 1 - 1/positions. A weight of zeros has 0; one that is not
    finite, NaN.

    Args:
        weight: Kernels, their positions last; or a dense layer on a flattened map, its inputs as (channels, positions).

    Source:
        With zero weights features are constant over positions, so that all positions of a kernel get one gradient: the
        symmetry under translation, which random biases leave (Schicho 2023 draws one for each channel).

    Example:
        >>> box, edge = torch.ones(1, 1, 2), torch.tensor([[[1.0, -1.0]]])
        >>> position_spread(box), position_spread(edge), position_spread(torch.cat([box, edge]))
        (0.0, 1.0, 0.5)
    """
    rows = weight.detach().double().flatten(2)
    total = float(rows.square().sum())
    return float((rows - rows.mean(dim=2, keepdim=True)).square().sum()) / total if total else 0.0


def num_constant_columns(features: Float[Tensor, "examples features"]) -> int:
    """Return how many features have the same value in every example, up to 16 machine epsilons of the largest.

    Args:
        features: Activations of a layer, one row for each example or position.

    Source:
        Lu et al. 2020, "Dying ReLU and initialization": a unit whose output is constant carries no information.

    Example:
        >>> num_constant_columns(torch.tensor([[1.0, 2.0], [1.0, 3.0]]))
        1
    """
    if not features.numel():
        return 0
    spread = features.detach().amax(dim=0) - features.detach().amin(dim=0)
    return int((spread <= 16 * torch.finfo(features.dtype).eps * features.detach().abs().amax()).sum())


def num_duplicate_columns(features: Float[Tensor, "examples features"]) -> int:
    """Return how many features equal an earlier feature bit for bit in every example.

    Args:
        features: Activations of a layer, one row for each example or position.

    Source:
        Schicho 2023: with zero weights, units with equal biases have equal outputs.

    Example:
        >>> num_duplicate_columns(torch.tensor([[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]]))
        1
    """
    return features.shape[1] - num_groups(group_equal_rows(features.T))
