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
from zeroinit.init.auto_scale import auto_scales
from zeroinit.init.initializers import INITIALIZERS, Initializer
from zeroinit.init.laws import Law
from zeroinit.init.norms import find_norms, judge_norms
from zeroinit.init.parameters import find_parameter, parameter_names, set_parameter
from zeroinit.init.probe import ConstantChannels, Probe, copy_model, probe_norms, random_state_kept
from zeroinit.init.record import InitRecord, NormRecord, Untouched

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


AUTO = "auto"
Entry = tuple[nn.Parameter, nn.Module, Law]


class SymmetryWarning(UserWarning):
    """An initialization leaves units identical that training cannot tell apart."""


def initialize_(
    model: nn.Module,
    name: str,
    *,
    scale: float | str = 1.0,
    generator: torch.Generator | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    norm_aware: bool = False,
    probe: Probe | None = None,
) -> InitRecord:
    """Set weights and biases of all dense and (transposed) convolutional layers of ``model``, in place.

    No ``Parameter`` is replaced, so an optimizer built before stays valid. Everything is checked before the first
    value changes: an error leaves the model as it was.

    Args:
        model: Any module; its dense, convolutional and transposed convolutional layers are set.
        name: A key of ``INITIALIZERS``.
        scale: Factor on everything that the initializer draws, at least 0. For the ``*_bias`` initializers that is
            the biases only (the paper's factors are 1, 100 and 0.01). ``"auto"``, for these initializers, is a
            factor for each layer: 3 / sqrt(fan-in of the next layer), at most 1, and 0.01 for the last layer; see
            ``auto_scales``. The record's rules hold the numbers.
        generator: Source of randomness; torch's global one if ``None``. Values are drawn on the generator's
            device in float32 and copied, so one seed gives one result on every device and in every precision.
        include: Pattern or patterns (``*``, ``?``, ``[]``) over the names of layers to set; all if ``None``.
        exclude: Pattern or patterns over the names of layers to leave as they are; with ``norm_aware`` also of norms.
        norm_aware: Draw beta, too, by the law of the biases, of every norm that maps a constant channel to its beta:
            batch norm, instance norm, group norm with one channel per group. Beta is drawn after everything else, so
            that no other value changes. The layer that such a norm feeds then trains; a convolution before it whose
            input is constant still has no gradient but rounding (``zeroinit.remedies.affine_norms`` gives it one).
        probe: Inputs for one forward pass, as in ``model(*probe)``, ``model(**probe)`` or ``model(probe)``: beta is
            drawn only where the norm gets at least one constant channel. The pass runs in train mode on a copy; the
            model's mode and buffers and torch's random state stay as they were.

    Returns:
        A record of each parameter set (rule, shape, hash before and after), each left as it was and why, the layers
        that have no bias, and with ``norm_aware`` what was done about each norm.

    Raises:
        InputError: An unknown name, a scale that is negative, not finite or without effect, another word than "auto"
            for it, or "auto" for an initializer that does not join zero weights and drawn biases; a pattern that
            matches no layer, a model without such layers, or a parameter that cannot be set in place (lazy,
            parametrized, on the meta device, made in inference mode, not floating point); ``norm_aware`` for an
            initializer that does not join zero weights and drawn biases; a probe without ``norm_aware`` or whose
            forward pass fails.

    Warns:
        SymmetryWarning: A bias initializer met layers without a bias: their units stay identical. Or a norm cancels
            constant channels and has no beta.

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
    _check_norm_aware(name, initializer, norm_aware, probe)
    layers: dict[str, nn.Module] = {
        path: module for path, module in model.named_modules() if isinstance(module, LAYER_TYPES)
    }
    if not layers:
        raise InputError(f"model={type(model).__name__}: has no dense or convolutional layer to initialize")
    norms = find_norms(model) if norm_aware else {}
    scales = _scales(model, layers, norms, scale)
    chosen, chosen_norms = _choose(layers, norms, include, exclude)
    plan = _plan(layers, chosen, initializer)
    _plan(norms, chosen_norms, initializer, parts=("bias",))  # raises where a beta cannot be set
    seen = None
    if probe is not None:
        seen = _rehearse(model, chosen, initializer, scales, generator, chosen_norms, probe)
    judged, without_beta = judge_norms(norms, chosen_norms, seen)
    plan = _plan_betas(plan, norms, judged, initializer)
    without_bias = tuple(path for path in chosen if layers[path]._parameters.get("bias") is None)
    _warn_without_bias(name, initializer, chosen, without_bias)
    _warn_without_beta(name, norms, without_beta)
    names = parameter_names(model)
    parameters = tuple(
        set_parameter(names[id(parameter)], parameter, layer, law, scales[layer], generator)
        for parameter, layer, law in plan
    )
    untouched = _untouched(model, plan, layers, chosen, judged)
    recorded = scale if isinstance(scale, str) else float(scale)
    return InitRecord(name, recorded, parameters, untouched, without_bias, judged if norm_aware else None)


def _check_scale(name: str, initializer: Initializer, scale: float | str) -> None:
    if scale == AUTO:
        if not initializer.draws_biases_alone:
            fitting = ", ".join(sorted(key for key, entry in INITIALIZERS.items() if entry.draws_biases_alone))
            raise InputError(
                f"scale='auto': initializer {name!r} does not join zero weights and drawn biases; give a number, or "
                f"choose one of {fitting}"
            )
        return
    if not isinstance(scale, Real) or isinstance(scale, bool) or not 0 <= float(scale) < math.inf:
        raise InputError(f"scale={scale!r}: must be a finite number of at least 0, or 'auto'")
    if scale != 1.0 and not initializer.uses_scale:
        raise InputError(f"scale={scale!r}: initializer {name!r} draws nothing, so a scale has no effect; leave it out")


def _scales(model: nn.Module, layers: dict, norms: dict, scale: float | str) -> dict[nn.Module, float]:
    """Return the factor of each layer and norm."""
    modules = layers | norms
    if isinstance(scale, str):
        return {modules[path]: factor for path, factor in auto_scales(model, layers, norms).items()}
    return dict.fromkeys(modules.values(), float(scale))


def _check_norm_aware(name: str, initializer: Initializer, norm_aware: bool, probe: Probe | None) -> None:
    if norm_aware and not initializer.draws_biases_alone:
        fitting = ", ".join(sorted(key for key, entry in INITIALIZERS.items() if entry.draws_biases_alone))
        raise InputError(
            f"norm_aware=True: initializer {name!r} does not join zero weights and drawn biases, so that there is no "
            f"beta to draw; leave it out, or choose one of {fitting}"
        )
    if probe is not None and not norm_aware:
        raise InputError(f"probe={type(probe).__name__}: has an effect only together with norm_aware=True")
    if not isinstance(probe, Probe | None):
        raise InputError(f"probe={type(probe).__name__}: must be a tensor, a tuple or a dictionary of inputs")


def _choose(layers: dict[str, nn.Module], norms: dict[str, nn.Module], include, exclude) -> tuple[list, list]:
    included = _matching(layers, include, "include") if include is not None else list(layers)
    excluded = set(_matching(layers | norms, exclude, "exclude", bool(norms))) if exclude is not None else set()
    chosen = [path for path in included if path not in excluded]
    if not chosen:
        raise InputError(f"include={include!r}, exclude={exclude!r}: together they leave no layer to initialize")
    return chosen, [path for path in norms if path not in excluded]


def _matching(
    layers: dict[str, nn.Module], patterns: str | Sequence[str], argument: str, with_norms: bool = False
) -> list[str]:
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in layers):
            nearest = closest(pattern, layers)
            what = "dense or convolutional layer" + (" or norm" if with_norms else "")
            raise InputError(
                f"{argument}={pattern!r}: matches no {what}{nearest}; "
                f"the layers are {', '.join(map(repr, list(layers)[:20]))}{', ...' if len(layers) > 20 else ''}"
            )
    return [path for path in layers if any(fnmatchcase(path, pattern) for pattern in patterns)]


def _plan(
    layers: dict[str, nn.Module], chosen: list[str], initializer: Initializer, parts=("weight", "bias")
) -> list[Entry]:
    """List what will be set, each parameter once; raise before anything is changed."""
    plan: dict[int, Entry] = {}
    for path in chosen:
        for part in parts:
            parameter = find_parameter(layers[path], part, f"{path}.{part}" if path else part)
            if parameter is not None:
                plan.setdefault(id(parameter), (parameter, layers[path], getattr(initializer, part)))
    return list(plan.values())


def _plan_betas(plan: list[Entry], norms: dict[str, nn.Module], judged: tuple[NormRecord, ...], initializer):
    """Append the betas that are drawn, but for those tied to a parameter that is set anyway."""
    done = {id(parameter) for parameter, _, _ in plan}
    betas = _plan(norms, [norm.path for norm in judged if norm.changed], initializer, parts=("bias",))
    return plan + [entry for entry in betas if id(entry[0]) not in done]


def _rehearse(
    model: nn.Module, chosen: list[str], initializer, scales: dict, generator, norms: list[str], probe: Probe
) -> dict[str, ConstantChannels]:
    """Set a copy of the model, with the values that the model will get, and probe it."""
    replica = copy_model(model)
    layers = {path: replica.get_submodule(path) for path in chosen}
    scale_of = {layers[path]: scales[model.get_submodule(path)] for path in chosen}
    source = None if generator is None else generator.clone_state()
    with random_state_kept(replica):
        for parameter, layer, law in _plan(layers, chosen, initializer):
            set_parameter([""], parameter, layer, law, scale_of[layer], source)
        return probe_norms(replica, norms, probe)


def _warn_without_bias(name, initializer: Initializer, chosen, without_bias) -> None:
    if without_bias and initializer.draws_biases_alone:
        warnings.warn(
            f"{name}: {len(without_bias)} of {len(chosen)} layers have no bias, so all their units start identical: "
            f"{_first_five(without_bias)}; build them with bias=True or exclude them",
            SymmetryWarning,
            stacklevel=3,
        )


def _warn_without_beta(name: str, norms: dict[str, nn.Module], paths: list[str]) -> None:
    if paths:
        warnings.warn(
            f"{name}: {len(paths)} of {len(norms)} norms map constant channels to 0 and have no beta to draw: "
            f"{_first_five(paths)}; build them with affine=True or exclude them",
            SymmetryWarning,
            stacklevel=3,
        )


def _first_five(paths: Sequence[str]) -> str:
    return ", ".join(repr(path) for path in paths[:5]) + (", ..." if len(paths) > 5 else "")


def _untouched(model, plan, layers, chosen, judged: tuple[NormRecord, ...]) -> tuple[Untouched, ...]:
    reasons = {f"{norm.path}.bias" if norm.path else "bias": norm.reason for norm in judged}
    done = {id(parameter) for parameter, _, _ in plan}
    skipped = set(layers) - set(chosen)
    owners = dict(model.named_modules())
    entries = []
    for name, parameter in model.named_parameters():
        if id(parameter) in done:
            continue
        path = name.rpartition(".")[0]
        usual = "its layer was not chosen" if path in skipped else f"no rule for {type(owners[path]).__name__}"
        shape = () if isinstance(parameter, UninitializedParameter) else tuple(parameter.shape)
        entries.append(Untouched(name, shape, reasons.get(name, usual)))
    return tuple(entries)
