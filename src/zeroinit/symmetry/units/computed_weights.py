"""Layers whose weight is computed: by weight norm, by spectral norm, by pruning, or by code that is not known."""

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrizations

from zeroinit._modules.layers import LAYER_TYPES
from zeroinit._modules.state import plain_name
from zeroinit.symmetry.units.layers import Layer, Part

__all__ = ["computed_layers", "owner_of", "unknown_layers"]

BY_ROWS = (("weight_orig", ""), ("weight_v", "weight_g"))
"""Parameters behind a weight of the older functions of ``torch.nn.utils``: one in its shape, and its norms."""
PARAMETRIZED = (("original", ""), ("original1", "original0"))


def computed_layers(model: nn.Module) -> list[Layer]:
    """List the layers whose weight is computed unit by unit from parameters that have its units, too.

    Units are identical if those parameters are, because weight norm, spectral norm and pruning act on each unit alone
    or have one factor for all.

    Args:
        model: Any module.

    Example:
        >>> model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))
        >>> [each.path for each in computed_layers(model)]
        ['0']
    """
    names = {id(each): name for name, each in model.named_parameters()}
    found = []
    for path, module in model.named_modules():
        own = _behind(module)
        if not own or any(id(each) not in names for each in own):
            continue
        axis, groups = (1, module.groups) if isinstance(module, _ConvTransposeNd) else (0, 1)
        units = [axis] if groups == 1 else [0, 1]
        own = [each for each in own if all(each.shape[at] == own[0].shape[at] for at in units)]
        parts = [Part(names[id(each)], "weight", axis, groups) for each in own]
        bias = module._parameters.get("bias")
        parts += [Part(names[id(bias)], "bias")] if bias is not None and id(bias) in names else []
        found.append(Layer(path, type(module).__name__, parts))
    return found


def unknown_layers(named: dict[str, nn.Parameter], layers: list[Layer]) -> tuple[str, ...]:
    """Return the paths of the layers with a computed weight that are not among those whose units are known."""
    known = {part.name for layer in layers for part in layer.parts}
    endings = tuple(name.removeprefix("weight") for name, _ in BY_ROWS)
    computed = [
        name
        for name, each in named.items()
        if name not in known and each.dim() > 1 and ("parametrizations." in name or name.endswith(endings))
    ]
    return tuple(dict.fromkeys(plain_name(owner_of(name)) for name in computed))


def owner_of(name: str) -> str:
    """Return the module that owns a parameter; the owner of a parametrized weight is the layer itself."""
    return name.split("parametrizations.")[0].rstrip(".") if "parametrizations." in name else name.rpartition(".")[0]


def _behind(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters behind the weight of one of torch's layers, the one of the weight's shape first."""
    if not isinstance(module, LAYER_TYPES) or "weight" in module._parameters:
        return []
    chains = module._modules.get("parametrizations")
    chain = chains["weight"] if isinstance(chains, nn.ModuleDict) and "weight" in chains else None
    if chain is not None:
        kinds = [getattr(parametrizations, name, None) for name in ("_WeightNorm", "_SpectralNorm")]
        if not all(type(each) in kinds for each in chain):  # type: ignore[attr-defined]
            return []
    elif not isinstance(vars(module).get("weight"), Tensor):
        return []
    owner, pairs = (module, BY_ROWS) if chain is None else (chain, PARAMETRIZED)
    both = next(
        ((owner._parameters[name], owner._parameters.get(norm)) for name, norm in pairs if name in owner._parameters),
        (),
    )
    return [each for each in both if each is not None]
