"""What a layer is: its weights and biases, how each is stored, its fan-in, and the rows of its units."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter

__all__ = [
    "LAYER_TYPES",
    "Slot",
    "Weight",
    "fan_in",
    "is_conv1d",
    "num_inputs",
    "rows_of_units",
    "slots_of",
    "weight_layers",
    "weights_of",
]

LAYER_TYPES = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""Layers of torch with one ``weight`` (units first, except in transposed convolutions) and one ``bias``."""


@dataclass(frozen=True)
class Slot:
    """One weight or bias of a layer: its attribute, and how many inputs a unit has.

    Attributes:
        name: The attribute, as in ``in_proj_weight``.
        part: ``"weight"`` or ``"bias"``.
        fans: The fan-in of each matrix (or bias); a packed projection holds several, one below the other.
        num_axes: The number of axes in a layer that is not sharded or flattened.
        is_transposed: Whether inputs come first, units second.
        true_fans: Fan-in and fan-out of each matrix as they are, where torch counts otherwise; see ``kinds.py``.
        sizes: Rows of each matrix, if they differ.
        groups: Groups of a convolution: each is a layer of its own.
        is_stacked: Whether the first axis counts layers of their own, such as experts.
        is_guess: Whether nothing tells which of its axes is that of the inputs.
        zero_row: The row of an embedding that stands for padding, and is zero.
    """

    name: str
    part: str
    fans: tuple[int, ...]
    num_axes: int
    is_transposed: bool = False
    true_fans: tuple[tuple[int, int], ...] = ()
    sizes: tuple[int, ...] = ()
    groups: int = 1
    is_stacked: bool = False
    is_guess: bool = False
    zero_row: int | None = None


def is_conv1d(module: nn.Module) -> bool:
    """Tell whether a module is GPT's ``Conv1D``: a dense layer whose weight is stored (inputs, units).

    ``transformers`` has this class, and many GPT-2 programs have their own. So we look at the name and the shape.

    Args:
        module: Any module.

    Example:
        >>> is_conv1d(nn.Conv1d(2, 3, 1))
        False
    """
    if not any(kind.__name__ == "Conv1D" for kind in type(module).__mro__):
        return False
    weight, width = module._parameters.get("weight"), getattr(module, "nf", None)
    if weight is None:
        return width is not None and hasattr(module, "bias")
    return weight.dim() == 2 and weight.shape[1] == width


def fan_in(layer: nn.Module) -> int:
    """Count the inputs of one output unit as ``torch.nn.init`` does: the product of all other axes of the weight.

    For transposed convolutions, torch's count differs from the true number (``num_inputs``). This function follows
    torch, because the ``pytorch`` initializer must equal ``reset_parameters``. It runs no parametrization.

    Args:
        layer: A dense or convolutional layer, or GPT's ``Conv1D``.

    Example:
        >>> fan_in(nn.Conv2d(3, 8, kernel_size=5)), fan_in(nn.Conv2d(6, 9, kernel_size=5, groups=3))
        (75, 50)
    """
    weight = layer._parameters.get("weight")
    if weight is not None and not isinstance(weight, UninitializedParameter) and weight.dim() > 1:
        return weight.shape[0] if is_conv1d(layer) else math.prod(weight.shape[1:])
    if isinstance(layer, _ConvNd):
        channels = layer.out_channels if isinstance(layer, _ConvTransposeNd) else layer.in_channels
        return channels // layer.groups * math.prod(layer.kernel_size)
    inputs = getattr(layer, "nx", 0) if is_conv1d(layer) else getattr(layer, "in_features", 0)
    return inputs if isinstance(inputs, int) else 0


def num_inputs(layer: nn.Module) -> int:
    """Count the values that enter one output unit; for a transposed convolution the average over positions.

    Args:
        layer: Any layer with a rule.

    Example:
        >>> num_inputs(nn.Linear(5, 2)), num_inputs(nn.ConvTranspose2d(10, 20, 4, stride=2)), num_inputs(
        ...     nn.MultiheadAttention(6, 2)
        ... )
        (5, 40, 6)
    """
    if isinstance(layer, nn.MultiheadAttention):
        return int(layer.embed_dim)
    if isinstance(layer, _ConvTransposeNd):
        kernel = math.prod(layer.kernel_size)
        return layer.in_channels // layer.groups * max(kernel // math.prod(layer.stride), 1)
    return fan_in(layer)


