"""``initialize_``: set the parameters of a model in place, by name of an initializer."""

import math
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from numbers import Real

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError, closest, lookup
from zeroinit.init.initializers import INITIALIZERS, Initializer
from zeroinit.init.laws import Law
from zeroinit.init.record import InitRecord, ParameterRecord, Untouched, hash_tensor

__all__ = ["LAYER_TYPES", "SymmetryWarning", "initialize_"]

LAYER_TYPES = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class SymmetryWarning(UserWarning):
    """An initialization leaves units identical that training cannot tell apart."""


def initialize_(
    model: nn.Module,
    name: str,
    *,
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> InitRecord:
    """Set weights and biases of all dense and (transposed) convolutional layers of ``model``, in place.

    No ``Parameter`` is replaced, so an optimizer built before stays valid. Everything is checked before the first
    value changes: an error leaves the model as it was.

    Args:
        model: Any module; its dense, convolutional and transposed convolutional layers are set.
        name: A key of ``INITIALIZERS``.
        scale: Factor on everything that the initializer draws, at least 0. For the ``*_bias`` initializers that is
            the biases only (the paper's factors are 1, 100 and 0.01).
        generator: Source of randomness; torch's global one if ``None``. Values are drawn on the generator's
            device in float32 and copied, so one seed gives one result on every device and in every precision.
        include: Pattern or patterns (``*``, ``?``, ``[]``) over the names of layers to set; all if ``None``.
        exclude: Pattern or patterns over the names of layers to leave as they are.

    Returns:
        A record of each parameter set (rule, shape, hash before and after), each left as it was and why, and the
        layers that have no bias.

    Raises:
        InputError: An unknown name, a scale that is negative, not finite or without effect, a pattern that matches
            no layer, a model without such layers, or a parameter that cannot be set in place (lazy, parametrized,
            on the meta device, made in inference mode, not floating point).

    Warns:
        SymmetryWarning: A bias initializer met layers without a bias: their units stay identical.

    Source:
        Schicho 2023, "Training neural network with zero weight initialization", section 3.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> print(initialize_(model, "normal_bias", scale=0.01, generator=torch.Generator().manual_seed(0)))
        normal_bias (scale 0.01): 4 set, 0 left
          0.weight  3x4  0
          0.bias    3    N(0, 1) * 0.01
          2.weight  2x3  0
          2.bias    2    N(0, 1) * 0.01
    """
    initializer = lookup(INITIALIZERS, name, "initializer")
    _check_scale(name, initializer, scale)
    scale = float(scale)
    layers: dict[str, nn.Module] = {
        path: module for path, module in model.named_modules() if isinstance(module, LAYER_TYPES)
    }
    if not layers:
        raise InputError(f"model={type(model).__name__}: has no dense or convolutional layer to initialize")
    chosen = _choose(layers, include, exclude)
    plan = _plan(model, layers, chosen, initializer)
    without_bias = tuple(path for path in chosen if layers[path]._parameters.get("bias") is None)
    _warn_without_bias(name, initializer, chosen, without_bias)
    names = _names(model)
    parameters = tuple(
        _set(names[id(parameter)], parameter, layer, law, scale, generator) for parameter, layer, law in plan
    )
    return InitRecord(name, scale, parameters, _untouched(model, plan, layers, chosen), without_bias)


def _check_scale(name: str, initializer: Initializer, scale: float) -> None:
    is_number = isinstance(scale, Real) and not isinstance(scale, bool)
    if not is_number or not 0 <= scale < math.inf:
        raise InputError(f"scale={scale!r}: must be a finite number of at least 0")
    if scale != 1.0 and not initializer.uses_scale:
        raise InputError(f"scale={scale!r}: initializer {name!r} draws nothing, so a scale has no effect; leave it out")


def _choose(layers: dict[str, nn.Module], include, exclude) -> list[str]:
    included = _matching(layers, include, "include") if include is not None else list(layers)
    excluded = set(_matching(layers, exclude, "exclude")) if exclude is not None else set()
    chosen = [path for path in included if path not in excluded]
    if not chosen:
        raise InputError(f"include={include!r}, exclude={exclude!r}: together they leave no layer to initialize")
    return chosen


def _matching(layers: dict[str, nn.Module], patterns: str | Sequence[str], argument: str) -> list[str]:
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in layers):
            nearest = closest(pattern, layers)
            raise InputError(
                f"{argument}={pattern!r}: matches no dense or convolutional layer{nearest}; "
                f"the layers are {', '.join(map(repr, list(layers)[:20]))}{', ...' if len(layers) > 20 else ''}"
            )
    return [path for path in layers if any(fnmatchcase(path, pattern) for pattern in patterns)]


