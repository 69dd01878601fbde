"""Whatever the pages show was run: their Python, their commands, and the numbers that they take from stored results."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import typer

from zeroinit.cli import app

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import blocks  # noqa: E402  # docs/blocks.py
import generated  # noqa: E402  # docs/generated.py

PAGES = [path.relative_to(ROOT).as_posix() for path in blocks.pages()]
SLOW = {"docs/notebooks/zero_weights.md"}
SITE = sorted(
    path
    for path in (ROOT / "docs").rglob("*.md")
    if path.name != "report.md" and path.relative_to(ROOT / "docs").as_posix() not in generated.names()
)
WRITTEN = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *SITE)]


TRAINED = ("docs/notebooks/", "docs/guides/compare.md")
"""Pages with accuracies in percent, which another processor may change a little."""


@pytest.mark.parametrize(
    "page", [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in PAGES]
)
def test_python_prints_what_the_page_shows(page, without_type_checks, tmp_path):
    for block, printed in blocks.run(ROOT / page, tmp_path / "figures"):
        tolerance = 5.0 if page.startswith(TRAINED) else 0.0
        assert blocks.agree(block.shown or "", printed, tolerance), f"{page}:{block.line}: run `python docs/blocks.py`"
    shown = set(re.findall(r"\]\(figures/(.*?)\)", (ROOT / page).read_text(encoding="utf-8")))
    assert shown == {path.name for path in tmp_path.glob("figures/*")}


@pytest.mark.parametrize(
    ("shown", "printed", "tolerance", "expected"),
    [
        ("97.1 % (3 seeds)", "97.1 % (3 seeds)", 0.0, True),
        ("97.1 % (3 seeds)", "96.2 % (3 seeds)", 1.0, True),
        ("gap: -0.2", "gap: +0.3", 1.0, True),
        ("97.1 % (3 seeds)", "96.2 % (3 seeds)", 0.5, False),
        ("97.1 % (3 seeds)", "97.1 % (4 seeds)", 1.0, False),
        ("97.1 97.2", "97.1", 1.0, False),
        ("default: 97.1", "normal: 97.1", 1.0, False),
    ],
)
def test_texts_agree_but_for_small_differences_of_numbers(shown, printed, tolerance, expected):
    assert blocks.agree(shown, printed, tolerance) == expected


def test_every_code_and_every_guide_is_run():
    assert sum("cli/findings/ZI" in page for page in PAGES) == len(list(blocks.CODES.glob("*.md"))) == 37
    assert {"docs/index.md", "docs/start.md", "docs/guides/training_script.md", "docs/explained/gap.md"} - set(
        PAGES
    ) == {
        "docs/explained/gap.md"  # which has no code
    }


def test_a_change_of_what_is_printed_is_noticed(tmp_path):
    """And written anew by the script that the message names; shells and other languages stay as they are."""
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\ntext\n\n```python\nprint(x + 1)\n```\n\n```\n3\n```\n\n```sh\nls\n```\n")
    assert [(block.shown, printed) for block, printed in blocks.run(page)] == [(None, ""), ("3\n", "2\n")]
    assert blocks.rewritten(page) == page.read_text().replace("```\n3\n```", "```\n2\n```")


def test_a_page_that_shows_nothing_gets_what_is_printed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\ntext\n")
    assert blocks.rewritten(page) == "```python\nprint(1)\n```\n\n```\n1\n```\n\ntext\n"


def commands(text: str) -> list[list[str]]:
    """The words of each call of ``zeroinit`` in a shell's block, comments left out."""
    found = re.findall(r"^(?:\.venv/bin/)?zeroinit (.*?)(?:  +#.*)?$", text, re.MULTILINE)
    return [line.replace("[OPTIONS]", "").split() for line in found if not line.startswith("[")]


