"""Several models of one architecture as one module, so a training step costs one set of calls.

Images and logits have a leading axis of models. Dense layers compute on (models, batch, features) with batched
products. Convolutional layers compute on (batch, models x channels, height, width) with grouped convolutions. Layers
that work element by element or channel by channel (batch norm) change only in their sizes. Models never mix.
"""

import copy
import operator
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn

from zeroinit._common import InputError
from zeroinit._modules.state import modes_kept

__all__ = ["StackedModel", "has_hooks", "why_not_stackable"]

ELEMENT_BY_ELEMENT = (nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh)
CHANNEL_BY_CHANNEL = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d)
TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
"""The parameters and buffers of dense layers, convolutions and batch norms."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
SETTING = (bool, int, float, str, tuple)
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
FUNCTIONS = {operator.add, operator.iadd, torch.add}


class _Flatten(nn.Module):
    """(models, batch, ...), or (batch, models x channels, height, width) if joined, to (models, batch, features)."""

    def __init__(self, num_models: int, joined: bool) -> None:
        super().__init__()
        self.num_models = num_models
        self.joined = joined

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.joined or inputs.dim() != 4:  # a second one, after the first
            return inputs.flatten(2)
        return inputs.reshape(len(inputs), self.num_models, -1).transpose(0, 1)


class _Dense(nn.Module):
    """One dense layer of each model: (models, batch, inputs) to (models, batch, outputs)."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        weight = _join(layers, "weight", torch.stack)
        assert weight is not None
        self.weight = weight
        self.bias = _join(layers, "bias", torch.stack)

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight.transpose(1, 2)
        return torch.bmm(inputs, weight) if self.bias is None else torch.baddbmm(self.bias[:, None], inputs, weight)


def _convolution(layers: Sequence[nn.Module]) -> nn.Module:
    conv = copy.deepcopy(layers[0])
    assert isinstance(conv, nn.Conv2d)
    conv.groups *= len(layers)
    conv.in_channels *= len(layers)
    conv.out_channels *= len(layers)
    conv.weight = _join(layers, "weight", torch.cat)  # type: ignore[assignment]
    conv.bias = _join(layers, "bias", torch.cat)
    return conv


def _batch_norm(layers: Sequence[nn.Module]) -> nn.Module:
    norm = copy.deepcopy(layers[0])
    assert isinstance(norm, nn.BatchNorm2d)
    norm.num_features *= len(layers)
    norm.weight = _join(layers, "weight", torch.cat)  # type: ignore[assignment]
    norm.bias = _join(layers, "bias", torch.cat)  # type: ignore[assignment]
    for name in ("running_mean", "running_var"):
        if norm._buffers[name] is not None:
            norm._buffers[name] = torch.cat([layer.get_buffer(name) for layer in layers])
    return norm


def _join(layers: Sequence[nn.Module], name: str, join: Callable[[list[Tensor]], Tensor]) -> nn.Parameter | None:
    """Join one parameter of all layers; ``None`` where they have none."""
    parameters = [parameter for layer in layers if (parameter := layer._parameters[name]) is not None]
    if not parameters:
        return None
    joined = join([parameter.detach() for parameter in parameters])
    return nn.Parameter(joined, requires_grad=parameters[0].requires_grad)


def _stack_leaves(leaves: Sequence[nn.Module], joined: bool) -> nn.Module | None:
    """Build the stacked form of the same leaf of all models; ``None`` where there is none.

    ``joined`` tells whether images come with the channels of all models side by side.
    """
    leaf = leaves[0]
    if isinstance(leaf, nn.Flatten):
        return _Flatten(len(leaves), joined) if (leaf.start_dim, leaf.end_dim) == (1, -1) else None
    if type(leaf) is nn.Linear:
        return _Dense(leaves)
    if type(leaf) is nn.Conv2d:
        return _convolution(leaves)
    if isinstance(leaf, nn.BatchNorm2d):
        return _batch_norm(leaves)
    if type(leaf) in ELEMENT_BY_ELEMENT or isinstance(leaf, CHANNEL_BY_CHANNEL):
        return copy.deepcopy(leaf)
    return None


class _Tracer(fx.Tracer):
    """Goes into modules as long as they have children."""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(module)


