"""What a user can mend: one line on standard error, exit code 2, no traceback, and nothing run before."""

import json
import re
from pathlib import Path

import pytest

from zeroinit import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.cli.app import _command
from zeroinit.cli.loading import find_factory

WAY_OUT = "choose a folder that can be written to"
SEEDS = "write a count (5), a range (0-9) or a list (0,3,7)"


@pytest.fixture
def refused(zeroinit, no_run):
    """Runs a command that must be refused; returns the message."""

    def run(*arguments: str) -> str:
        ended = zeroinit(*arguments)
        assert ended.code == 2
        assert ended.out == ""
        assert ended.err.count("\n") == 1
        assert ended.err.startswith("zeroinit: error: ")
        return ended.err.removeprefix("zeroinit: error: ").rstrip("\n")

    return run


SHARDS = ("0/3", "4/3", "2", "a/b", "1/0", "-1/3", "1/3/5")


@pytest.mark.parametrize("command", ["reproduce", "report"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "fig33",
            f"figure='fig33': did you mean 'fig3'? It must be one of {', '.join(sorted(FIGURES))}",
        ),
        ("--profile=", "profile='': must be one of first, paper, paper_bf16, quick"),
        ("--profile papr", "profile='papr': did you mean 'paper'? It must be one of first, paper, paper_bf16, quick"),
        (
            "--protocol publish",
            "protocol='publish': did you mean 'published'? It must be one of corrected, published",
        ),
        ("--seeds 3-1", "seeds='3-1': the range runs backwards; did you mean 1-3?"),
        ("--seeds 3,3", f"seeds='3,3': names a seed twice; {SEEDS}"),
        ("--seeds 2,12,2", f"seeds='2,12,2': names a seed twice; {SEEDS}"),
        ("--seeds 0", f"seeds='0': leaves no seed; {SEEDS}"),
        ("--seeds x", f"seeds='x': {SEEDS}"),
        ("--seeds \u0663", f"seeds='\u0663': {SEEDS}"),
        ("--seeds 1,", f"seeds='1,': {SEEDS}"),
        ("--seeds -1", f"seeds='-1': {SEEDS}"),
        ("--seeds 1.5", f"seeds='1.5': {SEEDS}"),
        ("--seeds 1000000000", f"seeds='1000000000': are 1,000,000,000, more than 100,000; {SEEDS}"),
        ("--seeds 0-100000", f"seeds='0-100000': are 100,001, more than 100,000; {SEEDS}"),
        (f"--seeds {10**21}", f"seeds='{10**21}': a number has at most 18 digits; {SEEDS}"),
        (f"--seeds 1-{10**21}", f"seeds='1-{10**21}': a number has at most 18 digits; {SEEDS}"),
        (f"--seeds 1,{'9' * 5000}", f"seeds='1,{'9' * 58}': a number has at most 18 digits; {SEEDS}"),
    ],
)
def test_words_that_reproduce_and_report_do_not_know(refused, command, arguments, message):
    assert refused(command, *arguments.split()) == message
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--device tpu", None),
        ("--device cuda:99", None),
        ("--jobs 0", "jobs=0: must be at least 1"),
        ("--jobs -2", "jobs=-2: must be at least 1"),
        ("--checkpoint-every -1", "checkpoint-every=-1.0: must be at least 0 seconds"),
        ("--checkpoint-every nan", "checkpoint-every=nan: must be at least 0 seconds"),
        *(
            (f"--shard {each}", f"shard='{each}': write a part and how many there are, from 1/8 to 8/8")
            for each in SHARDS
        ),
        ("--histogram-every 10", "histogram-every=10: needs --tensorboard DIR to write to"),
        ("--histogram-every -1 --tensorboard t", "histogram-every=-1: must be at least 0"),
    ],
)
def test_options_that_reproduce_cannot_use(refused, arguments, message):
    given = refused("reproduce", "fig3", "--profile", "quick", *arguments.split())
    if message is None:
        assert given.startswith(f"device={arguments.split()[1]!r}: ")
        assert re.search(r"must be one of auto, cpu(, cuda.*)? on this machine$", given)
    else:
        assert given == message
    assert list(Path().iterdir()) == []


