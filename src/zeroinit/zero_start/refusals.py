"""Errors and warnings before a zero start changes anything: models on which it cannot act."""

import warnings
from collections.abc import Collection, Mapping

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit._modules.arguments import check_module
from zeroinit._modules.layers import slots_of
from zeroinit._modules.norms import canceling_kind
from zeroinit.init.computed import behind, is_computed
from zeroinit.remedies import RemedyWarning

__all__ = ["refuse", "refuse_computed", "warn_of_norms"]


def refuse(model: nn.Module) -> None:
    """Raise an ``InputError`` for what is no module, lazy, or compiled by TorchScript."""
    check_module(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError("model: TorchScript hides the kind of a layer; call zero_start_ before torch.jit")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")


def refuse_computed(model: nn.Module, excluded: Collection[str]) -> None:
    """Raise where a weight is computed from other parameters: its directions would not be those of a parameter.

    Args:
        model: Any module.
        excluded: Paths of modules that stay as they are.
    """
    for path, module in model.named_modules():
        for attribute in ("weight", "in_proj_weight") if slots_of(module) else ():
            if is_computed(module, attribute) and path not in excluded:
                name = f"{path}.{attribute}" if path else attribute
                own = {id(each): key for key, each in model.named_parameters()}
                sources = " and ".join(repr(own[id(each)]) for each in behind(module, attribute) if id(each) in own)
                raise InputError(
                    f"{name}: is computed from {sources or 'other parameters'}, and a zero start acts on weights "
                    f"themselves; exclude the layer (exclude={path!r}), or add weight norm or pruning after the "
                    "with statement"
                )


def warn_of_norms(norms: Mapping[str, nn.Module]) -> None:
    """Warn of excluded norms that cancel constant channels."""
    if norms:
        path, norm = next(iter(norms.items()))
        more = f" and {len(norms) - 1} more norms" if len(norms) > 1 else ""
        warnings.warn(
            f"zero start: layers before {path!r} ({canceling_kind(norm)}){more} may not move: the norm was excluded, "
            "and it maps the constant channels of zero weights to its β; exclude these layers as well, unless no "
            "warning names them after the first updates",
            RemedyWarning,
            stacklevel=3,
        )