def why_not_stackable(models: Sequence[nn.Module]) -> str | None:
    """Say why some models cannot be stacked; ``None`` if they can.

    Models can be stacked if they have the same layers and modes, no hooks and no tied parameters. Their forward pass
    may only call modules that this file knows, and add.

    Args:
        models: At least one.

    Example:
        >>> why_not_stackable([nn.Sequential(nn.Linear(2, 2), nn.Dropout())] * 2)
        "'1' (Dropout) has no stacked form"
    """
    first = models[0]
    anatomy = _anatomy(first)
    if any(_anatomy(model) != anatomy for model in models[1:]):
        return "they differ in their layers"
    if any(_modes(model) != _modes(first) for model in models[1:]):
        return "modules of some are in eval mode and those of others are not"
    if any(has_hooks(model) for model in models):
        return "they carry hooks"
    if len(list(first.parameters())) != len(list(first.named_parameters(remove_duplicate=False))):
        return "they have tied parameters"
    for path, module in first.named_modules():
        name = f"{path or 'itself'!r} ({type(module).__name__})"
        if _is_leaf(module) and _stack_leaves([module], joined=False) is None:
            return f"{name} has no stacked form"
        known = TENSORS if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d) else set()
        for tensor in (*module._parameters, *module._buffers):
            if tensor not in known:
                return f"{name} holds {tensor!r}"
    return _what_else_is_called(first)


def _what_else_is_called(model: nn.Module) -> str | None:
    """Say what the forward pass does, in train or in eval mode, besides calling modules and adding."""
    with modes_kept(model):
        for mode in (True, False):
            try:
                nodes = _trace(model.train(mode))
            except Exception as error:
                return f"the forward pass cannot be traced ({type(error).__name__})"
            for node in nodes:
                if node.op not in {"call_module", "placeholder", "output"} and node.target not in FUNCTIONS:
                    return f"the forward pass calls {getattr(node.target, '__name__', node.target)!r}"
    return None


def _trace(model: nn.Module) -> list[fx.Node]:
    return list(_Tracer().trace(nn.Sequential(model)).nodes)  # a model may be a single layer


def _is_leaf(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def has_hooks(model: nn.Module) -> bool:
    """Whether anything is hooked onto a module or a parameter of a model.

    Example:
        >>> has_hooks(nn.Linear(2, 2))
        False
    """
    return any(getattr(module, hooks) for module in model.modules() for hooks in HOOKS) or any(
        getattr(parameter, hooks) for parameter in model.parameters() for hooks in TENSOR_HOOKS
    )


def _anatomy(model: nn.Module) -> tuple:
    """Return all that stacked models must have in common."""
    tensors = [(name, tensor.shape, tensor.dtype, tensor.device) for name, tensor in model.state_dict().items()]
    trained = [parameter.requires_grad for parameter in model.parameters()]
    settings = [
        (path, type(module), {name: value for name, value in vars(module).items() if isinstance(value, SETTING)})
        for path, module in model.named_modules(remove_duplicate=False)
    ]
    for *_, constants in settings:
        del constants["training"]
    return tensors, trained, settings


def _modes(model: nn.Module) -> list[bool]:
    """List which modules would train; see ``into_train_mode``."""
    modes = [module.training for module in model.modules()]
    return modes if any(modes) else [True] * len(modes)


class StackedModel(nn.Module):
    """Several models of one architecture as one. The models themselves do not change before ``write_back``.

    Args:
        models: At least one; on one device.

    Raises:
        InputError: They cannot be stacked.

    Example:
        >>> models = [nn.Linear(3, 2) for _ in range(4)]
        >>> StackedModel(models)(torch.zeros(4, 5, 3)).shape
        torch.Size([4, 5, 2])
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        reason = why_not_stackable(models)
        if reason is not None:
            raise InputError(f"stacking='stacked': the models cannot be stacked, as {reason}; use 'auto' or 'in_turn'")
        self._models = list(models)
        self._joined = _begins_with_channels(models[0])
        self.stack = nn.Sequential(copy.deepcopy(models[0]))
        for path, module in models[0].named_modules(remove_duplicate=False):
            if _is_leaf(module):
                stacked = _stack_leaves([model.get_submodule(path) for model in models], self._joined)
                assert stacked is not None
                self.stack.set_submodule(f"0.{path}" if path else "0", stacked)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (models, batch, ...) to logits (models, batch, num_classes)."""
        return self.stack(images.transpose(0, 1).flatten(1, 2) if self._joined else images)

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy parameters and buffers into the models, in place."""
        own = self.stack[0].state_dict()
        for number, model in enumerate(self._models):
            for name, tensor in model.state_dict().items():
                values = own[name]
                if values.dim() == tensor.dim() and values.dim():  # joined along an axis
                    values = values.unflatten(0, (len(self._models), len(tensor)))
                tensor.copy_(values[number] if values.dim() > tensor.dim() else values)


def _begins_with_channels(model: nn.Module) -> bool:
    """Whether the first layer that does not work element by element belongs to a convolutional network."""
    leaves = (model.get_submodule(str(node.target)[2:]) for node in _trace(model) if node.op == "call_module")
    first = next((leaf for leaf in leaves if type(leaf) not in ELEMENT_BY_ELEMENT), None)
    return isinstance(first, (nn.Conv2d, nn.BatchNorm2d, *CHANNEL_BY_CHANNEL))
