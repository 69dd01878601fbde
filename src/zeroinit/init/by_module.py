"""Set a model by a function of your own that is called with one module after the other."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit._common import InputError
from zeroinit._modules.batch import describe
from zeroinit._modules.layers import Slot
from zeroinit._modules.state import random_state_kept
from zeroinit.init.choice import Choice
from zeroinit.init.names import Names
from zeroinit.init.own import FunctionError, ModuleFunction, failed
from zeroinit.init.parameters import check_values
from zeroinit.init.plan import DIFFERS, NO_RULE, NO_WEIGHT, NOT_WEIGHTS, SHARED, Left, Plan, num_weights
from zeroinit.init.record import ParameterRecord, hash_tensor
from zeroinit.init.sharing import Holder, Shared, overlap

__all__ = ["Before", "WrittenPlan", "call_on_modules", "unchanged_on_error"]


class Before:
    """All modules, parameters and buffers of a model, to see what was written and to put it back.

    Args:
        names: The modules of the model.

    Attributes:
        writes: Within this context, every operation in place is noted, with the module of the call.
    """

    def __init__(self, names: Names):
        self._tables: list[tuple[str, Any, dict[str, Any]]] = [
            (path, table, dict(table))
            for path, each in names.modules.items()
            for table in (each._parameters, each._buffers, each._modules)
        ]
        held = {id(value): value for _, _, table in self._tables for value in table.values()}
        self._values = {
            key: (value, value.data, value.detach().clone())
            for key, value in held.items()
            if isinstance(value, Tensor) and not is_lazy(value)
        }
        self.writes = _Writes([data for _, data, _ in self._values.values()])

    def hash_of(self, parameter: Tensor) -> str:
        """Return the hash of a parameter as it was."""
        return hash_tensor(self._values[id(parameter)][2])

    def is_written(self, parameter: Tensor) -> bool:
        """Whether somebody wrote to a parameter, also if it has the same values as before."""
        if id(parameter) not in self._values:
            return False
        data = self._values[id(parameter)][1]
        return (
            (parameter.layout == torch.strided and parameter.data_ptr() != data.data_ptr())
            or bool(self.writes.reached(data))
            or hash_tensor(parameter) != self.hash_of(parameter)
        )

    def written_with(self, parameter: Tensor) -> set[str]:
        """Return the modules with which the function was called as it wrote to a parameter, by path."""
        return self.writes.reached(self._values[id(parameter)][1]) if id(parameter) in self._values else set()

    def put_back(self, parameter: Tensor) -> None:
        """Give a parameter its memory and its values again."""
        _, data, values = self._values[id(parameter)]
        parameter.data = data
        data.copy_(values)

    def put_all_back(self) -> None:
        """Give the model its modules, parameters and buffers again, with their values."""
        for _, table, entries in self._tables:
            table.clear()
            table.update(entries)
        for value, *_ in self._values.values():
            self.put_back(value)

    def check_in_place(self, initializer: str) -> None:
        """Refuse what an optimizer that was built before would not see, and parameters of another shape or type.

        Raises:
            InputError: A parameter, or a module with parameters, was replaced, added or removed.
        """
        for path, table, was in self._tables:
            for attribute in [*was, *(each for each in table if each not in was)]:
                old, new = was.get(attribute), table.get(attribute)
                name = f"{path}.{attribute}" if path else attribute
                target = f"the parameter in place: nn.init.normal_(module.{attribute})"
                if any(isinstance(each, nn.Module) for each in (old, new)):
                    target = "its parameters in place: nn.init.normal_(layer.weight)"
                if old is not new and (_is_trained(old) or _is_trained(new)):
                    raise FunctionError(
                        f"initializer={initializer!r}: replaces {name!r}, so an optimizer would train what is no "
                        "longer in the model",
                        f"fill {target}",
                    )
                known = self._values.get(id(old))
                if known is not None and isinstance(old, nn.Parameter) and _form(old) != _form(known[1]):
                    raise FunctionError(
                        f"initializer={initializer!r}: replaces {name!r}, {describe(known[1])} on {known[1].device}, "
                        f"by {describe(old)} on {old.device}",
                        f"fill {target}",
                    )


class _Writes(TorchDispatchMode):
    """Notes operations in place on some tensors, also through ``.data`` and through views."""

    def __init__(self, tensors: list[Tensor]):
        super().__init__()
        self._memory = {address for each in tensors if (address := _address(each))}
        self._seen: dict[tuple, Tensor] = {}
        self.path = ""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for at, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[at] if at < len(args) else kwargs.get(argument.name)
                for each in given if isinstance(given, list | tuple) else (given,):
                    if isinstance(each, Tensor) and each.numel() and _address(each) in self._memory:
                        self._seen[self.path, each.data_ptr(), each.shape, each.stride()] = each
        return func(*args, **kwargs)

    def reached(self, tensor: Tensor) -> set[str]:
        """Return the modules with which the function was called as it wrote to a part of a tensor, by path."""
        address = _address(tensor) if tensor.numel() else 0
        found = self._seen.items() if address in self._memory else ()
        return {path for (path, *_), each in found if _address(each) == address and overlap(each, tensor)}


def _address(tensor: Tensor) -> int:
    """Return where the memory of a tensor begins; 0 without memory of its own."""
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided and not tensor.is_meta else 0


def _form(tensor: Tensor) -> tuple:
    return tensor.shape, tensor.dtype, tensor.device


def _is_trained(part: Any) -> bool:
    return isinstance(part, nn.Parameter) or (isinstance(part, nn.Module) and any(True for _ in part.parameters()))


@contextmanager
def unchanged_on_error(names: Names) -> Iterator[Before]:
    """Give a model all its values again if the block raises.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> try:
        ...     with unchanged_on_error(Names(model)):
        ...         _ = nn.init.ones_(model.bias)
        ...         raise KeyError
        ... except KeyError:
        ...     print(bool((model.bias == 1).all()))
        False
    """
    before = Before(names)
    try:
        yield before
    except BaseException:
        before.put_all_back()
        raise


@torch.no_grad()
def call_on_modules(
    names: Names, choice: Choice, function: ModuleFunction, generator: torch.Generator | None, before: Before
) -> None:
    """Call a function with each chosen module once, inner modules first, as ``model.apply`` does.

    With a generator, the function draws from torch's global generators, and from those of Python and NumPy, with a
    seed from the generator. They are as before afterwards.

    Raises:
        InputError: The function fails, or makes a function.
    """
    root = names.modules[""]
    seed = None
    if generator is not None:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with before.writes, nullcontext() if seed is None else random_state_kept(root, seed):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            for index in sorted({each.device.index for each in root.parameters() if each.is_cuda}):
                torch.cuda.default_generators[index].manual_seed(seed)
        for path, module in _inner_first(names):
            if path in choice.excluded or not (choice.is_all or path in choice.layers):
                continue
            before.writes.path = path
            try:
                returned = function.call(module)
            except Exception as error:
                where = f"on {path or 'the model itself'} ({type(module).__name__}; "
                raise failed(function.name, where, error) from error
            if callable(returned) and not isinstance(returned, nn.Module):
                raise FunctionError(
                    f"initializer={function.name!r}: returns a function",
                    f"hand over what it returns, as in initialize_(model, {function.name.rpartition(':')[2]}(...))",
                )


def _inner_first(names: Names) -> Iterator[tuple[str, nn.Module]]:
    paths = {id(module): path for path, module in names.modules.items()}

    def below(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if (path := paths.pop(id(module), None)) is not None:
            for child in module.children():
                yield from below(child)
            yield path, module

    yield from below(names.modules[""])


class WrittenPlan(Plan):
    """What becomes of each parameter that a function may have written.

    Modules that share a parameter agree if the function writes it for each of them, or for none, as where the module
    around them sets it. A parameter that is replaced without a write is judged by the modules' types.
    """

    unset = "it does not set"
    _num_written = 0
    _before: Before

    @property
    def num_set_weights(self) -> int:
        """How many weights the function set; biases do not count."""
        return self._num_written

    def check(self) -> None:
        """Refuse chosen parameters whose values cannot be compared.

        Raises:
            InputError: One is lazy, on the meta device, or of a class of its own.
        """
        for shared in self.shared:
            if any(each.path in self.choice.layers for each in shared.holders):
                for parameter, parameter_names in shared.named:
                    check_values(parameter, parameter_names[0])
                    if type(parameter.data) is not Tensor:
                        raise InputError(
                            f"{parameter_names[0]}: is a {type(parameter.data).__name__}; call initialize_ before you "
                            "shard or quantize, or exclude the module"
                        )

    def settle(self, name: str, before: Before) -> tuple[ParameterRecord, ...]:
        """Put back what has to stay as it was; return a record of what was set."""
        records = []
        self._before = before
        for shared in self.shared:
            holder = next((each for each in shared.holders if each.path in self.choice.layers), None)
            is_written = any(map(before.is_written, shared.parameters))
            left = None if holder is None else self._why_left(shared, holder, self._rule(holder))
            if holder is not None and is_written and left is None:
                _check_finite(name, shared)
                self._done.add(id(shared))
                self._num_written += max(map(num_weights, shared.parameters))
                records.append(_record(name, shared, before))
            elif is_written:
                for parameter in shared.parameters:
                    before.put_back(parameter)
            elif holder is not None and (left is None or left.kind == SHARED):
                has_weight = not all(isinstance(each.module, NOT_WEIGHTS) for each in shared.holders)
                left = Left(NO_RULE if has_weight else NO_WEIGHT, f"{name} does not set it")
            if left is not None:
                self.left[id(shared.parameters[0])] = left
        return tuple(records)

    def _slot(self, holder: Holder) -> Slot | None:
        return Slot(holder.attribute, "weight", (), 0)

    def _rule(self, holder: Holder, slot: Slot | None = None) -> tuple:
        written = {path for each in self._of_holder(holder) for path in self._before.written_with(each)}
        return (holder.path in written,) if written else (type(holder.module), holder.attribute)

    def _of_holder(self, holder: Holder) -> list[nn.Parameter]:
        return self._of[id(holder.module._parameters[holder.attribute])].parameters

    def _objection(self, own: Holder, holder: Holder, rule: tuple) -> str | None:
        hands_on = self._is_alias(own, holder) or self._is_alias(holder, own)
        objection = None if hands_on else super()._objection(own, holder, rule)
        return "and set for one of them alone" if objection == DIFFERS else objection


def _check_finite(name: str, shared: Shared) -> None:
    for parameter, names in shared.named:
        if not torch.isfinite(parameter).all():
            raise FunctionError(
                f"initializer={name!r}: makes {names[0]} NaN or infinite",
                "fill it with numbers, or exclude its module",
            )


def _record(name: str, shared: Shared, before: Before) -> ParameterRecord:
    parameter, (first, *aliases) = shared.parameters[0], shared.names
    hashes = before.hash_of(parameter), hash_tensor(parameter)
    return ParameterRecord(first, tuple(parameter.shape), name, *hashes, tuple(aliases), not parameter.requires_grad)
