"""Every command does what its help says."""

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.catalogue.boards import BOARDS
from zeroinit.bench.data import AUGMENTATIONS, DATASETS, PIXELS
from zeroinit.bench.models import ACTIVATIONS, MODELS
from zeroinit.bench.running import task
from zeroinit.bench.store import Store
from zeroinit.bench.training import OPTIMIZERS
from zeroinit.cli.options import parse_seeds
from zeroinit.init import INITIALIZERS
from zeroinit.init.own import GROUP
from zeroinit.remedies import REMEDIES

QUICK = ("--profile", "quick", "--jobs", "1")


def read_events(folder: str) -> EventAccumulator:
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0})
    return events.Reload()


def test_reproduce_runs_stores_and_reports(two_epochs, zeroinit):
    ended = zeroinit("reproduce", "fig3", *QUICK, "--seeds", "2", "--tensorboard", "logs")
    assert ended.code == 0
    assert all(re.match(r"\d+ s: ", line) for line in ended.err.splitlines())  # on a busy machine
    results = list(Store("results"))
    assert len(results) == 8
    assert {result.seed for result in results} == {0, 1}
    assert {result.run.dataset for result in results} == {"digits"}
    tags = read_events(f"logs/{results[0].run.key}/seed-0").Tags()
    assert "accuracy/test" in tags["scalars"]
    assert tags["histograms"] == []
    assert ended.out.splitlines()[-1] == "report: report/index.html"
    headline = "Zero weights, random biases: the paper's figures on small digits (corrected protocol)"
    assert headline in " ".join(ended.out.split())
    assert "claims: " in ended.out
    ended = zeroinit("reproduce", "fig3", *QUICK, "--seeds", "2", "--claims")
    assert ended.err.startswith("8 of 8 runs are stored already in results\nnothing that the report is made from has")
    records = json.loads(Path("report/claims.json").read_text())
    words = " ".join(re.sub(r"[│┃]", " ", ended.out).split())
    for record in records:
        assert all(f"{100 * share:.1f} ± " in words for share in record["shares"])
        assert f"{100 * record['estimate']:z.1f} ± " in words
    assert ended.out.count("undecided") == sum(record["verdict"] == "inconclusive" for record in records)

    again = zeroinit("report", "fig3", "--profile", "quick", "--seeds", "2", "--claims")
    assert (again.code, again.out) == (0, ended.out)


