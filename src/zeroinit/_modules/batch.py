"""Batches: what counts as one, how a model is called with it, and how its tensors are changed.

``inspect``, ``initialize_(probe=...)`` and the command line take batches as this module reads them.
"""

import copy
import dataclasses
import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zeroinit._common import InputError

__all__ = ["Batch", "call_model", "describe", "failed_pass", "map_tensors", "take_batch", "tensors_in"]

Batch = Any
"""A tensor, several in a tuple, list or mapping, or any object that holds tensors."""
DEEPEST = 6
ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size, type, nn.Module)


def take_batch(inputs: Any, targets: Any, model: nn.Module, argument: str = "inputs") -> tuple[Batch, Any]:
    """Return one batch and its targets from the user's ``inputs``.

    A ``DataLoader`` gives its first batch, and its generator does not change. A pair ``(inputs, targets)`` is split if
    the model takes one argument. Mappings become dictionaries.

    Args:
        inputs: A tensor, tuple, list, mapping, ``DataLoader``, or an object that holds tensors.
        targets: As handed over; ``None`` if there are none.
        model: Says how many arguments it takes.
        argument: How the user knows ``inputs``.

    Raises:
        InputError: There is no tensor or no example in it, it is no batch, or the loader is empty or fails.

    Example:
        >>> x, y = torch.zeros(4, 2), torch.zeros(4)
        >>> [tuple(each.shape) for each in take_batch((x, y), None, nn.Linear(2, 1))]
        [(4, 2), (4,)]
    """
    loaded = isinstance(inputs, DataLoader)
    batch = _first(inputs, argument) if loaded else inputs
    if isinstance(batch, Mapping):
        batch = dict(batch)
    if isinstance(batch, Iterator):
        raise InputError(f"{argument}={describe(batch)}: is an iterator; hand over one batch, as next(...) gives it")
    if isinstance(batch, Dataset):
        raise InputError(f"{argument}={describe(batch)}: is a data set; hand over a DataLoader, or one batch of it")
    if not isinstance(batch, Tensor | tuple | list | dict) and not tensors_in(batch):
        as_tensor = "torch.as_tensor(...)" if hasattr(batch, "__array__") else "a tensor"
        raise InputError(
            f"{argument}={describe(batch)}: holds no tensor; hand over {as_tensor}, a tuple of positional arguments, a "
            "dictionary of named ones, or a DataLoader"
        )
    if targets is None and _is_pair(batch, model, loaded):
        batch, targets = batch
        batch = dict(batch) if isinstance(batch, Mapping) else batch
    held = tensors_in(batch)
    if held and all(each.dim() > 0 and not len(each) for each in held):
        raise InputError(f"{argument}={describe(batch)}: holds no example; hand over a batch with at least one")
    return batch, targets


def call_model(model: nn.Module, batch: Batch) -> Any:
    """Call a model with a batch: ``model(batch)``, ``model(*batch)`` or ``model(**batch)``, as its ``forward`` asks.

    Example:
        >>> call_model(nn.Linear(2, 1), {"input": torch.zeros(3, 2)}).shape
        torch.Size([3, 1])
    """
    if isinstance(batch, dict):
        named = all(isinstance(key, str) for key in batch) and _binds(model, **batch)
        return model(**batch) if named or not _binds(model, batch) else model(batch)
    if type(batch) in (tuple, list):
        return model(*batch) if _binds(model, *batch) or not _binds(model, batch) else model(batch)
    if isinstance(batch, tuple) and not _binds(model, batch) and _binds(model, *batch):
        return model(*batch)  # a named tuple for a model of several arguments
    return model(batch)


