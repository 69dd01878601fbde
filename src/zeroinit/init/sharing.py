"""Find shared parameters: tied under several names, or views of the same memory."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit.init.names import Names

__all__ = ["Holder", "Shared", "find_shared", "overlap"]


@dataclass(frozen=True)
class Holder:
    """A module that has a parameter: the module's first path, and the parameter's attribute."""

    path: str
    module: nn.Module
    attribute: str

    @property
    def name(self) -> str:
        """The parameter's first name."""
        return f"{self.path}.{self.attribute}" if self.path else self.attribute

    def __str__(self) -> str:
        return f"{self.name!r} ({type(self.module).__name__})"


@dataclass
class Shared:
    """One set of values in a model: its parameters (several if they share memory), and the modules that have them.

    Attributes:
        named: Each parameter with all its names.
        holders: Each module that has one of them, once.
    """

    named: list[tuple[nn.Parameter, list[str]]]
    holders: list[Holder] = field(default_factory=list)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters, in the model's order."""
        return [parameter for parameter, _ in self.named]

    @property
    def names(self) -> list[str]:
        """All names, in the model's order."""
        return [name for _, names in self.named for name in names]

    def names_from(self, parameter: nn.Parameter) -> list[str]:
        """Return all names, those of one parameter first."""
        own = [name for each, names in self.named if each is parameter for name in names]
        return own + [name for each, names in self.named if each is not parameter for name in names]

    @property
    def is_whole(self) -> bool:
        """Whether each of its parameters covers all of its values."""
        if len(self.named) == 1:
            return True
        first = _span(self.parameters[0])
        return first is not None and all(
            _span(each) == first and each.numel() * each.element_size() == first[2] - first[1]
            for each in self.parameters
        )

    def join(self, other: "Shared") -> None:
        """Add the parameters of another set."""
        self.named += other.named
        self.holders += other.holders


def find_shared(names: Names) -> list[Shared]:
    """List the sets of values of a model, each once, in the model's order.

    Args:
        names: The modules of the model.

    Example:
        >>> tied = nn.ModuleDict({"table": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
        >>> tied["head"].weight = tied["table"].weight
        >>> [shared.names for shared in find_shared(Names(tied))]
        [['table.weight', 'head.weight']]
    """
    found: dict[int, Shared] = {}
    for path, module in names.modules.items():
        for attribute, parameter in module._parameters.items():
            if parameter is None:
                continue
            shared = found.setdefault(id(parameter), Shared([(parameter, [])]))
            shared.holders.append(Holder(path, module, attribute))
            shared.named[0][1].extend(f"{each}.{attribute}" if each else attribute for each in names.paths(module))
    return _joined(list(found.values()))


def _joined(sets: list[Shared]) -> list[Shared]:
    """Join the sets whose memory overlaps; only neighbors in memory are compared."""
    spans = sorted(
        (span, number) for number, shared in enumerate(sets) if (span := _span(shared.parameters[0])) is not None
    )
    root = list(range(len(sets)))
    open_: list[tuple[tuple[str, int, int], int]] = []
    for span, number in spans:
        open_ = [each for each in open_ if each[0][0] == span[0] and each[0][2] > span[1]]
        for _, other in open_:
            if overlap(sets[other].parameters[0], sets[number].parameters[0]):
                first, second = sorted((root[other], root[number]))
                root = [first if each == second else each for each in root]
        open_.append((span, number))
    for number, target in enumerate(root):
        if target != number:
            sets[target].join(sets[number])
    return [shared for number, shared in enumerate(sets) if root[number] == number]


def _span(parameter: nn.Parameter) -> tuple[str, int, int] | None:
    """Return the device and the addresses of the first byte and the one after the last; ``None`` without memory."""
    if isinstance(parameter, UninitializedParameter) or parameter.is_meta or parameter.layout != torch.strided:
        return None
    try:
        first = parameter.data_ptr()
    except RuntimeError:  # a wrapper around other tensors
        return None
    return (str(parameter.device), first, first + _reach(parameter)) if parameter.numel() and first else None


def _reach(tensor: Tensor) -> int:
    """Count the bytes from the first value of a tensor to its last one."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


def overlap(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors with values have a byte of memory in common.

    Args:
        one: A strided tensor, not empty.
        other: Another one, on the same device.

    Example:
        >>> values = torch.zeros(2, 4)
        >>> overlap(values[:, :2], values[:, 2:]), overlap(values, values.t())
        (False, True)
    """
    if one.data_ptr() == other.data_ptr():
        return True
    start = min(one.data_ptr(), other.data_ptr())
    unit = math.gcd(one.element_size(), other.element_size(), one.data_ptr() - other.data_ptr())
    end = max(each.data_ptr() + _reach(each) for each in (one, other))
    marks = torch.zeros((end - start) // unit, dtype=torch.bool, device="cpu")

    def view(tensor: Tensor) -> Tensor:
        width = tensor.element_size() // unit
        strides = [stride * width for stride in tensor.stride()]
        return marks.as_strided([*tensor.shape, width], [*strides, 1], (tensor.data_ptr() - start) // unit)

    view(one).fill_(True)
    return bool(view(other).any())
