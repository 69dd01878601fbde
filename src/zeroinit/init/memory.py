"""Give memory to what is on the meta device, without replacing a parameter and without undoing ties."""

import torch
from torch import nn

from zeroinit._common import InputError, derive_seed
from zeroinit._modules.state import random_state_kept
from zeroinit.init.names import Names
from zeroinit.init.plan import Plan

__all__ = ["materialize"]


def materialize(names: Names, plan: Plan, device: torch.device, seed: int | None) -> None:
    """Give memory to parameters and buffers on the meta device.

    What the plan does not set is set by ``reset_parameters`` of its module, as torch's own modules have it. With a
    seed, such a method draws from a seed of its own for each module.

    Args:
        names: The modules of the model.
        plan: What will be set afterwards.
        device: Where the memory is.
        seed: The user's seed.

    Raises:
        InputError: Values would stay unset: a module has no ``reset_parameters``. Nothing has changed then.

    Example:
        >>> from zeroinit.init import initialize_
        >>> with torch.device("meta"):
        ...     model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> _ = initialize_(model, "kaiming_normal", seed=0, device="cpu")
        >>> model[1].running_var.tolist()
        [1.0, 1.0, 1.0]
    """
    planned = {id(entry.parameter) for entry in plan.entries}
    to_reset = {path: module for path, module in names.modules.items() if _unset(module, planned)}
    missing = [
        f"{path}.{name}" if path else name
        for path, module in to_reset.items()
        for name in _unset(module, planned)
        if not callable(getattr(module, "reset_parameters", None))
    ]
    if missing:
        raise InputError(
            f"device={str(device)!r}: {', '.join(missing[:5])} {'are' if len(missing) > 1 else 'is'} on the meta "
            "device, and nothing computes the values: give the module a method reset_parameters, or a real device"
        )
    given: dict[int, torch.Tensor] = {}
    for module in names.modules.values():
        _give(module, device, given)
    for path, module in to_reset.items():
        if seed is None:
            module.reset_parameters()  # type: ignore[operator]
            continue
        own = derive_seed(seed, f"reset_parameters/{path}")
        with random_state_kept(module, own):
            torch.default_generator.manual_seed(own)
            module.reset_parameters()  # type: ignore[operator]


def _unset(module: nn.Module, planned: set[int]) -> list[str]:
    """Return what is on the meta device and in no plan: its own parameters and buffers."""
    tensors = {**module._parameters, **module._buffers}
    return [name for name, each in tensors.items() if each is not None and each.is_meta and id(each) not in planned]


@torch.no_grad()
def _give(module: nn.Module, device: torch.device, given: dict[int, torch.Tensor]) -> None:
    if isinstance(module, nn.RNNBase):
        module._flat_weight_refs = []  # a tensor with a weak reference cannot be swapped
    for parameter in module._parameters.values():
        if parameter is not None and parameter.is_meta:
            empty = nn.Parameter(torch.empty_like(parameter, device=device), parameter.requires_grad)
            torch.utils.swap_tensors(parameter, empty)
    if isinstance(module, nn.RNNBase):
        module._init_flat_weights()
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.is_meta:
            module._buffers[name] = given.setdefault(id(buffer), torch.empty_like(buffer, device=device))
