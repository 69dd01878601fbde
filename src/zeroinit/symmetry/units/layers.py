"""Which axis of which parameter counts the units of a layer: measured where possible, by type for torch's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from zeroinit._modules.layers import rows_of_units
from zeroinit.symmetry.units.features import hook_of

__all__ = ["Layer", "Part", "UseOfWeights", "find_layers"]


@dataclass(frozen=True)
class Part:
    """One parameter's share in the units of a layer.

    Attributes:
        name: The parameter's name in the model.
        role: ``"weight"``, ``"bias"``, or ``"recurrent"`` (from the layer's own units, whose order does not matter).
        axis: The axis of units.
        groups: Of a grouped transposed convolution, whose first axis counts (group, input).
        gates: Blocks of the axis that belong to the same unit, as the four gates of an LSTM.
    """

    name: str
    role: str = "weight"
    axis: int = 0
    groups: int = 1
    gates: int = 1

    def rows(self, tensor: Tensor) -> Tensor:
        """Return one row for each unit (units, features); of a complex number its real and its imaginary part."""
        tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
        rows = rows_of_units(tensor, self.axis, self.groups)
        if self.gates == 1 and self.role != "recurrent":
            return rows
        by_gate = rows.reshape(self.gates, -1, rows.shape[1]).movedim(0, 1)
        if self.role == "recurrent":
            by_gate = by_gate.sort(dim=2).values
        return by_gate.flatten(1)


@dataclass
class Layer:
    """Units that stand side by side: their incoming weights and biases.

    Attributes:
        path: The module's path; ``""`` is the model itself.
        kind: The module's type, with a word where there are several layers in one module.
        parts: The parameters that belong to the units.
        known: Whether the axis of units is known; else every axis of the tensor is one ``Layer``.
        heads: Number of attention heads, where known.
    """

    path: str
    kind: str
    parts: list[Part]
    known: bool = True
    heads: int = 1
    unit: str = field(default="units")

    @property
    def weight(self) -> str:
        """Name of the parameter that names the layer."""
        return self.parts[0].name

    def rows(
        self, tensors: Callable[[str], Tensor], roles: tuple[str, ...] = ("weight", "bias", "recurrent")
    ) -> Tensor:
        """Return the rows of all parts with these roles, side by side; a view where that is one part."""
        rows = [part.rows(tensors(part.name)) for part in self.parts if part.role in roles]
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)


class UseOfWeights:
    """Watches one forward pass: along which axis each module applies a matrix that it owns."""

    def __init__(self, model: nn.Module):
        self.axes: dict[str, int] = {}
        self.lookups: set[str] = set()
        self._handles = [
            module.register_forward_hook(self._watch(path), with_kwargs=True)
            for path, module in model.named_modules()
            if isinstance(_matrix(module), Tensor)
        ]

    def _watch(self, path: str) -> Callable:
        def look(module: nn.Module, given: Any, output: Any) -> None:
            weight = _matrix(module)
            if (
                weight is None
                or path in self.axes
                or not (isinstance(given, Tensor) and isinstance(output, Tensor) and output.dim())
            ):
                return
            if not given.is_floating_point():
                if output.shape[:-1] == given.shape and output.shape[-1] == weight.shape[1]:
                    self.lookups.add(path)
                return
            axis = _axis(weight.detach(), given.detach(), output.detach(), getattr(module, "bias", None))
            if axis is not None:
                self.axes[path] = axis

        return hook_of(look)

    def stop(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


def find_layers(model: nn.Module, use: UseOfWeights, inspected: list[str]) -> list[Layer]:
    """List the layers of a model, each parameter once.

    Args:
        model: Any module.
        use: What was seen in a forward pass.
        inspected: Names of the parameters that can be inspected.

    Returns:
        Layers in the order of the model's modules.
    """
    modules = list(model.named_modules())  # some put merged weights back when they are listed
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    taken: set[str] = set()
    layers = []
    for path, module in modules:
        named = {local: names.get(id(each), "") for local, each in module.named_parameters(recurse=False)}
        own = {local: name for local, name in named.items() if name in inspected and name not in taken}
        for layer in _layers_of(path, module, own, use):
            layers.append(layer)
            taken.update(part.name for part in layer.parts)
    return layers


def _layers_of(path: str, module: nn.Module, own: dict[str, str], use: UseOfWeights) -> list[Layer]:
    kind = type(module).__name__
    if isinstance(module, nn.MultiheadAttention):
        layers = _attention(path, module, own)
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        layers = _recurrent(path, module, own)
    elif "weight" in own and (layer := _plain_layer(path, module, own, use)):
        layers = [layer]
    else:
        layers = []
    taken = {part.name for layer in layers for part in layer.parts}
    for name in own.values():
        if name not in taken:
            layers += _unknown(path, kind, name, module)
    return layers


def _plain_layer(path: str, module: nn.Module, own: dict[str, str], use: UseOfWeights) -> Layer | None:
    kind, weight = type(module).__name__, module._parameters["weight"]
    shift = module._parameters.get("bias")
    assert weight is not None
    bias = [Part(own["bias"], "bias")] if "bias" in own else []
    if isinstance(module, _ConvTransposeNd):
        part = Part(own["weight"], axis=1, groups=module.groups)
        return Layer(path, kind, [part, *bias], unit="channels")
    if isinstance(module, _ConvNd):
        return Layer(path, kind, [Part(own["weight"]), *bias], unit="channels")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) or path in use.lookups:
        return Layer(path, kind, [Part(own["weight"], axis=1)], unit="features")
    if weight.dim() == 2 and (isinstance(module, nn.Linear) or path in use.axes):
        axis = use.axes.get(path, 0)
        bias = bias if shift is not None and shift.shape == (weight.shape[axis],) else []
        return Layer(path, kind, [Part(own["weight"], axis=axis), *bias])
    if weight.dim() == 1:
        bias = bias if shift is not None and shift.shape == weight.shape else []
        return Layer(path, kind, [Part(own["weight"]), *bias], unit="channels")
    return None


def _attention(path: str, module: nn.MultiheadAttention, own: dict[str, str]) -> list[Layer]:
    """The packed projection holds queries, keys and values one below the other."""
    if "in_proj_weight" in own:
        bias = [Part(own["in_proj_bias"], "bias")] if "in_proj_bias" in own else []
        return [Layer(path, "MultiheadAttention", [Part(own["in_proj_weight"]), *bias], heads=module.num_heads)]
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return [Layer(path, f"MultiheadAttention {name[0]}", [Part(own[name])]) for name in names if name in own]


def _recurrent(path: str, module: nn.Module, own: dict[str, str]) -> list[Layer]:
    kind = getattr(module, "mode", type(module).__name__.removesuffix("Cell"))
    gates = {"LSTM": 4, "GRU": 3}.get(kind, 1)
    layers = []
    for suffix in sorted(local.removeprefix("weight_ih") for local in own if local.startswith("weight_ih")):
        roles = {"weight_ih": "weight", "weight_hh": "recurrent", "bias_ih": "bias", "bias_hh": "bias"}
        parts = [Part(own[stem + suffix], role, 0, 1, gates) for stem, role in roles.items() if stem + suffix in own]
        layers.append(Layer(path, f"{type(module).__name__} {suffix.strip('_')}".strip(), parts))
    return layers


def _unknown(path: str, kind: str, name: str, module: nn.Module) -> list[Layer]:
    """Every axis with several entries of a tensor whose axes are not known; none of a vector's."""
    shape = dict(module.named_parameters(recurse=False))[name.rpartition(".")[2]].shape
    if len(shape) < 2:
        return []
    return [
        Layer(path, kind, [Part(name, axis=axis)], known=False, unit=f"slices of axis {axis}")
        for axis in range(len(shape))
        if shape[axis] > 1
    ]


def _matrix(module: nn.Module) -> Tensor | None:
    weight = module._parameters.get("weight")
    return weight if isinstance(weight, Tensor) and weight.dim() == 2 else None


def _axis(weight: Tensor, given: Tensor, output: Tensor, bias: Any) -> int | None:
    """Tell whether a module applies ``x @ weight.T`` (0) or ``x @ weight`` (1)."""
    if not given.dim() or not output.is_floating_point():
        return None
    sizes = (output.shape[-1], given.shape[-1])
    if weight.shape[0] != weight.shape[1]:
        return 0 if sizes == tuple(weight.shape) else 1 if sizes == tuple(weight.shape[::-1]) else None
    if sizes != tuple(weight.shape) or given.shape[:-1] != output.shape[:-1]:
        return None
    one, result = given.reshape(-1, sizes[1])[:8].double(), output.reshape(-1, sizes[0])[:8].double()
    shift = bias.detach().double() if isinstance(bias, Tensor) and bias.shape == (sizes[0],) else 0.0
    errors = [float((one @ matrix + shift - result).norm()) for matrix in (weight.double().T, weight.double())]
    return 1 if errors[1] < 0.1 * errors[0] else 0
