"""The protocol: which rates are tried, which one is chosen, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest

from zeroinit._common import InputError
from zeroinit.bench.comparison.compare import prepare
from zeroinit.bench.comparison.protocol import TUNING_SEEDS, base_run, default_rates, study_settings
from zeroinit.bench.training import OPTIMIZERS


def protocol(rates=(0.01, 0.1, 1.0), **changes):
    given = {"reference": "pytorch", "seeds": [0, 1], "margin": 0.01, "target": None, "study": None, "settings": {}}
    return prepare(changes.pop("initializers", ["zero"]), learning_rates=rates, **{**given, **changes})


@pytest.fixture
def tune(store, make_result):
    """Stores tuning runs of the reference: for each rate its validation accuracy, or ``None`` if it diverged."""

    def save(of, accuracies, losses=None):
        for rate, accuracy in accuracies.items():
            for seed in TUNING_SEEDS:
                task = of.tuning_task(of.reference, rate, seed)
                result = make_result(task.run, seed, [0.0], "completed" if accuracy is not None else "diverged")
                length = len(result.history["train_loss"])
                history = {
                    **result.history,
                    "validation_accuracy": [accuracy or 0.99] * length,
                    "validation_loss": [(losses or {}).get(rate, 0.5)] * length,
                    "test_accuracy": [],
                    "test_loss": [],
                }
                store.save(replace(result, history=history))

    return save


def rates_to_run(of, store):
    return sorted({task.run.learning_rate for task in of.tuning_tasks(of.reference, store)})


def test_a_rate_inside_the_grid_is_taken(store, tune):
    of = protocol()
    assert rates_to_run(of, store) == [0.01, 0.1, 1.0]
    tune(of, {0.01: 0.8, 0.1: 0.9, 1.0: 0.7})
    assert rates_to_run(of, store) == [0.01, 0.1, 1.0]
    assert (of.tuned(of.reference, store).rate, of.tuned(of.reference, store).is_at_end) == (0.1, False)


@pytest.mark.parametrize(
    ("accuracies", "grid"),
    [({0.01: 0.9, 0.1: 0.8, 1.0: 0.7}, [0.0001, 0.001, 0.01]), ({0.01: 0.7, 0.1: 0.8, 1.0: 0.9}, [1.0, 10.0, 100.0])],
)
def test_a_grid_is_extended_once_where_its_end_is_best(store, tune, accuracies, grid):
    of = protocol()
    tune(of, accuracies)
    assert set(grid) < set(rates_to_run(of, store))
    assert len(rates_to_run(of, store)) == 5
    end = grid[0] if grid[0] != 1.0 else grid[-1]
    tune(of, {**dict.fromkeys(set(grid) - {0.01, 1.0}, 0.1), end: 0.95})
    assert len(rates_to_run(of, store)) == 5
    tuned = of.tuned(of.reference, store)
    assert (tuned.rate, tuned.is_at_end) == (end, True)


def test_a_rate_at_which_a_run_diverged_is_not_taken(store, tune):
    of = protocol()
    tune(of, {0.01: 0.5, 0.1: 0.6, 1.0: None})
    assert of.tuned(of.reference, store).rate == 0.1


def test_of_equal_rates_the_lowest_is_taken(store, tune):
    of = protocol()
    tune(of, {0.01: 0.5, 0.1: 0.9, 1.0: 0.9})
    assert of.tuned(of.reference, store).rate == 0.1


def test_where_accuracies_are_within_one_standard_error_the_loss_decides(store, tune):
    """600 validation images at 90 % have a standard error of 1.2 points."""
    of = protocol()
    tune(of, {0.01: 0.885, 0.1: 0.89, 1.0: 0.9}, losses={0.01: 0.1, 0.1: 0.2, 1.0: 3.0})
    assert rates_to_run(of, store) == [0.01, 0.1, 1.0]
    assert of.tuned(of.reference, store).rate == 0.1


def test_one_rate_alone_is_not_tuned(store):
    of = protocol([0.5])
    assert of.tuning_tasks(of.reference, store) == []
    assert of.tuned(of.reference, store).rate == 0.5
    assert of.lines()[1] == "learning rate 0.5, not tuned"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_default_grid_has_a_factor_of_the_root_of_ten(optimizer):
    rates = default_rates(optimizer)
    assert len(rates) == 5
    for low, high in pairwise(rates):
        assert high / low == pytest.approx(10**0.5, rel=0.01)
    assert base_run({"optimizer": optimizer}).momentum == {"sgd": 0.9, "muon": 0.95}.get(optimizer, 0.0)


def test_a_study_gives_its_network():
    of = protocol(study="recommended:CIFAR-10 FNN", settings={"epochs": 3})
    assert (of.run.model, of.run.dataset, of.run.epochs, of.run.reduction) == ("cifar_fnn", "cifar10", 3, "sum")
    with pytest.raises(InputError, match="has several networks; choose one, as recommended:MNIST FNN, CIFAR-10 FNN"):
        study_settings("recommended")
    with pytest.raises(InputError, match="did you mean 'MNIST FNN'"):
        study_settings("recommended:MNIST FN")
    with pytest.raises(InputError, match="did you mean 'recommended'"):
        study_settings("recomended")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [999, 1000]}, "1000 chooses the rates"),
        ({"seeds": []}, "needs at least one"),
        ({"rates": [0.1, 0.01]}, "must ascend"),
        ({"rates": [0.0, 0.1]}, "must be finite numbers above 0"),
        ({"margin": 0.0}, "margin=0.0: must lie between 0 and 1"),
        ({"target": 90.0}, "target=90.0: must lie between 0 and 1"),
        ({"settings": {"num_validation": 0}}, "rates are chosen on validation images"),
        ({"settings": {"learning_rate": 0.1}}, "learning_rate: is no setting that all entries share"),
        ({"settings": {"epoch": 1}}, "epoch: is no setting"),
        ({"settings": {"optimizer": "adm"}}, "did you mean 'adam'"),
        ({"settings": {"model": "mnist_fn"}}, "did you mean 'mnist_fnn'"),
        ({"settings": {"dataset": "digit"}}, "did you mean 'digits'"),
        ({"initializers": ["zero", "pytorch*0.5", "zero"]}, "initializers: zero is named twice; name each once"),
        ({"reference": "zero"}, "need one besides the reference"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, message):
    with pytest.raises(InputError) as refused:
        protocol(**changes)
    assert message in str(refused.value)
