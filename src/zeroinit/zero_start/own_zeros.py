"""Zeros that a model brings along: norms with γ = 0, and weights that the model itself starts at zero."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import nn

from zeroinit._modules.layers import weights_of
from zeroinit._modules.norms import NORMS
from zeroinit.init.record import InitRecord, ParameterRecord, hash_tensor

__all__ = ["OwnZeros", "find_own_zeros", "open_gammas"]

OWN_GAMMA = "1 (was 0)"


@dataclass(frozen=True)
class OwnZeros:
    """Trained parameters that a model itself starts at zero.

    Attributes:
        gammas: Norms whose scale is zero everywhere, by path.
        weights: Weights of layers that are zero, by name; empty if most weights of the model are zero.
    """

    gammas: dict[str, nn.Module]
    weights: dict[str, nn.Parameter]


def find_own_zeros(model: nn.Module, excluded: Collection[str]) -> OwnZeros:
    """Find the zeros of a model before anything is set.

    Args:
        model: Any module.
        excluded: Paths of norms to leave out.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        >>> _ = nn.init.zeros_(model[1].weight)
        >>> list(find_own_zeros(model, []).gammas), list(find_own_zeros(model, ["1"]).gammas)
        (['1'], [])
    """
    gammas = {}
    for path, module in model.named_modules():
        gamma = module._parameters.get("weight") if isinstance(module, NORMS) and path not in excluded else None
        if gamma is not None and gamma.requires_grad and gamma.numel() and not gamma.any():
            gammas[path] = module
    trained = {each.name: each.parameter for each in weights_of(model).values() if each.parameter.requires_grad}
    weights = {name: weight for name, weight in trained.items() if weight.numel() and not weight.any()}
    return OwnZeros(gammas, weights if 2 * len(weights) <= len(trained) else {})


@torch.no_grad()
def open_gammas(record: InitRecord, gammas: dict[str, nn.Module]) -> InitRecord:
    """Set the scale of norms to one.

    Args:
        record: What ``initialize_`` set.
        gammas: The norms, by path.

    Returns:
        The record with these scales.
    """
    opened = []
    for path, norm in gammas.items():
        gamma = norm._parameters["weight"]
        assert gamma is not None
        before = hash_tensor(gamma)
        name = f"{path}.weight" if path else "weight"
        opened.append(ParameterRecord(name, tuple(gamma.shape), OWN_GAMMA, before, hash_tensor(gamma.fill_(1.0))))
    names = {each.name for each in opened}
    untouched = tuple(each for each in record.untouched if each.name not in names)
    return replace(record, parameters=(*record.parameters, *opened), untouched=untouched)