def test_unknown_data_set(refused):
    assert refused("data", "mnits") == "dataset='mnits': did you mean 'mnist'? It must be one of cifar10, digits, mnist"
    assert refused("data", "digits", "mnits").startswith("dataset='mnits'")


def test_no_such_data_folder(refused):
    message = (
        "data folder nowhere: no such folder; --data-dir or ZEROINIT_DATA_DIR must name a torchvision root, "
        "the folder that holds MNIST/raw/train-images-idx3-ubyte.gz"
    )
    assert refused("reproduce", "fig3", "--data-dir", "nowhere") == message
    assert refused("data", "mnist", "--fetch", "--data-dir", "nowhere") == message
    assert refused("data", "mnist", "--fetch", "--data-dir", "s3://bucket/data").startswith(
        "s3://bucket/data: is a URL"
    )
    assert refused("data", "mnist", "--fetch", "--data-dir", __file__).startswith(
        f"data folder {__file__}: is no folder"
    )
    assert list(Path().iterdir()) == []


def test_data_folder_without_mnist(refused, monkeypatch):
    Path("data").mkdir()
    message = (
        "data set 'mnist': no data/MNIST/raw/train-images-idx3-ubyte.gz; --data-dir or ZEROINIT_DATA_DIR must name a "
        "torchvision root, the folder that holds MNIST/raw/train-images-idx3-ubyte.gz"
    )
    assert refused("reproduce", "fig3", "--data-dir", "data") == message
    monkeypatch.setenv("ZEROINIT_DATA_DIR", "data")
    assert refused("reproduce", "fig3") == message
    whole = refused("reproduce", "--profile", "paper", "--yes")
    assert whole.startswith("data set 'cifar10': no data/cifar-10-batches-py/data_batch_1; --data-dir")
    assert [path.name for path in Path().iterdir()] == ["data"]


@pytest.mark.parametrize("folder", ["results", "empty"])
def test_no_results(refused, folder):
    Path("empty").mkdir()
    assert refused("report", "fig3", "--profile", "quick", "--results", folder, "--seeds", "3") == (
        f"results='{folder}': holds no result of fig3 (quick profile, corrected protocol, seeds 0-2); "
        "run `zeroinit reproduce fig3 --profile quick` first"
    )
    assert not Path("report").exists()


def test_no_results_at_a_url(refused):
    """The URL is named, and not the folder of this machine that follows it."""
    url = f"local://{Path('there').absolute()}"
    text = refused("report", "fig3", "--profile", "quick", "--results", url)
    assert text.startswith(f"results={url!r}: holds no result of fig3 (quick profile")


@pytest.fixture
def one_result(two_epochs, zeroinit) -> Path:
    """The file of the only stored result of a figure: that of its baseline."""
    from zeroinit.bench.catalogue import FIGURES
    from zeroinit.bench.running.runner import execute
    from zeroinit.bench.store import Store

    run = FIGURES["fig3"].at("quick", "corrected")[0].run
    store = Store("results")
    store.save(execute(run, 0))
    return store.path(run, 0)


def test_unreadable_results_file(refused, one_result):
    """The only one there is; among others it is left out: see ``test_cli_commands``."""
    one_result.write_text(one_result.read_text()[:200])
    message = refused("report", "fig3", "--profile", "quick", "--seeds", "1")
    assert message.startswith("results='results': holds no result of fig3 (")
    assert f"; {one_result}: cannot be read as a result (" in message
    assert message.endswith("); delete it to compute it again")
    one_result.write_text(json.dumps({"format": 3}))
    assert refused("report", "fig3", "--profile", "quick").endswith(
        f"{one_result}: cannot be read as a result (it lacks 'sha256'); delete it to compute it again"
    )


def test_report_folder_that_cannot_be_written_to(refused, one_result):
    Path("file").write_text("kept")
    quick = ("fig3", "--profile", "quick", "--seeds", "1", "--report", "file")
    assert refused("report", *quick) == f"cannot write file/claims.json: File exists; {WAY_OUT}"
    assert refused("reproduce", *quick) == f"cannot write file: Not a directory; {WAY_OUT}"
    assert Path("file").read_text() == "kept"