def test_report_writes_the_same_again_without_running(two_epochs, zeroinit, request):
    zeroinit("reproduce", "fig7", *QUICK, "--seeds", "0,3")
    request.getfixturevalue("no_run")
    ended = zeroinit("report", "fig7", "--profile", "quick", "--seeds", "0,3", "--report", "other")
    assert ended.code == 0
    files = [path.relative_to("report") for path in Path("report").rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (Path("other") / file).read_bytes() == (Path("report") / file).read_bytes()
    one = zeroinit("report", "fig7", "--profile", "quick", "--seeds", "3-3", "--report", "one [seed]")
    assert one.out.splitlines()[-1] == "report: one [seed]/index.html"
    assert {record["num_seeds"] for record in json.loads(Path("one [seed]/claims.json").read_text())} == {1}
    assert "undecided" in one.out


def test_each_option_of_reproduce_arrives(monkeypatch, zeroinit):
    from zeroinit.bench import reproduce
    from zeroinit.bench.reporting.report import Report

    calls = []

    def record(figures, options, **settings):
        calls.append((figures, options, settings))
        return Report("paper", "published", (), {})

    monkeypatch.setattr(reproduce, "reproduce", record)
    options = "--profile paper --protocol published --seeds 7-8 --jobs 3 --data-dir d --device cpu --results r"
    more = "--report p --tensorboard t --histogram-every 5 --checkpoint-every 7 --shard 2/3"
    assert zeroinit("reproduce", "fig4", "fig3", *options.split(), *more.split()).code == 0
    figures, given, settings = calls[0]
    assert [figure.name for figure in figures] == ["fig4", "fig3"]
    assert given == type(given)(Path("r"), Path("d"), "cpu", Path("t"), 5, 7.0, None, (2, 3))
    settings.pop("progress")
    assert settings == {
        "seeds": [7, 8],
        "profile": "paper",
        "protocol": "published",
        "jobs": 3,
        "report_dir": Path("p"),
    }
    assert zeroinit("reproduce", "--profile", "paper", "--yes").code == 0
    figures, given, settings = calls[1]
    assert [figure.name for figure in figures] == [figure.name for figure in FIGURES.values() if figure.in_paper]
    assert given == type(given)(Path("results"), None, "auto", None, 0)
    assert (settings["seeds"], settings["jobs"]) == ([0, 1, 2, 3, 4], None)
    assert (settings["profile"], settings["protocol"]) == ("paper", "corrected")
    assert zeroinit("reproduce").code == 0
    figures, given, settings = calls[2]
    assert ([figure.name for figure in figures], settings["profile"]) == (["starts", "starts_cnn", "fig12"], "first")
    assert zeroinit("reproduce", "fig4", "--yes").code == 0
    assert (calls[3][0], calls[3][2]["profile"]) == ([FIGURES["fig4"]], "paper")


def test_list_tells_of_an_initializer_that_a_built_in_one_hides(zeroinit, monkeypatch):
    def listed(*names: str) -> str:
        entries = [EntryPoint(name, "a_plugin:start", GROUP) for name in names]
        monkeypatch.setattr("zeroinit.init.own.entry_points", lambda group: entries)
        return " ".join(zeroinit("list").out.split())

    hidden = "zero is also a_plugin:start, which the built-in one hides; write 'a_plugin:start'"
    assert hidden in listed("zero", "mine")
    assert "hides" not in listed("mine")


def test_list_names_everything_that_options_take(zeroinit):
    ended = zeroinit("list")
    assert ended.code == 0
    assert max(len(line) for line in ended.out.splitlines()) <= 80
    rows = re.sub(r" *\n {4,}", " ", ended.out)  # a row may take several lines
    for name, entry in {**FIGURES, **BOARDS}.items():
        assert re.search(rf"^{name} +{re.escape(entry.title)}", rows, flags=re.MULTILINE)
    for name in (*INITIALIZERS, *REMEDIES):
        assert re.search(rf"^{name} +\S", rows, flags=re.MULTILINE)
    for title, table in (
        ("data sets", DATASETS),
        ("networks", MODELS),
        ("activations", ACTIVATIONS),
        ("optimizers", OPTIMIZERS),
        ("pixels", PIXELS),
        ("augmentations", AUGMENTATIONS),
    ):
        line = " ".join(ended.out.split(f"{title}: ")[1].split()).split(":")[0]
        assert all(name in line for name in table)


def test_data_tells_what_is_there(zeroinit, tmp_path):
    ended = zeroinit("data")
    assert ended.code == 0
    assert "digits: ready\n" in ended.out
    assert "mnist: not downloaded\n" in ended.out
    (tmp_path / "[folder]").mkdir()
    here = zeroinit("data", "mnist", "--data-dir", "[folder]")
    assert here.code == 1
    assert zeroinit("data", "mnist", "digits", "--data-dir", "[folder]").code == 0
    assert here.out.startswith("mnist: unusable\n  source: [folder]\n  problem: ")
    assert "digits" not in here.out
    assert zeroinit("data", "digits", "--fetch").out == zeroinit("data", "digits").out


@pytest.mark.parametrize("command", ["reproduce", "report", "list", "data", "inspect", "audit"])
def test_help_of_every_command(zeroinit, command):
    ended = zeroinit(command, "--help")
    assert ended.code == 0
    assert f"Usage: zeroinit {command}" in " ".join(ended.out.split())
    assert command in zeroinit("--help").out


def test_without_a_command_the_help_is_shown(zeroinit):
    ended = zeroinit()
    assert "Usage: zeroinit [OPTIONS] COMMAND" in " ".join((ended.out + ended.err).split())


def test_tensorboard_logs_are_written_and_read_back(two_epochs, zeroinit):
    options = ("--tensorboard", "logs", "--histogram-every", "43")
    assert zeroinit("reproduce", "fig7", *QUICK, "--seeds", "1", *options).code == 0
    results = list(Store("results"))
    assert len(results) == 3
    for result in results:
        events = read_events(f"logs/{result.run.key}/seed-0")
        accuracies = [event.value for event in events.Scalars("accuracy/test")]
        assert accuracies == pytest.approx(result.history["test_accuracy"])
        assert [event.step for event in events.Scalars("accuracy/test")] == [1, 2]
        losses = events.Scalars("loss/train")
        assert [event.step for event in losses] == list(range(1, result.history["num_steps"] + 1))
        histograms = events.Tags()["histograms"]
        assert histograms
        assert [event.step for event in events.Histograms(histograms[0])] == [1, 44]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("100000", list(range(100_000))),
        ("999999999999999999,0", [10**18 - 1, 0]),
        ("1", [0]),
        ("5", [0, 1, 2, 3, 4]),
        ("0-2", [0, 1, 2]),
        ("4-4", [4]),
        ("0,7,3", [0, 7, 3]),
    ],
)
def test_seeds_in_every_form(text, seeds):
    assert parse_seeds(text) == seeds


