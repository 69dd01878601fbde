"""LSUV: orthogonal weights, scaled with a batch until each layer's output has variance 1."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, whole_number
from zeroinit._modules.batch import call_model, describe, failed_pass, map_tensors, tensors_in
from zeroinit._modules.state import random_state_kept
from zeroinit.init.finish import Finish
from zeroinit.init.initializers import Initializer
from zeroinit.init.probe import copy_model
from zeroinit.init.schemes.structured import orthogonal

__all__ = ["lsuv"]


def lsuv(tolerance: float = 0.1, max_tries: int = 10) -> Initializer:
    """Orthogonal weights, divided by the standard deviation of the layer's output on a batch, first layer first.

    Each layer is scaled before the next one is reached, in one forward pass in train mode on a copy. A layer whose
    output is constant on the batch keeps its weight. So does a weight that the pass uses without calling its module,
    such as the packed projection of ``nn.MultiheadAttention``. The record names both.

    Args:
        tolerance: A variance within 1 +- this is left.
        max_tries: How often a layer is scaled at most. For a layer that is linear in its weight, once is enough.

    Raises:
        InputError: The tolerance is not positive, or ``max_tries`` is below 1.

    Source:
        Mishkin and Matas 2016, "All you need is a good init", algorithm 1. Some later programs also center each output
        with its bias; the paper does not, and neither does this.
    """
    if not tolerance > 0:
        raise InputError(f"tolerance={tolerance!r}: must be above 0")
    whole_number(max_tries, "max_tries", 1)

    def finish(state: Finish) -> None:
        factors = _factors(state, tolerance, max_tries)
        named = state.weights
        left = [path for path in named if factors.get(path) is None]
        for path, factor in factors.items():
            if factor not in (None, 1.0):
                state.times(named[path], factor)
        if left:
            state.notes.append(f"not scaled, as its output is constant or not seen: {', '.join(left)}")

    base = replace(orthogonal(), summary="orthogonal weights, each output scaled to variance 1 on a batch")
    return replace(base, source="Mishkin and Matas 2016, algorithm 1", finish=finish, needs_batch=True)


def _factors(state: Finish, tolerance: float, max_tries: int) -> dict[str, float | None]:
    """Return the factor of each layer's weight, by path; ``None`` where there is none."""
    assert state.found is not None
    replica, found = copy_model(state.model), dict[str, float | None]()

    def watch(path: str, name: str) -> None:
        def scale(module: nn.Module, arguments: tuple, named: dict, output: Any) -> Any:
            if path in found:
                return None
            found[path], output = _scaled(module, name, arguments, named, output, tolerance, max_tries)
            return output

        replica.get_submodule(path).register_forward_hook(scale, with_kwargs=True)

    for path, entry in state.weights.items():
        watch(path, entry.slot.name)
    with random_state_kept(replica), torch.no_grad():
        try:
            call_model(replica.train(), map_tensors(state.found.batch, torch.clone))
        except Exception as error:
            raise InputError(f"probe={describe(state.found.batch)}: {failed_pass(replica, error)}") from error
    return found


def _scaled(
    module: nn.Module, name: str, arguments: tuple, named: dict, output: Any, tolerance: float, max_tries: int
) -> tuple[float | None, Any]:
    factor = 1.0
    for _ in range(max_tries):
        variance = _variance(output)
        if variance is None or not variance > 1e-12:
            return None, output
        if abs(variance - 1) <= tolerance / 2:
            break
        factor *= variance**-0.5
        _weight(module, name).mul_(variance**-0.5)
        output = module.forward(*arguments, **named)
    return factor, output


def _weight(module: nn.Module, name: str) -> Tensor:
    from zeroinit.init.computed import computed_from

    computed = computed_from(module, name)
    if computed is None:
        return getattr(module, name).detach()
    return (computed.drawn if computed.norm is None else computed.norm).detach()


def _variance(output: Any) -> float | None:
    tensors = tensors_in(output)
    return float(tensors[0].float().var()) if tensors and tensors[0].numel() > 1 else None
