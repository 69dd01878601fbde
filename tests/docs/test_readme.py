"""The README says what the code does and what was measured: its tables and its example are checked."""

import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import jaxtyping
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
        numbers = [match.span() for match in re.finditer(r"(?<=\d)\d(?= [|%\[])", content)]
        if numbers:
            begin, end = numbers[0 if where == "first" else -1]
            changed = f"{content[:begin]}{(int(content[begin:end]) + 1) % 10}{content[end:]}"
            assert README.count(content) == 1
            with pytest.raises(AssertionError, match="run `make readme`"):
                assert_current(tables, README.replace(content, changed), blocks)
            tried += 1
    assert tried >= len(blocks) - 1  # the remarks have no tables


def test_a_changed_result_is_noticed(tables, blocks, monkeypatch):
    """One accuracy of one seed, by a thousandth."""
    store = tables.Store(tables.RUNS)
    load = store.load

    def load_another(run, seed):
        result = load(run, seed)
        if seed == 0 and run.norm == "exact":
            *before, last = result.history["test_accuracy"]
            result = replace(result, history={**result.history, "test_accuracy": [*before, last + 0.001]})
        return result

    monkeypatch.setattr(store, "load", load_another)
    report = tables.read_report.__wrapped__("plateau")
    changed = f"{tables.results_table(report, 'plateau')}\n\n{tables.claims_table(report)}"
    with pytest.raises(AssertionError, match="run `make readme`"):
        assert_current(tables, README, {"plateau": changed})
    monkeypatch.undo()
    assert_current(tables, README, {"plateau": blocks["plateau"]})


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


def test_the_zero_start_of_the_readme_does_what_it_says():
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "zero_start_" in block]
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code, "README.md", "exec"), names)
    assert names["start"].remaining == 0
    for name, weight in names["model"].named_parameters():
        if weight.dim() > 1:
            default = (3 * weight[0].numel()) ** -0.5
            assert 0.9 < weight.square().mean().sqrt() / default < 1.5, name  # ten updates of a loss lie between
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in names["model"].modules())


def test_every_block_of_the_readme_is_run():
    """By the tests above: each is found by a name that only it has."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = ["initialize_(", "zero_start_(", "zeroinit.inspect("]
    assert [[name in block for name in names] for block in blocks] == torch.eye(3).bool().tolist()


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
