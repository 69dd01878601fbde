"""One file and one line: a study that is added runs, is decided and shown; what it misnames is told before any run."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from zeroinit._common import InputError
from zeroinit.bench import reproduce
from zeroinit.bench.catalogue import FIGURES, networks
from zeroinit.bench.progress import Progress
from zeroinit.bench.reporting.report import check_figures
from zeroinit.bench.running.schedule import Options
from zeroinit.bench.spec import Figure
from zeroinit.cli import main
from zeroinit.zero_start.choice import SCALE, choose_parts, num_affine_steps, num_first_steps

FILE = '''"""Study: does a tiny learning rate train the digits worse? Hypothesis, before the runs: by .1 at least."""

from dataclasses import replace

from zeroinit.bench.spec import Claim, Curve, Figure, Run

RUN = Run(dataset="digits", hidden="16", epochs=2, batch_size=32)

TINY_RATE = Figure(
    name="tiny_rate",
    title="Digits: a tiny learning rate",
    curves=(
        Curve("Digits: PyTorch's default", RUN),
        Curve("Digits: tiny", replace(RUN, learning_rate=1e-6)),
    ),
    claims=(
        Claim("T1-tiny", "the default beats a tiny rate", "greater", "Digits: PyTorch's default", "Digits: tiny", 0.1),
    ),
    in_paper=False,
    view="gaps",
)
'''


@pytest.fixture
def study(tmp_path: Path) -> Figure:
    """The one file."""
    path = tmp_path / "tiny_rate.py"
    path.write_text(FILE)
    spec = importlib.util.spec_from_file_location("tiny_rate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TINY_RATE


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code


def test_a_file_and_a_line_add_a_study(study, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("reproduce", "tiny_rate") == 2
    assert "figure='tiny_rate': did you mean" in capsys.readouterr().err
    monkeypatch.setitem(FIGURES, study.name, study)  # the one line
    assert run("reproduce", "tiny_rate", "--seeds", "3", "--jobs", "1") == 0
    (claim,) = json.loads(Path("report/claims.json").read_text())
    assert (claim["id"], claim["figure"], claim["verdict"]) == ("T1-tiny", "tiny_rate", "supported")
    assert claim["num_seeds"] == 3
    assert (Path("report/figures") / "tiny_rate-paper-corrected.svg").stat().st_size > 1000
    assert "tiny_rate: Digits: a tiny learning rate" in Path("report/index.html").read_text()
    assert "| Digits | tiny |" in Path("report/report.md").read_text()
    capsys.readouterr()
    assert run("list") == 0
    assert "tiny_rate" in capsys.readouterr().out
    assert run("reproduce", "tiny_rate", "--seeds", "3", "--dry-run") == 0
    assert "nothing to run: 6 of 6 runs are stored already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "of_claim", "message"),
    [
        ({"view": "gap"}, {}, r"tiny_rate: view='gap': did you mean 'gaps'\? It must be one of .*"),
        ({}, {"kind": "better"}, r"T1-tiny: kind='better': did you mean 'greater'\? It must be one of"),
        ({}, {"measure": "accuracy"}, r"T1-tiny: measure='accuracy': did you mean 'final_accuracy'\?"),
        (
            {},
            {"reference": "tiny"},
            r"T1-tiny: curve='tiny': did you mean 'Digits: tiny'\? It must be one of Digits: PyTorch's default,",
        ),
    ],
)
def test_what_a_study_misnames_is_told_before_any_run(study, monkeypatch, changes, of_claim, message, tmp_path):
    wrong = replace(study, claims=(replace(study.claims[0], **of_claim),), **changes)
    monkeypatch.setattr(reproduce, "run_all", lambda *_, **__: pytest.fail("a run was started"))
    with pytest.raises(InputError, match=message):
        reproduce.reproduce([wrong], Options(tmp_path), seeds=[0], report_dir=tmp_path, progress=Progress(Console()))


@pytest.mark.parametrize("has_norms", [False, True])
def test_the_catalogue_writes_a_zero_start_as_the_library_chooses_it(has_norms):
    """The catalogue imports settings alone, so it has the rule of the runs in its own words."""
    for num_layers in range(1, 60):
        parts, steps = choose_parts(num_layers, has_norms), num_first_steps(num_layers)
        settings = networks.zero_start(num_layers, has_norms)
        theirs = dict.fromkeys(["affine_norms", *parts], steps)
        if has_norms:
            theirs["affine_norms"] = num_affine_steps(parts, steps)
        assert networks.parts_of(num_layers, has_norms) == parts
        assert settings["remedy"] == "+".join(f"{part}:{count}" for part, count in theirs.items())
        assert settings["scale"] == SCALE


def test_every_figure_of_the_catalogue_names_what_there_is():
    check_figures(list(FIGURES.values()))
