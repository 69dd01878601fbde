"""Stacked matrices of one's own: the source of the class tells which axis the inputs meet, or a warning comes."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from zeroinit._common import InputError
from zeroinit.init import InitWarning, initialize_

HE = {"w_in": math.sqrt(2 / 16), "w_out": math.sqrt(2 / 256)}
"""Standard deviations for 16 inputs and 256 hidden units."""


class Experts(nn.Module):
    def __init__(self, inputs_first: bool):
        super().__init__()
        shapes = {"w_in": (4, 16, 256), "w_out": (4, 256, 16)}
        for name, (count, inputs, units) in shapes.items():
            shape = (count, inputs, units) if inputs_first else (count, units, inputs)
            setattr(self, name, nn.Parameter(torch.empty(shape)))


class BmmExperts(Experts):
    def forward(self, x):
        return torch.bmm(torch.relu(torch.bmm(x, self.w_in)), self.w_out)


class OperatorExperts(Experts):
    def forward(self, x):
        return torch.stack([torch.relu(x @ w_in) @ w_out for w_in, w_out in zip(self.w_in, self.w_out, strict=True)])


class EinsumExperts(Experts):
    def forward(self, x):
        hidden = torch.einsum("end,edh->enh", x, self.w_in)
        return torch.einsum("e n h, e h d -> e n d", hidden.relu(), self.w_out.to(x.dtype))


class TurnedExperts(Experts):
    def forward(self, x):
        return torch.bmm(torch.bmm(x, self.w_in.transpose(1, 2)).relu(), self.w_out.mT)


class LinearExperts(Experts):
    def forward(self, x):
        return torch.stack([functional.linear(functional.linear(x, self.w_in[e]), self.w_out[e]) for e in range(4)])


class EinsumOtherExperts(Experts):
    def forward(self, x):
        return torch.einsum("enh,edh->end", torch.einsum("end,ehd->enh", x, self.w_in), self.w_out)


@pytest.mark.parametrize(
    "kind", [BmmExperts, OperatorExperts, EinsumExperts, TurnedExperts, LinearExperts, EinsumOtherExperts]
)
def test_the_source_of_the_class_tells_the_axis_of_the_inputs(kind):
    model = kind(kind in (BmmExperts, OperatorExperts, EinsumExperts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = initialize_(model, "kaiming_normal", seed=0)
    for name, std in HE.items():
        assert getattr(model, name).std().item() == pytest.approx(std, rel=0.05)
    assert "without a bias" not in str(record)


class SilentExperts(Experts):
    """Another module multiplies by the weights."""


class ContradictingExperts(Experts):
    def forward(self, x):
        return x @ self.w_in + functional.linear(x, self.w_in)


@pytest.mark.parametrize("kind", [SilentExperts, ContradictingExperts])
def test_a_guess_is_announced(kind):
    message = r"takes 'w_in', 'w_out' as \(matrices, units, inputs\), with 256 inputs and 16 units in the first"
    with pytest.warns(InitWarning, match=message):
        initialize_(kind(True), "kaiming_normal", seed=0)
    with pytest.raises(InputError, match="strict=True"):
        initialize_(kind(True), "kaiming_normal", seed=0, strict=True)


def test_a_size_tells_and_a_fixed_standard_deviation_needs_no_axis():
    model = SilentExperts(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize_(model, {"w_in": nn.init.zeros_, "w_out": nn.init.zeros_})
        model.hidden_size = 16
        initialize_(model, "kaiming_normal", seed=0)
    assert model.w_in.std().item() == pytest.approx(HE["w_in"], rel=0.05)
