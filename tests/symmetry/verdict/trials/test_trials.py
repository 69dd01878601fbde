"""Trials tell true causes from false ones, and leave the copy as it was."""

import pytest
import torch
from torch import nn

from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.verdict.passes.calls import Calls
from zeroinit.symmetry.verdict.trials.passing import passing
from zeroinit.symmetry.verdict.trials.trials import Change, Trials
from zeroinit.symmetry.verdict.trials.values import empty_rows

from ...zoo import VECTORS, Branch, classes, drawn, mlp


def trials_on(model: nn.Module, watched: set[str] | None = None, inputs=VECTORS) -> Trials:
    watched = watched if watched is not None else {name for name, _ in model.named_parameters()}
    return Trials(model.double(), Objective(inputs, classes(5, len(inputs))), torch.float64, True, 0, watched)


BRANCH = {"norm.weight", "norm.bias", "down.weight", "up.weight"}


def test_a_true_cause_frees_and_a_false_one_does_not():
    trials = trials_on(Branch(), BRANCH)
    assert trials.frees(Change()) == frozenset()
    assert trials.frees(Change(draw=("norm.bias",))) == frozenset()  # what an earlier version blamed
    assert trials.frees(Change(draw=("up.weight",))) == BRANCH
    assert trials.frees(Change(draw=("down.weight",))) == BRANCH
    assert trials.frees(Change(draw=("up.weight",)), passes=1) == {"down.weight"}


def test_a_trial_leaves_the_copy_as_it_was():
    model = Branch()
    trials = trials_on(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trials.frees(Change(draw=("up.weight",), zero=("head.bias",), hooks=True))
    trials.loss_changes(Change(draw=("head.weight",)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_change_that_cannot_be_run_frees_nothing():
    """Larger inputs do not fit this model; the copy is as before all the same."""
    trials = trials_on(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), inputs=drawn(6, 3, 2, 2))
    assert trials.frees(Change(inputs="larger")) == frozenset()
    assert trials.frees(Change()) == {"1.weight", "1.bias"}


def test_trials_are_counted_and_kept():
    trials = trials_on(Branch(), BRANCH)
    left = trials.left
    for _ in range(3):
        trials.frees(Change(draw=("up.weight",)))
    assert trials.left == left - 1
    trials.left = 0
    assert trials.frees(Change(draw=("norm.weight",))) == frozenset()


def test_an_activation_is_taken_out_at_its_place():
    model = mlp(nn.ReLU)
    nn.init.constant_(model[0].bias, -100.0)
    trials = trials_on(model)
    first, second = (("1", "relu", 1), "leaky"), (("3", "relu", 1), "leaky")
    assert "0.weight" not in trials.frees(Change(calls=(second,)))
    assert "0.weight" in trials.frees(Change(calls=(first,)))


def test_what_has_no_effect_does_not_change_the_loss():
    """A bias in front of a batch norm, and a weight behind it."""
    trials = trials_on(nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Linear(6, 5)))
    assert not trials.loss_changes(Change(draw=("0.bias",)))
    assert trials.loss_changes(Change(draw=("2.weight",)))


def test_no_grad_is_taken_away_where_asked():
    model = nn.Linear(12, 5)

    def quiet():
        with torch.no_grad():
            return model(VECTORS)

    with Calls(model, gradients=True):
        assert quiet().requires_grad
    with Calls(model):
        assert not quiet().requires_grad


def test_rows_that_are_zero():
    value = torch.ones(2, 3)
    value[:, 1] = 0
    assert empty_rows(value, 1).tolist() == [[False, True, False]]
    assert not empty_rows(value, 0).any()


class Scaled(torch.autograd.Function):
    """Hands no gradient on to its second argument."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    def backward(ctx, error):
        return error * ctx.saved_tensors[0], None


class Inherited(Scaled):
    pass


class SetUp(torch.autograd.Function):
    """The same, as torch.func asks for it."""

    @staticmethod
    def forward(x, factor):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, error):
        return error * ctx.saved_tensors[0], None


@pytest.mark.parametrize("function", [Scaled, Inherited, SetUp])
def test_an_autograd_function_passes_an_error_on_in_a_trial_alone(function):
    before = dict(function.__dict__)
    x, factor = torch.ones(3, requires_grad=True), torch.full((3,), 2.0, requires_grad=True)
    for inside in (True, False):
        x.grad = factor.grad = None
        with passing((function,) if inside else ()):
            function.apply(x, factor).sum().backward()
        assert x.grad.tolist() == [2, 2, 2]
        assert (factor.grad is not None) == inside
    assert dict(function.__dict__) == before


def test_values_are_moved_far_and_set_to_one():
    """Slopes of a margin cancel near its middle; a gain of zero lets nothing pass."""
    model = nn.Sequential(nn.Linear(4, 1), nn.Hardtanh())
    nn.init.zeros_(model[0].weight)
    trials = trials_on(model, {"0.bias"}, drawn(8, 4))
    trials.objective = Objective(drawn(8, 4), None, lambda score: (1 - score).relu().sum() + (1 + score).relu().sum())
    assert trials.frees(Change()) == trials.frees(Change(moved=("0.bias",), distance=0.5)) == frozenset()
    assert trials.loss_changes(Change(moved=("0.bias",), distance=3.0), share=0.01) is False  # Hardtanh ends at 1
    model[1] = nn.Identity()
    assert trials.frees(Change(moved=("0.bias",), distance=3.0)) == {"0.bias"}
    assert trials.loss_changes(Change(moved=("0.bias",), distance=3.0), share=0.01)
    assert not trials.loss_changes(Change(moved=("0.bias",), distance=3.0), share=10.0)
    gained = nn.Sequential(nn.Linear(12, 6), nn.LayerNorm(6), nn.Linear(6, 5))
    nn.init.zeros_(gained[1].weight)
    nn.init.zeros_(gained[2].weight)
    assert "0.weight" not in trials_on(gained).frees(Change(ones=("1.weight",)), passes=1)
    assert "0.weight" in trials_on(gained).frees(Change(ones=("1.weight",)), passes=2)
