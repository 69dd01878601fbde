"""The optimizers of a Trainer as one: what they hold, how they step, and when another one takes their place."""

import pytest
import torch
from torch import nn

import zeroinit
from zeroinit.integrations.optimizers import as_one
from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer, stand_in


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def test_two_as_one_step_as_the_two_do_also_in_a_copy():
    batch, first, second = torch.ones(4, 3), net(), net()
    parts = [torch.optim.SGD(first[0].parameters(), lr=0.1), torch.optim.Adam(first[2].parameters(), lr=0.1)]
    apart = [torch.optim.SGD(second[0].parameters(), lr=0.1), torch.optim.Adam(second[2].parameters(), lr=0.1)]
    one = as_one(parts)
    report = zeroinit.inspect(first, batch, optimizer=one)
    assert report.optimizer == "SGD and Adam"
    assert not report.warnings
    assert not parts[1].state  # the inspection stepped copies of them
    for model, steps in ((first, [one]), (second, apart)):
        model(batch).square().sum().backward()
        for each in steps:
            each.step()
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first[2].weight, net()[2].weight)


def test_one_alone_is_itself_and_what_is_no_optimizer_of_torch_counts_as_none():
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    assert as_one([sgd]) is sgd
    assert as_one([]) is None
    assert as_one([sgd, object()]) is None  # as DeepSpeed's, whose groups hold no parameter of the model


def test_a_stand_in_holds_the_same_at_the_rate_that_a_schedule_warms_up_to():
    model = net()
    own = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}], lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(own, lambda step: step)
    groups = stand_in(own).param_groups
    assert [(each["lr"], each["initial_lr"]) for each in groups] == [(0.0, 0.5), (0.0, 0.1)]
    assert [id(each) for group in groups for each in group["params"]] == [id(each) for each in model.parameters()]


@pytest.mark.parametrize(("world", "expected"), [(1, "Waits"), (2, "Adam in place of Waits")])
def test_in_several_processes_a_step_that_may_wait_for_the_others_is_not_taken(monkeypatch, world, expected):
    class Waits(torch.optim.SGD):
        pass

    class Wraps(torch.optim.SGD):
        pass

    Wraps.__module__ = "accelerate.optimizer"
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)
    model = net()

    def taken(optimizer: torch.optim.Optimizer) -> str:
        return OwnOptimizer(optimizer, model).__name__

    sgd, waits, wraps = (kind(model.parameters(), lr=0.1) for kind in (torch.optim.SGD, Waits, Wraps))
    assert taken(waits) == taken(as_one([waits])) == expected
    assert taken(as_one([sgd, waits])) == expected.replace("Waits", "SGD and Waits")
    assert taken(sgd) == "SGD"
    wraps.optimizer = sgd
    assert taken(wraps) == "Wraps"
    wraps.optimizer = waits
    assert taken(wraps) == expected.replace("Waits", "Wraps")
