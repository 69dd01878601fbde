"""Cuts: what is tied on behind one reaches the loss, also through a softmax."""

import torch
from torch import nn

from zeroinit.symmetry import inspect
from zeroinit.symmetry.verdict.passes.calls import Calls
from zeroinit.symmetry.verdict.search.cuts import cuts


class Gated(nn.Module):
    """Opens gates by a comparison, or by a sigmoid, and shares them out with a softmax."""

    def __init__(self, is_hard: bool):
        super().__init__()
        self.is_hard, self.scores, self.out = is_hard, nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        scores = self.scores(x)
        return self.out(((scores > 0).to(x.dtype) if self.is_hard else torch.sigmoid(scores)).softmax(-1))


def looked_at(is_hard: bool):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return inspect(Gated(is_hard), torch.randn(16, 6), torch.randint(3, (16,)))


def test_a_comparison_in_front_of_a_softmax_is_named():
    """A softmax takes out what is the same for all of its values, so what is tied on must differ."""
    (warning,) = looked_at(is_hard=True).warnings
    assert warning.code == "ZI009"
    assert "The comparison in `Gated.forward` returns" in warning.message


def test_a_sigmoid_in_front_of_a_softmax_learns():
    assert looked_at(is_hard=False).warnings == ()


class Written(nn.Module):
    """Writes the values of its layer, or zeros, into a new one."""

    def __init__(self, copies: bool):
        super().__init__()
        self.layer, self.copies = nn.Linear(6, 3), copies

    def forward(self, x):
        fast = nn.Linear(6, 3)
        fast.weight.data.copy_(self.layer.weight.data if self.copies else torch.zeros(3, 6))
        return fast(x)


def first_cut(copies: bool):
    model = Written(copies)
    with Calls(model) as calls:
        model(torch.randn(4, 6))
    return next(cuts(calls, model), None)


def test_values_of_a_layer_that_are_written_into_a_new_one_are_a_copy():
    found = first_cut(copies=True)
    assert found is not None
    assert found.change.uncopied
    assert "no gradient leads back from a copy" in found.text


def test_other_values_are_no_copy():
    found = first_cut(copies=False)
    assert found is None or not found.change.uncopied
