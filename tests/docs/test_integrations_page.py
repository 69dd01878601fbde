"""The page on training scripts: its code runs and prints what the page shows; its costs are the stored ones."""

import json
import re
import warnings
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
NEEDS = {"The Trainer of transformers": ("transformers", "accelerate"), "Lightning": ("lightning",)}
SETUP = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1].partition("print(")[0]


def blocks(section: str) -> list[tuple[str, str]]:
    """Code, and what is shown below it, of each block of a section."""
    return re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", SECTIONS[section], re.DOTALL)


def test_every_block_is_followed_by_what_it_prints():
    assert sum(len(blocks(section)) for section in SECTIONS) == PAGE.count("```python") == 4


@pytest.mark.parametrize("section", ["Your own loop", "The Trainer of transformers", "Lightning"])
def test_code_prints_what_the_page_shows(section, capsys, without_type_checks):
    for package in NEEDS.get(section, ()):
        pytest.importorskip(package)
    names: dict = {}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what frameworks say of each other
        torch.manual_seed(0)
        exec(compile(SETUP, "integrations.md", "exec"), names)
        for code, shown in blocks(section):
            exec(compile(code, "integrations.md", "exec"), names)
            assert capsys.readouterr().out == shown


def test_the_costs_are_the_stored_ones_and_within_the_bound():
    stored = json.loads((ROOT / "benchmarks" / "results" / "watch.json").read_text())
    shown = re.search(r"<!-- cost -->.*?\|---\|---\|---\|\n(.*?)<!-- end -->", PAGE, re.DOTALL)[1]
    rows = [f"| {name} | {share} ({span}) | {record} |\n" for name, share, span, record, _ in stored["cells"]]
    assert shown == "".join(rows)
    assert max(row["share"]["median"] for row in stored["models"]) <= stored["bound"] == 0.03
    assert max(row["record"]["median"] for row in stored["models"]) < 1


def test_sentences_are_short():
    """At most 28 words outside tables and code."""
    text = re.sub(r"```.*?```|^\|.*?$|<!--.*?-->", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    sentences = re.split(r"(?<=[.:;?])\s+|\n\n|\n\* ", text)
    assert [each for each in sentences if len(each.split()) > 28] == []
