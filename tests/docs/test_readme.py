"""The README says what the code does and what was measured: its tables and its example are checked."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def tables():
    """Return ``docs/tables.py`` as a module."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def blocks(tables):
    return tables.readme_blocks({protocol: tables.read_report(protocol) for protocol in tables.FIGURES})


def test_the_findings_are_those_of_the_stored_results(tables):
    reports = {name: tables.read_report(name) for name in tables.FINDINGS}
    page = (ROOT / "docs" / "findings.md").read_text()
    assert tables.fill(page, tables.findings_blocks(reports)) == page, "run `make readme`"


def test_the_tables_are_those_of_the_stored_results(tables, blocks):
    assert tables.fill(README, blocks) == README, "run `make readme`"


def test_a_changed_number_is_noticed(tables, blocks):
    number = re.search(r"\| 0\.9\d\d\d \|", README)[0]
    assert tables.fill(README.replace(number, "| 0.1234 |", 1), blocks) == README


def test_a_missing_block_is_noticed(tables, blocks):
    with pytest.raises(AssertionError, match="0 blocks named corrected"):
        tables.fill("no marks", blocks)


def test_the_example_prints_what_the_readme_shows(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    shown = re.search(r"```\n(normal_bias.*?)```", README, re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_inspector_prints_what_the_readme_shows(capsys):
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "zeroinit.inspect" in block)
    shown = re.search(r"```\n(Learns, .*?)```", README, re.DOTALL)[1]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "docs" / "reproducing.md").read_text()]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z]+)", page, re.MULTILINE)}
    assert named <= targets
    assert {"reproduce", "test"} <= named
