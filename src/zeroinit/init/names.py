"""Names: every path of every module, every name of every parameter, and the layers that patterns choose."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from zeroinit._common import InputError, closest
from zeroinit._modules.state import plain_name

__all__ = ["Names", "matching", "walk"]


def walk(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module under each of its paths, depth first, as ``named_modules(remove_duplicate=False)`` does.

    A module that contains itself is not entered a second time.

    Args:
        model: Any module.

    Example:
        >>> shared = nn.Linear(2, 2)
        >>> [path for path, _ in walk(nn.ModuleDict({"a": shared, "b": shared}))]
        ['', 'a', 'b']
    """

    def below(path: str, module: nn.Module, above: frozenset[int]) -> Iterator[tuple[str, nn.Module]]:
        yield path, module
        for name, child in module._modules.items():
            if child is not None and id(child) not in above:
                yield from below(f"{path}.{name}" if path else name, child, above | {id(child)})

    yield from below("", model, frozenset({id(model)}))


class Names:
    """All paths of the modules of a model.

    Attributes:
        modules: Each module once, by its first path, in the model's order.
    """

    def __init__(self, model: nn.Module):
        self.modules: dict[str, nn.Module] = {}
        self._paths: dict[int, list[str]] = {}
        self._at: dict[str, nn.Module] = {}
        for path, module in walk(model):
            self._at[path] = module
            if id(module) not in self._paths:
                self.modules[path] = module
            self._paths.setdefault(id(module), []).append(path)

    def paths(self, module: nn.Module) -> list[str]:
        """Return every path of a module, the first one first."""
        return self._paths[id(module)]

    def canonical(self, names: Sequence[str]) -> str:
        """Return the name of a parameter that does not depend on wrappers, nor on the order of modules.

        Example:
            >>> Names(nn.Linear(2, 2)).canonical(["head._orig_mod.weight", "embedding.weight"])
            'embedding.weight'
        """
        start = "module." if type(self.modules[""]).__name__ in ("DistributedDataParallel", "DataParallel") else ""
        return min(plain_name(name.removeprefix(start)) for name in names)

    def answers_to(self, path: str) -> list[str]:
        """Return the names under which a pattern finds a module: its paths; for ``out_proj``, also its attention's."""
        names = list(self.paths(self.modules[path]))
        for each in tuple(names):
            above, _, own = each.rpartition(".")
            if own == "out_proj" and isinstance(attention := self._at[above], nn.MultiheadAttention):
                names += self.paths(attention)
        return names

    def is_around(self, outer: nn.Module, inner: nn.Module) -> bool:
        """Tell whether a module contains another one, at any depth."""
        starts = tuple(f"{path}." if path else "" for path in self.paths(outer))
        return outer is not inner and any(path.startswith(starts) for path in self.paths(inner))


def matching(
    choices: Mapping[str, Sequence[str]], patterns: str | Iterable[str], argument: str, what: str, listed: str
) -> list[str]:
    """Return the choices that match a pattern.

    Args:
        choices: The names under which each choice is found, by its first name.
        patterns: One pattern or several (``*``, ``?``, ``[]``) over whole names. A pattern that is itself a name means
            this name alone.
        argument: What the user calls the patterns.
        what: What a choice is, in words.
        listed: What the list of choices is called.

    Raises:
        InputError: A pattern matches nothing.

    Example:
        >>> matching({"a": ["a", "b"], "c": ["c"]}, "b", "include", "layer", "layers")
        ['a']
    """
    patterns = [patterns] if isinstance(patterns, str) or not isinstance(patterns, Iterable) else list(patterns)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(
            f"{argument}={patterns!r}: must be a pattern or a list of patterns over names, such as 'head.*'"
        )
    every = [name for names in choices.values() for name in names]
    found: set[str] = set()
    for pattern in patterns:
        hits = {name for name in every if name == pattern} or {name for name in every if fnmatchcase(name, pattern)}
        if not hits:
            shown = f"{', '.join(map(repr, list(choices)[:20]))}{', ...' if len(choices) > 20 else ''}"
            near = closest(pattern, every, f"the {listed} are {shown}")
            raise InputError(f"{argument}={pattern!r}: matches no {what}{near}")
        found |= hits
    return [choice for choice, names in choices.items() if not found.isdisjoint(names)]
