"""What a terminal, a pipe and a shell get: colors, width, completion, the time of --help, and what is missing."""

import functools
import importlib
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from zeroinit import __version__
from zeroinit._findings.codes import CODES
from zeroinit._findings.formats import FORMATS
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.data import DATASETS
from zeroinit.bench.models import MODELS
from zeroinit.bench.profiles import PROFILES, PROTOCOLS
from zeroinit.cli.app import COMMANDS, app, out
from zeroinit.cli.completion import keys_in_source
from zeroinit.init import INITIALIZERS
from zeroinit.symmetry.shadow.updates import RULES

COLOR = re.compile(r"\x1b\[[\d;]*(3[0-8]|9[0-7])[\d;]*m")
PLAIN = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs a command in a process of its own, whose streams are pipes."""
    line = [sys.executable, "-m", "zeroinit", *arguments]
    environment = {**PLAIN, "TERM": "xterm-256color", **variables}
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False)


def in_a_terminal(*arguments: str, **variables: str) -> str:
    """Runs a command whose streams are a terminal; returns all that it shows."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "zeroinit", *arguments]
    environment = {**PLAIN, "TERM": "xterm-256color", **variables}
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal is closed
            pass
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize("arguments", [("reprodce",), ("--help",)], ids=" ".join)
def test_colors_are_for_terminals_and_not_for_all(arguments):
    assert COLOR.search(in_a_terminal(*arguments))
    assert not COLOR.search(in_a_terminal(*arguments, NO_COLOR="1"))
    piped = command(*arguments)
    assert "\x1b" not in piped.stdout + piped.stderr
    assert piped.stdout + piped.stderr != ""


@pytest.mark.parametrize("arguments", [("--help",), ("reproduce", "--help"), ("inspect", "--help")], ids=" ".join)
def test_help_takes_eighty_columns_in_a_pipe(arguments):
    lines = command(*arguments).stdout.splitlines()
    assert 40 < max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_report_takes_no_more_columns_than_the_terminal(tmp_path, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef flawed():\n"
        "    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))\n"
        "    for each in model.parameters():\n        nn.init.zeros_(each)\n    return model\n"
    )
    for line in (("inspect", "own:flawed", "--inputs", "32x8"), ("audit", "own:flawed")):
        shown = in_a_terminal(*line, COLUMNS=str(width)).splitlines()
        piped = command(*line, COLUMNS=str(width)).stdout.splitlines()
        assert max(map(len, shown)) <= width
        assert " ".join(shown).split() == " ".join(piped).split()
        assert (shown == piped) == (width == 120 or (line[0] == "audit" and max(map(len, piped)) <= width))


def test_a_page_is_fitted_to_a_narrow_terminal_but_for_its_code():
    text, piped = in_a_terminal("explain", "ZI205", COLUMNS="60").replace("\r", ""), command("explain", "ZI205").stdout
    blocks = [re.findall(r"^```.*?^```$", each, re.MULTILINE | re.DOTALL) for each in (text, piped)]
    assert blocks[0] == blocks[1] != []
    assert (
        max(len(line) for each in re.split(r"^```.*?^```$", text, flags=re.M | re.S) for line in each.splitlines())
        <= 60
    )
    assert text.split() == piped.split()
    listed = in_a_terminal("explain", COLUMNS="60").splitlines()
    assert [line[:5] for line in listed if line.startswith("ZI")] == sorted(CODES)
    assert max(map(len, listed)) <= 60


def test_a_file_with_the_name_of_a_package_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "torch.py"
    path.write_text("")
    ended = command("inspect", "own:factory")
    told = f"zeroinit: error: {path} stands in the place of the package of this name; rename it\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)
    path.rename(tmp_path / "other.py")
    assert "own cannot be imported" in command("inspect", "own:factory").stderr


