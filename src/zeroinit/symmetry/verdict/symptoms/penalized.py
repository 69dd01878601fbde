"""Weights that only a penalty moves: they have no effect on the output, and the loss adds their squares."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import running
from zeroinit.symmetry.shadow.undisturbed import reseed
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.calls import tensors_in

__all__ = ["only_penalized"]

FEWEST = 8
"""Values from which on a gradient can be told to be a multiple of the weights."""
ALIKE = 1 - 1e-5
"""Cosine of weights and gradient from which on these are multiples of each other, but for rounding."""


def only_penalized(evidence: Evidence) -> Iterator[tuple[str, ...]]:
    """Yield the parameters whose gradient is a multiple of their values, if the output is the same without them."""
    suspects = [each.layer.weight for each in evidence.watch.layers if _are_multiples(each.start, each.first_gradient)]
    suspects = list(dict.fromkeys(suspects))
    if evidence.objective.loss_fn is None or not suspects:
        return
    replica = copy_of(evidence.model, torch.float32)
    try:
        before = _outputs(evidence, replica)
        with torch.no_grad():
            for name in suspects:
                replica.get_parameter(name).mul_(0.5)
        after = _outputs(evidence, replica)
    except (InputError, RuntimeError):
        return
    if before and len(before) == len(after) and all(map(torch.equal, before, after)):
        yield tuple(suspects)


def _are_multiples(values: Tensor, gradient: Tensor | None) -> bool:
    if gradient is None or values.shape != gradient.shape or values.numel() < FEWEST:
        return False
    one, other = values.double().flatten(), gradient.double().flatten()
    spread = bool(one.std() > 1e-6 * one.abs().mean())  # weights of one value say nothing
    return spread and abs(float(F.cosine_similarity(one, other, dim=0))) > ALIKE


def _outputs(evidence: Evidence, replica: nn.Module) -> list[Tensor]:
    mode = ShadowMode(torch.float32, evidence.settings.dropout)
    reseed(evidence.settings.seed, 1)
    with torch.no_grad(), running(replica, torch.float32, mode), mode:
        return [each.detach().clone() for each in tensors_in([evidence.objective.output(replica, torch.float32)])]