def _plain(layer: nn.Module) -> tuple[Slot, ...]:
    fans = (fan_in(layer),)
    axes = 2 + len(layer.kernel_size) if isinstance(layer, _ConvNd) else 2
    return Slot("weight", "weight", fans, axes, is_conv1d(layer)), Slot("bias", "bias", fans, 1)


def _attention(layer: nn.MultiheadAttention) -> tuple[Slot, ...]:
    """List the projections of query, key and value as dense layers; ``out_proj`` is a dense layer already."""
    fans = {"q": layer.embed_dim, "k": layer.kdim, "v": layer.vdim}
    packed = (Slot("in_proj_weight", "weight", tuple(fans.values()), 2),)
    own = tuple(Slot(f"{name}_proj_weight", "weight", (fan,), 2) for name, fan in fans.items())
    biases = (
        Slot("in_proj_bias", "bias", tuple(fans.values()), 1),
        Slot("bias_k", "bias", (layer.kdim,), 3),
        Slot("bias_v", "bias", (layer.vdim,), 3),
    )
    return (*packed, *own, *biases)


_RULES: tuple[tuple[Callable[[nn.Module], bool], Callable[..., tuple[Slot, ...]]], ...] = (
    (lambda module: isinstance(module, LAYER_TYPES) or is_conv1d(module), _plain),
    (lambda module: isinstance(module, nn.MultiheadAttention), _attention),
)


def slots_of(module: nn.Module) -> tuple[Slot, ...]:
    """List the weights and biases that a module may have, in the order of drawing; none if it has no rule.

    Args:
        module: Any module.

    Example:
        >>> [slot.name for slot in slots_of(nn.MultiheadAttention(6, 2, kdim=3)) if slot.part == "weight"]
        ['in_proj_weight', 'q_proj_weight', 'k_proj_weight', 'v_proj_weight']
        >>> slots_of(nn.Embedding(4, 3))
        ()
    """
    return next((list_slots(module) for fits, list_slots in _RULES if fits(module)), ())


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
    """Return the weights of all layers with a rule, each once; weights that a parametrization computes are left out.

    Example:
        >>> model = nn.ModuleDict({"mixer": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 2)})
        >>> for weight in weights_of(model).values():
        ...     print(weight.name, [tuple(matrix.shape) for matrix in weight.matrices()])
        mixer.in_proj_weight [(4, 4), (4, 4), (4, 4)]
        mixer.out_proj.weight [(4, 4)]
        head.weight [(2, 4)]
    """
    found: dict[nn.Parameter, Weight] = {}
    for path, module in model.named_modules():
        for slot in slots_of(module):
            parameter = module._parameters.get(slot.name)
            if slot.part == "weight" and parameter is not None:
                name = f"{path}.{slot.name}" if path else slot.name
                found.setdefault(parameter, Weight(name, parameter, len(slot.fans), slot.is_transposed))
    return found


def weight_layers(model: nn.Module) -> dict[str, nn.Linear | _ConvNd]:
    """Return the dense and (transposed) convolutional layers by name, in the order of the model.

    Example:
        >>> list(weight_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))))
        ['0', '3']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | _ConvNd)}


def rows_of_units(weight: Tensor, axis: int = 0, groups: int = 1) -> Tensor:
    """Return a weight with one row for each unit (units, features).

    Args:
        weight: Any tensor with an axis of units.
        axis: This axis.
        groups: Of a transposed convolution, whose first axis counts (group, input) and whose second one units.

    Example:
        >>> layer = nn.ConvTranspose1d(4, 6, 3, groups=2)
        >>> rows_of_units(layer.weight, axis=1, groups=2).shape
        torch.Size([6, 6])
    """
    if groups > 1:
        return weight.unflatten(0, (groups, -1)).movedim(2, 1).flatten(0, 1).flatten(1)
    return weight.movedim(axis, 0).reshape(weight.shape[axis], -1)
