"""Set a model by a function of your own that is called with one module after the other."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zeroinit._common import InputError
from zeroinit._modules.layers import Slot
from zeroinit._modules.state import random_state_kept
from zeroinit.init.choice import Choice
from zeroinit.init.names import Names
from zeroinit.init.own import ModuleFunction
from zeroinit.init.parameters import check_values
from zeroinit.init.plan import NO_RULE, NO_WEIGHT, NOT_WEIGHTS, SHARED, Left, Plan, num_weights
from zeroinit.init.record import ParameterRecord, hash_tensor
from zeroinit.init.sharing import Holder, Shared

__all__ = ["Before", "WrittenPlan", "call_on_modules", "unchanged_on_error"]


class Before:
    """All parameters and buffers of a model, to see what was written and to put it back.

    Args:
        names: The modules of the model.
    """

    def __init__(self, names: Names):
        modules = names.modules.values()
        self._tables: list[tuple[Any, dict[str, Any]]] = [
            (table, dict(table)) for each in modules for table in (each._parameters, each._buffers)
        ]
        held = {id(value): value for _, table in self._tables for value in table.values() if value is not None}
        self._values = {
            key: (value, value.data, value.detach().clone(), _version(value))
            for key, value in held.items()
            if not is_lazy(value)
        }

    def hash_of(self, parameter: Tensor) -> str:
        """Return the hash of a parameter as it was."""
        return hash_tensor(self._values[id(parameter)][2])

    def is_written(self, parameter: Tensor) -> bool:
        """Whether somebody wrote to a parameter, also if it has the same values as before."""
        if id(parameter) not in self._values:
            return False
        version = self._values[id(parameter)][3]
        return _version(parameter) != version or hash_tensor(parameter) != self.hash_of(parameter)

    def put_back(self, parameter: Tensor) -> None:
        """Give a parameter its memory and its values again."""
        _, data, values, _ = self._values[id(parameter)]
        parameter.data = data
        data.copy_(values)

    def put_all_back(self) -> None:
        """Give the model its parameters and buffers again, with their values."""
        for table, entries in self._tables:
            table.clear()
            table.update(entries)
        for value, *_ in self._values.values():
            self.put_back(value)

    def check_in_place(self, names: Names, initializer: str) -> None:
        """Refuse what an optimizer that was built before would not see.

        Raises:
            InputError: A parameter was replaced, added or removed, or got another shape.
        """
        entries = {id(table): entries for table, entries in self._tables}
        for path, module in names.modules.items():
            was = entries.get(id(module._parameters), {})
            for attribute in module._parameters.keys() | was.keys():
                old, new = was.get(attribute), module._parameters.get(attribute)
                known = self._values.get(id(old))
                if old is not new or (new is not None and known is not None and new.shape != known[2].shape):
                    name = f"{path}.{attribute}" if path else attribute
                    raise InputError(
                        f"initializer={initializer!r}: replaces {name!r}, so an optimizer would train what is no "
                        f"longer in the model; fill the parameter in place: nn.init.normal_(module.{attribute})"
                    )


def _version(value: Tensor) -> int | None:
    return None if value.is_inference() else value._version


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
def call_on_modules(names: Names, choice: Choice, function: ModuleFunction, generator: torch.Generator | None) -> None:
    """Call a function with each chosen module once, inner modules first, as ``model.apply`` does.

    With a generator, the function draws from torch's global generators, and from those of Python and NumPy, with a
    seed from the generator. They are as before afterwards.

    Raises:
        InputError: The function fails.
    """
    root = names.modules[""]
    seed = None
    if generator is not None:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with nullcontext() if seed is None else random_state_kept(root, seed):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            for index in sorted({each.device.index for each in root.parameters() if each.is_cuda}):
                torch.cuda.default_generators[index].manual_seed(seed)
        for path, module in _inner_first(names):
            if path in choice.excluded or not (choice.is_all or path in choice.layers):
                continue
            try:
                function.call(module)
            except Exception as error:
                raise InputError(
                    f"initializer={function.name!r}: failed on {path or 'the model itself'} ({type(module).__name__}; "
                    f"{type(error).__name__}: {error}); without a parameter `generator` a function gets each module, "
                    "with one it gets each weight as a tensor"
                ) from error


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

    What a module's parameter gets depends on the module's type and on the attribute.
    """

    _num_written = 0

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
        for shared in self.shared:
            holder = next((each for each in shared.holders if each.path in self.choice.layers), None)
            is_written = any(map(before.is_written, shared.parameters))
            left = None if holder is None else self._why_left(shared, holder, self._rule(holder))
            if holder is not None and is_written and left is None:
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
        return type(holder.module), holder.attribute

    def _objection(self, own: Holder, holder: Holder, rule: tuple) -> str | None:
        hands_on = self._is_alias(own, holder) or self._is_alias(holder, own)
        return None if hands_on else super()._objection(own, holder, rule)


def _record(name: str, shared: Shared, before: Before) -> ParameterRecord:
    parameter, (first, *aliases) = shared.parameters[0], shared.names
    hashes = before.hash_of(parameter), hash_tensor(parameter)
    return ParameterRecord(first, tuple(parameter.shape), name, *hashes, tuple(aliases), not parameter.requires_grad)
