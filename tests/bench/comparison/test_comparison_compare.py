"""The whole job on a few digits: tuned without test images, stored, gone on with, told in every format."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench import compare
from zeroinit.bench.comparison.citing import PAPERS
from zeroinit.bench.comparison.compare import make_protocol
from zeroinit.bench.comparison.formats import FORMATS
from zeroinit.bench.comparison.results import build_comparison
from zeroinit.bench.running import start
from zeroinit.bench.running.start import prepare
from zeroinit.bench.store import Store
from zeroinit.bench.training import fit

SMALL = {"epochs": 2, "num_train": 128, "device": "cpu", "seeds": 3}
GRID = [0.001, 0.01, 0.03]


@pytest.fixture
def small(store, one_thread):
    def run(initializers, **changes):
        return compare(initializers, **{**SMALL, "results": store.root, "learning_rates": [0.01], **changes})

    return run


def test_the_table_holds_the_numbers_of_the_stored_results(small, store):
    comparison = small(["kaiming_normal_", "zero"], target=0.5)
    finals = {
        row.entry: [store.load(task.run, task.seed).history["test_accuracy"] for task in tasks]
        for row, tasks in zip(
            comparison.rows,
            (comparison.protocol.final_tasks(e, 0.01) for e in comparison.protocol.entries),
            strict=True,
        )
    }
    for row in comparison.rows:
        last = np.array([curve[-1] for curve in finals[row.entry]])
        assert list(row.accuracies.values()) == last.tolist()
        assert row.accuracy.value == pytest.approx(last.mean())
        half = stats.t.ppf(0.975, 2) * stats.sem(last)
        assert row.accuracy.high - row.accuracy.value == pytest.approx(half)
        firsts = [next((at for at, value in enumerate(curve, 1) if value >= 0.5), None) for curve in finals[row.entry]]
        assert list(row.first_epochs.values()) == firsts
    gaps = np.array([a[-1] - b[-1] for a, b in zip(finals["zero"], finals["pytorch"], strict=True)])
    error = np.sqrt((gaps.var(ddof=1) + (1 / 450) ** 2 / 6) / 3)
    row = comparison["zero"]
    assert row.difference.value == pytest.approx(gaps.mean())
    assert row.difference.low == pytest.approx(gaps.mean() - stats.t.ppf(0.975, 2) * error)
    assert comparison["zero"].verdict == "worse"
    assert comparison["pytorch"].verdict == ""


def test_the_second_table_tells_of_the_start_and_the_end(small, store):
    comparison = small(["zero", "normal_bias"], epochs=10, learning_rates=[0.003], seeds=2)
    never, late, default = (comparison[name] for name in ("zero", "normal_bias", "pytorch"))
    assert (never.plateau, set(never.plateaus.values()), set(never.ranks.values())) == (np.inf, {None}, {0.0})
    assert default.plateau < late.plateau < np.inf
    assert all(late.ranks[seed] < default.ranks[seed] <= 1 for seed in (0, 1))
    for seed, updates in late.plateaus.items():
        run = comparison.protocol.final_tasks(comparison.protocol.entries[2], 0.003)[0].run
        losses, begun = [], prepare(replace(run, recorder="none"), seed, None, torch.device("cpu"))
        model = begun.model
        watch = type("Watch", (), {"on_epoch": lambda _, state, kept=losses: kept.extend(state.losses.tolist())})()
        fit(
            model, begun.train, epochs=10, batch_size=32, learning_rate=0.003, reduction="mean", observers=[watch],
            transform=begun.transform, generator=begun.generator,
        )  # fmt: skip
        blocks = [losses[at : at + 4] for at in range(0, len(losses), 4)]  # 128 images: four updates an epoch
        means = [sum(block) / 4 for block in blocks]
        assert updates == 4 * next(at for at, mean in enumerate(means) if mean < 0.9 * np.log(10))
        shares = []
        for weight in (model.dense_1.weight, model.dense_2.weight):
            values = torch.linalg.svdvals(weight.detach().double()).numpy()
            values = values[values > 0] / values.sum()
            shares.append(np.exp(-(values * np.log(values)).sum()) / min(weight.shape))
        assert late.ranks[seed] == pytest.approx(np.mean(shares), rel=1e-6)
    assert "plateau, updates   effective rank, %" in str(comparison)
    row = next(line for line in comparison.write("table").splitlines() if re.match("zero +never", line))
    assert row.split() == ["zero", "never", "0.0", "±", "0.0"]


def test_runs_without_a_record_have_no_second_table(small, store):
    comparison = small(["zero"], seeds=2)
    old = replace(comparison.protocol, recorder="none")
    for entry in old.entries:
        for task in old.final_tasks(entry, 0.01):
            found = store.load(replace(task.run, recorder="course"), task.seed)
            store.save(replace(found, run=task.run, recorded=None))
    read = build_comparison(old, store)
    assert read["zero"].accuracies == comparison["zero"].accuracies
    assert np.isnan(read["zero"].plateau)
    assert "effective rank" not in str(read)
    (_, row) = csv.DictReader(io.StringIO(read.write("csv")))
    assert row["plateau_updates"] == row["effective_rank"] == ""


@pytest.fixture
def poisoned(monkeypatch):
    """Test images of noise, with classes that are all the same."""
    load = start.load

    def other(name, data_dir):
        dataset = load(name, data_dir)
        return replace(dataset, test_images=255 - dataset.test_images, test_labels=dataset.test_labels * 0)

    monkeypatch.setattr(start, "load", other)


def test_tuning_never_sees_test_data(small, store, tmp_path, request):
    clean = small(["normal_bias"], learning_rates=GRID)
    request.getfixturevalue("poisoned")
    other = small(["normal_bias"], learning_rates=GRID, results=tmp_path / "poisoned")
    assert [row.rate for row in clean.rows] == [row.rate for row in other.rows]
    assert clean["normal_bias"].accuracies != other["normal_bias"].accuracies
    for entry in clean.protocol.entries:
        for task in clean.protocol.tuning_tasks(entry, store):
            first, second = (Store(root).load(*(task.run, task.seed)) for root in (store.root, tmp_path / "poisoned"))
            assert first.history == second.history
            assert first.history["test_accuracy"] == first.history["test_loss"] == []
            assert len(first.history["validation_accuracy"]) == 2


def test_stored_runs_are_not_run_again_and_seeds_can_be_added(small, store, monkeypatch):
    first = small(["zero"], seeds=2)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("seed-*.json")}
    more = small(["zero", "normal_bias"], seeds=3)
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("seed-*.json")}
    assert before.items() <= after.items()
    assert len(after) == 9
    assert (first["zero"].look, more["zero"].look, more["normal_bias"].look) == (1, 2, 1)
    assert small(["zero"], seeds=2)["zero"].look == 1


def test_a_changed_function_is_run_again(small, store, tmp_path, monkeypatch):
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    body = "    return nn.init.normal_(tensor, 0, {}, generator)"
    source = f"from torch import nn\ndef start(tensor, generator=None):\n{body}\n"
    for std in (0.1, 0.2):
        (tmp_path / "own_of_test.py").write_text(source.format(std))
        sys.modules.pop("own_of_test", None)
        (tmp_path / "__pycache__").exists() and [path.unlink() for path in (tmp_path / "__pycache__").glob("own_of*")]
        small(["own_of_test:start"], seeds=2)
    assert len(list(store.root.rglob("*.outdated-1"))) == 2
    small(["own_of_test:start"], seeds=2)
    assert len(list(store.root.rglob("*.outdated*"))) == 2


def test_every_format_tells_the_same(small, tmp_path):
    comparison = small(["zero", "orthogonal_"])
    text = str(comparison)
    assert max(map(len, text.splitlines())) <= 80
    assert "zero: " in text
    assert "worse than pytorch (3 seeds)." in text
    rows = list(csv.DictReader(io.StringIO(comparison.write("csv"))))
    assert [row["entry"] for row in rows] == ["pytorch", "zero", "orthogonal_"]
    assert float(rows[1]["accuracy"]) == pytest.approx(100 * comparison["zero"].accuracy.value)
    content = json.loads(comparison.write("json"))
    assert content["rows"][1]["verdict"] == "worse"
    assert content["protocol"]["margin"] == 0.01
    latex = comparison.write("latex")
    assert r"\texttt{orthogonal\_}" in latex
    assert latex.count(r"\\") == 4
    assert latex.startswith("% The rules need \\usepackage{booktabs}.\n\\begin{tabular}")
    assert f"% The network {comparison.protocol.run.model} on {comparison.protocol.run.dataset}, " in latex
    bibtex = comparison.write("bibtex")
    assert all(bibtex.count(PAPERS[key]) == 1 for key in ("zeroinit", "schicho2023zero", "saxe2014exact"))
    folder = comparison.save(tmp_path / "saved")
    assert {path.suffix for path in folder.iterdir()} == {".txt", ".csv", ".tex", ".bib", ".json", ".svg", ".png"}
    assert [label.get_text() for label in comparison.plot().get_yticklabels()] == ["zero", "orthogonal_"]
    with pytest.raises(InputError, match="format='texx': "):
        comparison.write("texx")
    assert set(FORMATS) == {"text", "table", "csv", "latex", "bibtex", "json"}


def test_an_entry_that_fails_does_not_stretch_the_drawing(small):
    comparison = small(
        ["kaiming_normal_", "orthogonal_", "lecun_normal", "xavier_normal", "zero"], epochs=4, num_train=600
    )
    axes = comparison.plot()
    assert comparison["zero"].difference.value < -0.1 <= axes.get_xlim()[0] <= -0.02
    assert 0.02 <= axes.get_xlim()[1] <= 0.1
    assert any(text.get_text().startswith("−") for text in axes.texts)  # its number stands at the edge
    assert small(["zero"], epochs=4, num_train=600).plot().get_xlim() == (-0.02, 0.02)  # nothing else to show


def test_a_diverged_run_counts_and_is_told(small):
    comparison = small(["orthogonal_"], optimizer="sgd", learning_rates=[1e30], seeds=2)
    assert comparison["orthogonal_"].num_diverged == 2
    assert "diverged runs, which count with their last accuracy: pytorch 2, orthogonal_ 2." in str(comparison)
    assert comparison["orthogonal_"].ranks == {}
    assert re.search(r"orthogonal_ +never +–", str(comparison))


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("initializers", "settings", "message"),
    [
        (None, {}, r"^initializers=None: must be names or functions in a list, as \['zero_start'\]$"),
        (["zero"], {"seeds": "x"}, "^seeds='x': must be a count, as 5, or a list"),
        (["zero"], {"seeds": [0.5]}, "^seeds=0.5: must be a whole number"),
        (["zero"], {"seeds": [-1]}, "^seeds=-1: must be at least 0"),
        (["zero"], {"learning_rates": ["a"]}, "^learning_rates=.'a'.: must be numbers in a list"),
        (["zero"], {"learning_rates": 0.1}, "^learning_rates=0.1: must be numbers in a list"),
    ],
)
def test_what_is_no_list_is_refused_before_anything_is_run(tmp_path, initializers, settings, message):
    with pytest.raises(InputError, match=message):
        compare(initializers, results=tmp_path / "results", **settings)
    assert not (tmp_path / "results").exists()


def test_a_function_alone_is_one_entry():
    entries = make_protocol(nn.init.orthogonal_, "pytorch", [0], None, 0.01, None, None, {}).entries
    assert [entry.label for entry in entries] == ["pytorch", "torch.nn.init:orthogonal_"]
