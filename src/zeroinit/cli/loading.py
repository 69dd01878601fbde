"""Objects from the command line: a factory by name, inputs by shape."""

import math
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import getsourcefile, getsourcelines, signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, closest, derive_seed
from zeroinit._findings.report import Report
from zeroinit._imports import import_named
from zeroinit._modules.arguments import check_returned
from zeroinit._modules.batch import describe
from zeroinit._modules.homes import homes_of
from zeroinit.init import initialize_
from zeroinit.init.own import find_initializer

__all__ = [
    "as_typed",
    "at_factory",
    "build",
    "find_factory",
    "in_words_of_options",
    "parse_inputs",
    "split",
    "users_code",
]

LARGEST = 2**31
FAILS = "; hand over inputs for which"
FORM = "write package.module:factory, where factory() returns a model or a pair of model and inputs"


@contextmanager
def users_code(name: str) -> Iterator[None]:
    """Survive code that ends the program, as by ``sys.exit(0)``: a check that did not take place is no success.

    The code sees a command line without arguments: those of zeroinit are not meant for its parser.

    Args:
        name: The factory's name.

    Raises:
        InputError: The code raised ``SystemExit`` or ``GeneratorExit``.
    """
    given, sys.argv = sys.argv, [name]
    try:
        yield
    except (SystemExit, GeneratorExit) as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise InputError(f"factory={name!r}: its code ended the program ({said}); let it return") from error
    finally:
        sys.argv = given


def find_factory(name: str, argument: str = "factory") -> Callable:
    """Import ``package.module:factory``; the working directory is searched, too.

    Raises:
        InputError: The name has another form, or there is no such module or factory.

    Example:
        >>> find_factory("torch.nn:Identity")()
        Identity()
    """
    form = FORM if argument == "factory" else "write package.module:function"
    found = import_named(name, argument, form)
    if not callable(found) or isinstance(found, nn.Module):
        raise InputError(f"{argument}={name!r}: is {describe(found)}, not a function; {form}")
    return found


def at_factory(report: Report, name: str, model: nn.Module) -> Report:
    """Let a report point to the factory where the model is built of torch's own classes."""
    try:
        factory = find_factory(name)
        line = str(getsourcefile(factory)), getsourcelines(factory)[1]
    except (OSError, TypeError):
        return report
    return replace(report, homes=homes_of(model, {each.path for each in report.findings}, line))


def parse_inputs(text: str) -> Any:
    """Draw inputs from a description: ``"32x784"``, ``"8x16:int100"``, several separated by commas, or named ones.

    Floats are standard normal; ``int100`` draws whole numbers below 100. ``name=8x16:int100`` gives a dictionary.

    Raises:
        InputError: Another form.

    Example:
        >>> parse_inputs("2x3").shape, parse_inputs("x=2x3,y=2:int5")["y"].dtype
        (torch.Size([2, 3]), torch.int64)
    """
    generator = torch.Generator("cpu").manual_seed(derive_seed(0, "inputs"))
    drawn: list[tuple[str, Tensor]] = []
    for entry in text.split(","):
        match = re.fullmatch(r"(?:(\w+)=)?(\d{1,18}(?:x\d{1,18})*)(?::int(\d{1,18}))?", entry.strip())
        sizes = [int(size) for size in match[2].split("x")] if match else []
        form = "write sizes as 32x784, whole numbers below 100 as 8x16:int100, several with commas"
        if match is None or 0 in sizes or int(match[3] or 1) == 0:
            fault = "0 leaves nothing to draw; " if match else ""
            raise InputError(f"inputs={text[:60]!r}: {fault}{form}")
        if max(math.prod(sizes), int(match[3] or 1)) > LARGEST:
            raise InputError(f"inputs={text[:60]!r}: is too large; draw at most {LARGEST:,} values, none larger")
        if match[1] and match[1] in {name for name, _ in drawn}:
            raise InputError(f"inputs={text!r}: {match[1]} is there twice; give each input a name of its own")
        value = (
            torch.randn(sizes, generator=generator, device="cpu")
            if match[3] is None
            else torch.randint(int(match[3]), sizes, generator=generator, device="cpu")
        )
        drawn.append((match[1] or "", value))
    if all(name for name, _ in drawn):
        return dict(drawn)
    if any(name for name, _ in drawn):
        raise InputError(f"inputs={text!r}: name all inputs or none")
    return drawn[0][1] if len(drawn) == 1 else tuple(value for _, value in drawn)


