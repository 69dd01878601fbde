"""Why a model has nothing to train, before anything runs: nothing registered, made in forward, frozen, or a copy."""

import inspect
import re
from typing import Any

import torch
from torch import nn

from zeroinit._modules.attached import attached
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.symptoms.unregistered import of_containers

__all__ = ["why_nothing_trains"]

MADE_IN_FORWARD = re.compile(r"\bnn\.(?:[A-Z]\w*\(|Parameter\()")
WAYS = (
    "peft freezes those with inference_mode=True, those loaded without is_trainable=True, those that are not active, "
    "and all of them in prepare_model_for_kbit_training"
)
"""In which peft freezes adapters."""


def why_nothing_trains(model: nn.Module, optimizer: Any = None) -> str:
    """Say that a model has no trained parameter, why, and what to type; nothing if it has one.

    Args:
        model: As it was handed over.
        optimizer: Its own, which may hold the parameters of another model.

    Example:
        >>> model = nn.Module()
        >>> model.layers = [nn.Linear(2, 1)]
        >>> print(why_nothing_trains(model))
        has no trainable parameter. `layers` is not registered. Register it: `self.layers = nn.ModuleList(...)` in ...
    """
    if any(each.requires_grad for each in model.parameters()):
        return ""
    if held := of_containers(model):
        return f"has no trainable parameter. {held}"
    if not any(True for _ in model.parameters()):
        return f"has no parameter; {_without_any(model)}"
    if isinstance(optimizer, torch.optim.Optimizer) and _holds_others(model, optimizer):
        return (
            "has no trainable parameter, and the optimizer holds parameters of another model with the same shapes; "
            "hand over that model, of which this one is likely a copy, as a moving average"
        )
    if shared := _shared(model):
        return f"has no trainable parameter; {shared}"
    return f"has no trainable parameter; {_of_adapters(model) or 'set requires_grad=True on what is to be trained'}"


def _without_any(model: nn.Module) -> str:
    plain = next((place for place, each in attached(model) if each.is_floating_point()), "")
    if plain:
        return f"{plain} is a plain tensor: register it as nn.Parameter({plain}) in __init__"
    buffers = [name for name, each in model.named_buffers() if each.is_floating_point() and _is_own(name, model)]
    if buffers:
        line = f"self.{buffers[-1].rpartition('.')[2]} = nn.Parameter(...)"
        return (
            f"{few(buffers)} {'is a buffer' if len(buffers) == 1 else 'are buffers'}: register what is to be trained "
            f"as a parameter in __init__, as {line}"
        )
    for path, module in model.named_modules():
        try:
            source = inspect.getsource(type(module).forward)
        except (OSError, TypeError):
            continue
        if made := MADE_IN_FORWARD.search(source):
            place = f"{path}.forward" if path else f"{type(module).__name__}.forward"
            return f"{place} makes layers anew in each pass, as {made[0]}...): make them once in __init__"
    if quantized := next((path for path, each in model.named_modules() if ".quantized" in type(each).__module__), ""):
        return f"{quantized} is quantized and cannot be trained: inspect the model before it is quantized"
    return "give it layers in __init__, and call super().__init__() before them"


def _is_own(name: str, model: nn.Module) -> bool:
    """Tell whether a class of the user's own holds a buffer, and not a norm of torch."""
    return not type(model.get_submodule(name.rpartition(".")[0])).__module__.startswith("torch.")


def _holds_others(model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether an optimizer holds none of a model's parameters, and as many others of the same shapes."""
    own = {id(each) for each in model.parameters()}
    held = [each for group in optimizer.param_groups for each in group["params"]]
    shapes = sorted(tuple(each.shape) for each in model.parameters())
    return not own & {id(each) for each in held} and sorted(tuple(each.shape) for each in held) == shapes


def _shared(model: nn.Module) -> str:
    """Tell of two names of one module: who freezes one of them freezes the other."""
    names: dict[int, list[str]] = {}
    for name, each in model.named_children():  # of each module the first name alone
        others = [other for other, held in model._modules.items() if held is each]
        names.setdefault(id(each), [name]).extend(other for other in others if other != name)
    two = next((each for each in names.values() if len(each) > 1), [])
    if not two:
        return ""
    line = f"self.{two[1]} = copy.deepcopy(self.{two[0]})"
    return (
        f"{two[0]} and {two[1]} are one module, so freezing one froze the other: make a copy, {line}, and freeze that"
    )


def _of_adapters(model: nn.Module) -> str:
    """Tell which adapters are frozen, which of them is active, and what trains one."""
    name = next((each for each, _ in model.named_parameters() if "lora_" in each), "")
    if not name:
        return ""
    if any(getattr(each, "disable_adapters", False) is True for each in model.modules()):
        return (
            "its adapters are switched off, as inside `with model.disable_adapter():`; inspect outside of this block, "
            "or after model.enable_adapter_layers()"
        )
    told = f"its adapters are frozen, such as {name}: {WAYS}"
    adapters, active = list(getattr(model, "peft_config", ())), getattr(model, "active_adapter", None)
    others = [each for each in adapters if each != active]
    if isinstance(active, str) and others:
        lines = few([f'model.set_adapter("{each}")' for each in others])
        return f"{told}; active is {active}, and {lines} trains another"
    if isinstance(active, str):
        return f'{told}; model.set_adapter("{active}") lets it learn'
    return f'{told}; set requires_grad=True on each whose name has "lora_"'