def _plan(model, layers, chosen, initializer) -> list[tuple[nn.Parameter, nn.Module, Law]]:
    """List what will be set, each parameter once; raise before anything is changed."""
    plan: dict[int, tuple[nn.Parameter, nn.Module, Law]] = {}
    for path in chosen:
        layer = layers[path]
        for part, law in (("weight", initializer.weight), ("bias", initializer.bias)):
            name = f"{path}.{part}" if path else part
            parameter = _parameter(layer, part, name)
            if parameter is not None:
                _check_settable(parameter, name)
                plan.setdefault(id(parameter), (parameter, layer, law))
    return list(plan.values())


def _parameter(layer: nn.Module, part: str, name: str) -> nn.Parameter | None:
    """Look a parameter up without ``getattr``, which would run a parametrization and change its buffers."""
    if part not in layer._parameters and (part in vars(layer) or hasattr(type(layer), part)):
        raise InputError(
            f"{name}: is computed by a parametrization (weight norm, spectral norm, pruning, ...) and cannot be set "
            "in place; remove the parametrization first or exclude the layer"
        )
    return layer._parameters.get(part)


def _check_settable(parameter: nn.Parameter, name: str) -> None:
    if isinstance(parameter, UninitializedParameter):
        raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")
    if parameter.is_meta:
        raise InputError(f"{name}: is on the meta device and has no values; call model.to_empty(device=...) first")
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        raise InputError(f"{name}: was made under torch.inference_mode and is frozen; build the model outside of it")
    if not parameter.is_floating_point():
        raise InputError(f"{name}: has dtype {parameter.dtype}, which is not floating point; exclude the layer")


def _warn_without_bias(name, initializer: Initializer, chosen, without_bias) -> None:
    if without_bias and initializer.bias.scaled and not initializer.weight.scaled:
        shown = ", ".join(repr(path) for path in without_bias[:5]) + (", ..." if len(without_bias) > 5 else "")
        warnings.warn(
            f"{name}: {len(without_bias)} of {len(chosen)} layers have no bias, so all their units start identical: "
            f"{shown}; build them with bias=True or exclude them",
            SymmetryWarning,
            stacklevel=3,
        )


def _names(model: nn.Module) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


@torch.no_grad()
def _set(names: list[str], parameter, layer, law: Law, scale: float, generator) -> ParameterRecord:
    before = hash_tensor(parameter)
    device = generator.device if generator is not None else parameter.device
    values = law.draw(layer, torch.empty(parameter.shape, dtype=torch.float32, device=device), generator)
    if law.scaled and scale != 1.0:
        values = values.to(torch.promote_types(parameter.dtype, torch.float32)) * scale
    parameter.copy_(values)
    return ParameterRecord(
        names[0], tuple(parameter.shape), law.describe(scale), before, hash_tensor(parameter), tuple(names[1:])
    )


def _untouched(model, plan, layers, chosen) -> tuple[Untouched, ...]:
    done = {id(parameter) for parameter, _, _ in plan}
    skipped = set(layers) - set(chosen)
    owners = dict(model.named_modules())
    entries = []
    for name, parameter in model.named_parameters():
        if id(parameter) in done:
            continue
        path = name.rpartition(".")[0]
        reason = "its layer was not chosen" if path in skipped else f"no rule for {type(owners[path]).__name__}"
        shape = () if isinstance(parameter, UninitializedParameter) else tuple(parameter.shape)
        entries.append(Untouched(name, shape, reason))
    return tuple(entries)
