"""Remedies by name, with steps and strengths of their own, one or several together."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.training import fit
from zeroinit.remedies import AffineNorms, Combination, Remedy, make_remedy


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


def draws(model: nn.Module, remedy, num: int = 3) -> list:
    """Return what enters the last layer in each of the first passes."""
    seen = []
    handle = model[3].register_forward_hook(lambda module, inputs, result: seen.append(inputs[0].tolist()))
    with remedy:
        for _ in range(num):
            model(torch.ones(5, 3))
    handle.remove()
    return seen


def test_one_name_gives_the_remedy_itself(model):
    assert type(make_remedy("affine_norms", model, 3)) is AffineNorms
    assert isinstance(make_remedy("warmup:2", model, 3), Remedy)
    assert isinstance(make_remedy("warmup+affine_norms", model, 3), Combination)


def test_steps_and_strength_stand_behind_the_name(model):
    remedy = make_remedy("warmup:100+position_signs+early_dropout:7:0.25", model, 20)
    assert [part.remaining for part in remedy.parts] == [100, 20, 7]
    assert remedy.remaining == 100
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with remedy:
        entering = []
        model[3].register_forward_hook(lambda module, inputs, result: entering.append(inputs[0] == 0))
        for _ in range(8):
            model(torch.ones(250, 3)).sum().backward()
            optimizer.step()
    assert [abs(dropped.double().mean().item() - 0.25) < 0.1 for dropped in entering] == [True] * 7 + [False]


@pytest.mark.parametrize(("name", "dropped"), [("early_dropout:9:0.9", 0.9), ("early_dropout", 0.1)])
def test_a_strength_goes_to_those_that_name_none(model, name, dropped):
    entered = torch.tensor(draws(model, make_remedy(f"{name}+warmup", model, 99, strength=0.1), num=9))
    assert abs((entered == 0).double().mean().item() - dropped) < 0.1


def test_what_one_draws_does_not_depend_on_the_others(model, generator):
    alone = draws(model, make_remedy("affine_norms+early_dropout", model, 3, generator=generator(1)))
    together = "position_signs+gradient_noise+affine_norms+early_dropout"
    assert draws(model, make_remedy(together, model, 3, generator=generator(1))) == alone
    assert draws(model, make_remedy(together, model, 3, generator=generator(2))) != alone


def test_each_ends_at_its_own_step(model):
    remedy = make_remedy("affine_norms:1+early_dropout:2", model, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with remedy:
        for expected in ([0, 1], [0, 0], [0, 0]):
            model(torch.ones(5, 3)).sum().backward()
            optimizer.step()
            assert [part.remaining for part in remedy.parts] == expected
            assert bool(model[1]._forward_hooks) == (expected == [1, 2])
            assert bool(model[3]._forward_pre_hooks) == (expected != [0, 0])
        assert not model._forward_hooks


def test_an_observer_of_fit(model, generator):
    remedy = make_remedy("affine_norms:1+early_dropout:2", model, 0)
    fit(model, (torch.randn(8, 3), torch.arange(8) % 2), epochs=3, generator=generator(0), observers=[remedy])
    assert (remedy.remaining, model[1].num_batches_tracked.item()) == (0, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("early_dropuot", r"remedy='early_dropuot': did you mean 'early_dropout'\? It must be one of .*"),
        ("warmup+", "remedy='': must be one of"),
        ("warmup+none", "remedy='none': must be one of"),
        ("warmup+warmup:3", r"remedy='warmup\+warmup:3': names a remedy twice; name each remedy once"),
        ("warmup:3.5", "remedy='warmup:3.5': 'warmup:3.5' must be a name, name:steps or name:steps:strength, such as"),
        ("warmup:", "'warmup:' must be a name, name:steps or"),
        ("early_dropout:3:0.5:1", "'early_dropout:3:0.5:1' must be a name, name:steps or"),
        ("early_dropout:3:half", "'early_dropout:3:half' must be a name, name:steps or"),
        ("early_dropout:3:1.5", r"strength=1\.5: must be a finite number of at least 0 and below 1"),
        ("warmup:3:0.5", r"strength=0\.5: warmup takes no strength; leave strength out"),
        ("warmup:-3", "steps=-3: must be at least 0"),
    ],
)
def test_what_cannot_be_read(model, name, message):
    with pytest.raises(InputError, match=message):
        make_remedy(name, model, 5)
    assert not model._forward_hooks


def test_a_strength_that_none_takes(model):
    with pytest.raises(InputError, match=r"strength=0\.5: warmup\+affine_norms takes no strength; leave strength out"):
        make_remedy("warmup+affine_norms", model, 5, strength=0.5)
