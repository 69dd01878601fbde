"""Rules: which initializer sets which part of a model, by patterns over names."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from zeroinit._common import InputError, closest
from zeroinit.init.initializers import Initializer
from zeroinit.init.names import Names

__all__ = ["EVERYTHING", "Rules"]

EVERYTHING = "*"


class Rules:
    """Initializers by pattern; where several patterns match, the last one decides.

    A pattern matches a module and all that is in it, or one parameter: ``"blocks.*.attn"``, ``"head.bias"``. A function
    that fills weights fills a parameter that a pattern names itself, of any kind.

    Args:
        entries: Names and initializers by pattern, in order.
        names: The modules of the model; without them, a module has one path.

    Attributes:
        entries: As given.

    Example:
        >>> from zeroinit.init.table import INITIALIZERS
        >>> rules = Rules({"*": ("zero", INITIALIZERS["zero"]), "head": ("pytorch", INITIALIZERS["pytorch"])})
        >>> rules.of("head.0", "weight") is INITIALIZERS["pytorch"], rules.of("stem", "weight") is INITIALIZERS["zero"]
        (True, True)
    """

    def __init__(self, entries: Mapping[str, tuple[str, Initializer]], names: Names | None = None):
        self.entries = dict(entries)
        self._names = names
        self.of = cache(self._of)

    @classmethod
    def one(cls, initializer: Initializer, name: str = "") -> "Rules":
        """Return the rule that one initializer sets everything."""
        return cls({EVERYTHING: (name, initializer)})

    @property
    def is_one(self) -> bool:
        """Whether one initializer sets everything."""
        return list(self.entries) == [EVERYTHING]

    @property
    def initializers(self) -> list[Initializer]:
        """Each initializer, in the order of the rules."""
        return [initializer for _, initializer in self.entries.values()]

    def _of(self, path: str, attribute: str) -> Initializer | None:
        """Return the initializer of a parameter; ``None`` if no pattern matches."""
        for pattern, (_, found) in reversed(self.entries.items()):
            if self._fits(pattern, path, attribute):
                return found.alone() if self._names_it(pattern, path, attribute) else found
        return None

    def _names_it(self, pattern: str, path: str, attribute: str) -> bool:
        """Whether a pattern names the parameter itself, not a module around it, and not all that is in a module."""
        around = [name for each in self._paths(path) for name in _around(each)]
        return pattern.rpartition(".")[2] != "*" and not any(fnmatchcase(name, pattern) for name in around)

    def _fits(self, pattern: str, path: str, attribute: str) -> bool:
        return pattern == EVERYTHING or any(fnmatchcase(name, pattern) for name in self._names_of(path, attribute))

    def _paths(self, path: str) -> list[str]:
        return [path] if self._names is None else list(self._names.paths(self._names.modules[path]))

    def _names_of(self, path: str, attribute: str) -> Iterator[str]:
        for each in self._paths(path):
            yield f"{each}.{attribute}" if each else attribute
            yield from _around(each)

    def check(self, parameters: Iterable[tuple[str, str]], every: Iterable[tuple[str, str]]) -> None:
        """Refuse a pattern that matches no parameter that it sets.

        Args:
            parameters: Path and attribute of each parameter that a rule sets.
            every: The same of all parameters, to name what is near.

        Raises:
            InputError: A pattern matches nothing; the message names what is near.
        """
        known = list(parameters)
        for pattern in self.entries:
            if not any(self._fits(pattern, *each) for each in known):
                every = list(every)
                self._refuse_kind(pattern, [each for each in every if self._fits(pattern, *each)])
                near = list(dict.fromkeys(name for each in every for name in self._names_of(*each)))
                shown = ", ".join(map(repr, near[:20])) + (", ..." if len(near) > 20 else "")
                raise InputError(
                    f"rule {pattern!r}: matches no parameter that it could set"
                    f"{closest(pattern, near, f'names are {shown}')}"
                )

    def _refuse_kind(self, pattern: str, found: list[tuple[str, str]]) -> None:
        """Refuse a pattern that matches parameters for which its initializer has no rule."""
        if found and self._names is not None:
            (path, attribute), name = found[0], self.entries[pattern][0]
            full = next(self._names_of(path, attribute))
            kind = type(self._names.modules[path]).__name__
            raise InputError(
                f"rule {pattern!r}: {name} has no rule for {kind}; give the parameter {full!r} a function that fills "
                "it, such as functools.partial(torch.nn.init.normal_, std=0.02)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as ``initialize_`` takes them: names, or a name with options."""
        return {
            pattern: {"name": each.name, **each.options} if each.options else each.name or name
            for pattern, (name, each) in self.entries.items()
        }


def _around(path: str) -> Iterator[str]:
    """Yield a path and those around it: ``a.b.c``, ``a.b``, ``a``."""
    while path:
        yield path
        path = path.rpartition(".")[0]
