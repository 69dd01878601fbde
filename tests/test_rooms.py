"""Imports go one way: ``_common`` <- the library <- the bench <- ``cli``; the library never imports the bench."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import zeroinit

SOURCE = Path(zeroinit.__file__).parent
GROUND = {"_common", "_modules"}
LIBRARY = GROUND | {"init", "integrations", "remedies", "symmetry", "zero_start"}
MIDDLE = {"bench.data", "bench.models", "bench.training", "bench.stats", "bench.plots"}
MAY_IMPORT: dict[str, set[str]] = {
    "_common": set(),
    "_modules": {"_common"},
    **dict.fromkeys(("init", "remedies", "symmetry"), GROUND),
    "zero_start": GROUND | {"init", "remedies", "symmetry"},
    "integrations": GROUND | {"init", "remedies", "symmetry", "zero_start"},
    "__init__": LIBRARY,
    **dict.fromkeys(MIDDLE, GROUND),
    "bench": {"_common", *MIDDLE},
    "bench.experiments": {*LIBRARY, *MIDDLE},
    "cli": {*LIBRARY, *MIDDLE, "bench.experiments"},
    "__main__": {"cli"},
}
WITHOUT_TORCH = {"_common", "bench.stats", "bench.plots"}
MOST_LINES = 400


def room_of(path: str) -> str:
    """``"init/names.py"`` -> ``"init"``; ``"bench/data/idx.py"`` -> ``"bench.data"``; ``"cli.py"`` -> ``"cli"``."""
    return room_of_module(path.removesuffix(".py").replace("/", "."))


def room_of_module(name: str) -> str:
    """The same for a dotted name below ``zeroinit``, of a module or of something in it."""
    parts = name.split(".")
    if parts[0] == "bench" and len(parts) > 1 and parts[1] != "__init__":
        within = f"bench.{parts[1]}"
        return within if within in MAY_IMPORT or len(parts) > 2 or parts[1].islower() else "bench"
    return parts[0]


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
            target = room_of_module(rest)
            if top == "zeroinit" and target != room and target not in MAY_IMPORT[room]:
                found.append(f"{path}: imports {name}, and {room} may import {sorted(MAY_IMPORT[room])} only")
        if len(source.splitlines()) > MOST_LINES:
            found.append(f"{path}: has {len(source.splitlines())} lines; split it at {MOST_LINES}")
    return found


def test_the_house_is_in_order():
    files = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert {"_common.py", "init/names.py", "bench/stats/__init__.py"} <= set(files)
    assert offences(files) == []


@pytest.mark.parametrize(
    ("path", "source", "part"),
    [
        ("init/names.py", "import zeroinit.bench.models", "imports zeroinit.bench.models"),
        (
            "init/names.py",
            "from zeroinit.bench.models import build_model",
            "imports zeroinit.bench.models.build_model",
        ),
        ("init/names.py", "from zeroinit.bench import models", "imports zeroinit.bench.models"),
        ("init/names.py", "from zeroinit.bench import fit", "imports zeroinit.bench.fit"),
        ("init/names.py", "from zeroinit import bench", "imports zeroinit.bench"),
        ("init/names.py", "from zeroinit import initialize_", "imports zeroinit.initialize_"),
        ("init/names.py", "from ..remedies import table", "imports zeroinit.remedies.table"),
        ("init/deep/names.py", "from ... import symmetry", "imports zeroinit.symmetry"),
        ("symmetry/report.py", "from zeroinit.integrations import watch", "imports zeroinit.integrations.watch"),
        ("integrations/own_loop.py", "from zeroinit.bench import fit", "imports zeroinit.bench.fit"),
        ("symmetry/report.py", "def f():\n    import zeroinit.bench.plots as p", "imports zeroinit.bench.plots"),
        ("zero_start.py", "from zeroinit.bench.training import fit", "imports zeroinit.bench.training.fit"),
        ("_common.py", "from zeroinit.init import initialize_", "_common may import [] only"),
        ("bench/plots/curves.py", "from zeroinit.bench.stats import holm", "imports zeroinit.bench.stats.holm"),
        (
            "bench/data/idx.py",
            "if TYPE_CHECKING:\n    from ..training import fit",
            "imports zeroinit.bench.training.fit",
        ),
        ("bench/training/fit.py", "from zeroinit.init import initialize_", "imports zeroinit.init.initialize_"),
        ("bench/training/fit.py", "from ..experiments.spec import Run", "imports zeroinit.bench.experiments.spec.Run"),
        ("bench/experiments/runner.py", "from zeroinit.cli import main", "imports zeroinit.cli.main"),
        ("bench/experiments/catalogue/fig3.py", "from ....cli import main", "imports zeroinit.cli.main"),
        ("__init__.py", "from zeroinit.bench import fit", "imports zeroinit.bench.fit"),
        ("bench/stats/estimate.py", "import torch", "bench.stats does without torch"),
        ("bench/plots/curves.py", "from torch.nn import functional", "bench.plots does without torch"),
        ("_common.py", "import numpy, torch.nn as nn", "_common does without torch"),
        ("bench/readings/ranks.py", "", "bench.readings is no room of the house"),
        ("helpers.py", "", "helpers is no room of the house"),
        ("utils/text.py", "", "utils is no room of the house"),
        ("bench/data/cache.py", "\n" * 401, "bench/data/cache.py: has 401 lines"),
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
            "init/names.py",
            "from zeroinit._common import InputError\nfrom zeroinit.init.record import InitRecord",
        ),
        (
            "init/names.py",
            "import torch\nfrom .record import InitRecord\nfrom . import record\nfrom .. import _common",
        ),
        ("bench/experiments/catalogue/fig3.py", "from zeroinit.bench.stats import holm\nfrom ..spec import Run"),
        ("cli.py", "from zeroinit.bench.experiments import store\nfrom zeroinit.bench.data import load_dataset"),
        ("__main__.py", "from zeroinit.cli import main"),
        ("__init__.py", "from zeroinit.init import initialize_\nfrom zeroinit._common import __version__"),
        ("bench/__init__.py", "from zeroinit.bench.data import load_dataset"),
        ("bench/stats/estimate.py", "import numpy\nimport torchless\nfrom scipy import stats"),
        ("bench/data/cache.py", "\n" * 400),
    ],
)
def test_what_is_allowed_is_no_offence(path, source):
    assert offences({path: source}) == []