def test_without_arguments_the_first_commands_are_shown(zeroinit):
    shown = zeroinit().out
    assert shown == zeroinit("--help").out
    words = " ".join(shown.partition("Options")[0].split())
    for line in (
        "zeroinit reproduce ",
        "zeroinit inspect my_package.models:build ",
        "zeroinit compare kaiming_normal_ ",
    ):
        assert line in words


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_an_encoding_that_lacks_a_character_gets_another_one(encoding):
    """As Windows has for a file, and LC_ALL=C."""
    line = [sys.executable, "-m", "zeroinit", "list"]
    done = subprocess.run(line, capture_output=True, env={**PLAIN, "PYTHONIOENCODING": encoding}, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert "gamma" in shown
    assert ("×" in shown) == (encoding != "ascii")  # the others have the sign itself
    assert "?" not in shown


def test_a_report_in_the_locale_c(tmp_path):
    code = (
        "from pathlib import Path\nfrom zeroinit.bench.reporting import pictures\n"
        "figure = type('F', (), {'title': 't', 'view': 'v', 'name': 'n'})\n"
        "Summary = type('S', (), {'can_be_drawn': True, 'figure': figure, 'absent': ()})\n"
        "def save(figure, folder, name):\n"
        "    path = Path(folder) / 'n.svg'\n"
        "    path.write_bytes('<svg>\\u03b3</svg>'.encode())\n    return path, path\n"
        "drawn = staticmethod(lambda *_: None)\n"
        "pictures.VIEWS = {'v': type('V', (), {'draw': drawn, 'details': None})}\npictures.save_figure = save\n"
        "pictures.inline = lambda text, *_: text\npictures._title_height = pictures.chart_data = lambda figure: 0\n"
        f"print(ascii(str(pictures.draw_summary(Summary(), 'paper', 'paper', {str(tmp_path)!r})[0].svg)))"
    )
    variables = {**PLAIN, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert done.stdout == "'<svg>\\u03b3</svg>'\n", done.stderr


def test_an_output_that_is_closed_or_full_is_one_line():
    def shell(redirected: str) -> tuple[int, str]:
        line = f"{sys.executable} -m zeroinit explain {redirected}"
        done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, env=PLAIN, check=False)
        return done.returncode, done.stderr

    assert shell(">&-") == (
        2,
        "zeroinit: error: standard output is closed; > /dev/null drops what is printed\n",
    )
    if Path("/dev/full").exists():
        assert shell("> /dev/full") == (
            2,
            "zeroinit: error: cannot write to standard output: No space left on device\n",
        )
    assert shell("> /dev/null") == (0, "")
    assert shell("2>&- > /dev/null") == (0, "")
    assert shell("| head -1 > /dev/null")[1] == ""


@pytest.mark.parametrize("given", ["--help", "list", "list nonsense"])
def test_a_reader_that_leaves_changes_no_exit_code(given):
    line = f"set -o pipefail; {sys.executable} -m zeroinit {given} | (exec <&-; sleep 2)"
    variables = {**PLAIN, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == (2 if given == "list nonsense" else 0)
    assert ("Traceback" in done.stderr, done.stderr == "") == (False, given != "list nonsense")


def test_the_version_without_torch():
    assert command("--version").stdout == f"zeroinit {__version__}\n"
    code = "import sys; from zeroinit.cli import main\ntry: main(['--version'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_half_a_second_is_enough(option):
    """Of processor time, the least of three: others may be at work on this machine."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert command(option).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) <= 0.5


def completed(words: str) -> list[str]:
    """Returns what bash would offer for the last word; fails if torch was loaded for it."""
    code = (
        "import sys\nfrom zeroinit.cli import main\ntry: main([])\n"
        "finally: sys.exit('torch was loaded') if 'torch' in sys.modules else None"
    )
    variables = {"_ZEROINIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**PLAIN, **variables})
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("zeroinit re", ["reproduce", "report"]),
        ("zeroinit reproduce fig1", ["fig10", "fig11", "fig12"]),
        ("zeroinit reproduce fig3 ", list(FIGURES)),
        ("zeroinit report starts", ["starts", "starts_cnn"]),
        ("zeroinit data ", list(DATASETS)),
        ("zeroinit compare --board i", ["initbench"]),
        ("zeroinit reproduce --profile ", list(PROFILES)),
        ("zeroinit report --protocol p", ["published"]),
        ("zeroinit inspect package:factory --format s", ["sarif"]),
        ("zeroinit compare kaim", ["kaiming_uniform", "kaiming_normal"]),
        ("zeroinit compare --reference zero_", ["zero_branch", "zero_start"]),
        ("zeroinit inspect package:factory --initializer ortho", ["orthogonal"]),
        ("zeroinit explain ZI00", [code for code in CODES if code.startswith("ZI00")]),
        ("zeroinit reproduce xyz", []),
    ],
)
def test_the_shell_completes_names_without_torch(words, offered):
    assert completed(words) == offered


@pytest.mark.parametrize(
    ("path", "table", "entries"),
    [
        ("bench/data/__init__.py", "DATASETS", DATASETS),
        ("bench/profiles.py", "PROFILES", PROFILES),
        ("bench/profiles.py", "PROTOCOLS", PROTOCOLS),
        ("symmetry/shadow/updates.py", "RULES", RULES),
        ("_findings/formats.py", "FORMATS", FORMATS),
        ("init/table.py", "_ENTRIES", INITIALIZERS),
        ("bench/models/__init__.py", "MODELS", MODELS),
    ],
)
def test_names_read_from_the_source_are_those_of_the_table(path, table, entries):
    assert keys_in_source(path, table) == list(entries)


def test_a_table_that_moved_is_noticed():
    with pytest.raises(AssertionError, match=r"bench/profiles\.py has no table DATASETS"):
        keys_in_source("bench/profiles.py", "DATASETS")


def test_every_parameter_that_completes_offers_something():
    """A table that moved would leave one of them without a word."""
    for name in COMMANDS:
        importlib.import_module(f"zeroinit.cli.{name}")
    commands = typer.main.get_command(app).commands
    assert {*commands} == {*COMMANDS}
    offered = {
        f"{name} {parameter.name}": parameter.shell_complete(None, "")
        for name, each in commands.items()
        for parameter in each.params
        if parameter._custom_shell_complete is not None
    }
    assert {"compare initializers", "compare model", "explain code", "inspect initializer"} <= {*offered}
    assert [name for name, found in offered.items() if not found] == []


@pytest.mark.parametrize(("words", "code"), [("zeroinit compare kaim", 1), ("zeroinit explain ZI006", 0)])
def test_a_completion_that_fails_prints_nothing(words, code):
    """The shell would write it where the user types; a completion beside it still works."""
    program = (
        "import zeroinit.cli.completion as c\nc.PACKAGE = c.PACKAGE / 'moved'\nfrom zeroinit.cli import main\nmain([])"
    )
    variables = {"_ZEROINIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={**PLAIN, **variables})
    assert (done.returncode, done.stdout + done.stderr) == (code, "" if code else "ZI006\n")


def test_every_command_is_a_file():
    import zeroinit.cli

    files = {path.stem for path in Path(zeroinit.cli.__file__).parent.glob("*.py")}
    assert set(COMMANDS) <= files
    assert files - set(COMMANDS) == {
        "__init__",
        "app",
        "completion",
        "loading",
        "options",
        "pages",
        "shown",
        "streams",
        "tables",
    }


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("typer", "--help", "cli"),
        ("rich", "--version", "cli"),
        ("typer", "inspect a:b", "cli"),
        ("typer", "compare zero", "bench"),
        ("jinja2", "report fig3", "bench"),
    ],
)
def test_one_line_says_what_to_install(package, arguments, extra):
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom zeroinit.cli import main\nmain({arguments.split()})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(
        f"zeroinit: error: {package} is not installed; type: pip install 'torch-zeroinit[{extra}]'"
    )


def test_a_command_is_never_silent(zeroinit, two_epochs, monkeypatch):
    """Also while it imports, loads data, starts processes and draws: with a line every hundredth of a second."""
    from zeroinit.bench import progress

    monkeypatch.setattr(progress, "Progress", functools.partial(progress.Progress, every=0.01))
    ended = zeroinit("reproduce", "fig3", "--profile", "quick", "--seeds", "1", "--jobs", "2")
    assert ended.code == 0
    told = [line.split(": ", 1)[1] for line in ended.err.splitlines()]
    phases = list(dict.fromkeys(re.sub(r"\d+ of 4 runs, \d.*", "runs", line) for line in told))
    for phase in ("0 of 4 runs, the first ones start", "runs", "drawing the report: fig3, 1 of 1"):
        assert phase in phases
    assert phases.index("0 of 4 runs, the first ones start") < phases.index("drawing the report: fig3, 1 of 1")
    assert any(re.fullmatch(r"[1-4] of 4 runs, \d+ %, about .* left", line) for line in told)


def test_the_report_is_opened_on_demand(zeroinit, two_epochs, monkeypatch):
    import webbrowser

    opened, arguments = [], ("fig7", "--profile", "quick", "--seeds", "1")
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert zeroinit("reproduce", *arguments, "--jobs", "1").code == 0
    assert opened == []
    assert zeroinit("report", *arguments, "--open").code == 0
    assert opened == [Path("report/index.html").resolve().as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    ended = zeroinit("report", *arguments, "--open")
    assert ended.err.splitlines()[-1] == "no browser was found; open report/index.html yourself"


def test_what_is_printed_at_the_end_fits_eighty_columns(zeroinit, two_epochs):
    out = zeroinit("reproduce", "starts", "--profile", "first", "--seeds", "2", "--jobs", "1").out
    assert max(len(line) for line in out.splitlines()) <= 80
    words = " ".join(out.split())
    for label in ("Logistic regression", "all zero", "PyTorch's default", "zero start"):
        assert re.search(rf"{label} +\d+\.\d ± \d+\.\d % +(1|never|1, 1|2, 1) ", words)
    assert "starts: Dense network: eight starts (2 seeds)" in words
    assert "With all parameters zero the dense network scores 1" in words
    assert re.search(r"claims: .*\(--claims lists them\) report: report/index.html$", words)
    assert "undecided" in zeroinit("report", "starts", "--profile", "first", "--seeds", "1", "--claims").out


def test_a_remedy_is_no_emoji():
    """Rich would write a sign in the place of ``:100:``."""
    with out.capture() as shown:
        out.print("early_dropout:100:0.3")
    assert shown.get() == "early_dropout:100:0.3\n"