def parse(words: list[str]) -> None:
    """Parse a command without running it; an unknown command or option raises."""
    for name in app.COMMANDS:
        importlib.import_module(f"zeroinit.cli.{name}")
    group = typer.main.get_command(app.app)
    command = group.commands[words[0]]
    command.make_context(words[0], [word.strip("'") for word in words[1:]])


SHELLS = [
    (page, words)
    for page in WRITTEN
    for language, block in re.findall(r"^```(.*?)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    if language in ("", "sh")
    for words in commands(block)
]


@pytest.mark.parametrize(("page", "words"), SHELLS, ids=[f"{page}: {' '.join(words)}" for page, words in SHELLS])
def test_a_command_of_a_page_exists_with_its_options(page, words):
    parse(words)


def test_pages_name_commands():
    assert len(SHELLS) > 10
    assert {"inspect", "explain", "reproduce"} <= {words[0] for _, words in SHELLS}


@pytest.mark.parametrize("words", [["inspected", "m:f"], ["inspect", "m:f", "--strictly"], ["explain", "a", "b"]])
def test_a_command_that_does_not_exist_is_noticed(words):
    with pytest.raises((KeyError, Exception), match=r"inspected|strictly|unexpected"):
        parse(words)


def links(text: str) -> list[str]:
    """What links and pictures lead to inside of the repository."""
    found = re.findall(r"\]\(([^)#\s]+)\)", text) + re.findall(r'(?:href|src)="([^"#]+)"', text)
    found += re.findall(r"\]\(([^)#\s]+)#[^)]*\)", text)
    return [link for link in found if not link.startswith("http")]


@pytest.mark.parametrize("page", WRITTEN)
def test_links_lead_somewhere(page):
    """To a file of the repository, or to a page that the site's build makes."""
    path = ROOT / page
    made = {ROOT / "docs" / name for name in generated.names()}
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = {link: (path.parent / link).resolve() for link in links(text)}
    assert [link for link, target in targets.items() if not target.exists() and target not in made] == []


def test_a_link_that_leads_nowhere_is_seen():
    text = '[a](there.md) ![b](c/d.svg) <a href="e.html">e</a> [f](g.md#h) [i](https://example.org)'
    assert links(text) == ["there.md", "c/d.svg", "e.html", "g.md"]


@pytest.mark.parametrize("file", sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.py")))
def test_pages_that_the_code_names_exist(file):
    named = re.findall(r"docs/[\w/]+\.md", (ROOT / file).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_contents():
    """Sphinx would warn; this needs no Sphinx."""
    listed = set()
    for path in SITE:
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
            names = [line.strip() for line in tree.splitlines() if line.strip() and not line.startswith(":")]
            listed |= {(path.parent / f"{name}.md").resolve() for name in names}
    assert {path for path in SITE if path.name != "index.md"} <= listed


def test_the_costs_of_watch_are_the_stored_ones_and_within_the_bound():
    page = (ROOT / "docs" / "guides" / "training_script.md").read_text()
    stored = json.loads((ROOT / "benchmarks" / "results" / "watch.json").read_text())
    shown = re.search(r"<!-- cost -->.*?\|---\|---\|---\|\n(.*?)<!-- end -->", page, re.DOTALL)[1]
    rows = [f"| {name} | {share} ({span}) | {record} |\n" for name, share, span, record, _ in stored["cells"]]
    assert shown == "".join(rows)
    assert max(row["share"]["median"] for row in stored["models"]) <= stored["bound"] == 0.03
    assert max(row["record"]["median"] for row in stored["models"]) < 1


def test_a_notebook_has_the_text_and_the_code_of_its_page():
    text = (ROOT / "docs" / "notebooks" / "zero_weights.md").read_text(encoding="utf-8")
    cells = generated.notebook(text)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code == [block.code.strip() for block in blocks.blocks(text)]
    words = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "## 3. Gradients come from the output down" in words
    assert "```" not in words
    assert sum("change this number" in each for each in code) == 5
    assert len({cell["id"] for cell in cells}) == len(cells)
