"""What ``import zeroinit`` loads, and what the library's main calls load: each in a process of its own."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import zeroinit
import zeroinit.bench
from zeroinit import InputError
from zeroinit._imports import import_extra

OF_THE_BENCH = ("scipy", "pandas", "matplotlib", "sklearn", "typer", "rich", "jinja2", "pooch", "tensorboard")
FRAMEWORKS = ("transformers", "lightning", "pytorch_lightning", "accelerate", "peft")
"""Not tqdm: torch itself imports it where it finds it."""


def loaded_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter holds after some code, parents without a dot."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_import_loads_no_part_of_the_package_and_no_torch():
    ours = {name for name in loaded_after("import zeroinit") if name.split(".")[0] in ("zeroinit", "torch", "numpy")}
    assert ours == {"zeroinit", "zeroinit._urls", "zeroinit._common", "zeroinit._imports"}


def test_the_library_does_its_work_without_the_packages_of_the_bench():
    code = """
import warnings
import torch
import zeroinit
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
str(zeroinit.inspect(model, torch.ones(8, 4), steps=2))
optimizer = torch.optim.Adam(model.parameters())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with zeroinit.zero_start_(model, steps=1):
        model(torch.ones(8, 4)).square().sum().backward()
        optimizer.step()
with zeroinit.watch(model):
    optimizer.step()
"""
    found = loaded_after(code)
    assert {"zeroinit.symmetry", "zeroinit.init", "zeroinit.remedies"} <= found
    assert {name for name in found if name.split(".")[0] in (*OF_THE_BENCH, *FRAMEWORKS)} == set()
    assert {name for name in found if name.startswith(("zeroinit.bench", "zeroinit.cli"))} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["reproduce", "--help"], ["nonsense"]], ids=" ".join)
def test_help_of_the_command_line_loads_no_torch(arguments):
    code = f"""
import contextlib, io
from zeroinit.cli import main
quiet = io.StringIO()
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
    main({arguments})
"""
    found = loaded_after(code)
    assert {"zeroinit.cli.reproduce", "typer"} <= found
    assert {"torch", "numpy", "scipy", "zeroinit.bench"} & found == set()


@pytest.mark.parametrize(
    ("package", "arguments"), [("typer", ["--help"]), ("scipy", ["report", "fig3"]), ("tqdm", ["nonsense"])]
)
def test_a_package_that_is_missing_is_named_with_the_way_out(package, arguments):
    """As in an environment without it; a command that does not need it goes on."""
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom zeroinit.cli import main\nmain({arguments})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    wanted = f"zeroinit: error: {package} is not installed; type: pip install "
    assert done.stderr.startswith(wanted) == (package != "tqdm")
    assert "Traceback" not in done.stderr


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "zeroinit", "--help"], capture_output=True, text=True, check=True)
    assert "reproduce" in done.stdout


def test_what_the_bench_loads_is_noticed():
    found = loaded_after("import zeroinit\nzeroinit.bench.stats.mean_interval")
    assert {"zeroinit.bench.stats", "scipy"} <= found


@pytest.mark.parametrize("package", [zeroinit, zeroinit.bench], ids=lambda package: package.__name__)
def test_the_imports_for_type_checkers_the_table_and_the_public_names_agree(package):
    """Three lists say where a name comes from; each must say the same."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    for_checkers = {node.module: [alias.name for alias in node.names] for node in block.body}
    assert {module: sorted(names) for module, names in package.HOMES.items()} == {
        module: sorted(names) for module, names in for_checkers.items()
    }
    assert (Path(zeroinit.__file__).parent / "py.typed").exists()  # else checkers of other programs read none of it
    at_once = {"InputError", "__version__"} if package is zeroinit else set()
    assert set(package.__all__) == {name for names in package.HOMES.values() for name in names} | at_once
    assert set(package.__all__) <= set(dir(package))
    for module, names in package.HOMES.items():
        for name in names:
            found = getattr(package, name)
            if module == f"{package.__name__}.{name}":  # a package in the place of the function of its name
                found = found.__call__ if inspect.ismodule(found) else found
            assert found is getattr(importlib.import_module(module), name)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(AttributeError, match=r"module 'zeroinit' has no attribute 'inspekt'; did you mean 'inspect'\?"):
        _ = zeroinit.inspekt


def test_what_a_report_needs_an_extra_for_says_what_to_type():
    code = """
import sys
sys.modules["pandas"] = sys.modules["matplotlib"] = None
import torch, zeroinit
report = zeroinit.inspect(torch.nn.Linear(2, 2), torch.ones(3, 2), steps=1)
for call in (report.to_frame, report.to_series, report.plot):
    try:
        call()
    except zeroinit.InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wanted = "{} is not installed; type: pip install 'torch-zeroinit[bench]'"
    assert done.stdout.splitlines() == [wanted.format(package) for package in ("pandas", "pandas", "matplotlib")]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("zeroinit.bench.compare", "rich is not installed; type: pip install 'torch-zeroinit[bench]'"),
        ("zeroinit.bench.plots", "matplotlib is not installed; type: pip install 'torch-zeroinit[bench]'"),
        ("import zeroinit.bench.comparison", "rich is not installed; type: pip install 'torch-zeroinit[bench]'"),
        ("import zeroinit.cli.app", "rich is not installed; type: pip install 'torch-zeroinit[cli]'"),
        (
            "import zeroinit.integrations.lightning",
            "lightning is not installed; type: pip install 'torch-zeroinit[lightning]'",
        ),
        ("import rich", "import of rich halted; None in sys.modules"),  # a user's own import is left alone
        ("zeroinit.bench.build_model('mnist_fnn', (1, 8, 8))", "nothing"),  # does not need them
    ],
)  # fmt: skip
def test_a_part_that_needs_an_extra_says_what_to_type(code, said):
    script = f"""
import sys
sys.modules["rich"] = sys.modules["matplotlib"] = sys.modules["lightning"] = None
import zeroinit
try:
    {code}
    print("nothing")
except ImportError as error:
    print(error)
    assert isinstance(error, zeroinit.InputError) == ("torch-zeroinit" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == said


def test_a_folder_in_the_place_of_a_package_counts_as_missing(tmp_path):
    (tmp_path / "transformers").mkdir()
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.modules["transformers"] = __import__("types").ModuleType("transformers")
sys.modules["transformers"].__path__ = [{str(tmp_path / "transformers")!r}]
try:
    import zeroinit.integrations.transformers
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == "transformers is not installed; type: pip install 'torch-zeroinit[transformers]'"


@pytest.mark.parametrize("has_folder", [False, True])
def test_what_is_not_installed_names_its_extra(tmp_path, monkeypatch, has_folder):
    """Also where Python takes a folder of that name for a package, as /tmp/ray."""
    monkeypatch.syspath_prepend(tmp_path)
    if has_folder:
        (tmp_path / "no_such_package_at_all").mkdir()
    with pytest.raises(InputError, match=r"^no_such_package_at_all is not installed; .*'torch-zeroinit\[cluster\]'$"):
        import_extra("no_such_package_at_all", "cluster")


def test_what_is_installed_is_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_package_of_ours").mkdir()
    (tmp_path / "a_package_of_ours" / "__init__.py").write_text("x = 1")
    assert import_extra("a_package_of_ours", "cluster").x == 1
    assert import_extra("sys", "cluster").argv is not None  # has no file
