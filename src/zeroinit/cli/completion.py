"""Names that the shell completes: read without torch, as each Tab starts the program anew."""

import ast
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "complete_boards",
    "complete_codes",
    "complete_entries",
    "complete_figures",
    "complete_initializers",
    "complete_keys",
    "keys_in_source",
]

PACKAGE = Path(__file__).parent.parent
Names = list[tuple[str, str]]
"""Each name with a few words about it."""


def complete_figures(incomplete: str) -> Names:
    """Return the figures and studies that begin like this, with their titles."""
    from zeroinit.bench.catalogue import FIGURES

    return [(name, figure.title) for name, figure in FIGURES.items() if name.startswith(incomplete)]


def complete_boards(incomplete: str) -> Names:
    """Return the boards that begin like this, with their titles."""
    from zeroinit.bench.catalogue.boards import BOARDS

    return [(name, board.title) for name, board in BOARDS.items() if name.startswith(incomplete)]


def complete_initializers(incomplete: str) -> Names:
    """Return the initializers that begin like this, also those of installed packages."""
    from importlib.metadata import entry_points

    own = dict.fromkeys(keys_in_source("init/table.py", "_ENTRIES"), "")
    names = {each.name: each.value for each in entry_points(group="zeroinit.initializers")} | own
    return [(name, text) for name, text in names.items() if name.startswith(incomplete)]


def complete_entries(incomplete: str) -> Names:
    """Return the entries of a comparison that begin like this."""
    others = [("zero_start", "")] if "zero_start".startswith(incomplete) else []
    return [*complete_initializers(incomplete), *others]


def complete_codes(incomplete: str) -> Names:
    """Return the codes of findings that begin like this, with what they stand for."""
    from zeroinit._findings.codes import CODES

    return [(code, each.title) for code, each in CODES.items() if code.startswith(incomplete)]


def complete_keys(path: str, table: str) -> Callable[[str], Names]:
    """Return a completion of the keys of a table; ``path`` is relative to the package."""

    def complete(incomplete: str) -> Names:
        return [(key, "") for key in keys_in_source(path, table) if key.startswith(incomplete)]

    return complete


def keys_in_source(path: str, table: str) -> list[str]:
    """Read the keys of a table from its source: to import it would load torch.

    Example:
        >>> keys_in_source("bench/data/__init__.py", "DATASETS")
        ['mnist', 'cifar10', 'digits']
    """
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == table for target in targets):
                return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise AssertionError(f"{path} has no table {table} of constant keys")
