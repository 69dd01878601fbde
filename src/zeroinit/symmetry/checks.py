"""What cannot be inspected, said before anything is run."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError

__all__ = ["check_model", "left_out"]


def check_model(model: Any, inputs: Any) -> None:
    """Raise where a model cannot be trained at all.

    Raises:
        InputError: Not a module, lazy or without parameters to train, on several devices, on another device than the
            inputs, or with values that are not finite.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model={type(model).__name__}: must be a torch.nn.Module")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise InputError(
                f"model: {name} is lazy and has no shape yet; run the model forward once, model(inputs), and "
                "inspect it then"
            )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("model: has no trainable parameter; set requires_grad=True on what is to be trained")
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if len(devices) > 1:
        raise InputError(f"model: its parameters are on {', '.join(devices)}; move it to one device with model.to(...)")
    if devices == ["meta"]:
        raise InputError(
            "model: its parameters are on meta and have no values; materialize it with model.to_empty(...)"
        )
    given = sorted({str(tensor.device) for tensor in _tensors(inputs)})
    if given and given != devices:
        raise InputError(
            f"inputs: are on {', '.join(given)} and the model is on {devices[0]}; move them with .to({devices[0]!r})"
        )
    for name, parameter in model.named_parameters():
        if parameter.layout == torch.strided and parameter.is_floating_point() and not torch.isfinite(parameter).all():
            raise InputError(
                f"model: {name} has values that are not finite (NaN or infinity); initialize it anew before inspecting"
            )


def left_out(model: nn.Module) -> dict[str, str]:
    """Name what is not inspected, with the reason: sparse, complex and whole-number parameters, quantized modules."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.layout != torch.strided:
            found[name] = f"sparse weights ({str(parameter.layout).removeprefix('torch.')})"
        elif parameter.is_complex():
            found[name] = "complex weights"
        elif not parameter.is_floating_point() or parameter.element_size() < 2:
            found[name] = f"quantized weights ({str(parameter.dtype).removeprefix('torch.')})"
    for path, module in model.named_modules():
        if ".quantized" in type(module).__module__ and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = f"quantized module ({type(module).__name__})"
    return found


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [each for entry in value.values() for each in _tensors(entry)]
    return [each for entry in value for each in _tensors(entry)] if isinstance(value, tuple | list) else []