@contextmanager
def in_words_of_options(factory: str, model: nn.Module, batch: Any, text: str | None) -> Iterator[None]:
    """Say what is wrong with a model or its inputs as somebody knows it who has typed them.

    Args:
        factory: The factory's name.
        model: What the factory made.
        batch: The inputs.
        text: What describes them; ``None`` if the factory made them, too.

    Raises:
        InputError: The block raises one.
    """
    try:
        yield
    except InputError as error:
        known = list(signature(model.forward).parameters)
        lacking = [name for name in batch if name not in known] if text is not None and isinstance(batch, dict) else []
        if lacking:
            near = closest(lacking[0], known, f"it takes {', '.join(known)}")
            raise InputError(f"inputs={text!r}: forward has no argument {lacking[0]!r}{near}") from error
        given = str(error).partition(": ")[0].partition("=")[2]
        shown = f", {given}" if given else ""
        inputs = f"factory={factory!r}: its inputs{shown}" if text is None else f"inputs={text!r}"
        said = as_typed(error, inputs=inputs, probe=inputs, model=f"factory={factory!r}: its model{shown}")
        way = "return inputs that the model takes" if text is None else "write the sizes that the model takes"
        if text is not None and re.fullmatch(r"\d+(\s*,\s*\d+)+", text.strip()):
            way = f"for one input, write {re.sub(r'[, ]+', 'x', text.strip())!r}"
        reason, fails, _ = re.sub("; pass inputs with", FAILS, said).partition(FAILS)
        reason = reason if text is not None else reason.replace("; hand over ", "; return ")
        raise InputError(f"{reason}; {way}" if fails else reason) from error


def as_typed(error: InputError, **typed: str) -> str:
    """Return the message of an error, with what was typed in the place of the library's argument and its value.

    Args:
        error: Begins with ``argument=value: ``.
        typed: By argument.

    Example:
        >>> as_typed(InputError("build=Net: failed"), build="factory='nets:Net'")
        "factory='nets:Net': failed"
    """
    place, _, reason = str(error).partition(": ")
    argument = place.partition("=")[0]
    return f"{typed[argument]}: {reason}" if argument in typed else str(error)


def split(made: Any) -> tuple[Any, Any]:
    """Return the model and the inputs that a factory made; ``None`` where it makes no inputs.

    Example:
        >>> split((1, 2)), split(1)
        ((1, 2), (1, None))
    """
    return made if isinstance(made, tuple) and len(made) == 2 else (made, None)


def build(name: str, inputs: str | None, initializer: str | None = None) -> tuple[nn.Module, Any, tuple[str, ...]]:
    """Call a factory by name; return its model, set by an initializer if one is named, inputs as described, and notes.

    Raises:
        InputError: The factory fails, returns something else, or there are no inputs.
    """
    factory = find_factory(name)
    try:
        made = factory()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f" in {Path(last.filename).name}, line {last.lineno}" if last.filename != __file__ else ""
        advice = "; it is called without arguments" if isinstance(error, TypeError) else ""
        raise InputError(f"factory={name!r}: failed{place} ({type(error).__name__}: {error}){advice}") from error
    model, own = split(made)
    check_returned(model, f"factory={name!r}", FORM)
    given = own if inputs is None else parse_inputs(inputs)
    if given is None:
        raise InputError(f"factory={name!r}: returns a model without inputs; add their sizes, as --inputs 32x784")
    if initializer is not None:
        probe = given if getattr(find_initializer(initializer)[1], "needs_batch", False) else None
        generator = torch.Generator("cpu").manual_seed(derive_seed(0, "init"))
        with in_words_of_options(name, model, given, inputs):
            initialize_(model, initializer, generator=generator, probe=probe)
    notes = () if own is None or inputs is None else (f"--inputs {inputs} stands in for the inputs of {name}",)
    return model, given, notes
