"""Build a model under observation: every write is recorded, and nothing of the user's settings stays changed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit._modules.arguments import check_returned, name_of
from zeroinit._modules.batch import call_model, describe
from zeroinit._modules.state import random_state_kept, unwrapped
from zeroinit.audit.memory import COPIES, REPEATS, Memory, Write
from zeroinit.audit.products import Products
from zeroinit.audit.ties import Ties, memory_groups, tied_again, tied_names
from zeroinit.audit.trace import Recorder

__all__ = ["Observed", "observe", "settings_kept"]

FITS = "hand over a batch that the model takes"
HOW = "hand over a function without arguments that returns a model, as `lambda: Net()`"


@dataclass(eq=False)
class Observed:
    """A built model and all that was written to its memory.

    Attributes:
        model: As built.
        recorder: What was written.
        split: Pairs of names that were tied once and are not any more.
        tied: Names that hold one parameter, group by group.
        from_meta: Whether parameters were made on the meta device, and then got empty memory.
    """

    model: nn.Module
    recorder: Recorder
    split: list[tuple[str, str]]
    tied: list[list[str]]
    from_meta: bool = False

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, each once."""
        return dict(self.model.named_parameters())

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Buffers by name, each once."""
        return dict(self.model.named_buffers())

    @property
    def joined(self) -> list[list[str]]:
        """Names of different parameters that lie in the same memory."""
        return memory_groups(dict(self.parameters))

    @cached_property
    def held(self) -> dict[Memory, str]:
        """The memory of each parameter and buffer with its name, and the memory whose place it took."""
        found: dict[Memory, str] = {}
        for name, tensor in {**self.parameters, **self.buffers}.items():
            memory = self.memory(tensor)
            while memory is not None and memory not in found:
                found[memory] = name
                memory = memory.before
        return found

    def copied_from(self, write: Write) -> str:
        """Return the name of the parameter or buffer of this model that a write copies; empty for anything else."""
        return self.held.get(write.source, "") if write.kind == "copy" and write.source is not None else ""

    def memory(self, tensor: Tensor) -> Memory | None:
        """Return what is known of a tensor's memory."""
        return self.recorder.memory_of(tensor)

    def is_loaded(self, write: Write, depth: int = 3) -> bool:
        """Whether values come from a checkpoint: loaded, assigned memory, or a copy of what was loaded.

        What one part of the model loads from another one is a copy.
        """
        if write.kind == "given" and write.time == 0:
            return True
        if write.rule.loading and write.kind in ("copy", "given", "part") and not self.copied_from(write):
            return True
        copied = write.kind == "copy" or write.operation in {*COPIES, *REPEATS}
        before = write.source.lasting(write.time) if copied and write.source is not None and depth else []
        return any(self.is_loaded(each, depth - 1) for each in before)

    def is_given(self, name: str) -> bool:
        """Whether all values of a parameter that were written were loaded, or come from outside torch."""
        memory = self.memory(self.parameters[name])
        lasting = memory.lasting() if memory is not None else []
        return memory is not None and bool(lasting) and (memory.is_from_outside() or all(map(self.is_loaded, lasting)))

    def loaded_until(self, names: Iterable[str]) -> int | None:
        """Return the time of the last write to parameters that hold loaded values alone; ``None`` for any others."""
        last = 0
        for memory in [self.memory(self.parameters[name]) for name in names]:
            lasting = memory.lasting() if memory is not None else []
            # another thread may read a file, unseen
            is_given = memory is not None and memory.is_from_outside() and not memory.was_empty()
            if not is_given and not (lasting and all(map(self.is_loaded, lasting))):
                return None
            last = max([last, *(each.time for each in lasting)])
        return last

    def owner(self, name: str) -> nn.Module:
        """Return the module that holds a parameter."""
        return self.model.get_submodule(name.rpartition(".")[0])

    def declared(self, name: str) -> tuple[nn.Module, str]:
        """Return the module whose code declares a parameter, and its attribute there: a list, if it is in one."""
        path, _, attribute = name.rpartition(".")
        while path and isinstance(self.model.get_submodule(path), nn.ParameterList | nn.ParameterDict):
            path, _, attribute = path.rpartition(".")
        return self.model.get_submodule(path), attribute


