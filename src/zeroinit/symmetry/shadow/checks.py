"""Refuses models and batches that cannot be inspected, before anything runs."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit._modules import state
from zeroinit._modules.arguments import can_take, check_module
from zeroinit._modules.batch import call_model, describe, take_batch, tensors_in
from zeroinit._modules.sharded import is_sharded
from zeroinit.symmetry.shadow.own_optimizer import over_copies

__all__ = ["LAZY", "check_batch", "check_inference", "check_model", "is_lazy", "left_out", "unwrapped", "with_shapes"]

LAZY = "its lazy layers got their shapes from this batch, on a copy"
"""Said of a model whose parameters had no shape."""


def unwrapped(model: Any) -> Any:
    """Return the model inside ``torch.compile``, ``DataParallel``, ``DistributedDataParallel`` or Lightning's Fabric.

    Example:
        >>> unwrapped(nn.DataParallel(nn.Linear(2, 1)))
        Linear(in_features=2, out_features=1, bias=True)
    """
    while isinstance(model, nn.Module):
        wrapped = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) or is_fabric(model)
        inner = model.module if wrapped else state.unwrapped(model)
        if inner is model:
            break
        model = inner
    return model


def is_fabric(model: nn.Module) -> bool:
    """Tell whether a model is in the wrapper of ``Fabric.setup``, whose outputs ``fabric.backward`` alone accepts."""
    return type(model).__name__ == "_FabricModule" and isinstance(getattr(model, "module", None), nn.Module)


def is_lazy(model: Any) -> bool:
    """Tell whether parameters of a model have no shape before its first forward pass."""
    return isinstance(model, nn.Module) and any(isinstance(each, UninitializedParameter) for each in model.parameters())


def with_shapes(model: nn.Module, inputs: Any, targets: Any, optimizer: Any) -> tuple[nn.Module, Any]:
    """Return a copy of a lazy model whose parameters got their shapes from a batch, and of an optimizer over it.

    Where the batch does not give the shapes, the model and the optimizer themselves are returned.
    """
    memo: dict[int, Any] = {}
    replica = copy.deepcopy(model, memo)
    try:
        with torch.no_grad():
            call_model(replica, take_batch(inputs, targets, replica)[0])
    except Exception:
        return model, optimizer
    return replica, over_copies(optimizer, memo) if isinstance(optimizer, torch.optim.Optimizer) else optimizer


def check_inference(model: Any) -> None:
    """Refuse parameters that no backward pass can run through; where inference mode is on, it will be taken away.

    Raises:
        InputError: There is one.
    """
    if isinstance(model, nn.Module) and not torch.is_inference_mode_enabled():
        for name, each in model.named_parameters():
            if not isinstance(each, UninitializedParameter) and each.is_inference():
                raise InputError(
                    f"model: {name} was made under torch.inference_mode(), and no backward pass runs through it; build "
                    "the model outside of that mode"
                )


def check_model(model: Any) -> None:
    """Raise where a model cannot be trained at all.

    Raises:
        InputError: Not a module, TorchScript, lazy, in pieces on several processes, or on several devices.
    """
    check_module(model)
    if name := is_sharded(model):
        raise InputError(f"model: {name} is sharded over processes; call zeroinit.inspect before the model is sharded")
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"model: {path or 'it'} is TorchScript ({type(module).__name__}), whose passes cannot be watched; "
                "inspect the torch.nn.Module it was made from"
            )
    _check_forward(model)
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, nn.Parameter):
            raise InputError(
                f"model: {name} stands among its parameters and is no nn.Parameter, so no optimizer moves it; .to() "
                "and other operations return plain tensors, so wrap their result: nn.Parameter(...)"
            )
        if isinstance(parameter, UninitializedParameter):
            raise InputError(
                f"model: {name} is lazy and has no shape yet; run the model forward once, model(inputs), and "
                "inspect it then"
            )
    _check_devices(model)


def _check_forward(model: nn.Module) -> None:
    """Refuse a model without a pass of its own: a container, or a Lightning module that has a training step alone."""
    name = type(model).__name__
    first = next(each for each in type(model).__mro__ if "forward" in vars(each) or each is nn.Module)
    if "forward" in vars(model) or first.__name__ not in ("Module", "LightningModule"):
        return
    if not any(True for _ in model.parameters()):
        return  # why nothing trains is told instead
    if hasattr(model, "training_step"):
        parts = [part for part, each in model.named_children() if any(True for _ in each.parameters())]
        raise InputError(
            f"model={name}: has no forward, and its training_step trains it; give the Trainer an InspectCallback of "
            f"zeroinit.integrations.lightning{f', or hand over model.{parts[0]}' if len(parts) == 1 else ''}"
        )
    if type(model) in (nn.ModuleList, nn.ModuleDict):
        raise InputError(f"model={name}: has no forward; hand over the model that calls these modules")
    raise InputError(f"model={name}: has no forward; define forward(self, ...) in the class {name}")


def _check_devices(model: nn.Module) -> None:
    """Refuse parameters without values, and on several devices."""
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if "meta" in devices and any(hasattr(each, "_hf_hook") for each in model.modules()):
        raise InputError(
            "model: accelerate keeps values of its parameters elsewhere; take its hooks off, which brings them back: "
            "accelerate.hooks.remove_hook_from_submodules(model)"
        )
    if len(devices) > 1:
        raise InputError(f"model: its parameters are on {', '.join(devices)}; move it to one device with model.to(...)")
    if devices == ["meta"]:
        raise InputError(
            "model: its parameters are on meta and have no values; materialize it with model.to_empty(...)"
        )


def check_batch(model: nn.Module, inputs: Any, targets: Any, usual: bool = True) -> None:
    """Raise where a batch is on another device than the model, or no backward pass runs through it.

    Args:
        model: As it was handed over.
        inputs: Of the batch.
        targets: Of the batch.
        usual: Whether inference mode is off, as in training.

    Raises:
        InputError: It is so; the message says how to mend it.
    """
    if usual and any(each.is_inference() for each in tensors_in([inputs, targets])):
        raise InputError(
            "inputs: were made under torch.inference_mode(), and no backward pass runs through them; make the batch "
            "outside of that mode, or hand over clones made outside"
        )
    if isinstance(inputs, Tensor) and isinstance(targets, Tensor) and _lacks_one(model):
        raise InputError(
            f"targets={describe(targets)}: is no input, and {type(model).__name__}.forward takes two; hand over "
            "inputs=(first, second), and targets only for the loss"
        )
    device = str(next(model.parameters()).device)
    given = sorted({str(tensor.device) for tensor in tensors_in([inputs, targets])})
    if given and given != [device]:
        raise InputError(
            f"inputs: are on {', '.join(given)} and the model is on {device}; move them with .to({device!r})"
        )


def _lacks_one(model: nn.Module) -> bool:
    """Tell whether a model needs two inputs."""
    return can_take(model.forward, 2) and not can_take(model.forward, 1)


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
