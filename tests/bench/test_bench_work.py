"""What a run goes through, counted without its data and compared with what it really does."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zeroinit._common import InputError
from zeroinit.bench.network import network, sizes_of
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.bench.work import Work, flops, flops_per_image, is_dense, work_of

DIGITS = Run(dataset="digits", batch_size=100, epochs=3)


@pytest.mark.parametrize("model", ["logistic_regression", "mnist_fnn", "mnist_cnn", "cifar_cnn"])
def test_operations_of_an_image_are_those_that_are_counted_in_a_batch(model):
    run, images = replace(DIGITS, model=model), torch.zeros(7, 1, 8, 8)
    built = network(run)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built(images)
    assert flops_per_image(run) == counter.get_total_flops() / 7


def test_a_training_step_costs_three_forward_passes_but_for_the_gradient_of_the_images():
    run = replace(DIGITS, model="cifar_fnn")
    with FlopCounterMode(display=False) as counter:
        network(run)(torch.zeros(5, 1, 8, 8)).sum().backward()
    first_layer = 2 * 64 * 512
    assert counter.get_total_flops() == 5 * (3 * flops_per_image(run) - first_layer)


@pytest.mark.parametrize(
    ("changes", "work"),
    [
        ({}, Work(3 * 14, 3 * 1347, 3 * 450)),
        ({"num_validation": 47}, Work(3 * 13, 3 * 1300, 3 * 497)),
        ({"num_train": 250}, Work(9, 750, 1350)),
        ({"num_train": 250, "max_steps": 5}, Work(5, 450, 900)),
        ({"num_train": 250, "max_steps": 3}, Work(3, 250, 450)),
        ({"max_steps": 1000}, Work(3 * 14, 3 * 1347, 3 * 450)),
    ],
)
def test_counts_by_hand_and_as_carried_out(changes, work):
    run = replace(DIGITS, model="logistic_regression", **changes)
    assert work_of(run) == work
    history = execute(run, 0).history
    assert history["num_steps"] == work.num_steps
    evaluated = 450 + (run.num_validation or 0)
    assert len(history["test_accuracy"]) * evaluated == work.num_evaluated
    assert flops(run) == 2 * 64 * 10 * (3 * work.num_trained + work.num_evaluated)


def test_no_data_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROINIT_DATA_DIR", str(tmp_path / "nowhere"))
    assert sizes_of("cifar10").input_shape == (3, 32, 32)
    assert flops(Run(dataset="cifar10", model="cifar_fnn", epochs=1)) == 3_475_968 * (3 * 43_000 + 17_000)


def test_dense_networks_are_told_from_convolutional_ones():
    assert is_dense(DIGITS)
    assert not is_dense(replace(DIGITS, model="mnist_cnn"))
    assert not is_dense(
        replace(DIGITS, model="row_transformer")
    )  # or the seeds of such a run would be stacked on a GPU


def test_an_unknown_data_set_is_named():
    with pytest.raises(InputError, match=r"^dataset='mnis': did you mean 'mnist'\? It must be one of .*$"):
        work_of(Run(dataset="mnis"))
