"""The README says what the code does and what was measured: its tables and its example are checked."""

import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import jaxtyping
import numpy as np
import pytest
import torch
from matplotlib.text import Text

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def tables():
    """Return ``docs/tables.py`` as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    store = module.Store(module.RUNS)  # one for all reports, as each reads its bundles anew
    module.Store = lambda root: store
    module.read_report = cache(module.read_report)
    return module


@pytest.fixture(scope="module")
def pages(tables):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # three times as fast
        return tables.pages({name: tables.read_report(name) for name in tables.FIGURES})


@pytest.fixture(scope="module")
def blocks(pages):
    return pages[ROOT / "README.md"]


def test_every_block_of_every_page_is_that_of_the_stored_results(tables, pages):
    for page, blocks in pages.items():
        assert_current(tables, page.read_text(), blocks)
        assert sorted(re.findall(r"^<!-- results:(\w+) -->$", page.read_text(), re.MULTILINE)) == sorted(blocks)
    with_blocks = {path for path in (ROOT / "docs").rglob("*.md") if "<!-- results:" in path.read_text()}
    assert with_blocks | {ROOT / "README.md"} == set(pages)


def assert_current(tables, page: str, blocks: dict[str, str]) -> None:
    assert tables.fill(page, blocks) == page, "run `make readme`"


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_changed_number_is_noticed(tables, blocks, where):
    """In every block, whether at its beginning or its end."""
    tried = 0
    for content in blocks.values():
        numbers = [match.span() for match in re.finditer(r"(?<=[\d.])\d(?= [|%±\[])", content)]
        if numbers:
            begin, end = numbers[0 if where == "first" else -1]
            changed = f"{content[:begin]}{(int(content[begin:end]) + 1) % 10}{content[end:]}"
            assert README.count(content) == 1
            with pytest.raises(AssertionError, match="run `make readme`"):
                assert_current(tables, README.replace(content, changed), blocks)
            tried += 1
    assert tried == len(blocks)


def test_a_changed_result_is_noticed(tables, pages, monkeypatch):
    """One accuracy of one seed, by a thousandth."""
    store = tables.Store(tables.RUNS)
    find = store.find

    def find_another(run, seed):
        result = find(run, seed)
        if result is not None and seed == 0 and run.norm == "exact":
            *before, last = result.history["test_accuracy"]
            result = replace(result, history={**result.history, "test_accuracy": [*before, last + 0.001]})
        return result

    monkeypatch.setattr(store, "find", find_another)
    report = tables.read_report.__wrapped__("plateau")
    path = ROOT / "docs" / "results" / "plateau.md"
    with pytest.raises(AssertionError, match="run `make readme`"):
        assert_current(tables, path.read_text(), {"plateau": tables.study(report, "plateau")})
    monkeypatch.undo()
    assert_current(tables, path.read_text(), pages[path])


def test_the_picture_is_that_of_the_stored_results(tables, blocks, tmp_path):
    """The stored drawing has the block's text as its description; drawn again, all its text lies inside it."""
    reports = [tables.read_report(name) for name in ("three_starts", "recommended", "corrected")]
    alt = tables.hero.alt_text(*reports)
    assert f'alt="{alt}"' in blocks["hero"]
    for name, theme in tables.hero.THEMES.items():
        stored = ElementTree.parse(ROOT / "docs" / "images" / f"hero-{name}.svg").getroot()
        described = {each.text for each in stored.iter("{http://purl.org/dc/elements/1.1/}description")}
        assert described == {alt}, "run `make readme`"
        figure = tables.hero.draw(*reports, theme)
        figure.canvas.draw()
        whole = figure.bbox
        for text in figure.findobj(Text):
            box = text.get_window_extent()
            inside = whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
            assert inside or not text.get_text().strip(), text.get_text()


def test_the_picture_tells_of_other_results_otherwise(tables):
    """Its headline counts verdicts; its left side follows the recorded gradients."""
    hero = tables.hero
    costs = tables.read_report("recommended")
    assert hero.title(costs).startswith("A zero start trains as well")
    (name,) = costs.decisions
    worse = [replace(each, verdict="refuted") for each in costs.decisions[name]]
    assert "on 0 of 6 networks, worse on 6" in hero.title(replace(costs, decisions={name: worse}))
    assert hero.steps_in_words(np.arange(1, 6) >= np.array([[4], [3], [2], [1]])) == "1, 2, 3, 4"
    assert hero.steps_in_words(~np.tri(3, 3, dtype=bool)) == "never, 3, 2"


def test_a_missing_block_is_noticed(tables, blocks):
    with pytest.raises(AssertionError, match="0 blocks named hero"):
        tables.fill("no marks", blocks)


def test_the_readme_is_short_and_has_one_picture():
    assert len(README.splitlines()) <= 150
    assert README.count("<picture>") == 1
    assert "![" not in README


def test_the_zero_start_of_the_readme_does_what_it_says():
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
            if "zeroinit.inspect" not in code:
                exec(compile(f"import torch, zeroinit\nfrom torch import nn\n{code}", "README.md", "exec"), names)
    assert names["start"].remaining == 0
    for name, weight in names["model"].named_parameters():
        if weight.dim() > 1:
            default = (3 * weight[0].numel()) ** -0.5
            assert 0.9 < weight.square().mean().sqrt() / default < 1.5, name  # ten updates of a loss lie between
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in names["model"].modules())


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [
        README,
        (ROOT / "CONTRIBUTING.md").read_text(),
        *(path.read_text() for path in (ROOT / "docs").rglob("*.md")),
    ]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z]+)", page, re.MULTILINE)}
    assert named <= targets
    assert {"reproduce", "test"} <= named
