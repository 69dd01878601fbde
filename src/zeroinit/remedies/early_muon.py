"""Orthogonal updates at first, whatever the optimizer."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit.remedies.remedy import Remedy

__all__ = ["EarlyMuon", "orthogonalized"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of a polynomial a s + b s^3 + c s^5. It brings singular values s in (0.01, 1] to about 1 in five rounds."""
NUM_ROUNDS = 5


class EarlyMuon(Remedy):
    """Makes each update of a weight orthogonal and keeps its Frobenius norm, whatever the optimizer.

    Weights are parameters with two axes or more; those of a convolution count as matrices (channels, rest). All
    directions of the update become equally large, as in Muon. So the first steps raise the rank of the weights.

    The remedy adds no new directions. A rank-1 update stays rank 1, apart from amplified rounding error. This error
    becomes up to 485 times as large in each update. After about ten steps it makes identical units differ.

    Source:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def _set_up(self) -> None:
        self._kept: list[tuple[nn.Parameter, Tensor]] = []

    def _before_step(self, optimizer: Optimizer, is_late: bool) -> None:
        if self.remaining or is_late:
            own = set(self._model.parameters())
            held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            self._kept = [(each, each.detach().clone()) for each in held if each in own and each.dim() >= 2]

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer) -> None:
        for parameter, before in self._kept:
            if parameter.grad is not None:
                parameter.copy_(before + orthogonalized(parameter - before))
        self._kept = []

    def _take_off(self) -> None:
        super()._take_off()
        self._kept = []


def orthogonalized(update: Tensor) -> Tensor:
    """Bring the singular values of a matrix close to each other and keep its Frobenius norm.

    Newton-Schulz iteration with a polynomial of degree five, in float32 or, for a float64 tensor, in float64. A
    singular value below about 0.003 of the norm stays smaller than the others.

    Args:
        update: At least two axes; all but the first count as one.

    Returns:
        A tensor of the shape of ``update``; zeros if ``update`` is zero.

    Example:
        >>> values = torch.linalg.svdvals(orthogonalized(torch.diag(torch.tensor([1.0, 0.1]))))
        >>> (values.max() / values.min()).item() < 2
        True
    """
    matrix = update.flatten(1).to(torch.promote_types(update.dtype, torch.float32))
    tiny = torch.finfo(matrix.dtype).tiny
    largest = matrix.abs().max().clamp(min=tiny)  # the squares of 1e-25 would be zero
    matrix = matrix / largest
    norm = matrix.norm()
    is_tall = matrix.shape[0] > matrix.shape[1]
    current = (matrix.T if is_tall else matrix) / norm.clamp(min=tiny)
    linear, cubic, quintic = COEFFICIENTS
    for _ in range(NUM_ROUNDS):
        gram = current @ current.T
        current = linear * current + (cubic * gram + quintic * gram @ gram) @ current
    current = current * (norm / current.norm().clamp(min=tiny)) * largest
    return (current.T if is_tall else current).reshape(update.shape).to(update.dtype)
