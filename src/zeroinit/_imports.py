"""Imports: names that are loaded when they are used, names from a user, and what only an extra of this package brings.

This module imports no torch, so ``import zeroinit`` stays light.
"""

import importlib
import operator
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePath, PureWindowsPath
from types import ModuleType
from typing import Any

from zeroinit._common import InputError, closest

__all__ = ["MissingExtra", "import_extra", "import_named", "missing", "names_when_used", "tell_extras"]

EXTRAS = {
    "zeroinit.bench": "bench",
    "zeroinit.cli": "cli",
    "zeroinit.integrations.lightning": "lightning",
    "zeroinit.integrations.transformers": "transformers",
}
"""Parts of this package that import more than the library needs, and the extra that brings it."""


class MissingExtra(ModuleNotFoundError, InputError):
    """A package is not installed that only an extra of this package brings; the message says what to type."""


def names_when_used(
    package: str, homes: Mapping[str, Sequence[str]], subpackages: Iterable[str] = ()
) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package whose names are imported when somebody first uses them.

    Args:
        package: The package, ``__name__`` there.
        homes: The names that each module holds.
        subpackages: Submodules that are imported whole, as in ``package.name``.

    Returns:
        A function from a name to its value. It raises ``AttributeError`` for a name that the package does not have.

    Example:
        >>> names_when_used("zeroinit", {"zeroinit._common": ["closest"]})("closest") is closest
        True
    """
    home_of, wholes = {name: module for module, names in homes.items() for name in names}, set(subpackages)

    def find(name: str) -> Any:
        if name in home_of:
            found = getattr(importlib.import_module(home_of[name]), name)
        elif name in wholes:
            found = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{closest(name, home_of)}")
        setattr(sys.modules[package], name, found)
        return found

    return find


def import_named(name: str, argument: str, form: str) -> Any:
    """Return what ``package.module:attribute`` names; the working directory is searched, too.

    Args:
        name: The name.
        argument: How the caller's user knows this value, as in ``"factory"``.
        form: What to write instead, for messages.

    Raises:
        InputError: The name has another form, the module cannot be imported, or it has no such attribute.

    Example:
        >>> import_named("math:sqrt", "function", "write module:function")(9)
        3.0
    """
    module_name, _, attribute = name.rpartition(":")
    if "::" in name:  # as pytest names a test
        module_name, *inner = name.split("::")
        attribute = ".".join(inner)
    if not module_name and name.endswith(".py"):
        module_name, attribute = name, "factory" if "factory" in form else "function"
    if not module_name or not attribute or not {"/", "\\"}.isdisjoint(attribute):
        raise InputError(f"{argument}={name!r}: {_with_colon(name) or form}")
    if module_name.endswith(".py") or not {"/", "\\"}.isdisjoint(module_name):
        dotted, folder = _module_in(module_name)
        there = f"; start zeroinit in {folder}" if folder else ""
        raise InputError(f"{argument}={name!r}: write {f'{dotted}:{attribute}'!r}, a module and not a file{there}")
    if "::" in name:
        raise InputError(f"{argument}={name!r}: write {f'{module_name}:{attribute}'!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        said = f"({type(error).__name__}: {error}){_where(error, module_name)}"
        raise InputError(f"{argument}={name!r}: {module_name} cannot be imported {said}") from error
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        near = closest(
            attribute, [each for each, value in vars(module).items() if each[0] != "_" and _is_usable(value)]
        )
        raise InputError(f"{argument}={name!r}: {module_name} has no function {attribute!r}{near}") from None


def _with_colon(name: str) -> str:
    """Say what to write for ``module.factory``, where the file of that module is there."""
    module, _, attribute = name.rpartition(".")
    is_there = attribute.isidentifier() and Path(*module.split(".")).with_suffix(".py").is_file() if module else False
    return f"write {f'{module}:{attribute}'!r}" if is_there else ""


def _is_usable(value: Any) -> bool:
    """Whether a name may be meant: what can be called, but no class of anything else than models."""
    if isinstance(value, type):
        return any(f"{each.__module__}.{each.__name__}" == "torch.nn.modules.module.Module" for each in value.__mro__)
    return callable(value)


def _module_in(file: str) -> tuple[str, str]:
    """Return the module in a file, and the folder from which it can be imported unless that is the present one."""
    path: PurePath = PureWindowsPath(file) if "\\" in file else Path(file)
    if isinstance(path, Path) or not path.is_absolute() or os.name == "nt":
        path = Path(os.path.relpath(path.as_posix()))
    path = path.parent if path.name == "__init__.py" else path
    parts = path.with_suffix("" if path.suffix == ".py" else path.suffix).parts
    if path.is_absolute() or ".." in parts:
        return parts[-1], os.path.abspath(path.parent) if isinstance(path, Path) else str(path.parent)
    return ".".join(parts), ""


def _where(error: Exception, module_name: str) -> str:
    """Say where a module was looked for, or which line of its own failed."""
    if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
        return f"; looked in {os.getcwd()} and in what is installed"
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_own = not last.filename.startswith("<frozen") and Path(last.filename).parent.name != "importlib"
    return f" in {Path(last.filename).name}, line {last.lineno}" if is_own else ""


def missing(package: str, extra: str) -> str:
    """Say in one line what to install.

    Example:
        >>> missing("TensorBoard", "tensorboard")
        "TensorBoard is not installed; type: pip install 'torch-zeroinit[tensorboard]'"
    """
    return f"{package} is not installed; type: pip install 'torch-zeroinit[{extra}]'"


def import_extra(module: str, extra: str) -> Any:
    """Import what only an extra brings.

    Args:
        module: The module.
        extra: Which extra of this package brings it.

    Raises:
        MissingExtra: It is not installed; the message says what to type.

    Example:
        >>> import_extra("json", "bench").dumps(1)
        '1'
    """
    package = module.partition(".")[0]
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(missing(package, extra), name=package) from error
    if _is_folder(loaded):
        raise MissingExtra(missing(package, extra), name=package)
    return loaded


class _Extras(MetaPathFinder):
    """Watches the imports of the parts in ``EXTRAS``, whoever finds and loads them."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what another finder finds, with a loader that says which extra is missing."""
        part = next((each for each in EXTRAS if f"{name}.".startswith(f"{each}.")), None)
        if part is None:
            return None
        found = (each.find_spec(name, path, target) for each in sys.meta_path if each is not self)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _telling(spec.loader, EXTRAS[part])  # type: ignore[method-assign,assignment]
        return spec


def _telling(loader: Loader, extra: str) -> Callable[[ModuleType], None]:
    load = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        try:
            load(module)
        except ImportError as error:
            package = (error.name or "").partition(".")[0]
            is_missing = isinstance(error, ModuleNotFoundError) or _is_folder(sys.modules.get(package))
            if isinstance(error, MissingExtra) or not is_missing or package in ("", __package__):
                raise
            raise MissingExtra(missing(package, extra), name=package) from error

    return exec_module


def _is_folder(module: ModuleType | None) -> bool:
    """Tell whether a module is a mere folder of that name where Python was started."""
    return hasattr(module, "__path__") and getattr(module, "__file__", None) is None


def tell_extras() -> None:
    """Have the parts in ``EXTRAS`` say what to install, if an import in them fails; may be called more than once.

    Example:
        >>> tell_extras()
        >>> sum(type(each).__name__ == "_Extras" for each in sys.meta_path)
        1
    """
    if not any(isinstance(each, _Extras) for each in sys.meta_path):
        sys.meta_path.insert(0, _Extras())
