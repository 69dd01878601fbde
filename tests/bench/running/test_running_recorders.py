"""Recorders: they find what is there, disturb nothing, and what they found is stored with the result."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.models import build_model
from zeroinit.bench.running import recorders
from zeroinit.bench.running.recorders import (
    RECORDERS,
    Gradients,
    GradientSizes,
    Recorder,
    bin_edges,
    default_bins,
    make_recorder,
    quantiles,
    views_by_position,
)
from zeroinit.bench.running.runner import execute
from zeroinit.bench.store import QUANTILES
from zeroinit.bench.training import Checkpoint, Observer, fit
from zeroinit.bench.training.observers import Observers
from zeroinit.symmetry import DIAGNOSTICS, inspect
from zeroinit.symmetry.measures.diversity import position_spread


class Keeper(Observer):
    """Keeps every gradient."""

    def __init__(self):
        self.gradients = []

    def on_gradients(self, state):
        self.gradients.append({name: p.grad.clone().numpy() for name, p in state.model.named_parameters()})


@pytest.fixture(params=RECORDERS)
def name(request) -> str:
    return request.param


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


def train(*observers, steps: int = 3):
    """Train a small network with batch norm; return it with its history."""
    with torch.random.fork_rng():
        model = network()
        images, labels = torch.randn(8 * steps, 1, 4, 4), torch.randint(4, (8 * steps,))
        return model, fit(model, (images, labels), epochs=1, batch_size=8, observers=observers)


def slow_quantile(values: np.ndarray, share: float) -> float:
    """The definition: linear between the two neighbors in order."""
    ordered = sorted(values.tolist())
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def test_a_run_with_a_recorder_has_bitwise_the_same_history(run, name):
    plain, watched = execute(run, 3), execute(replace(run, recorder=name), 3)
    assert watched.history == plain.history
    assert watched.initial_hash == plain.initial_hash
    assert plain.recorded is None
    assert watched.recorded["parameters"]


def test_training_ends_with_bitwise_the_same_model(name):
    plain, _ = train()
    watched, _ = train(make_recorder(name))
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key])


def test_a_recorder_that_meddles_would_be_noticed(monkeypatch, run):
    """The comparison above can fail: a recorder that reaches the weights changes the history."""

    class Meddler(GradientSizes):
        def on_gradients(self, state):
            next(state.model.parameters()).data.mul_(1.5)

    monkeypatch.setitem(RECORDERS, "meddler", Meddler)
    assert execute(replace(run, recorder="meddler"), 3).history != execute(run, 3).history


def test_gradients_as_a_double_loop_finds_them():
    keeper, recorder = Keeper(), Gradients()
    train(keeper, recorder)
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    assert list(recorder.recorded["parameters"]) == names
    for name in names:
        entry = recorder.recorded["parameters"][name]
        assert len(entry["zeros"]) == 3
        assert entry["shape"] == list(keeper.gradients[0][name].shape)
        for step, gradients in enumerate(keeper.gradients):
            values = gradients[name].astype(float).ravel()
            assert entry["zeros"][step] == pytest.approx(sum(value == 0 for value in values) / len(values))
            assert entry["max_abs"][step] == pytest.approx(max(abs(value) for value in values), rel=1e-8)
            expected = [slow_quantile(values, share) for share in QUANTILES]
            assert entry["quantiles"][step] == pytest.approx(expected, rel=1e-8, abs=1e-30)
            edges = np.array([slow_quantile(bin_edges(values), share) for share in QUANTILES])
            assert entry["edges"][step] == pytest.approx(edges, rel=1e-8)


def test_sizes_are_those_of_the_weights():
    keeper, recorder = Keeper(), GradientSizes()
    train(keeper, recorder)
    assert list(recorder.recorded["parameters"]) == ["0.weight", "4.weight"]
    for name, entry in recorder.recorded["parameters"].items():
        expected = [np.abs(gradients[name]).max() for gradients in keeper.gradients]
        assert entry["max_abs"] == pytest.approx(expected, rel=1e-8)


def test_a_parameter_without_gradient_counts_as_zero():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[0].weight.requires_grad_(False)
    recorder = Gradients()
    data = torch.randn(4, 2), torch.randint(2, (4,))
    fit(model, data, epochs=1, parameters=list(model[1].parameters()), observers=[recorder])
    entry = recorder.recorded["parameters"]["0.weight"]
    assert (entry["zeros"], entry["max_abs"]) == ([1.0], [0.0])
    assert entry["quantiles"] == [[0.0] * len(QUANTILES)]


def test_the_losses_are_those_of_the_batches(name):
    recorder = make_recorder(name)
    _, history = train(recorder)
    assert len(recorder.recorded["losses"]) == 3
    assert np.mean(recorder.recorded["losses"]) == pytest.approx(history.train_loss[0], rel=1e-6)


@pytest.mark.parametrize("name", ["gradients", "gradient_sizes"])
def test_recording_ends_after_a_number_of_steps(monkeypatch, name):
    monkeypatch.setattr(recorders, "MOST_STEPS", 2)
    recorder = make_recorder(name)
    train(recorder, steps=5)
    entry = recorder.recorded["parameters"]["0.weight"]
    assert len(entry["max_abs"]) == len(recorder.recorded["losses"]) == 2


def test_what_is_recorded_is_json_as_it_is(name):
    recorder = make_recorder(name)
    train(recorder)
    assert json.loads(json.dumps(recorder.recorded)) == recorder.recorded


def test_a_checkpoint_keeps_what_was_recorded(name):
    whole, first, second = (make_recorder(name) for _ in range(3))
    train(whole)
    train(first)
    second.load_state_dict(first.state_dict())
    assert second.recorded == whole.recorded
    train(second)
    assert len(second.recorded["losses"]) == 6


def test_the_bins_are_those_of_a_real_writer(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        assert default_bins().tolist() == writer.default_bins


def test_the_edges_are_those_that_a_reader_of_the_log_gets(tmp_path, generator):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    values = torch.randn(500, generator=generator(1)).double()
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_histogram("gradient", values, 1)
    read = EventAccumulator(str(tmp_path)).Reload().Histograms("gradient")[0].histogram_value
    assert bin_edges(values.numpy()).tolist() == read.bucket_limit


def test_edges_say_little_of_the_values():
    """The reason not to draw them: half of the edges lie below a millionth, whatever the values are."""
    values = np.linspace(-1, 1, 1001)
    edges = bin_edges(values)
    assert np.quantile(np.abs(values), 0.5) == pytest.approx(0.5, abs=0.01)
    assert np.quantile(np.abs(edges), 0.5) < 2e-6


def test_values_beyond_the_last_bin():
    values = np.array([1e30, np.inf, np.nan, 1.0])
    assert bin_edges(values).tolist() == bin_edges(np.array([1.0])).tolist()
    assert len(bin_edges(np.array([np.inf]))) == 0
    assert np.isnan(quantiles(np.array([]))).all()
    assert np.isnan(quantiles(values)).all()


def test_a_run_that_diverges_is_recorded_too(diverging, store, name):
    result = execute(replace(diverging, recorder=name), 0)
    store.save(result)
    assert store.load(result.run, 0).history["outcome"] == "diverged"


def test_the_course_of_a_run_is_recorded_without_a_call_at_each_update():
    course = make_recorder("course")
    model, history = train(course, steps=23)
    assert not Observers([course]).listens("on_gradients")
    assert course.recorded["updates"] == [10, 20, 23]
    mean = np.average(course.recorded["block_losses"], weights=[10, 10, 3])
    assert mean == pytest.approx(history.train_loss[0])
    rank = DIAGNOSTICS["effective_rank"].compute(model[4].weight.detach())
    assert course.recorded["parameters"]["4.weight"]["weight_rank"] == [pytest.approx(rank)]


def test_unknown_recorder(run):
    with pytest.raises(
        InputError,
        match=r"recorder='gradient': did you mean 'gradients'\? It must be one of course, gradient_sizes,",
    ):
        execute(replace(run, recorder="gradient"), 0)


def test_every_recorder_says_what_it_records(name):
    assert issubclass(RECORDERS[name], Recorder)
    assert RECORDERS[name].__doc__.strip()


def test_fewer_test_images(run):
    """Runs whose accuracy is not asked for measure on few images; the training is the same."""
    few, all_images = execute(replace(run, num_test=16), 0), execute(run, 0)
    assert few.history["train_loss"] == all_images.history["train_loss"]
    assert all(accuracy * 16 == round(accuracy * 16) for accuracy in few.history["test_accuracy"])
    assert few.history["test_loss"] != all_images.history["test_loss"]


@pytest.mark.parametrize("number", [-1, 451])
def test_a_number_of_test_images_that_is_not_there(run, number):
    with pytest.raises(InputError, match=f"num_test={number}: must be from 0 to 450, the test images"):
        execute(replace(run, num_test=number), 0)


def test_ranks_are_those_of_the_weights_before_each_step_and_at_the_end():
    recorder, model = make_recorder("ranks"), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    nn.init.zeros_(model[1].weight)
    images, labels = torch.eye(4)[:, None, None], torch.tensor([0, 1, 2, 0])
    fit(model, (images, labels), epochs=4, batch_size=4, observers=[recorder], generator=torch.Generator())
    assert recorder.recorded["steps"] == [1, 2, 3]
    (entry,) = recorder.recorded["parameters"].values()
    assert entry["weight_rank"][0] == 0.0
    assert len(entry["weight_rank"]) == 4
    assert len(entry["gradient_rank"]) == 3
    values = np.linalg.svd(model[1].weight.detach().double().numpy(), compute_uv=False)
    shares = values[values > 0] / values.sum()
    assert entry["weight_rank"][-1] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    assert entry["gradient_rank"][0] > 1.5


def test_symmetry_is_that_of_the_weights_and_what_the_inspector_says():
    recorder = make_recorder("symmetry")
    model, _ = train(recorder, steps=1)
    recorded = recorder.recorded
    assert recorded["steps"] == [1]
    assert list(recorded["parameters"]) == ["0.weight", "4.weight"]
    kernels, dense = recorded["parameters"].values()
    assert kernels["position_spread"][0] == pytest.approx(position_spread(network()[0].weight), rel=1e-8)
    assert kernels["position_spread"][1] == pytest.approx(position_spread(model[0].weight), rel=1e-8)
    assert dense["position_spread"][1] == pytest.approx(position_spread(model[4].weight.view(4, 3, 4)), rel=1e-8)
    with torch.random.fork_rng():  # the images of the only batch; their order makes no difference
        network()
        images = torch.randn(8, 1, 4, 4)
    report = inspect(model, images)
    assert recorded["warnings"] == [finding.code for finding in report.warnings]
    assert [layer["path"] for layer in recorded["layers"]] == ["0", "4"]
    for layer in recorded["layers"]:
        seen = report.layer(layer["path"])
        assert (layer["units"], layer["distinct"]) == (seen.num_units, seen.num_distinct_units)
        assert layer["effective_rank_weights"] == pytest.approx(seen.diversity["effective_rank_weights"], rel=1e-6)


def test_copies_of_units_are_seen_at_the_end():
    """Two channels that are one and the same, before and behind, stay so; the inspector says it of the result."""
    model = network()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[4].weight[:, 4:8] = model[4].weight[:, :4]
    recorder = make_recorder("symmetry")
    images, labels = torch.randn(16, 1, 4, 4), torch.randint(4, (16,))
    fit(model, (images, labels), epochs=1, batch_size=8, observers=[recorder])
    first, last = recorder.recorded["layers"]
    assert (first["units"], first["distinct"], last["distinct"]) == (3, 2, 4)
    assert "ZI001" in recorder.recorded["warnings"]


def test_no_hook_is_left_and_a_diverged_network_is_not_inspected(diverging):
    recorder = make_recorder("symmetry")
    model, _ = train(recorder)
    assert not model._forward_pre_hooks
    recorded = execute(replace(diverging, recorder="symmetry"), 0).recorded
    assert "layers" not in recorded
    assert recorded["parameters"]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("mnist_cnn", (1, 28, 28), [(16, 1, 25), (32, 16, 25), (10, 32, 784)]),
        ("mnist_fnn", (1, 28, 28), []),
        ("cifar_cnn_quarter", (3, 8, 8), [(8, 3, 9), (16, 8, 9), (32, 16, 9), (32, 32, 9), (64, 32, 9), (64, 64, 9)]),
    ],
)
def test_which_weights_have_positions(name, shape, expected):
    views = views_by_position(build_model(name, shape))
    assert [tuple(view.shape) for view in views.values()] == expected


def test_positions_of_a_map_are_those_that_flatten_puts_side_by_side():
    """A dense layer that is constant over the map, channel by channel, has no spread; one over channels has."""
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(3 * 16, 2))
    maps = torch.arange(3.0)[:, None, None].expand(3, 4, 4)
    model[2].weight.data = torch.stack([maps.flatten(), maps.transpose(0, 2).flatten()])
    (view,) = views_by_position(model).values()
    assert position_spread(view[:1]) == 0
    assert position_spread(view[1:]) > 0.1


def test_a_dense_layer_whose_inputs_are_no_multiple_of_the_channels_has_no_positions():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.AdaptiveMaxPool3d((5, 1, 2)), nn.Flatten(), nn.Linear(10, 2))
    assert views_by_position(model) == {}


def test_the_images_that_are_inspected_are_those_of_training():
    """Evaluation, which comes last, has other ones."""
    recorder, model = make_recorder("symmetry"), network()
    images, labels = torch.rand(8, 1, 4, 4), torch.randint(4, (8,))
    fit(model, (images, labels), test=(images - 5, labels), epochs=1, batch_size=8, observers=[recorder])
    assert recorder._images.shape == images.shape
    assert recorder._images.min() >= 0


def test_a_run_that_goes_on_after_its_last_batch_is_inspected(tmp_path, generator):
    """The checkpoint after the last epoch holds the images; without them there would be nothing to inspect with."""

    class Fails(Observer):
        def on_end(self, state):
            raise RuntimeError("killed")

    data = torch.rand(16, 1, 4, 4), torch.randint(4, (16,), generator=generator(1))
    settings = {"epochs": 2, "batch_size": 8, "checkpoint": Checkpoint(tmp_path / "state", every=0)}
    with pytest.raises(RuntimeError, match="killed"):
        fit(network(), data, observers=[make_recorder("symmetry"), Fails()], generator=generator(0), **settings)
    recorder = make_recorder("symmetry")
    fit(network(), data, observers=[recorder], generator=generator(0), **settings)
    assert [layer["path"] for layer in recorder.recorded["layers"]] == ["0", "4"]
    fresh = make_recorder("symmetry")
    assert "images" not in fresh.state_dict()
