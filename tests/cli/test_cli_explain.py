"""``zeroinit explain``: one page a code, the same as the site's, without torch."""

import re
import subprocess
import sys

import pytest

from zeroinit.cli.pages import PAGES
from zeroinit.symmetry import CODES

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
PARTS = ["The smallest model that shows it", "Why", "What to type", "Is it a false alarm?"]


def test_every_code_has_a_page_and_every_page_a_code():
    assert set(TEXTS) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_page_has_its_parts_and_says_what_the_table_says(code):
    text, entry = TEXTS[code], CODES[code]
    assert text.startswith(f"# {code}: {entry.title}\n\n")
    assert re.search(r"^Severity: (\w+)\.$", text, re.MULTILINE)[1] == {"info": "information"}.get(
        entry.severity, entry.severity
    )
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == PARTS


@pytest.mark.parametrize("code", CODES)
def test_the_model_of_a_page_shows_its_code(code):
    """The report names the code, and what is printed after the repair does not. The test of all pages runs both."""
    reports = re.findall(r"^```\n\n```\n(.*?)^```", TEXTS[code], re.MULTILINE | re.DOTALL)
    assert re.search(rf"^{code} {CODES[code].severity} ", reports[0], re.MULTILINE)
    assert len(reports) == 1 + (CODES[code].suggestion != "Nothing to do.")
    assert not any(code in report for report in reports[1:])
    assert all(
        report.startswith(("Will learn", "Initialized")) for report in reports[1:] if CODES[code].severity == "warning"
    )


def test_a_code_is_explained(zeroinit):
    ended = zeroinit("explain", "ZI006")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip() == TEXTS["ZI006"].rstrip()


@pytest.mark.parametrize("written", ["zi006", "6", "ZI6", "006", "ZI006 ", "zi6"])
def test_a_code_may_be_written_shorter(zeroinit, written):
    assert zeroinit("explain", written).out.startswith("# ZI006: ")


@pytest.mark.parametrize("written", ["ZI1", "ZI00", "zi20"])
def test_the_beginning_of_codes_lists_them_as_select_takes_it(zeroinit, written):
    listed = re.findall(r"^(ZI\d+): ", zeroinit("explain", written).out, re.MULTILINE)
    assert listed == sorted(code for code in CODES if code.startswith(written.upper()))
    assert len(listed) > 1


def test_all_codes_are_listed(zeroinit):
    ended = zeroinit("explain")
    assert [line.split(":")[0] for line in ended.out.splitlines() if line.startswith("ZI")] == sorted(CODES)
    assert f"ZI006: {CODES['ZI006'].title}\n" in ended.out


@pytest.mark.parametrize(
    ("code", "nearest"),
    [("zl006", "ZI006"), ("ZI06x", "ZI006"), ("ZIO06", "ZI006"), ("zi2o1", "ZI201"), ("inspect", "")],
)
def test_an_unknown_code_is_an_error_that_names_the_nearest(zeroinit, code, nearest):
    ended = zeroinit("explain", code)
    assert (ended.code, ended.out) == (2, "")
    assert f"code={code!r}: " in ended.err
    assert "must be one of ZI001" in ended.err
    assert not nearest or f"did you mean '{nearest}" in ended.err


def test_no_torch_is_loaded():
    code = (
        "import sys\n"
        "from zeroinit.cli import main\n"
        "try:\n    main(['explain', 'ZI001'])\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("code", [["ZI006"], []])
def test_the_library_alone_explains_too(zeroinit, code):
    """Reports say `more: zeroinit explain ZI006`; the pages are in the package, the extra `cli` may be missing."""
    script = f"import sys\nsys.modules['typer'] = None\nfrom zeroinit.cli import main\nmain(['explain', *{code}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip() == zeroinit("explain", *code).out.rstrip()


@pytest.mark.parametrize(
    ("arguments", "said"), [(["ZI999"], "code='ZI999': "), (["--help"], "typer is not installed; type: pip install ")]
)
def test_the_library_alone_says_what_it_cannot_explain(arguments, said):
    script = f"import sys\nsys.modules['typer'] = None\nfrom zeroinit.cli import main\nmain(['explain', *{arguments}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"zeroinit: error: {said}")