@contextmanager
def settings_kept(seed: int) -> Iterator[None]:
    """Seed all generators inside; restore them on leaving, and the default type, the default device, and gradients."""
    dtype, device, grad = torch.get_default_dtype(), torch.empty(0).device, torch.is_grad_enabled()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), random_state_kept(nn.Identity(), seed):
        torch.manual_seed(0)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
            if torch.empty(0).device != device:  # torch 2.6 fails on its own question once the default was set to None
                torch.set_default_device(None if device == torch.device("cpu") else device)


def observe(
    build: Any,
    init: Callable[[nn.Module], Any] | None = None,
    batch: Any = None,
    *,
    on_meta: bool = False,
    argument: str = "build",
    seed: int = 0,
) -> Observed:
    """Build a model and record what is written.

    Args:
        build: A function without arguments that returns a model.
        init: Called with the model afterwards.
        batch: Arguments of one forward pass at the end.
        on_meta: Whether to build on the meta device and give the model empty memory before ``init``.
        argument: How the user knows ``build``, for messages.
        seed: Of Python's and NumPy's generators; that of torch is always 0.

    Raises:
        InputError: Something fails, or is no function, or returns no model.
    """
    if isinstance(build, nn.Module) or not callable(build):
        raise InputError(f"{argument}={name_of(build)}: is no function that builds a model; {HOW}")
    recorder = Recorder()
    ties = Ties(recorder.note_loaded, recorder.note_replaced)
    with settings_kept(seed), ExitStack() as stack:
        stack.enter_context(ties.watching())
        stack.enter_context(recorder)
        model = _called(build, argument, on_meta)
        tensors = [*model.parameters(), *nn.Module.buffers(model)]
        on_meta = on_meta or (init is not None and any(each.is_meta for each in tensors))
        if on_meta:
            with tied_again(model):
                model.to_empty(device="cpu")
        recorder.phase = "init"
        if init is not None:
            start = recorder.time
            made = watched(init, f"init={name_of(init)}", model)
            if recorder.time == start and made is not model:
                _refuse_of_each_module(init, model, recorder)
            model = made if isinstance(made, nn.Module) else model
        model = unwrapped(model)
        split, tied = ties.split(model), tied_names(model)
        if batch is not None:
            recorder.phase = "forward"
            with torch.no_grad(), Products(recorder):
                watched(call_model, f"batch={describe(batch)}", model, batch, way=FITS)
    return Observed(model, recorder, split, tied, on_meta)


def _refuse_of_each_module(init: Callable[[nn.Module], Any], model: nn.Module, recorder: Recorder) -> None:
    """Refuse a function that does nothing with a model and sets its modules, as those that ``model.apply`` takes."""
    start = recorder.time
    with suppress(Exception):
        model.apply(init)
    if recorder.time > start:
        name = name_of(init)
        raise InputError(
            f"init={name}: does nothing with a model, because it sets one module at a time; hand over "
            f"`lambda model: model.apply({name})`"
        )


def _called(build: Callable[[], Any], argument: str, on_meta: bool) -> nn.Module:
    place = f"{argument}={name_of(build)}"
    if on_meta:
        with torch.device("meta"):
            model = watched(build, place)
    else:
        model = watched(build, place)
    check_returned(model, place, HOW)
    return model


def watched(function: Callable[..., Any], place: str, *arguments: Any, way: str = "run it alone first") -> Any:
    """Call the user's code; the stack of calls is read up to here."""
    try:
        return function(*arguments)
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, TypeError) and "missing" in text and not arguments:
            way = "it is called without arguments"
        raise InputError(f"{place}: failed ({type(error).__name__}: {text[:300]}); {way}") from error