def test_a_report_without_its_damaged_results_says_so(two_epochs, zeroinit):
    """On standard error and in the exit code, and the others are shown."""
    ended = zeroinit("reproduce", "fig3", *QUICK, "--seeds", "1")
    assert ended.code == 0
    damaged = sorted(Path("results").glob("*/seed-0.json"))[0]
    damaged.write_text(damaged.read_text()[:-40])
    ended = zeroinit("report", "fig3", "--profile", "quick", "--seeds", "1")
    assert ended.code == 1
    assert f"left out: {damaged}: cannot be read as a result (" in ended.err
    assert str(damaged) in Path("report/report.md").read_text()


def test_a_run_that_fails_is_told_and_the_others_are_reported(zeroinit, monkeypatch, two_epochs):
    """On standard error with its name, in the report and in the exit code; the next start runs it."""
    command = ("reproduce", "three_starts", "--profile", "quick", "--seeds", "1", "--jobs", "1")
    execute, calls = task.execute, []

    def fail_at_the_end(run, *arguments, **settings):
        calls.append(run)
        if len(calls) == 3:
            raise MemoryError("no room")
        return execute(run, *arguments, **settings)

    monkeypatch.setattr(task, "TRIES", 1)
    with monkeypatch.context() as patched:
        patched.setattr(task, "execute", fail_at_the_end)
        ended = zeroinit(*command)
    assert ended.code == 1
    name = r"three_starts: .+?, seed 0"
    assert re.search(rf"^failed: {name}: MemoryError: no room; given up after 1 tries$", ended.err, re.MULTILINE)
    assert re.search(
        rf"^left out: {name}: failed 1 times, last on 20.*: MemoryError: no room; see ", ended.err, re.MULTILINE
    )
    assert "report: report/index.html" in ended.out
    assert len(list(Store("results"))) == 2
    again = zeroinit("report", *command[1:-2])
    assert (again.code, again.out) == (1, ended.out)
    ended = zeroinit(*command)
    assert ended.code == 0
    assert "left out" not in ended.err


def test_a_scheduler_asks_what_is_missing(zeroinit, two_epochs):
    """Standard output holds a line a run and nothing else; the exit code is the answer."""
    study = ("three_starts", "--profile", "quick", "--seeds", "1")
    ended = zeroinit("reproduce", *study, "--missing", "--results", "a [bold]name")
    assert (ended.code, ended.err.strip()) == (1, "")
    lines = ended.out.splitlines()
    assert len(lines) == 3
    assert all(
        re.fullmatch(r"a \[bold\]name/[0-9a-f]{12}/seed-0\.json\tthree_starts: .+, seed 0", line) for line in lines
    )
    assert not Path("a [bold]name").exists()
    for part in ("1/2", "2/2"):
        ended = zeroinit("reproduce", *study, "--shard", part, "--jobs", "1", "--checkpoint-every", "30")
        assert (ended.code, ended.out) == (0, "")
        assert f"shard {part}: " in ended.err
    assert zeroinit("reproduce", *study, "--missing").code == 0
    assert zeroinit("reproduce", *study, "--missing").out == ""
    assert not Path("report").exists()


def test_a_shard_whose_run_failed_says_so_in_its_exit_code(zeroinit, two_epochs, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(task, "TRIES", 1)
    monkeypatch.setattr(task, "execute", fail)
    study = ("three_starts", "--profile", "quick", "--seeds", "1")
    ended = zeroinit("reproduce", *study, "--shard", "3/3", "--jobs", "1")
    assert ended.code == 1
    assert "shard 3/3: 0 of 1 run stored in results" in ended.err
    assert "MemoryError; given up after 1 tries" in ended.err
