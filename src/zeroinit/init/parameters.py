"""One parameter at a time: find it, check that it can be set in place, set it and record it."""

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit.init.laws import Law
from zeroinit.init.record import ParameterRecord, hash_tensor

__all__ = ["find_parameter", "parameter_names", "set_parameter"]


def find_parameter(layer: nn.Module, part: str, name: str) -> nn.Parameter | None:
    """Return a parameter of a layer that can be set in place, ``None`` where it has none.

    It is looked up without ``getattr``, which would run a parametrization and change its buffers.

    Args:
        layer: The module that owns the parameter.
        part: ``"weight"`` or ``"bias"``.
        name: The parameter's full name, for messages.

    Raises:
        InputError: The parameter cannot be set in place.

    Example:
        >>> find_parameter(nn.Linear(2, 3, bias=False), "bias", "dense.bias") is None
        True
    """
    if part not in layer._parameters and (part in vars(layer) or hasattr(type(layer), part)):
        raise InputError(
            f"{name}: is computed by a parametrization (weight norm, spectral norm, pruning, ...) and cannot be set "
            "in place; remove the parametrization first or exclude the layer"
        )
    parameter = layer._parameters.get(part)
    if parameter is not None:
        _check_settable(parameter, name)
    return parameter


def _check_settable(parameter: nn.Parameter, name: str) -> None:
    if isinstance(parameter, UninitializedParameter):
        raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")
    if parameter.is_meta:
        raise InputError(f"{name}: is on the meta device and has no values; call model.to_empty(device=...) first")
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        raise InputError(f"{name}: was made under torch.inference_mode and is frozen; build the model outside of it")
    if not parameter.is_floating_point():
        raise InputError(f"{name}: has dtype {parameter.dtype}, which is not floating point; exclude the layer")


def parameter_names(model: nn.Module) -> dict[int, list[str]]:
    """Return all names of each parameter, by its ``id``; tied parameters have several.

    Example:
        >>> list(parameter_names(nn.Linear(2, 2)).values())
        [['weight'], ['bias']]
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


@torch.no_grad()
def set_parameter(
    names: list[str],
    parameter: nn.Parameter,
    layer: nn.Module,
    law: Law,
    scale: float,
    generator: torch.Generator | None,
) -> ParameterRecord:
    """Draw the values of one parameter, in place.

    Args:
        names: Its names, the one to record first.
        parameter: What is set.
        layer: The module that owns it.
        law: How values are drawn.
        scale: Factor on what is drawn.
        generator: Source of randomness; torch's global one if ``None``.

    Returns:
        The rule, the shape, and a hash before and after.

    Example:
        >>> from zeroinit.init.laws import CONSTANT
        >>> layer = nn.Linear(2, 2)
        >>> set_parameter(["bias"], layer.bias, layer, CONSTANT, 0.5, None).rule, layer.bias.tolist()
        ('1 * 0.5', [0.5, 0.5])
    """
    before = hash_tensor(parameter)
    device = generator.device if generator is not None else parameter.device
    values = law.draw(layer, torch.empty(parameter.shape, dtype=torch.float32, device=device), generator)
    if law.scaled and scale != 1.0:
        values = values.to(torch.promote_types(parameter.dtype, torch.float32)) * scale
    parameter.copy_(values)
    return ParameterRecord(
        names[0], tuple(parameter.shape), law.describe(scale), before, hash_tensor(parameter), tuple(names[1:])
    )
