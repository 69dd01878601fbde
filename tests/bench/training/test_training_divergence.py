"""A loss that is not finite ends a run as a recorded outcome; it is no exception and no silence."""

import json
import math

import pytest
import torch

from zeroinit.bench.training import OPTIMIZERS, fit

SETTINGS = {"epochs": 5, "batch_size": 8, "optimizer": "sgd", "order": "fixed"}
NUM_STEPS = 3  # per epoch


def poison_at(step: int, value: float):
    """A transform that hands the model spoiled images at one step of the training."""
    calls = 0

    def transform(images):
        nonlocal calls
        calls += 1
        return images * value if calls == step else images

    return transform


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", range(1, 3 * NUM_STEPS + 1))
def test_ends_with_the_epoch_at_the_right_step(model, train, generator, recorder, step, value):
    history = fit(
        model, train, transform=poison_at(step, value), generator=generator(0), observers=[recorder], **SETTINGS
    )
    epoch = -(-step // NUM_STEPS)
    assert (history.outcome, history.diverged_at_step) == ("diverged", step)
    assert (history.num_epochs, history.num_steps) == (epoch, epoch * NUM_STEPS)
    assert all(math.isfinite(loss) for loss in history.train_loss[:-1])
    assert not math.isfinite(history.train_loss[-1])
    assert recorder.calls[-2:] == [
        ("on_epoch", epoch * NUM_STEPS, epoch),
        ("on_end", epoch * NUM_STEPS, epoch),
    ]
    assert [math.isfinite(loss) for loss in recorder.losses[-1]].index(False) == (step - 1) % NUM_STEPS


def test_last_epoch_may_diverge_too(model, train, generator):
    settings = SETTINGS | {"epochs": 2}
    history = fit(model, train, transform=poison_at(6, math.nan), generator=generator(0), **settings)
    assert (history.outcome, history.diverged_at_step, history.num_epochs) == ("diverged", 6, 2)


def test_an_infinite_loss_counts_even_if_training_survives_it(make_model, train, generator):
    """One image gives its own class no chance at all; its gradient is finite, and so are all other losses."""
    images, labels = train[0].clone(), train[1]
    model = make_model("biases")
    settings = SETTINGS | {"batch_size": 1}
    images[4, labels[4]] = -math.inf
    history = fit(model, (images, labels), generator=generator(0), **settings)
    position = torch.randperm(23, generator=generator(0)).tolist().index(4)
    assert (history.outcome, history.diverged_at_step) == ("diverged", position + 1)
    assert history.train_loss == [math.inf]
    assert torch.isfinite(model.bias).all()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_by_a_learning_rate_far_too_high(make_model, train, validation, test_data, generator, optimizer, reduction):
    """The step is the one at which a loop that looks at every loss sees the first that is not finite."""
    settings = SETTINGS | {"optimizer": optimizer, "learning_rate": 1e30, "reduction": reduction}
    model, losses = make_model("dense", torch.float32), []
    train, validation, test_data = ((images.float(), labels) for images, labels in (train, validation, test_data))

    def watch(module, inputs, output):
        if module.training:
            losses.append(math.isfinite(torch.logsumexp(output, dim=1).sum().item()))

    model.register_forward_hook(watch)
    history = fit(model, train, validation=validation, test=test_data, generator=generator(0), **settings)
    assert history.outcome == "diverged"
    assert history.diverged_at_step == losses.index(False) + 1
    assert history.diverged_at_step > 1
    measures = history.to_dict()
    for name in ("train_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy"):
        assert len(measures[name]) == history.num_epochs < 5
    assert all(0 <= accuracy <= 1 for accuracy in history.validation_accuracy + history.test_accuracy)
    assert type(history.diverged_at_step) is int
    json.dumps(measures)


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e15])
def test_a_large_loss_is_not_a_divergence(model, train, generator, factor):
    settings = SETTINGS | {"learning_rate": 1e-30, "transform": lambda images: images * factor}
    history = fit(model, train, generator=generator(0), **settings)
    assert (history.outcome, history.diverged_at_step, history.num_epochs) == ("completed", None, 5)
    assert all(math.isfinite(loss) for loss in history.train_loss)


def test_a_loss_beyond_float32_is_finite_in_float64(model, train, generator):
    settings = SETTINGS | {"learning_rate": 1e-300, "transform": lambda images: images * 1e60}
    history = fit(model, train, generator=generator(0), **settings)
    assert (history.outcome, history.num_epochs) == ("completed", 5)
    assert all(1e50 < loss < math.inf for loss in history.train_loss)


def test_a_run_broken_by_its_last_update_is_noticed_in_the_evaluation(model, train, generator):
    """No training loss shows it: only the evaluation after the epoch does."""
    settings = SETTINGS | {"epochs": 1, "batch_size": len(train[0]), "optimizer": "sgd"}
    history = fit(model, train, test=train, generator=generator(0), **(settings | {"learning_rate": 1e300}))
    assert math.isfinite(history.train_loss[0])
    assert not math.isfinite(history.test_loss[0])
    assert (history.outcome, history.diverged_at_step) == ("diverged", 1)
