"""Refuses models and batches that cannot be inspected, before anything runs."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit._modules import state
from zeroinit._modules.attached import attached
from zeroinit._modules.batch import call_model, take_batch, tensors_in

__all__ = ["LAZY", "check_devices", "check_model", "is_lazy", "left_out", "unwrapped", "with_shapes"]

LAZY = "its lazy layers got their shapes from this batch, on a copy"
"""Said of a model whose parameters had no shape."""


def unwrapped(model: Any) -> Any:
    """Return the model inside ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel``.

    Example:
        >>> unwrapped(nn.DataParallel(nn.Linear(2, 1)))
        Linear(in_features=2, out_features=1, bias=True)
    """
    while isinstance(model, nn.Module):
        wrapped = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner = model.module if wrapped else state.unwrapped(model)
        if inner is model:
            break
        model = inner
    return model


def is_lazy(model: Any) -> bool:
    """Tell whether parameters of a model have no shape before its first forward pass."""
    return isinstance(model, nn.Module) and any(isinstance(each, UninitializedParameter) for each in model.parameters())


def with_shapes(model: nn.Module, inputs: Any, targets: Any) -> nn.Module:
    """Return a copy of a lazy model whose parameters got their shapes from a batch; the model if that fails."""
    replica = copy.deepcopy(model)
    try:
        with torch.no_grad():
            call_model(replica, take_batch(inputs, targets, replica)[0])
    except Exception:
        return model
    return replica


def check_model(model: Any) -> None:
    """Raise where a model cannot be trained at all.

    Raises:
        InputError: Not a module, TorchScript, lazy or without parameters to train, or on several devices.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model={type(model).__name__}: must be a torch.nn.Module")
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"model: {path or 'it'} is TorchScript ({type(module).__name__}), whose passes cannot be watched; "
                "inspect the torch.nn.Module it was made from"
            )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise InputError(
                f"model: {name} is lazy and has no shape yet; run the model forward once, model(inputs), and "
                "inspect it then"
            )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        adapter = next((name for name, _ in model.named_parameters() if "lora_" in name), "")
        hint = f"; its adapters are frozen, such as {adapter}: " if adapter else ""
        if adapter:  # the ways in which peft freezes them
            hint += (
                "peft freezes those with inference_mode=True, those loaded without is_trainable=True, those that are "
            )
            hint += "not active, and all of them in prepare_model_for_kbit_training"
        plain = next((place for place, each in attached(model) if each.is_floating_point()), "")
        if plain and not any(True for _ in model.parameters()):
            raise InputError(
                f"model: has no parameter; {plain} is a plain tensor: register it as nn.Parameter({plain}) in __init__"
            )
        raise InputError(f"model: has no trainable parameter; set requires_grad=True on what is to be trained{hint}")
    if made := [name for name, each in model.named_parameters() if each.is_inference()]:
        raise InputError(
            f"model: {made[0]} was made under torch.inference_mode(), and no backward pass runs through it; build the "
            "model outside of that mode"
        )
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if len(devices) > 1:
        raise InputError(f"model: its parameters are on {', '.join(devices)}; move it to one device with model.to(...)")
    if devices == ["meta"]:
        raise InputError(
            "model: its parameters are on meta and have no values; materialize it with model.to_empty(...)"
        )


def check_devices(model: nn.Module, batch: Any) -> None:
    """Raise where a batch is on another device than the model.

    Raises:
        InputError: It is; the message says how to move it.
    """
    device = str(next(model.parameters()).device)
    given = sorted({str(tensor.device) for tensor in tensors_in(batch)})
    if given and given != [device]:
        raise InputError(
            f"inputs: are on {', '.join(given)} and the model is on {device}; move them with .to({device!r})"
        )


def left_out(model: nn.Module) -> dict[str, str]:
    """Name what is not inspected, with the reason: sparse, complex and whole-number parameters, quantized modules."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.layout != torch.strided:
            found[name] = f"sparse weights ({str(parameter.layout).removeprefix('torch.')})"
        elif not parameter.numel():
            found[name] = "no values"
        elif not (parameter.is_floating_point() or parameter.is_complex()) or parameter.element_size() < 2:
            found[name] = f"quantized weights ({str(parameter.dtype).removeprefix('torch.')})"
    for path, module in model.named_modules():
        if ".quantized" in type(module).__module__ and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = f"quantized module ({type(module).__name__})"
    return found
