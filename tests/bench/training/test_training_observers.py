"""Observers are called at every moment with the right numbers, and nothing they do disturbs the training."""

import contextlib
import dataclasses
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks

from zeroinit import zero_start_
from zeroinit.bench.training import Observer, TrainState, fit

SETTINGS = {"epochs": 3, "batch_size": 8}
DISTURBED = ("dense", "batch_norm", "dropout")


def test_every_moment_in_order(model, train, validation, test_data, generator, recorder):
    fit(model, train, validation=validation, test=test_data, generator=generator(0), observers=[recorder], **SETTINGS)
    expected = [("on_start", 0, 0)]
    step = 0
    for epoch in (1, 2, 3):
        for _ in range(3):
            step += 1
            expected.append(("on_gradients", step, epoch))
        expected.append(("on_epoch", step, epoch))
    assert recorder.calls == [*expected, ("on_end", 9, 3)]


def test_no_epochs_start_and_end(model, train, generator, recorder):
    fit(model, train, epochs=0, generator=generator(0), observers=[recorder])
    assert recorder.calls == [("on_start", 0, 0), ("on_end", 0, 0)]


def test_history_holds_what_was_measured_so_far(model, train, validation, test_data, generator, recorder):
    history = fit(
        model, train, validation=validation, test=test_data, generator=generator(0), observers=[recorder], **SETTINGS
    )
    full = history.to_dict()
    for (name, _, epoch), seen in zip(recorder.calls, recorder.histories, strict=True):
        done = epoch - (name == "on_gradients")
        assert seen == {measure: full[measure][:done] for measure in seen}
    assert len(recorder.histories[0]) == 5


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_losses_are_means_of_the_batches_before_their_update(make_model, train, generator, recorder, reduction):
    model, batches = make_model(), []
    model.register_forward_hook(lambda module, inputs, output: batches.append(inputs[0]))
    settings = SETTINGS | {"order": "fixed", "reduction": reduction}
    history = fit(model, train, generator=generator(0), observers=[recorder], **settings)
    twin, expected = make_model(), []
    for batch, parameters in zip(batches, recorder.parameters, strict=True):
        indices = [(train[0] == image).all(dim=1).int().argmax() for image in batch]
        twin.load_state_dict(parameters)
        losses = [F.cross_entropy(twin(train[0][index][None]), train[1][index][None]).item() for index in indices]
        expected.append(sum(losses) / len(losses))
    assert [len(losses) for losses in recorder.losses] == [3, 3, 3]
    assert [loss for losses in recorder.losses for loss in losses] == pytest.approx(expected, rel=1e-6)
    for epoch, losses in enumerate(recorder.losses):
        weighted = sum(loss * size for loss, size in zip(losses, (8, 8, 7), strict=True)) / 23
        assert history.train_loss[epoch] == pytest.approx(weighted, rel=1e-6)
        assert history.train_loss[epoch] != pytest.approx(sum(losses) / 3, rel=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradients_are_those_of_the_parameters_seen_with_them(make_model, train, generator, recorder, reduction):
    model, twin = make_model(), make_model()
    settings = {"epochs": 4, "batch_size": 23, "reduction": reduction}
    fit(model, train, generator=generator(0), observers=[recorder], **settings)
    assert all(torch.equal(value, recorder.parameters[0][name]) for name, value in twin.state_dict().items())
    for parameters, gradients in zip(recorder.parameters, recorder.gradients, strict=True):
        twin.load_state_dict(parameters)
        twin.zero_grad()
        F.cross_entropy(twin(train[0]), train[1], reduction=reduction).backward()
        for name, parameter in twin.named_parameters():
            assert torch.allclose(gradients[name], parameter.grad, rtol=1e-9, atol=1e-12)
    assert not torch.equal(recorder.gradients[0]["0.weight"], recorder.gradients[1]["0.weight"])


def test_several_observers_in_the_order_given(model, train, generator):
    calls = []

    class First(Observer):
        def on_epoch(self, state: TrainState) -> None:
            calls.append(("first", state.epoch))

        def on_end(self, state: TrainState) -> None:
            calls.append(("first", "end"))

    class Second(Observer):
        def on_epoch(self, state: TrainState) -> None:
            calls.append(("second", state.epoch))

    fit(model, train, generator=generator(0), observers=(First(), Observer(), Second()), **(SETTINGS | {"epochs": 2}))
    assert calls == [("first", 1), ("second", 1), ("first", 2), ("second", 2), ("first", "end")]


def test_moment_cannot_be_changed(model, train, generator):
    class Meddler(Observer):
        def on_epoch(self, state: TrainState) -> None:
            assert state.model is model
            state.step = 0

    with pytest.raises(dataclasses.FrozenInstanceError):
        fit(model, train, generator=generator(0), observers=[Meddler()], **SETTINGS)


def draw_numbers(model):
    torch.rand(7)


def switch_mode(model):
    model.eval()


def run_backward(model):
    model(torch.ones(4, 6, dtype=torch.float64)).square().sum().backward()


def run_forward(model):
    """As a diagnostic on activations would; batch norm counts this batch into its running statistics."""
    with torch.no_grad():
        model(torch.ones(4, 6, dtype=torch.float64))


def scale_gradients(model):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(-3)


def clear_gradients(model):
    model.zero_grad()


def zero_gradients(model):
    model.zero_grad(set_to_none=False)


def clear_and_run_backward(model):
    model.zero_grad()
    run_backward(model)


DISTURBANCES = (
    draw_numbers,
    switch_mode,
    run_backward,
    run_forward,
    scale_gradients,
    clear_gradients,
    zero_gradients,
    clear_and_run_backward,
)


class Disturber(Observer):
    """Does the same thing at every moment."""

    def __init__(self, disturb):
        self.disturb = disturb

    def on_start(self, state: TrainState) -> None:
        self.disturb(state.model)

    def on_gradients(self, state: TrainState) -> None:
        self.disturb(state.model)

    def on_epoch(self, state: TrainState) -> None:
        self.disturb(state.model)

    def on_end(self, state: TrainState) -> None:
        self.disturb(state.model)


@pytest.fixture
def outcome(make_model, train, validation, generator, snapshot):
    """Trains one model of a kind with SGD; returns all that training leaves behind, to the bit."""

    def run(kind: str, *observers: Observer, hook=None) -> tuple:
        model = make_model(kind)
        if hook is not None:
            model.register_forward_hook(hook)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            history = fit(
                model,
                train,
                validation=validation,
                optimizer="sgd",
                momentum=0.5,
                generator=generator(0),
                observers=observers,
                **SETTINGS,
            )
            gradients = [None if each.grad is None else each.grad.tolist() for each in model.parameters()]
            modes = [module.training for module in model.modules()]
            return history, snapshot(model), gradients, modes, torch.get_rng_state().tolist()

    return run


@pytest.mark.parametrize("disturb", DISTURBANCES)
@pytest.mark.parametrize("kind", DISTURBED)
def test_measuring_disturbs_nothing(outcome, kind, disturb):
    assert outcome(kind, Disturber(disturb)) == outcome(kind)


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_observers_do_not_see_what_others_did(outcome, recorder, disturb):
    outcome("dropout", Disturber(disturb), recorder)
    after, recorder.gradients = recorder.gradients, []
    outcome("dropout", recorder)
    for one, other in zip(after, recorder.gradients, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_without_protection_the_same_does_disturb(outcome, monkeypatch, disturb):
    kind = "batch_norm" if disturb is run_forward else "dropout"
    expected = outcome(kind)[:2]
    monkeypatch.setattr("zeroinit.bench.training.observers.undisturbed", lambda model: contextlib.nullcontext())
    assert outcome(kind, Disturber(disturb))[:2] != expected


def test_a_forward_hook_is_not_protected(outcome):
    """What an observer may do freely changes the training when it is done from a hook in the model."""

    def hook(module, inputs, output):
        draw_numbers(module)

    assert outcome("dense", hook=hook)[:2] == outcome("dense")[:2]
    assert outcome("dropout", hook=hook)[:2] != outcome("dropout")[:2]

    def mode_hook(module, inputs, output):
        switch_mode(module)

    assert outcome("dropout", hook=mode_hook)[:2] != outcome("dropout")[:2]

    def backward_hook(module, inputs, output):
        if output.requires_grad:
            output.square().sum().backward(retain_graph=True)

    assert outcome("dense", hook=backward_hook)[:2] != outcome("dense")[:2]


def test_an_error_of_an_observer_is_not_swallowed(model, train, generator):
    class Broken(Observer):
        def on_epoch(self, state: TrainState) -> None:
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fit(model, train, generator=generator(0), observers=[Broken()], **SETTINGS)


def test_an_observer_hears_of_an_error_and_the_error_goes_on():
    class Ends(Observer):
        seen: ClassVar[list[str]] = []

        def on_epoch(self, state):
            raise KeyError("mine")

        def on_error(self, state):
            self.seen.append("error")

        def on_end(self, state):
            self.seen.append("end")

    with pytest.raises(KeyError, match="mine"):
        fit(nn.Linear(2, 2), (torch.randn(8, 2), torch.zeros(8, dtype=torch.long)), epochs=1, observers=[Ends()])
    assert Ends.seen == ["error"]


def test_a_remedy_comes_off_when_an_error_ends_fit():
    class Ends(Observer):
        def on_epoch(self, state):
            raise KeyError("mine")

    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    start = zero_start_(model)
    data = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)
    before = len(_global_optimizer_post_hooks)
    with pytest.raises(KeyError, match="mine"):
        fit(model, data, epochs=1, observers=[start, Ends()])
    assert not any(module._forward_hooks for module in model.modules())
    assert len(_global_optimizer_post_hooks) == before
