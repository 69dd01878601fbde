"""The weights of dense and convolutional layers, as matrices or kernels with one row a unit."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from zeroinit.remedies.activations import weight_layers

__all__ = ["Weight", "weights_of"]


@dataclass(frozen=True, eq=False)
class Weight:
    """One parameter that holds the weight of a layer, or of several.

    Attributes:
        name: Its name in the model.
        parameter: The parameter.
        num_parts: How many weights it packs, one below the other.
        is_transposed: Whether inputs come first, as in GPT-2's ``Conv1D``.
    """

    name: str
    parameter: nn.Parameter
    num_parts: int = 1
    is_transposed: bool = False

    def matrices(self) -> list[Tensor]:
        """Return views of the parameter, one a weight: (units, inputs) or (units, channels, *kernel)."""
        whole = self.parameter.t() if self.is_transposed else self.parameter
        return list(whole.chunk(self.num_parts)) if self.num_parts > 1 else [whole]


def weights_of(model: nn.Module) -> dict[nn.Parameter, Weight]:
    """Return the weights of dense and convolutional layers and of attention's projections, each once.

    Weights that a parametrization computes are left out.

    Example:
        >>> model = nn.ModuleDict({"mixer": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 2)})
        >>> for weight in weights_of(model).values():
        ...     print(weight.name, [tuple(matrix.shape) for matrix in weight.matrices()])
        mixer.in_proj_weight [(4, 4), (4, 4), (4, 4)]
        mixer.out_proj.weight [(4, 4)]
        head.weight [(2, 4)]
    """
    plain = set(weight_layers(model).values())
    found: dict[nn.Parameter, Weight] = {}
    for path, module in model.named_modules():
        for attribute, num_parts, is_transposed in _slots(module, module in plain):
            parameter = module._parameters.get(attribute)
            if parameter is not None:
                name = f"{path}.{attribute}" if path else attribute
                found.setdefault(parameter, Weight(name, parameter, num_parts, is_transposed))
    return found


def _slots(module: nn.Module, is_plain: bool) -> list[tuple[str, int, bool]]:
    """List the attributes that may hold weights, how many each packs, and whether inputs come first."""
    if isinstance(module, nn.MultiheadAttention):
        return [("in_proj_weight", 3, False), *((f"{name}_proj_weight", 1, False) for name in "qkv")]
    if is_plain:
        return [("weight", 1, False)]
    is_gpt = any(kind.__name__ == "Conv1D" for kind in type(module).__mro__) and not isinstance(module, _ConvNd)
    return [("weight", 1, True)] if is_gpt and hasattr(module, "nf") else []