@pytest.mark.parametrize("option", ["--report", "--tensorboard"])
def test_a_url_is_no_folder(refused, option):
    given = refused("reproduce", "fig3", "--profile", "quick", option, "s3://bucket/a")
    assert given == "s3://bucket/a: is a URL, and files are kept in folders; write the folder where it is mounted"
    assert list(Path().iterdir()) == []


def test_a_report_at_a_url(refused, one_result):
    given = refused("report", "fig3", "--profile", "quick", "--seeds", "1", "--report", "gs://bucket/a")
    assert given.startswith("gs://bucket/a: is a URL")


def test_results_folder_that_cannot_be_written_to(refused):
    Path("file").write_text("kept")
    given = refused("reproduce", "fig3", "--profile", "quick", "--results", "file")
    assert given == f"cannot write file: Not a directory; {WAY_OUT}"
    given = refused("reproduce", "fig3", "--profile", "quick", "--tensorboard", "file/logs")
    assert given == f"cannot write file/logs: Not a directory; {WAY_OUT}"
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("reproduce --jobs x", "jobs='x': must be a whole number; see zeroinit reproduce --help"),
        ("reproduce --jobs=1e3 --seeds x=y", "jobs='1e3': must be a whole number; see zeroinit reproduce --help"),
        ("reproduce --checkpoint-every a=b", "checkpoint-every='a=b': must be a number; see zeroinit reproduce --help"),
        ("power C1 --power much", "power='much': must be a number; see zeroinit power --help"),
        ("inspect x --steps", "Option '--steps' requires an argument; see zeroinit"),
        ("inspect x --strict=yes", "Option '--strict' does not take a value; see zeroinit"),
        (
            "reproduce --yess",
            "option='--yess': did you mean '--yes'? It must be one of --address, --checkpoint-every, --claims, ",
        ),
        ("--versio", "option='--versio': did you mean '--version'? It must be one of "),
        (
            "reprodce fig3",
            "command='reprodce': did you mean 'reproduce'? It must be one of audit, compare, data, explain, inspect, ",
        ),
        (
            "zzz",
            "command='zzz': must be one of audit, compare, data, explain, inspect, list, power, report, reproduce, "
            "verify",
        ),
        ("inspect", "Missing argument '"),
    ],
)
def test_words_that_the_parser_does_not_know(refused, arguments, word):
    """In one line, too; the nearest first."""
    assert refused(*arguments.split()).startswith(word)
    assert list(Path().iterdir()) == []


def test_a_defect_of_ours_is_not_hidden(monkeypatch):
    from zeroinit import cli
    from zeroinit.bench import reproduce

    def broken(*_):
        raise AssertionError("never")

    monkeypatch.setattr(reproduce, "choose_figures", broken)
    with pytest.raises(AssertionError, match="never"):
        cli.main(["report"])


@pytest.mark.parametrize("text", ["", "8", "8x", "-8m", "0s", "m", "1e3s", "8 m"])
def test_a_time_limit_without_its_unit(zeroinit, no_run, text):
    ended = zeroinit("reproduce", "fig3", "--profile", "quick", "--time-limit", text)
    assert (ended.code, ended.out) == (2, "")
    wanted = f"zeroinit: error: time-limit={text!r}: must be a number above 0 with its unit, as 90s, 8m or 1.5h\n"
    assert ended.err == wanted


