"""Every package that the sources import is declared: by the library, or by the extra that its part of them needs."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import zeroinit

ROOT = Path(__file__).parents[2]
SOURCE = Path(zeroinit.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = "torch-zeroinit"
EXTRAS = {
    "bench": {"bench"},
    "cli": {"cli"},
    "integrations/transformers.py": {"transformers"},
    "integrations/trainer_loss.py": {"transformers"},
    "integrations/lightning.py": {"lightning"},
    "_shapes.py": {"test"},
}
"""Which extras a part of the package may need; everything else is the library."""
ANOTHER_FORM = {("integrations/lightning.py", "pytorch_lightning")}
"""What is taken where a user has it: Lightning under its older name."""

DISTRIBUTIONS = packages_distributions()


def requirements(texts: list[str]) -> Iterator[Requirement]:
    """Requirements, those of our own extras among them."""
    for each in map(Requirement, texts):
        if each.name == NAME:
            for extra in each.extras:
                yield from requirements(PROJECT["optional-dependencies"][extra])
        else:
            yield each


def declared(*extras: str) -> set[str]:
    texts = [*PROJECT["dependencies"], *(f"{NAME}[{extra}]" for extra in extras)]
    return {canonicalize_name(each.name) for each in requirements(texts)}


def imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What is imported at any depth, and the extra that ``import_extra`` names; not what type checkers alone read."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield node.module, ""
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_extra":
        yield tuple(ast.literal_eval(each) for each in node.args)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def undeclared(path: str, source: str) -> set[str]:
    """Packages that a file imports and its part does not declare."""
    part = next((part for part in EXTRAS if path == part or path.startswith(f"{part}/")), None)
    found = set()
    for module, extra in imports(ast.parse(source)):
        name = module.partition(".")[0]
        known = declared(*EXTRAS.get(part, ()), *([extra] if extra else []))
        names = {canonicalize_name(each) for each in DISTRIBUTIONS.get(name, [name])}
        ours = name in sys.stdlib_module_names or name == "zeroinit" or (path, name) in ANOTHER_FORM
        found |= set() if ours or known & names else {name}
    return found


def test_every_imported_package_is_declared():
    files = {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert len(files) > 200
    assert {path: names for path, text in files.items() if (names := undeclared(path, text))} == {}


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        ("init/plan.py", "import numpy\nfrom torch import nn\nimport os", set()),
        ("init/plan.py", "def f():\n    import scipy.stats", {"scipy"}),
        ("init/plan.py", "import jaxtyping", {"jaxtyping"}),
        ("init/plan.py", "if TYPE_CHECKING:\n    import pandas", set()),
        ("init/plan.py", "pandas = import_extra('pandas', 'bench')", set()),
        ("init/plan.py", "pandas = import_extra('pandas.io', 'cli')", {"pandas"}),
        ("integrations/own_loop.py", "import transformers", {"transformers"}),
        ("integrations/transformers.py", "import transformers", set()),
        ("bench/data/digits.py", "from sklearn import datasets", set()),
        ("bench/data/digits.py", "import ray", {"ray"}),
        ("cli/app.py", "import typer\nimport pandas", {"pandas"}),
    ],
)
def test_what_is_not_declared_is_noticed(path, source, names):
    assert undeclared(path, source) == names


def test_the_library_needs_torch_and_numpy_alone():
    assert declared() == {"torch", "numpy"}


def test_each_extra_names_what_it_is_for():
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {
        *("cli", "bench", "tensorboard", "cluster", "transformers", "lightning", "test", "lint", "docs", "all"),
    }
    assert declared("all") == set.union(*map(declared, extras))


def test_the_metadata_says_what_is_true():
    assert PROJECT["name"] == NAME
    assert PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert not [each for each in PROJECT["classifiers"] if each.startswith("License")]  # PEP 639: the field says it
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert (SOURCE / "py.typed").exists()
    assert not {"authors", "maintainers", "urls"} & set(PROJECT)  # there is no address yet
    least = re.fullmatch(r">=(3\.\d+)", PROJECT["requires-python"])[1]
    assert f"Programming Language :: Python :: {least}" in PROJECT["classifiers"]


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py"), *SOURCE.rglob("*.py")]


def wrong_names(text: str) -> list[str]:
    """Extras under another name than the distribution's, which pip would look for in vain, or find something else."""
    return re.findall(r"(?<![-\w])zeroinit\[[a-z]+\]", text)


def test_messages_and_pages_name_the_distribution():
    assert wrong_names("pip install 'zeroinit[bench]'") == ["zeroinit[bench]"]
    assert wrong_names(f"pip install '{NAME}[bench]'") == []
    assert {str(page): found for page in PAGES if (found := wrong_names(page.read_text(encoding="utf-8")))} == {}


@pytest.mark.slow
@pytest.mark.network
def test_sdist_and_wheel_work_in_an_environment_of_their_own():
    """Both are built, checked, installed beside torch and NumPy alone, and tried."""
    subprocess.run([ROOT / ".ci" / "package"], check=True)
