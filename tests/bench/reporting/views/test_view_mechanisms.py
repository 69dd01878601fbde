"""Mechanisms taken apart: the combinations, and Shapley values against their definition over all orders."""

from itertools import permutations

import numpy as np
import pytest

from zeroinit.bench.catalogue.mechanisms import MECHANISMS, all_cells, cell_label, cell_of, cell_settings
from zeroinit.bench.catalogue.studies.large_bias import LARGE_BIAS
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.views.mechanisms import mechanism_losses, shapley_values
from zeroinit.bench.store import Result, Store


def by_all_orders(worth, players):
    values = {player: np.zeros(2) for player in players}
    orders = list(permutations(players))
    for order in orders:
        present = frozenset()
        for player in order:
            values[player] += (worth[present | {player}] - worth[present]) / len(orders)
            present |= {player}
    return values


def test_shapley_values_are_the_mean_over_all_orders():
    rng = np.random.default_rng(0)
    worth = {cell: rng.normal(size=2) for cell in all_cells()}
    ours, slow = shapley_values(worth, list(MECHANISMS)), by_all_orders(worth, list(MECHANISMS))
    for name in MECHANISMS:
        assert ours[name] == pytest.approx(slow[name])
    assert sum(ours.values()) == pytest.approx(worth[frozenset(MECHANISMS)] - worth[frozenset()])


def test_who_does_nothing_gets_nothing():
    worth = {cell: np.full(2, 3.0 * ("units" in cell) + ("outputs" in cell)) for cell in all_cells()}
    assert {name: value.tolist() for name, value in shapley_values(worth, list(MECHANISMS)).items()} == {
        "units": [3.0, 3.0],
        "features": [0.0, 0.0],
        "outputs": [1.0, 1.0],
    }


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_settings_and_labels_of_all_combinations_differ_and_read_back(scale):
    cells = all_cells()
    assert [cell_of(cell_settings(cell, scale)) for cell in cells] == cells
    assert len({cell_label(cell, scale) for cell in cells}) == len(cells) == 8


def history(accuracy: float) -> dict:
    return {"test_accuracy": [0.1] * 9 + [accuracy], "outcome": "completed"}


def stored(store: Store, harm: dict[str, float], seeds: range, leave_out: str = "") -> None:
    for curve in LARGE_BIAS.at("paper", "corrected"):
        run = curve.run
        cell = cell_of({"scale": run.scale, "offset_scale": run.offset_scale, "output_scale": run.output_scale})
        if curve.label == leave_out:
            continue
        for seed in seeds:
            accuracy = 0.9 + 0.01 * seed - sum(harm[name] for name in cell) * (1 + 0.1 * seed)
            environment = {"zeroinit": "0", "python": "3", "torch": "2", "device": "cpu", "threads": 1}
            store.save(Result(run, seed, history(accuracy), "0" * 16, environment, 1.0))


def test_losses_of_a_study_in_which_they_add_up(tmp_path):
    store, harm = Store(tmp_path), {"units": 0.01, "features": 0.03, "outputs": 0.06}
    stored(store, harm, range(3))
    losses = mechanism_losses(summarize(LARGE_BIAS, store, range(9), "paper", "corrected"))
    for name, size in harm.items():
        assert losses[name].loss.value == pytest.approx(size * 1.1)
        assert losses[name].alone.value == losses[name].removed.value == pytest.approx(size * 1.1)
        assert losses[name].share.value == pytest.approx(size / 0.1)
        assert losses[name].loss.num_seeds == 3


def test_without_one_combination_nothing_is_divided(tmp_path):
    store = Store(tmp_path)
    stored(store, dict.fromkeys(MECHANISMS, 0.01), range(2), leave_out="Features ×100")
    assert mechanism_losses(summarize(LARGE_BIAS, store, range(9), "paper", "corrected")) == {}
