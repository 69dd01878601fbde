"""Imports go one way: ``_urls``, ``_common`` <- the library <- the bench <- ``cli``. The library imports no bench."""

import ast
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import zeroinit

SOURCE = Path(zeroinit.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "contribute" / "architecture.md"
GROUND = {"_urls", "_common", "_imports", "_shapes", "_modules"}
REPORTS = {"_findings"}
LIBRARY = GROUND | REPORTS | {"audit", "init", "integrations", "remedies", "symmetry", "zero_start"}
MIDDLE = {"bench.data", "bench.models", "bench.training", "bench.stats", "bench.plots"}
SETTINGS = {"bench.profiles", "bench.labels", "bench.spec"}
AT_WORK = {"bench.store", "bench.catalogue", "bench.running", "bench.reporting"}
RUNS = {"bench.interventions", "bench.network", "bench.work"}
MAY_IMPORT: dict[str, set[str]] = {
    "_urls": set(),
    "_common": {"_urls"},
    "_imports": {"_common"},
    "_shapes": set(),
    "_modules": {"_common", "_shapes"},
    "_findings": {"_common"},
    **dict.fromkeys(("init", "remedies"), GROUND),
    **dict.fromkeys(("audit", "symmetry"), GROUND | REPORTS),
    "zero_start": GROUND | {"init", "remedies", "symmetry"},
    "integrations": GROUND | REPORTS | {"init", "remedies", "symmetry", "zero_start"},
    "__init__": LIBRARY,
    **dict.fromkeys(MIDDLE, GROUND),
    "bench.plots": GROUND | {"bench.labels"},
    "bench": {"_imports", "bench.comparison", *MIDDLE},
    "bench.profiles": set(),
    "bench.labels": set(),
    "bench.progress": set(),
    "bench.spec": {"_common", "bench.profiles"},
    "bench.result": {"_common", "bench.spec"},
    "bench.store": {"_common", "bench.spec", "bench.result"},
    "bench.catalogue": {"bench.spec", "bench.labels"},
    "bench.interventions": GROUND | {"remedies", "bench.training"},
    "bench.network": GROUND | {"init", "bench.data", "bench.models", "bench.spec", "bench.interventions"},
    "bench.work": {"bench.data", "bench.spec", "bench.network"},
    "bench.running": LIBRARY | SETTINGS | RUNS | {"bench.data", "bench.models", "bench.training", "bench.store"},
    "bench.reporting": LIBRARY | MIDDLE | SETTINGS | RUNS | {"bench.store", "bench.catalogue", "bench.progress"},
    "bench.reproduce": {"_common", "init", "bench.network", "bench.progress", "bench.work", *SETTINGS, *AT_WORK},
    "bench.verify": {"_common", "bench.progress", "bench.network", "bench.stats", "bench.running", "bench.store"},
    "bench.comparison": LIBRARY | MIDDLE | SETTINGS | RUNS | AT_WORK | {"bench.progress", "bench.reproduce"},
    "cli": LIBRARY
    | MIDDLE
    | SETTINGS
    | AT_WORK
    | {"bench.comparison", "bench.progress", "bench.reproduce", "bench.verify"},
    "__main__": {"cli"},
}
WITHOUT_TORCH = {
    *(
        "_urls",
        "_common",
        "_imports",
        "_findings",
        "bench.stats",
        "bench.plots",
        "bench.result",
        "bench.store",
        "bench.catalogue",
        "bench.progress",
    ),
    *SETTINGS,
}
MOST_LINES = {"bench": 330, "cli": 330, "symmetry": 330}
"""By the first part of the path; 400 elsewhere."""
MOST_FILES = 12


def room_of(path: str) -> str:
    """``"init/names.py"`` -> ``"init"``; ``"bench/data/idx.py"`` -> ``"bench.data"``; ``"cli.py"`` -> ``"cli"``."""
    return room_of_module(path.removesuffix(".py").replace("/", "."))


def room_of_module(name: str) -> str:
    """The same for a dotted name below ``zeroinit``, of a module or of something in it."""
    parts = name.split(".")
    if parts[0] == "bench" and len(parts) > 1 and parts[1].islower() and parts[1] != "__init__":
        return f"bench.{parts[1]}"
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
            found.append(f"{path}: {room} is no part of the package; see MAY_IMPORT")
            continue
        for name in imported_modules(path, source):
            top, _, rest = name.partition(".")
            if top == "torch" and room in WITHOUT_TORCH:
                found.append(f"{path}: imports {name}, and {room} does without torch")
            target = room_of_module(rest)
            if top == "zeroinit" and target != room and target not in MAY_IMPORT[room]:
                found.append(f"{path}: imports {name}, and {room} may import {sorted(MAY_IMPORT[room])} only")
        most = MOST_LINES.get(path.split("/")[0].removesuffix(".py"), 400)
        if len(source.splitlines()) > most:
            found.append(f"{path}: has {len(source.splitlines())} lines; split it at {most}")
    return found


def all_files() -> dict[str, str]:
    """Returns the source of every file by its path relative to the package."""
    return {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}


def test_the_package_is_in_order():
    files = all_files()
    assert {"_common.py", "init/names.py", "bench/stats/__init__.py"} <= set(files)
    assert offences(files) == []


def edges(files: Mapping[str, str], deep: bool = False) -> dict[str, set[str]]:
    """Maps each module to those that it imports as soon as it is imported: neither in a function nor for checkers.

    With ``deep`` those, too.
    """
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    found: dict[str, set[str]] = {}
    for path, source in files.items():
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        tree = ast.parse(source)
        if not deep:
            tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        targets = (each.removeprefix("zeroinit.") for each in imported_modules(path, ast.unparse(tree)))
        parts = (each if each in modules else each.rpartition(".")[0] for each in targets)
        found[name] = {each for each in parts if each in modules} - {name}
    return found


def test_no_circles():
    graph = edges(all_files())
    assert "bench.spec" in graph["bench.store"]
    list(graphlib.TopologicalSorter(graph).static_order())


SYMMETRY = ("measures", "shadow", "units", "verdict", "inspector", "observer")
"""The parts of ``symmetry``: each may import those before it, and itself; ``inspector`` and ``observer`` never meet."""
VERDICT = (
    "evidence",
    "passes",
    "report",
    "trials",
    "causes",
    "search",
    "symptoms",
    "explain",
    "last_pass",
    "checklist",
    "rows",
    "layer_findings",
    "findings",
)
"""The parts of ``symmetry/verdict``, likewise."""
BEFORE = {
    "symmetry": {part: SYMMETRY[: min(at, 4)] for at, part in enumerate(SYMMETRY)},
    "symmetry/verdict": {part: VERDICT[:at] for at, part in enumerate(VERDICT)},
}
"""By folder, what each of its parts may import."""


def disorder(files: Mapping[str, str]) -> list[str]:
    """Lists imports between parts of ``symmetry``, and of its verdict, that go against their order."""
    found = []
    for folder, before in BEFORE.items():
        stem = f"zeroinit.{folder.replace('/', '.')}"
        for path, source in files.items():
            if not path.startswith(f"{folder}/") or path == f"{folder}/__init__.py":
                continue
            part = path.removeprefix(f"{folder}/").removesuffix(".py").split("/")[0]
            if part not in before:
                found.append(f"{path}: {part} has no place in the order of {folder}")
                continue
            for name in imported_modules(path, source):
                target = name.removeprefix(f"{stem}.").split(".")[0]
                if name.startswith(stem) and target not in {part, *before[part]}:
                    found.append(f"{path}: imports {name}, and {part} may import {list(before[part])} only")
    return found


def test_symmetry_is_in_order():
    files = all_files()
    assert {f"symmetry/{part}" for part in ("inspector.py", "observer.py", "verdict/evidence.py")} <= set(files)
    assert disorder(files) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("measures/ranks.py", "from zeroinit.symmetry.shadow.trace import Trace"),
        ("shadow/training.py", "from zeroinit.symmetry import units"),
        ("shadow/training.py", "if TYPE_CHECKING:\n    from zeroinit.symmetry.units.watching import Watch"),
        ("units/tracking.py", "def f():\n    from ..verdict import findings"),
        ("verdict/report/report.py", "from zeroinit.symmetry.inspector import inspect"),
        ("verdict/report/report.py", "from zeroinit.symmetry import inspect"),
        ("verdict/report/report.py", "from zeroinit.symmetry.verdict.findings import judge"),
        ("verdict/causes/zeros.py", "from ..search.search import Search"),
        ("inspector.py", "from zeroinit.symmetry.observer import SymmetryObserver"),
        ("observer.py", "from zeroinit.symmetry.inspector import inspect"),
        ("more.py", ""),
        ("verdict/more/again.py", ""),
    ],
)
def test_disorder_is_found(path, source):
    assert len(disorder({f"symmetry/{path}": source})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("units/tracking.py", "from zeroinit.symmetry.measures import DIAGNOSTICS"),
        ("observer.py", "from .units.layers import Layer"),
        ("verdict/search/search.py", "from zeroinit.symmetry.verdict.causes.views import View"),
        ("__init__.py", "from zeroinit.symmetry.verdict.report.parts import LayerReport"),
    ],
)
def test_what_is_in_order_is_not_found(path, source):
    assert disorder({f"symmetry/{path}": source}) == []


