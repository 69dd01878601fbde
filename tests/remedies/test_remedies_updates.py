"""What counts as an update, and which weights are weights."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim import optimizer as of_all_optimizers

from zeroinit._modules.layers import weights_of
from zeroinit._modules.state import is_recomputing
from zeroinit.remedies import DrawStuck, Remedy, RemedyWarning, make_remedy
from zeroinit.remedies.part import Part
from zeroinit.remedies.updates import PATIENCE, Updates


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def backward(model: nn.Module) -> None:
    model(torch.arange(15.0).reshape(5, 3)).square().sum().backward()


def counted(model: nn.Module, loop, steps: int = 50) -> int:
    """Return how many updates a loop makes by the count of a remedy."""
    remedy = make_remedy("unit_signs", model, steps)
    with remedy:
        loop()
    return steps - remedy.remaining


def test_a_step_without_gradients_is_none(model):
    optimizer = SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        optimizer.step()
        backward(model)
        optimizer.step()
        optimizer.zero_grad()
        optimizer.step()

    assert counted(model, loop) == 1


def test_two_steps_on_one_gradient_are_two(model):
    optimizer = SGD(model.parameters(), lr=0.1)
    backward(model)
    assert counted(model, lambda: [optimizer.step() for _ in range(2)]) == 2


def test_a_gradient_of_zero_is_one(model):
    """Momentum and weight decay move parameters then."""
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    backward(model)
    optimizer.zero_grad(set_to_none=False)
    assert counted(model, optimizer.step) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_two_optimizers_make_one_update_in_whichever_order(model, order):
    optimizers = [SGD(model[0].parameters(), lr=0.1), Adam(model[2].parameters())][::order]

    def loop() -> None:
        for _ in range(4):
            backward(model)
            for optimizer in optimizers:
                optimizer.step()

    assert counted(model, loop) == 4


@pytest.mark.parametrize(("every", "expected"), [(1, 30), (3, 10), (30, 21)])
def test_the_slower_of_two_is_waited_for_unless_it_rests(model, every, expected):
    """One that rests for ten updates of the other is not; it makes one at the end here."""
    fast, slow = SGD(model[0].parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.01)

    def loop() -> None:
        for number in range(30):
            backward(model)
            if number == 0 or (number + 1) % every == 0:
                slow.step()
            fast.step()

    found = counted(model, loop)
    assert abs(found - expected) <= 1
    assert PATIENCE == 10


def test_updates_by_hand_are_seen_at_the_next_passes_or_at_the_end(model):
    """The first with the second: until then an optimizer may make its first step."""
    remedy = make_remedy("unit_signs", model, 3)
    seen = []
    with remedy:
        for _ in range(2):
            backward(model)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(0.01 * parameter.grad)
            seen.append(remedy.remaining)
    assert (seen, remedy.remaining) == ([3, 3], 1)


def test_changed_parameters_beside_an_optimizer_are_no_update_of_their_own(model):
    """Clipped weights, averages that are swapped in, a checkpoint that is loaded."""
    optimizer = SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        for _ in range(3):
            backward(model)
            optimizer.step()
            with torch.no_grad():
                model[0].weight.clamp_(-0.1, 0.1)
            model.load_state_dict(copy.deepcopy(model.state_dict()))

    assert counted(model, loop) == 3


def test_a_backward_pass_is_noticed():
    seen = [is_recomputing()]
    value = torch.ones((), requires_grad=True)
    (2 * value).register_hook(lambda gradient: seen.append(is_recomputing()))
    doubled = 2 * value
    doubled.register_hook(lambda gradient: seen.append(is_recomputing()) and None)
    doubled.backward()
    assert seen == [False, True]


class Conv1D(nn.Module):
    """GPT-2's dense layer, whose weight has inputs first."""

    def __init__(self, nf: int, nx: int):
        super().__init__()
        self.nf, self.weight, self.bias = nf, nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, inputs):
        return inputs @ self.weight + self.bias


def test_the_fan_in_of_a_transposed_weight_is_its_first_axis():
    model = nn.Sequential(nn.Linear(3, 8), Conv1D(2, 8))
    shapes = [tuple(matrix.shape) for weight in weights_of(model).values() for matrix in weight.matrices()]
    assert shapes == [(8, 3), (2, 8)]
    optimizer = SGD(model.parameters(), lr=1e-3)
    with make_remedy("weight_orthonormal", model, 1):
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    rows = model[1].weight.detach().T
    torch.testing.assert_close(rows @ rows.T, torch.eye(2), rtol=1e-4, atol=1e-4)