def map_tensors(value: Any, change: Callable[[Tensor], Tensor], depth: int = DEEPEST) -> Any:
    """Copy a batch with every tensor in it changed, in tuples, lists, mappings, dataclasses and other plain objects.

    Objects without a tensor are not copied.

    Example:
        >>> map_tensors({"a": [torch.ones(1)], "b": "word"}, lambda tensor: 2 * tensor)
        {'a': [tensor([2.])], 'b': 'word'}
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, ATOMS) or depth == 0:
        return value
    if isinstance(value, list | tuple):
        items = [map_tensors(each, change, depth - 1) for each in value]
        if type(value) in (list, tuple):
            return type(value)(items)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, Mapping):
        return _mapped(value, {key: map_tensors(each, change, depth - 1) for key, each in value.items()})
    if not tensors_in(value, depth):
        return value
    result = copy.copy(value)
    for name, entry in _attributes(value):
        object.__setattr__(result, name, map_tensors(entry, change, depth - 1))
    return result


def tensors_in(value: Any, depth: int = DEEPEST) -> list[Tensor]:
    """List the tensors of a batch, in the order of its entries.

    Example:
        >>> len(tensors_in((torch.ones(1), {"a": [torch.ones(1), 3]})))
        2
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, ATOMS) or depth == 0:
        return []
    entries: Iterable[Any]
    if isinstance(value, Mapping):
        entries = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        entries = value
    else:
        entries = (entry for _, entry in _attributes(value))
    return [found for entry in entries for found in tensors_in(entry, depth - 1)]


def describe(value: Any) -> str:
    """Name a value for a message: a tensor by its shape and type, a container by its entries.

    Example:
        >>> describe(torch.zeros(2, 3)), describe({"a": 1}), describe(3)
        ('a tensor (2, 3) of float32', 'a dict with a', 'an int')
    """
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    kind = type(value).__name__
    kind = f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
    if isinstance(value, Mapping):
        return f"{kind} with {', '.join(map(str, value)) or 'nothing in it'}"
    if isinstance(value, tuple | list):
        return f"{kind} of {len(value)}"
    return "None" if value is None else kind


def failed_pass(model: nn.Module, error: Exception) -> str:
    """Say that a pass of a model failed, in which of its layers, and with what error.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
        >>> try:
        ...     _ = model(torch.ones(1, 2))
        ... except RuntimeError as error:
        ...     print(failed_pass(model, error).partition(": ")[0])
        the forward pass failed in `1.1` (RuntimeError
    """
    paths = {id(module): path for path, module in model.named_modules()}
    owners = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    path = ([paths[id(each)] for each in owners if id(each) in paths] or [""])[-1]
    return f"the forward pass failed{f' in `{path}`' if path else ''} ({type(error).__name__}: {error})"


def _first(loader: DataLoader, argument: str) -> Any:
    """Return a loader's first batch; its generators do not change."""
    generators = {id(each): each for each in map(_generator_of, (loader, loader.sampler, loader.batch_sampler)) if each}
    states = [(each, each.get_state()) for each in generators.values()]
    try:
        return next(iter(loader))
    except StopIteration:
        why = "its dataset is empty"
        if isinstance(loader.dataset, Sized) and len(loader.dataset):
            why = f"its dataset has fewer examples than a batch of {loader.batch_size}, and drop_last=True"
        raise InputError(f"{argument}=a DataLoader: has no batch; {why}") from None
    except Exception as error:
        raise InputError(
            f"{argument}=a DataLoader: its first batch failed ({type(error).__name__}: {error}); hand over one batch"
        ) from error
    finally:
        for generator, state in states:
            generator.set_state(state)


def _generator_of(owner: Any) -> torch.Generator | None:
    found = getattr(owner, "generator", None)
    return found if isinstance(found, torch.Generator) else None


def _is_pair(batch: Any, model: nn.Module, loaded: bool) -> bool:
    """Whether a batch is a pair of inputs and targets: the model takes the first entry alone."""
    if not isinstance(batch, tuple | list) or hasattr(batch, "_fields") or len(batch) != 2:
        return False
    first, second = batch
    if not tensors_in(second) or not tensors_in(first):
        return False
    fits = _binds(model, **first) if _is_named(first) else _binds(model, first)
    if not fits and type(first) in (tuple, list):
        fits = _binds(model, *first)
    return fits and (loaded or _is_named(first) or not _binds(model, *batch))


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _binds(model: nn.Module, *arguments: Any, **named: Any) -> bool:
    """Whether a model's ``forward`` takes these arguments; also if its signature is not known."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def _mapped(value: Mapping, entries: dict) -> Any:
    """Return a mapping of the same type with other values."""
    if type(value) is dict:
        return entries
    result: Any = copy.copy(value)
    try:
        for key, entry in entries.items():
            result[key] = entry
    except TypeError:  # this mapping cannot be built from entries
        return entries
    return result


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a plain object: a dataclass, or an object of the user's own class."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
        return
    if callable(value) and not hasattr(value, "to"):
        return
    yield from getattr(value, "__dict__", {}).items()
    for owner in type(value).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)
