"""Weights that are computed from other parameters: by weight norm, by pruning, or in a way without an inverse."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.weight_norm import WeightNorm

from zeroinit._common import InputError

__all__ = ["Computed", "behind", "computed_from", "computing_code", "is_computed", "refuse_computed"]

SUFFIXES = ("_g", "_v", "_orig")
"""Suffixes of the parameters from which the older functions of ``torch.nn.utils`` compute a weight."""


@dataclass(frozen=True)
class Computed:
    """How a weight is computed, so that its values can be set.

    Attributes:
        drawn: The parameter that gets the drawn values: the direction v, or the weight before pruning.
        norm: With weight norm the parameter g, so that the weight is g v / norm of v; else ``None``.
        dim: The axis that keeps its norm; -1 if one number is the norm of all.
        refresh: Compute the weight again.
        assign: Give the weight values through its parametrizations, which have a right inverse.
        shape: The weight's shape then.
    """

    drawn: nn.Parameter
    norm: nn.Parameter | None = None
    dim: int = 0
    refresh: Callable[[], None] = lambda: None
    assign: Callable[[Tensor], None] | None = None
    shape: tuple[int, ...] = ()

    def lacks_direction(self) -> bool:
        """Whether v is zero in some rows: g v / norm of v would be 0 / 0 there."""
        if self.norm is None:
            return False
        values = self.drawn.detach().to(torch.promote_types(self.drawn.dtype, torch.float32))
        return not torch.norm_except_dim(values, 2, self.dim).all()

    def settle(self, is_zero: bool = False) -> None:
        """Set g to the norm of the drawn values, or to 0, and compute the weight again.

        Rows of v that are zero get a direction and g = 0, as the weight would be 0 / 0 there.
        """
        if self.norm is not None:
            values = self.drawn.detach()
            size = torch.norm_except_dim(values.to(torch.promote_types(values.dtype, torch.float32)), 2, self.dim)
            values[(size == 0).expand_as(values)] = 1
            self.norm.detach().copy_((size * (not is_zero)).reshape(self.norm.shape))
        self.refresh()


def is_computed(layer: nn.Module, name: str) -> bool:
    """Tell whether an attribute is computed from other parameters.

    The look-up avoids ``getattr``, which would run a parametrization and change its buffers.

    Args:
        layer: The module that owns the parameter.
        name: The attribute.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> is_computed(layer, "weight"), is_computed(layer, "bias")
        (True, False)
    """
    if name in layer._parameters:
        return False
    return vars(layer).get(name) is not None or getattr(type(layer), name, None) is not None


def computed_from(layer: nn.Module, name: str) -> Computed | None:
    """Return how an attribute is computed; ``None`` if its values cannot be set.

    Args:
        layer: The module that owns the attribute.
        name: The attribute.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> computed_from(layer, "weight").norm.shape
        torch.Size([3, 1])
    """
    chain = _parametrizations(layer, name)
    if chain is not None:
        if len(chain) == 1 and type(chain[0]) is getattr(parametrizations, "_WeightNorm", None):
            norm, drawn = chain._parameters["original0"], chain._parameters["original1"]
            assert norm is not None
            assert drawn is not None
            return Computed(drawn, norm, getattr(chain[0], "dim", 0))
        return _invertible(layer, name, chain)
    own = [hook for hook in layer._forward_pre_hooks.values() if _name(hook) == name]
    if len(own) != 1:
        return None
    if isinstance(hook := own[0], WeightNorm):
        drawn, norm = layer._parameters.get(f"{name}_v"), layer._parameters.get(f"{name}_g")
        return None if drawn is None else Computed(drawn, norm, hook.dim, lambda: hook(layer, None))
    drawn = layer._parameters.get(f"{name}_orig")
    if isinstance(hook, BasePruningMethod) and drawn is not None:
        return Computed(drawn, refresh=lambda: hook(layer, None))
    return None


@torch.no_grad()
def _invertible(layer: nn.Module, name: str, chain: nn.utils.parametrize.ParametrizationList) -> Computed | None:
    """Return how to set a weight whose parametrizations give back what their right inverse took; tried on a copy."""
    drawn = chain._parameters.get("original")
    if drawn is None or not all(hasattr(each, "right_inverse") for each in chain):
        return None
    trial = copy.deepcopy(chain)
    try:
        values = torch.linspace(-1.0, 1.3, trial().numel(), dtype=drawn.dtype, device=drawn.device).cos_()
        values = values.reshape(trial().shape)
        trial.right_inverse(values.clone())
        fits = torch.allclose(trial(), values, rtol=1e-3, atol=1e-4)
    except Exception:  # whatever a parametrization of the user's raises, such values do not fit it
        return None
    return Computed(drawn, assign=lambda each: setattr(layer, name, each), shape=tuple(values.shape)) if fits else None


def _parametrizations(layer: nn.Module, name: str) -> nn.utils.parametrize.ParametrizationList | None:
    found = layer._modules.get("parametrizations")
    return found[name] if isinstance(found, nn.ModuleDict) and name in found else None  # type: ignore[return-value]


def _name(hook: Callable) -> str | None:
    """Return the attribute that a hook of ``torch.nn.utils`` computes before each pass."""
    return getattr(hook, "_tensor_name", None) or getattr(hook, "name", None)


def behind(layer: nn.Module, name: str) -> list[nn.Parameter]:
    """Return the parameters from which an attribute is computed.

    Args:
        layer: The module that owns the attribute.
        name: The attribute.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> [tuple(parameter.shape) for parameter in behind(layer, "weight")]
        [(3, 1), (3, 2)]
    """
    if (chain := _parametrizations(layer, name)) is not None:
        return list(chain.parameters())
    found = (layer._parameters.get(f"{name}{suffix}") for suffix in SUFFIXES)
    return [parameter for parameter in found if parameter is not None]


def computing_code(layer: nn.Module, name: str) -> str:
    """Name the code that computes an attribute.

    Example:
        >>> computing_code(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)), "weight")
        'SpectralNorm'
    """
    chain = _parametrizations(layer, name)
    hooks = [hook for hook in layer._forward_pre_hooks.values() if _name(hook) == name]
    kinds = [type(each).__name__.strip("_") for each in (chain if chain is not None else hooks)]
    return " and ".join(kinds) or "other code"


def refuse_computed(layer: nn.Module, name: str, full_name: str) -> None:
    """Raise for an attribute that is computed and cannot be set.

    Args:
        layer: The module that owns the attribute.
        name: The attribute.
        full_name: Its name in the model.

    Raises:
        InputError: Always; the message names the code that computes the attribute.
    """
    raise InputError(
        f"{full_name}: is computed by {computing_code(layer, name)} and cannot be set in place; exclude the layer, or "
        "call initialize_ before you parametrize. Not with zero weights: SpectralNorm would make them 0 / 0"
    )
