"""Scripts that decide published statements: they train what their rules say, and the page has each statement."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import zeroinit

ROOT = Path(__file__).parents[2]
NAMES = ("trials", "lora_sides", "merging_units", "all_zero")


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_statement_of_the_scripts_is_on_the_page(scripts):
    page = (ROOT / "docs" / "results" / "headlines.md").read_text(encoding="utf-8")
    counts = {"lora_sides": 4, "merging_units": len(scripts.merging_units.STATEMENTS)}
    counts["all_zero"] = len(scripts.all_zero.STATEMENTS)
    for name, count in counts.items():
        assert sum(f"| `{name}` |" in line for line in page.splitlines()) == count


@pytest.mark.parametrize(("start", "random"), [("A random", "A"), ("B random", "B"), ("both random", "AB")])
def test_the_named_sides_of_a_lora_are_random_and_the_base_is_frozen(scripts, start, random):
    layer = scripts.lora_sides.Adapted(nn.Linear(256, 128))
    scripts.lora_sides.set_factors(layer, start, generator())
    assert ("A" in random, "B" in random) == (bool(layer.lora_A.weight.any()), bool(layer.lora_B.weight.any()))
    assert not any(parameter.requires_grad for parameter in layer.dense.parameters())
    inputs = torch.randn(8, 256)
    assert torch.equal(layer(inputs), layer.dense(inputs)) == (len(random) == 1)


def test_pairs_merge_if_they_come_close_and_not_if_one_of_them_dies(scripts):
    merging = scripts.merging_units
    start = merging.units_of(merging.start_model(0))
    share = merging.share_merged
    assert share(start, start) == 0
    closer = start.clone()
    closer[1] = start[0] + 0.05 * (start[1] - start[0])
    assert share(start, closer) == share(start, closer * 0.5) == 1 / merging.PAIRS
    one_dead, two_dead = start.clone(), start.clone()
    one_dead[0] *= 1e-3
    two_dead[:2] *= 1e-3
    assert (share(start, one_dead), share(start, two_dead)) == (0, 1 / merging.PAIRS)


def test_decay_is_that_of_sgd(scripts):
    ours, theirs = scripts.merging_units.start_model(0), scripts.merging_units.start_model(0)
    images, classes = torch.rand(16, 784, generator=generator()), torch.arange(16) % 10
    zeros = [torch.zeros_like(each) for each in ours.parameters()]
    for model, decay in ((ours, 0.0), (theirs, 0.03)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), classes).backward()
            if model is ours:
                scripts.merging_units.pull(model, zeros, 0.03)
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_no_parameter_is_random_and_hidden_biases_end_with_the_zeros(scripts):
    model = scripts.all_zero.mixer()
    scripts.all_zero.start(model, "hidden biases", generator())
    weights = [part for part in model.modules() if isinstance(part, nn.Linear)]
    assert not any(parameter.any() for part in weights for parameter in part.parameters())
    images = torch.rand(2, 3, 32, 32, generator=generator(1))
    first = model(images)
    assert not torch.equal(first, model(images))
    assert first.abs().max() <= 10 * weights[-1].in_features ** -0.5
    zeroinit.initialize_(model, "pytorch", generator=generator())
    assert torch.equal(model(images), model(images))


def test_a_block_of_the_mixer_mixes_patches_and_keeps_shapes(scripts):
    block = scripts.all_zero.Beside(*scripts.all_zero.dense_pair(16, nn.LayerNorm(64)), turned=True)
    patches = torch.rand(2, 16, 64, generator=generator(), requires_grad=True)
    (gradient,) = torch.autograd.grad(block(patches)[0, 0].sum(), patches)
    assert block(patches).shape == patches.shape
    assert gradient[0, 1].any()
    assert not gradient[1].any()


def test_results_are_run_once_and_the_best_setting_is_taken(scripts, tmp_path):
    asked = []

    def measure(entry, setting, seed, is_final):
        asked.append((entry, setting, seed, is_final))
        return {"accuracy": 1 - abs(setting - 0.2)}

    for _ in range(2):
        trials = scripts.trials.Trials("trial", measure, tmp_path)
        assert trials.best("a", (0.1, 0.2, 0.4)) == 0.2
        pair = (trials.final("a", 0.2), trials.final("b", 0.1))
        trials.decide(scripts.trials.Statement("A.", "we", "a", "b", ("better",)), pair, 10)
    assert len(asked) == len(set(asked)) == 3 * 2 + 2 * 10
    assert {seed for _, _, seed, is_final in asked if not is_final}.isdisjoint(scripts.trials.FINAL)
    (found,) = json.loads((tmp_path / "trial.json").read_text())["statements"]
    assert found["entry"]["shares"] == [1.0] * 10
