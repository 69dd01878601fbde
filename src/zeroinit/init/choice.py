"""The user's choice: layers by pattern, and what happens to frozen and tied parameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from zeroinit._common import InputError
from zeroinit.init.names import Names, matching

__all__ = ["KEEP", "SET", "Choice", "choose", "excluded_paths"]

KEEP, SET = "keep", "set"
LAYERS = "dense, convolutional or attention layer"


@dataclass(frozen=True)
class Choice:
    """Which modules are set, and what happens to frozen and tied parameters.

    Attributes:
        layers: Paths of the layers that are set, in the model's order.
        norms: Paths of the norms whose beta may be drawn.
        excluded: Paths of all modules that the user excluded.
        frozen: ``"keep"`` or ``"set"``.
        tied: ``"keep"`` or ``"set"``.
        is_all: Whether every layer was asked for.
    """

    layers: Mapping[str, nn.Module]
    norms: Mapping[str, nn.Module]
    excluded: frozenset[str]
    frozen: str
    tied: str
    is_all: bool


def choose(
    names: Names,
    layers: Mapping[str, nn.Module],
    norms: Mapping[str, nn.Module],
    *,
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
    frozen: str,
    tied: str,
    what: str = LAYERS,
) -> Choice:
    """Turn patterns into layers.

    Args:
        names: The modules of the model.
        layers: Modules with a rule, by their first path.
        norms: Norms that cancel a constant channel, by their first path; empty if they do not matter.
        include: Patterns over the names of layers; every layer if ``None``.
        exclude: Patterns over the names of modules that have parameters.
        frozen: What happens to frozen parameters.
        tied: What happens to parameters that modules with another rule, or none, share.
        what: What may be chosen, in words.

    Raises:
        InputError: A pattern matches nothing, no layer is left, or a word is unknown.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> names = Names(model)
        >>> settings = {"include": None, "exclude": "1", "frozen": "keep", "tied": "keep"}
        >>> list(choose(names, {"0": model[0], "1": model[1]}, {}, **settings).layers)
        ['0']
    """
    for argument, value in (("frozen", frozen), ("tied", tied)):
        if value not in (KEEP, SET):
            raise InputError(f"{argument}={value!r}: must be 'keep' or 'set'")
    included, excluded = set(layers), set[str]()
    if include is not None:
        choices = {path: names.answers_to(path) for path in layers}
        included = set(matching(choices, include, "include", what, "layers"))
    if exclude is not None:
        excluded = excluded_paths(names, exclude, [*layers, *norms])
    chosen = {path: layer for path, layer in layers.items() if path in included and path not in excluded}
    if not chosen:
        raise InputError(f"include={include!r}, exclude={exclude!r}: together they leave no layer to initialize")
    return Choice(
        chosen,
        {path: norm for path, norm in norms.items() if path not in excluded},
        frozenset(excluded | _parts(names, excluded)),
        frozen,
        tied,
        include is None,
    )


def excluded_paths(names: Names, exclude: str | Sequence[str], also: Iterable[str] = ()) -> set[str]:
    """Return the paths of the modules that patterns exclude.

    Args:
        names: The modules of the model.
        exclude: Patterns over the names of modules that have parameters.
        also: Paths of further modules that may be excluded.

    Raises:
        InputError: A pattern matches nothing.

    Example:
        >>> sorted(excluded_paths(Names(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LayerNorm(2))), "*"))
        ['0', '2']
    """
    choices = {path: names.answers_to(path) for path in [*also, *_with_parameters(names)]}
    return set(matching(choices, exclude, "exclude", f"{LAYERS}, or other module with parameters", "modules"))


def _with_parameters(names: Names) -> list[str]:
    return [path for path, module in names.modules.items() if any(each is not None for each in _own(module))]


def _own(module: nn.Module):
    return module._parameters.values()


def _parts(names: Names, excluded: set[str]) -> set[str]:
    """Return the modules inside excluded ones that hold the parameters of a parametrization."""
    starts = tuple(f"{path}.parametrizations." if path else "parametrizations." for path in excluded)
    return {path for path in names.modules if path.startswith(starts)}
