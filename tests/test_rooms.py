"""The rooms of the house import one way: ``_common`` <- the middle rooms <- ``experiments`` <- ``cli``."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import zeroinit

SOURCE = Path(zeroinit.__file__).parent
MIDDLE = {"init", "models", "data", "training", "remedies", "symmetry", "stats", "plots"}
MAY_IMPORT: dict[str, set[str]] = {
    "_common": set(),
    "_batch": {"_common"},
    **{room: {"_common", "_batch"} for room in MIDDLE},
    "zero_start": {"_common", "init", "remedies"},
    "experiments": {"_common", *MIDDLE, "zero_start"},
    "cli": {"_common", *MIDDLE, "zero_start", "experiments"},
    "__main__": {"cli"},
    "__init__": {"_common", *MIDDLE, "zero_start", "experiments"},
}
WITHOUT_TORCH = {"_common", "stats", "plots"}
MOST_LINES = 400


def room_of(path: str) -> str:
    """``"init/distributions.py"`` -> ``"init"``; ``"cli.py"`` -> ``"cli"``."""
    return path.split("/")[0].removesuffix(".py")


def imported_modules(path: str, source: str) -> Iterator[str]:
    """Yields every absolute dotted name that a file imports; ``path`` is relative to the package."""
    package = ["zeroinit", *Path(path).parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def offences(files: Mapping[str, str]) -> list[str]:
    """Lists what breaks a rule, from sources by path relative to the package; empty where all is well."""
    found = []
    for path, source in files.items():
        room = room_of(path)
        if room not in MAY_IMPORT:
            found.append(f"{path}: {room} is no room of the house; see MAY_IMPORT")
            continue
        for name in imported_modules(path, source):
            top, _, rest = name.partition(".")
            if top == "torch" and room in WITHOUT_TORCH:
                found.append(f"{path}: imports {name}, and {room} does without torch")
            target = rest.split(".")[0]
            if top == "zeroinit" and target != room and target not in MAY_IMPORT[room]:
                found.append(f"{path}: imports {name}, and {room} may import {sorted(MAY_IMPORT[room])} only")
        if len(source.splitlines()) > MOST_LINES:
            found.append(f"{path}: has {len(source.splitlines())} lines; split it at {MOST_LINES}")
    return found


def test_the_house_is_in_order():
    files = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert {"_common.py", "init/distributions.py", "stats/__init__.py"} <= set(files)
    assert offences(files) == []


@pytest.mark.parametrize(
    ("path", "source", "part"),
    [
        ("init/distributions.py", "import zeroinit.models", "imports zeroinit.models"),
        ("init/distributions.py", "from zeroinit.models import build_model", "imports zeroinit.models.build_model"),
        ("init/distributions.py", "from zeroinit import models", "imports zeroinit.models"),
        ("init/distributions.py", "from zeroinit import initialize_", "imports zeroinit.initialize_"),
        ("init/distributions.py", "from ..models import fnn", "imports zeroinit.models.fnn"),
        ("init/deep/distributions.py", "from ... import models", "imports zeroinit.models"),
        ("init/distributions.py", "def f():\n    import zeroinit.data as d", "imports zeroinit.data"),
        (
            "init/distributions.py",
            "if TYPE_CHECKING:\n    from zeroinit.training import fit",
            "imports zeroinit.training.fit",
        ),
        ("plots.py", "from zeroinit.stats import t_interval", "imports zeroinit.stats.t_interval"),
        ("_common.py", "from zeroinit.init import initialize_", "_common may import [] only"),
        ("training/fit.py", "from zeroinit.experiments.spec import Run", "imports zeroinit.experiments.spec.Run"),
        ("experiments/runner.py", "from zeroinit.cli import main", "imports zeroinit.cli.main"),
        ("experiments/catalogue/fig3.py", "from ...cli import main", "imports zeroinit.cli.main"),
        ("__init__.py", "from zeroinit.cli import main", "imports zeroinit.cli.main"),
        ("stats/estimate.py", "import torch", "stats does without torch"),
        ("plots/curves.py", "from torch.nn import functional", "plots does without torch"),
        ("_common.py", "import numpy, torch.nn as nn", "_common does without torch"),
        ("helpers.py", "", "helpers is no room of the house"),
        ("utils/text.py", "", "utils is no room of the house"),
        ("data/cache.py", "\n" * 401, "data/cache.py: has 401 lines"),
    ],
)
def test_an_offence_is_found(path, source, part):
    found = offences({path: source})
    assert len(found) == 1
    assert part in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "init/distributions.py",
            "from zeroinit._common import InputError\nfrom zeroinit.init.record import InitRecord",
        ),
        (
            "init/distributions.py",
            "import torch\nfrom .record import InitRecord\nfrom . import record\nfrom .. import _common",
        ),
        ("experiments/catalogue/fig3.py", "from zeroinit.stats import t_interval\nfrom ..spec import Run"),
        ("cli.py", "from zeroinit.experiments import store\nfrom zeroinit.data import load_dataset"),
        ("__main__.py", "from zeroinit.cli import main"),
        ("__init__.py", "from zeroinit.init import initialize_\nfrom zeroinit._common import __version__"),
        ("stats/estimate.py", "import numpy\nimport torchless\nfrom scipy import stats"),
        ("data/cache.py", "\n" * 400),
    ],
)
def test_what_is_allowed_is_no_offence(path, source):
    assert offences({path: source}) == []