MAY_MEET = {f"symmetry.verdict.report.{name}" for name in ("report", "formats", "drawing", "notebook", "sentence")}
"""A report prints itself in formats that take a report: the only circle, which starts inside functions alone."""


def test_symmetry_has_one_circle_even_for_checkers_and_inside_functions():
    graph = edges({path: source for path, source in all_files().items() if path.startswith("symmetry/")}, deep=True)
    assert "symmetry.verdict.report.formats" in graph["symmetry.verdict.report.report"]
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())
    merged = {name: targets - MAY_MEET if name in MAY_MEET else targets for name, targets in graph.items()}
    list(graphlib.TopologicalSorter(merged).static_order())


def test_a_circle_is_found():
    files = {
        "a.py": "from zeroinit.b import x",
        "b.py": "from zeroinit import a",
        "c.py": "def f():\n    import zeroinit.a",
    }
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(edges(files)).static_order())
    del files["b.py"]
    list(graphlib.TopologicalSorter(edges(files)).static_order())


GONE = {"experiment", "experiments", "reading", "readings", "drawing", "drawings", "recipe", "recipes", "spoil"}
"""Names of earlier versions, as words of a name; each had two meanings, or has another name elsewhere."""


def names_in(path: str, source: str) -> set[str]:
    """Returns the words of all names that a file gives: its own, of functions, classes, arguments, variables."""
    tree = ast.parse(source)
    named = [path.removesuffix(".py").replace("/", "_")]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            named.append(node.name)
        elif isinstance(node, ast.arg):
            named.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            named.append(node.id)
    return {word.lower() for name in named for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_names_of_earlier_versions_are_gone_from_the_bench():
    for path, source in all_files().items():
        if path.startswith(("bench/", "cli/")):
            assert names_in(path, source) & GONE == set(), path


@pytest.mark.parametrize("source", ["def f(recipe): ...", "DRAWINGS = 1", "class GridReading: ...", "recipe_of = 1"])
def test_a_name_of_earlier_versions_is_found(source):
    assert names_in("bench/a.py", source) & GONE
    assert names_in("bench/readings/a.py", "") & GONE == {"readings"}


def test_no_code_asks_for_a_profile_or_a_protocol_by_name():
    """What they change is the value of a field; their names are keys of the tables and of mappings alone."""
    for path, source in all_files().items():
        for node in ast.walk(ast.parse(source)):
            if path.startswith(("bench/", "cli/")) and isinstance(node, ast.Compare):
                constants = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                assert not constants & {"quick", "paper", "published", "corrected"}, f"{path}:{node.lineno}"


def block(page: str, language: str) -> list[str]:
    """Lists the lines of a page's only block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return found.splitlines()


def tree_of(page: str) -> set[str]:
    """Returns what the page's tree shows: folders with a slash at their end, and files, relative to the package."""
    above: list[str] = []
    found = set()
    for line in block(page, "tree")[1:]:
        entry = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        above[depth:] = [entry]
        found.add("".join(above))
    return found


def tree_of_package() -> set[str]:
    """Returns every folder with code, and the files beside the folders of the package and of the bench."""
    folders = {f"{path.parent.relative_to(SOURCE).as_posix()}/" for path in SOURCE.rglob("__init__.py")} - {"./"}
    beside = [*SOURCE.glob("*.py"), *(SOURCE / "bench").glob("*.py")]
    return folders | {path.relative_to(SOURCE).as_posix() for path in beside if path.name != "__init__.py"}


def test_the_page_shows_the_tree():
    assert tree_of(PAGE.read_text(encoding="utf-8")) == tree_of_package()


def levels_of(page: str) -> dict[str, int]:
    """Returns how far to the right the page's order has each part: ``a, b <- c`` gives 0, 0 and 1."""
    order = " ".join(block(page, "order")).split("<-")
    names = {name.strip(): level for level, names in enumerate(order) for name in names.split(",")}
    return {f"bench.{name}" if f"bench.{name}" in MAY_IMPORT else name: level for name, level in names.items()}


def test_the_page_shows_the_order():
    """Every import between two parts goes from right to left, and every part is there."""
    levels = levels_of(PAGE.read_text(encoding="utf-8"))
    rooms = {room_of(path) for path in all_files()} - {"__init__", "__main__", "bench"}
    assert set(levels) == rooms
    for path, source in all_files().items():
        names = (
            name.removeprefix("zeroinit.") for name in imported_modules(path, source) if name.startswith("zeroinit.")
        )
        for target in {room_of_module(name) for name in names} & rooms - {room_of(path)}:
            if room_of(path) in rooms:
                assert levels[target] < levels[room_of(path)], f"{path} imports {target}"


def test_the_page_shows_the_order_inside_symmetry():
    page = PAGE.read_text(encoding="utf-8")
    for language, order in (("symmetry", SYMMETRY), ("verdict", VERDICT)):
        parts = " ".join(block(page, language)).replace(",", " <- ").split("<-")
        assert tuple(part.strip() for part in parts) == order


def test_large_folders_have_a_reason():
    """A folder with more than twelve files beside each other is named on the page, with a reason."""
    reasons = re.findall(r"^\* `([a-z/_]+)/`: ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")}
    large = {folder for folder in folders if len(list((SOURCE / folder).glob("*.py"))) > MOST_FILES}
    assert set(reasons) == large


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
        (
            "symmetry/verdict/report/report.py",
            "from zeroinit.integrations import watch",
            "imports zeroinit.integrations.watch",
        ),
        ("integrations/own_loop.py", "from zeroinit.bench import fit", "imports zeroinit.bench.fit"),
        (
            "symmetry/verdict/report/report.py",
            "def f():\n    import zeroinit.bench.plots as p",
            "imports zeroinit.bench.plots",
        ),
        ("zero_start.py", "from zeroinit.bench.training import fit", "imports zeroinit.bench.training.fit"),
        ("_common.py", "from zeroinit.init import initialize_", "_common may import ['_urls'] only"),
        ("bench/plots/curves.py", "from zeroinit.bench.stats import holm", "imports zeroinit.bench.stats.holm"),
        (
            "bench/data/idx.py",
            "if TYPE_CHECKING:\n    from ..training import fit",
            "imports zeroinit.bench.training.fit",
        ),
        ("bench/training/fit.py", "from zeroinit.init import initialize_", "imports zeroinit.init.initialize_"),
        ("bench/training/fit.py", "from ..spec import Run", "imports zeroinit.bench.spec.Run"),
        ("bench/running/runner.py", "from zeroinit.cli import main", "imports zeroinit.cli.main"),
        ("bench/running/runner.py", "from ..reporting.report import Report", "imports zeroinit.bench.reporting"),
        ("bench/running/runner.py", "from zeroinit.bench.catalogue import FIGURES", "imports zeroinit.bench.catalogue"),
        ("bench/reporting/report.py", "from zeroinit.bench.running import runner", "imports zeroinit.bench.running"),
        ("bench/catalogue/paper/fig3.py", "from ....cli import main", "imports zeroinit.cli.main"),
        ("bench/catalogue/paper/fig3.py", "from ...store import Store", "imports zeroinit.bench.store.Store"),
        (
            "bench/catalogue/studies/gap.py",
            "from zeroinit.remedies import REMEDIES",
            "imports zeroinit.remedies.REMEDIES",
        ),
        ("bench/spec.py", "import torch", "bench.spec does without torch"),
        ("bench/helpers.py", "", "bench.helpers is no part of the package"),
        ("__init__.py", "from zeroinit.bench import fit", "imports zeroinit.bench.fit"),
        ("bench/stats/estimate.py", "import torch", "bench.stats does without torch"),
        ("bench/plots/curves.py", "from torch.nn import functional", "bench.plots does without torch"),
        ("_common.py", "import numpy, torch.nn as nn", "_common does without torch"),
        ("bench/readings/ranks.py", "", "bench.readings is no part of the package"),
        ("helpers.py", "", "helpers is no part of the package"),
        ("utils/text.py", "", "utils is no part of the package"),
        ("bench/data/cache.py", "\n" * 331, "bench/data/cache.py: has 331 lines; split it at 330"),
        ("init/plan.py", "\n" * 401, "init/plan.py: has 401 lines"),
    ],
)
def test_an_offence_is_found(path, source, part):
    found = offences({path: source})
    assert len(found) == 1
    assert part in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("init/names.py", "from zeroinit._common import InputError\nfrom zeroinit.init.record import InitRecord"),
        ("init/names.py", "import torch\nfrom .record import InitRecord\nfrom . import record\nfrom .. import _common"),
        ("bench/catalogue/paper/fig3.py", "from zeroinit.bench.labels import NORMAL\nfrom ...spec import Run"),
        ("cli/report.py", "from zeroinit.bench import store\nfrom zeroinit.bench.data import load_dataset"),
        ("__main__.py", "from zeroinit.cli import main"),
        ("__init__.py", "from zeroinit.init import initialize_\nfrom zeroinit._common import __version__"),
        ("bench/__init__.py", "from zeroinit.bench.data import load_dataset"),
        ("bench/stats/estimate.py", "import numpy\nimport torchless\nfrom scipy import stats"),
        ("bench/data/cache.py", "\n" * 330),
    ],
)
def test_what_is_allowed_is_no_offence(path, source):
    assert offences({path: source}) == []
