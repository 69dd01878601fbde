"""Checks of the arguments of ``initialize_`` before anything changes."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.arguments import true_or_false
from zeroinit._modules.batch import describe
from zeroinit.init.initializers import Initializer
from zeroinit.init.names import Names
from zeroinit.init.parameters import SCRIPTED
from zeroinit.init.plan import Plan
from zeroinit.init.table import INITIALIZERS

__all__ = ["AUTO", "check_layers", "check_no_effect", "check_norm_aware", "check_scale", "check_something_is_set"]

AUTO = "auto"


def check_no_effect(name: str, **arguments: Any) -> None:
    """Refuse arguments that have no effect on a function of modules.

    Raises:
        InputError: It is so.
    """
    for argument, value in arguments.items():
        if value is not None:
            shown = value if isinstance(value, bool | Real | str) else describe(value)
            raise InputError(f"{argument}={shown!r}: has no effect on {name}, a function of modules; leave it out")


def check_scale(name: str, initializers: list[Initializer], scale: float | str) -> None:
    """Refuse a scale that is out of range or has no effect.

    Raises:
        InputError: It is so.
    """
    if scale == AUTO:
        if not all(each.draws_biases_alone for each in initializers):
            fitting = ", ".join(sorted(key for key, entry in INITIALIZERS.items() if entry.draws_biases_alone))
            raise InputError(
                f"scale='auto': works only with zero weights and random biases ({fitting}); give a number for "
                f"initializer {name!r}"
            )
        return
    if not isinstance(scale, Real) or isinstance(scale, bool) or not 0 <= float(scale) < math.inf:
        raise InputError(f"scale={scale!r}: must be a finite number of at least 0, or 'auto'")
    if scale != 1.0 and not any(each.uses_scale for each in initializers):
        raise InputError(f"scale={scale!r}: initializer {name!r} draws nothing, so a scale has no effect; leave it out")


def check_norm_aware(name: str, initializers: list[Initializer], norm_aware: bool, probe: Any) -> None:
    """Refuse ``norm_aware`` and ``probe`` where they have no effect.

    Raises:
        InputError: It is so.
    """
    true_or_false(norm_aware, "norm_aware")
    if norm_aware and not all(each.draws_biases_alone for each in initializers):
        fitting = ", ".join(sorted(key for key, entry in INITIALIZERS.items() if entry.draws_biases_alone))
        raise InputError(
            f"norm_aware=True: works only with zero weights and random biases ({fitting}); leave norm_aware out for "
            f"initializer {name!r}"
        )
    if probe is not None and not norm_aware and not any(each.needs_batch for each in initializers):
        fitting = ", ".join(sorted(key for key, entry in INITIALIZERS.items() if entry.needs_batch))
        raise InputError(f"probe={describe(probe)}: has an effect only with norm_aware=True, or with one of {fitting}")


def check_layers(model: nn.Module, names: Names, layers: Mapping) -> None:
    """Refuse a model without a layer that the rules set.

    Raises:
        InputError: It is so.
    """
    if layers:
        return
    text = f"model={type(model).__name__}: has no dense, convolutional or attention layer to initialize"
    if any(isinstance(module, torch.jit.ScriptModule) for module in names.modules.values()):
        text += f": {SCRIPTED}; call initialize_ before torch.jit"
    elif not any(model.children()):
        text += "; if this is model.apply, call initialize_ once, with the whole model"
    raise InputError(text)


def check_something_is_set(model: nn.Module, plan: Plan) -> None:
    """Refuse a plan that sets nothing.

    Raises:
        InputError: It is so.
    """
    if not plan.entries:
        reasons = dict.fromkeys(left.reason for left in plan.left.values())
        raise InputError(
            f"model={type(model).__name__}: every parameter of the chosen layers would stay as it is "
            f"({'; '.join(list(reasons)[:5])}); choose other layers, or pass frozen='set' or tied='set'"
        )
