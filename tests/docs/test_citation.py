"""Who cites zeroinit gets the version that is installed, and the same everywhere."""

import re
from pathlib import Path

import pytest

from zeroinit import __version__

ROOT = Path(__file__).parents[2]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
BIBTEX = re.search(r"^```bibtex\n(.*?)^```", (ROOT / "docs" / "index.md").read_text(), re.DOTALL | re.MULTILINE)[1]


def test_the_readme_has_the_same_bibtex():
    assert f"```bibtex\n{BIBTEX}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_citation_is_of_this_version():
    assert set(re.findall(r"^ *version: (.*)$", CITATION, re.MULTILINE)) == {__version__}
    (date,) = set(re.findall(r'^ *date-released: "(\d{4}-\d\d-\d\d)"$', CITATION, re.MULTILINE))
    assert f"version = {{{__version__}}}" in BIBTEX
    assert f"date = {{{date}}}" in BIBTEX


def test_software_and_paper_are_cited_with_the_same_titles():
    titles = re.findall(r"^ *title: \"?([^\"\n]*)\"?$", CITATION, re.MULTILINE)
    assert set(re.findall(r"title +=\s*\{(.*?)\}", BIBTEX)) == set(titles)
    assert re.findall(r"^@(\w+)", BIBTEX, re.MULTILINE) == ["software", "article"]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md")), ids=lambda path: path.stem)
def test_a_template_says_when_to_use_it(path):
    """Its front matter is what a code host needs to offer it."""
    head = re.match(r"---\nname: (.+)\nabout: \"(.+)\"\nlabels: (\w+)\n---\n", path.read_text(encoding="utf-8"))
    assert head
    assert all(head.groups())


def test_there_is_a_template_for_wrong_reports():
    assert (ROOT / ".github" / "ISSUE_TEMPLATE" / "wrong_report.md").exists()
