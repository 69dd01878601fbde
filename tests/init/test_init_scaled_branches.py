"""Parameters that multiply a residual branch (SkipInit, ReZero, LayerScale): one zero for each branch, never two."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import initialize_, make_initializer
from zeroinit.init.branches import find_branches

BATCH = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


class Scaled(nn.Module):
    """x + alpha * down(relu(up(x))), in one of the forms that models write."""

    def __init__(self, form: str, value: float):
        super().__init__()
        self.up, self.down, self.form = nn.Linear(8, 8), nn.Linear(8, 8), form
        shape = {"scalar": (), "one": (1,), "vector": (8,), "tanh": (1,), "viewed": (8, 1)}[form]
        self.alpha = nn.Parameter(torch.full(shape, value))

    def forward(self, x):
        branch = self.down(torch.relu(self.up(x)))
        if self.form == "viewed":
            return x + self.alpha.view(1, 8) * branch
        return x + branch * (self.alpha.tanh() if self.form == "tanh" else self.alpha) * 0.5


def network(form: str, value: float, blocks: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), *(Scaled(form, value) for _ in range(blocks)), nn.Linear(8, 3))


FORMS = ["scalar", "one", "vector", "tanh", "viewed"]


@pytest.mark.parametrize("form", FORMS)
def test_the_scales_of_branches_are_found(form):
    assert find_branches(network(form, 0.0), BATCH).scales == (("1.alpha",), ("2.alpha",))


class Gated(nn.Module):
    """A gate that is computed from the inputs is no scale; nor is a parameter that multiplies the middle."""

    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down, self.beta = *(nn.Linear(8, 8) for _ in range(3)), nn.Parameter(torch.ones(8))

    def forward(self, x):
        return x + self.gate(x).sigmoid() * self.down(self.up(x) * self.beta)


def test_a_gate_and_the_middle_of_a_branch_are_no_scale():
    assert find_branches(nn.Sequential(nn.Linear(6, 8), Gated()), BATCH).scales == ((),)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", ["scale", "any"])
def test_zero_branch_sets_the_scale_alone(form, at):
    model = network(form, 1.0)
    record = initialize_(model, make_initializer("zero_branch", at=at), seed=0, probe=BATCH)
    assert not any(model[number].alpha.any() for number in (1, 2))
    assert all(model[number].down.weight.any() for number in (1, 2))
    assert {each.name: each.rule for each in record.parameters}["1.alpha"] == "0"
    assert "residual branches: 2, of which 2 start at zero" in str(record)


@pytest.mark.parametrize("name", ["fixup", "constnet", "zero_branch"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_branch_has_one_zero_and_learns(name, value):
    model = network("scalar", value)
    rule = make_initializer(name, at="weight") if name == "zero_branch" else make_initializer(name)
    initialize_(model, rule, seed=0, probe=BATCH)
    assert [bool(each.down.weight.any()) for each in model[1:3]] == [value == 0.0] * 2
    assert [each.alpha.item() for each in model[1:3]] == [value] * 2
    nn.init.normal_(model[3].weight, generator=torch.Generator().manual_seed(1))
    model(BATCH).square().sum().backward()
    for block in model[1:3]:
        assert bool(block.alpha.grad.any()) != bool(block.down.weight.grad.any())  # exactly one of them begins


def test_the_scale_of_a_chosen_branch_alone_is_set_and_frozen_ones_stay():
    model = network("scalar", 1.0)
    rules = {"0": "kaiming_normal", "1": {"name": "zero_branch", "at": "scale"}}
    initialize_(model, rules, seed=0, probe=BATCH)
    assert [each.alpha.item() for each in model[1:3]] == [0.0, 1.0]
    model = network("scalar", 1.0)
    model[1].alpha.requires_grad_(False)
    record = initialize_(model, make_initializer("zero_branch", at="any"), seed=0, probe=BATCH)
    assert [each.alpha.item() for each in model[1:3]] == [1.0, 0.0]
    assert not model[1].down.weight.any()
    assert "frozen" in {each.name: each.reason for each in record.untouched}["1.alpha"]


def test_a_scale_of_several_blocks_is_set_once():
    model = network("one", 1.0)
    model[2].alpha = model[1].alpha
    record = initialize_(model, make_initializer("zero_branch", at="scale"), seed=0, probe=BATCH)
    assert not model[1].alpha.any()
    assert model[2].alpha is model[1].alpha
    assert [each.aliases for each in record.parameters if each.name == "1.alpha"] == [("2.alpha",)]


def test_without_a_scale_there_is_nothing_to_set():
    model = nn.Sequential(nn.Linear(6, 8), Gated())
    with pytest.raises(InputError, match="shows no residual branch that it could start at zero"):
        initialize_(model, make_initializer("zero_branch", at="scale"), seed=0, probe=BATCH)
