"""BibTeX: every source that names a paper has it, under the author and the year of its own fields."""

import re
import unicodedata
from pathlib import Path

import pytest

from zeroinit.bench.catalogue.boards import BOARDS
from zeroinit.bench.comparison.citing import OWN, PAPERS, SOURCES, bibliography, papers_of
from zeroinit.bench.comparison.entries import read_entry


def test_every_paper_of_a_source_is_there():
    for name, source in SOURCES.items():
        named = re.findall(r"\d{4}(?=[,;.) ]|$)", source)
        assert len(papers_of(source)) == len(named), name
        assert named or OWN in source, name
    assert {key for source in SOURCES.values() for key in papers_of(source)} == set(PAPERS) - {"zeroinit"}


@pytest.mark.parametrize("key", sorted(set(PAPERS) - {"zeroinit"}))
def test_a_key_is_the_first_author_and_the_year(key):
    entry = PAPERS[key]
    author = re.search(r"author = \{([^,]+),", entry)[1]
    plain = re.sub(r"\\.|[{}-]", "", unicodedata.normalize("NFKD", author)).lower()
    assert key.startswith(plain + re.search(r"year = \{(\d{4})\}", entry)[1])
    assert entry.count("{") == entry.count("}")


def test_entries_of_boards_and_of_torch_are_cited():
    entries = [
        read_entry(each) for board in BOARDS.values() for track in board.tracks.values() for each in track.entries
    ]
    assert "cite its source yourself" not in bibliography(entries)
    of_torch = bibliography([read_entry("kaiming_normal_"), read_entry("constant_bias+early_dropout:100:0.3")])
    assert [key for key in PAPERS if f"{{{key}," in of_torch] == [
        *("zeroinit", "schicho2023zero", "he2015delving", "liu2023dropout")
    ]
    assert bibliography([read_entry("torch.nn.init:trunc_normal_")]).endswith(
        "% torch.nn.init:trunc_normal_: cite its source yourself"
    )


def test_the_software_is_cited_as_on_the_first_page():
    page = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")

    def fields(text):
        return " ".join(text.replace("{", " { ").replace("}", " } ").split())

    for key in ("zeroinit", "schicho2023zero"):
        assert fields(PAPERS[key]) in fields(page)
