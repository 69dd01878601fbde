"""What the TensorBoard observer writes, read back with TensorBoard's own reader."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zeroinit.bench.training import TensorBoardObserver, fit

SETTINGS = {"epochs": 3, "batch_size": 8}
NAMES = ("0.weight", "0.bias", "2.weight", "2.bias")


@pytest.fixture
def log(tmp_path, make_model, train, generator) -> Callable:
    """Trains with an observer that writes; returns the history and what a reader finds."""

    def run(*others, histogram_every: int | None = None, **settings):
        folder = tmp_path / "logs" / "run"
        extra = {} if histogram_every is None else {"histogram_every": histogram_every}
        writer = TensorBoardObserver(folder, **extra)
        history = fit(make_model(), train, generator=generator(0), observers=[writer, *others], **(SETTINGS | settings))
        return history, read(folder)

    return run


def read(folder: Path) -> EventAccumulator:
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    everything = {"scalars": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def scalars(events: EventAccumulator, tag: str) -> dict[int, float]:
    written = {event.step: event.value for event in events.Scalars(tag)}
    assert len(written) == len(events.Scalars(tag))
    return written


def test_losses_and_accuracies_equal_the_history(log, validation, test_data, recorder):
    history, events = log(recorder, validation=validation, test=test_data)
    losses = [loss for epoch in recorder.losses for loss in epoch]
    assert scalars(events, "loss/train") == pytest.approx(dict(enumerate(losses, start=1)), rel=1e-6)
    assert list(scalars(events, "loss/train")) == list(range(1, 10))
    measures = history.to_dict()
    for split in ("validation", "test"):
        for kind in ("loss", "accuracy"):
            expected = dict(enumerate(measures[f"{split}_{kind}"], start=1))
            assert scalars(events, f"{kind}/{split}") == pytest.approx(expected, rel=1e-6)
    assert events.Tags()["scalars"] == [
        "loss/train",
        "loss/validation",
        "accuracy/validation",
        "loss/test",
        "accuracy/test",
    ]
    assert events.Tags()["histograms"] == []


@pytest.mark.parametrize("split", ["validation", "test"])
def test_nothing_is_written_that_was_not_measured(log, validation, split):
    history, events = log(**{split: validation})
    assert set(events.Tags()["scalars"]) == {"loss/train", f"loss/{split}", f"accuracy/{split}"}
    assert scalars(events, f"loss/{split}") != pytest.approx(dict(enumerate(history.train_loss, start=1)), rel=1e-3)


@pytest.mark.parametrize(("every", "steps"), [(1, list(range(1, 10))), (4, [1, 5, 9]), (9, [1]), (100, [1])])
def test_histograms_of_every_tensor_at_the_steps_asked_for(log, recorder, every, steps):
    _, events = log(recorder, histogram_every=every)
    assert sorted(events.Tags()["histograms"]) == sorted(
        f"{kind}/{name}" for kind in ("parameters", "gradients") for name in NAMES
    )
    for name in NAMES:
        for kind, kept in (("parameters", recorder.parameters), ("gradients", recorder.gradients)):
            histograms = events.Histograms(f"{kind}/{name}")
            assert [event.step for event in histograms] == steps
            for event in histograms:
                assert_describes(event.histogram_value, kept[event.step - 1][name])


def assert_describes(histogram, values: torch.Tensor) -> None:
    assert histogram.num == values.numel() == sum(histogram.bucket)
    assert (histogram.min, histogram.max) == (values.min().item(), values.max().item())
    assert histogram.sum == pytest.approx(values.sum().item(), rel=1e-9, abs=1e-12)
    assert histogram.sum_squares == pytest.approx(values.square().sum().item(), rel=1e-9)


@pytest.mark.parametrize("every", [None, 0])
def test_no_histograms_unless_asked_for(log, every):
    assert log(histogram_every=every)[1].Tags()["histograms"] == []


def test_a_parameter_without_gradient_has_no_gradient_histogram(tmp_path, model, train, generator):
    model[0].weight.requires_grad_(False)
    fit(model, train, generator=generator(0), observers=[TensorBoardObserver(tmp_path, 1)], **SETTINGS)
    tags = set(read(tmp_path).Tags()["histograms"])
    assert {f"parameters/{name}" for name in NAMES} <= tags
    assert {f"gradients/{name}" for name in NAMES} - tags == {"gradients/0.weight"}


def test_no_epochs_leave_an_empty_log(log):
    _, events = log(epochs=0, histogram_every=1)
    assert events.Tags()["scalars"] == events.Tags()["histograms"] == []


def test_writing_disturbs_nothing(log, model, train, generator):
    expected = fit(model, train, generator=generator(0), **SETTINGS)
    assert log(histogram_every=1)[0] == expected


@pytest.mark.parametrize("every", [0, 1])
def test_a_diverged_run_is_logged_to_its_end(log, every):
    history, events = log(histogram_every=every, optimizer="sgd", learning_rate=1e300)
    assert history.outcome == "diverged"
    written = scalars(events, "loss/train")
    assert list(written) == list(range(1, history.num_steps + 1))
    assert not math.isfinite(written[history.diverged_at_step])
    assert math.isfinite(written[history.diverged_at_step - 1])


def test_one_observer_may_watch_two_runs(tmp_path, make_model, train, generator):
    """Each run writes all its steps: the first is not cut off, the second is not lost."""
    observer = TensorBoardObserver(tmp_path)
    for seed in (0, 1):
        fit(make_model(), train, generator=generator(seed), observers=[observer], **SETTINGS)
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/train")] == [*range(1, 10), *range(1, 10)]