def test_what_a_terminal_would_obey_is_not_printed(refused):
    """A name from a file or a stranger cannot clear the screen or change the line before."""
    message = refused("report", "--results", "a\x1b[2J\rb\u202e", "fig3")
    assert message.startswith("results='a")
    assert not set(message) & set("\x1b\r\u202e")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list nonsense", "'nonsense' is one name too many; see zeroinit list --help"),
        ("reproduce fig12 --jobs 0", "jobs=0: must be at least 1"),
        ("compare zero --jobs 0", "jobs=0: must be at least 1"),
        ("compare zero --report a_file", f"cannot write a_file: Not a directory; {WAY_OUT}"),
        ("reproduce fig12 --report a_file", f"cannot write a_file: Not a directory; {WAY_OUT}"),
    ],
)
def test_what_can_be_told_at_once_is_told_before_the_program_is_loaded(refused, monkeypatch, arguments, message):
    from zeroinit.bench import progress

    monkeypatch.setattr(progress, "Progress", None)  # it is made first of all, to say that the program is loading
    Path("a_file").write_text("")
    assert refused(*arguments.split()) == message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "compare zero --learning-rates 1",
            "option='--learning-rates': did you mean '--lr-grid'? See zeroinit compare",
        ),
        ("inspect torch.nn:Identity --init zero", "option='--init': did you mean '--initializer'?"),
        ("version", "command='version': write zeroinit --version"),
        ("help", "command='help': write zeroinit --help"),
        ("inspect torch.nn:Identity --strct", "option='--strct': did you mean '--strict'? It must be one of"),
        ("inspect words/__init__.py:build", "factory='words/__init__.py:build': write 'words:build', a module"),
        ("inspect words/__init__.py", "factory='words/__init__.py': write 'words:factory', a module"),
        ("inspect words:WIDHT", "factory='words:WIDHT': words has no function 'WIDHT'"),
        ("inspect words:biuld", "factory='words:biuld': words has no function 'biuld'; did you mean 'build'?"),
        ("inspect words:build --inputs 8,4", "for one input, write '8x4'"),
        ("inspect words:build --inputs 8x5", "write the sizes that the model takes"),
    ],
)
def test_words_that_other_programs_use(zeroinit, tmp_path, monkeypatch, command, message):
    (tmp_path / "words").mkdir()
    text = "from torch import nn\nWIDTH = 4\n\n\ndef build():\n    return nn.Sequential(nn.Linear(4, 3))\n"
    (tmp_path / "words" / "__init__.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    ended = zeroinit(*command.split())
    assert ended.code == 2
    assert message in ended.err
    assert "did you mean 'WIDTH'" not in ended.err


@pytest.mark.parametrize("option", ["--results", "--report", "--data-dir"])
@pytest.mark.parametrize("command", ["reproduce", "compare"])
def test_an_empty_value_is_refused(refused, command, option):
    """Of a variable that is not set: it would be the working folder."""
    message = f"{option}: its value is empty; name a folder, or leave {option} out"
    assert refused(command, "zero", option, "") == refused(command, "zero", f"{option}=", "--yes") == message
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("reproduce", "ftp://anna:geheim@host"),
        ("reproduce", "fig3", "--report", "https://anna:geheim@host/a"),
        ("reproduce", "fig3", "--results", "nosuch://anna:geheim@host/a"),
        ("reproduce", "fig3", "--results", "file:///a?token=geheim"),
        ("compare", "zero", "--results", "nosuch://host/a?token=geheim"),
        ("compare", "https://geheim@host/a"),
        ("reproduce", "--sedes", "https://geheim@host/a"),
    ],
)
def test_a_secret_of_a_url_is_not_printed(refused, arguments):
    assert "geheim" not in refused(*arguments)


def test_a_command_to_go_on_with_holds_no_secret():
    command = _command(["reproduce", "--results", "ftp://anna:ge heim@host/a", "--report=https://geheim@host"])
    assert command.endswith("reproduce --results 'ftp://anna:***@host/a' '--report=https://***@host'")


@pytest.mark.parametrize("name", ["nets.py::build", "./nets.py::build", "nets::build", "nets.build"])
def test_a_factory_in_another_tools_form_is_answered_with_its_own(name, tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text("def build():\n    pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"write 'nets:build'"):
        find_factory(name)
    with pytest.raises(InputError, match=r"write package.module:factory"):
        find_factory("other.build")


def test_a_factory_that_needs_arguments_is_told_how_it_is_called():
    from zeroinit.audit import audit

    with pytest.raises(InputError, match=r"'width'.*it is called without arguments"):
        audit(lambda width: None)
    with pytest.raises(InputError, match="run it alone first"):
        audit(lambda: 1 / 0)