def test_weights_without_values_or_under_a_parametrization_are_let_be():
    model = nn.Sequential(nn.Linear(3, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.warns(UserWarning, match="zero-element"):
        model.add_module("empty", nn.Linear(0, 4))
    assert [weight.name for weight in weights_of(model).values()] == ["0.weight", "empty.weight"]
    optimizer = SGD(model.parameters(), lr=0.1)
    with make_remedy("weight_orthogonal+until_moved+draw_stuck", model, 2):
        for _ in range(2):
            (model[:2](torch.ones(2, 3)).sum() + model.empty(torch.ones(2, 0)).sum()).backward()
            optimizer.step()


@pytest.mark.parametrize("name", ["weight_rescale", "weight_orthogonal", "weight_orthonormal"])
def test_weights_that_no_optimizer_has_updated_are_let_be(model, name):
    before = [model[layer].weight.detach().clone() for layer in (0, 2)]
    optimizer = SGD(model[0].parameters(), lr=0.01)
    with make_remedy(name, model, 1):
        backward(model)
        optimizer.step()
    assert torch.equal(model[2].weight, before[1])
    assert (model[0].weight - before[0]).norm() > 0.1 * before[0].norm()


@pytest.mark.parametrize("name", ["weight_rescale", "weight_orthogonal", "weight_orthonormal"])
def test_one_update_of_two_optimizers_changes_the_weights_of_both(model, name):
    """The second is met after the first has ended the only update."""
    optimizers = [SGD(model[layer].parameters(), lr=0.01, momentum=0.9) for layer in (0, 2)]
    with make_remedy(f"{name}+moment_reset", model, 1):
        backward(model)
        for optimizer in optimizers:
            optimizer.step()
    assert not any(optimizer.state for optimizer in optimizers)
    for layer, fan_in in ((0, 3), (2, 4)):
        size = float(model[layer].weight.detach().square().mean().sqrt())
        assert size == pytest.approx((fan_in * (1 if name == "weight_orthonormal" else 3)) ** -0.5, rel=0.01)


def test_weights_that_are_not_finite_are_named(model):
    optimizer = SGD(model.parameters(), lr=0.1)
    with make_remedy("weight_orthogonal", model, 1):
        (model(torch.ones(2, 3)).sum() * torch.inf).backward()
        message = (
            r"^weights are not made orthogonal: values of '0.weight', '2.weight' are not finite; lower the learning"
        )
        with pytest.warns(RemedyWarning, match=message):
            optimizer.step()


def factors(is_tiny: bool) -> nn.Module:
    """Two zero factors behind a first layer, whose gradient is lost by rounding if it is tiny."""
    model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(1, 1, bias=False)])
    for layer in model[:2]:
        nn.init.zeros_(layer.weight)
    size = 1e-25 if is_tiny else 1.0
    model.forward = lambda inputs: model[1](model[0](inputs)).sum() + size * model[2](torch.ones(1)).sum()
    return model


@pytest.mark.parametrize("is_tiny", [False, True])
def test_weights_are_drawn_only_where_gradients_are_not_lost_by_rounding(is_tiny):
    model = factors(is_tiny)
    optimizer = SGD(model.parameters(), lr=0.1)
    remedy = DrawStuck(model, 20)
    with remedy:
        for _ in range(8):
            optimizer.zero_grad()
            (3 - model(torch.ones(2, 4))).square().sum().backward()
            optimizer.step()
    assert remedy.drawn == ([] if is_tiny else ["0.weight", "1.weight"])


class Fails(Remedy):
    def _before_step(self, optimizer, is_late) -> None:
        raise RuntimeError("in the hook before a step")


def hooks_on_steps() -> int:
    return len(of_all_optimizers._global_optimizer_pre_hooks) + len(of_all_optimizers._global_optimizer_post_hooks)


def test_an_error_in_front_of_a_step_leaves_no_hooks(model):
    before = hooks_on_steps()
    remedy = Fails(model, 2)
    backward(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="before a step"), remedy:
        optimizer.step()
    assert hooks_on_steps() == before


class Follower(Part):
    """Counts steps; the first of a list ends the others."""

    def __init__(self, updates: Updates, others: "list[Follower]"):
        self.remaining, self.num_steps = 5, 0
        self._updates, self._others = updates, others
        updates.add(self)

    def _before_step(self, optimizer, is_late) -> None:
        self.num_steps += 1
        for other in self._others:
            other.detach()

    def detach(self) -> None:
        self._updates.remove(self)


@pytest.mark.parametrize("with_closure", [True, False])
@pytest.mark.parametrize("ends_itself", [True, False])
def test_a_part_may_end_others_before_a_step(model, with_closure, ends_itself):
    before = hooks_on_steps()
    updates, others = Updates(model), []
    first = Follower(updates, others)
    others += [Follower(updates, []), *([first] if ends_itself else [])]
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        if with_closure:
            optimizer.step(lambda: backward(model))
        else:
            backward(model)
            optimizer.step()
    assert (first.num_steps, others[0].num_steps) == ((1, 0) if ends_itself else (2, 0))
    first.detach()
    assert hooks_on_steps() == before
    assert not model._forward_pre_hooks
    assert not model._forward_hooks


def test_copies_come_without_the_hooks_of_any_part(model):
    """Also of a part that is no remedy."""
    updates = Updates(model)
    seen = []
    part = Follower(updates, [])
    updates.remove(part)
    part._handles = [model[0].register_forward_hook(lambda *_: seen.append(1))]
    updates.add(part)
    copied = copy.deepcopy(model)
    backward(copied)
    assert not seen
    assert not copied._forward_pre_hooks
    assert updates.num_copies == 1
    backward(model)
    assert seen == [1]
    part.detach()
