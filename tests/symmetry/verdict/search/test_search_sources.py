"""Source of classes: what forward reaches, and what ``__init__`` computes once."""

import torch
from torch import nn

from zeroinit.symmetry.verdict.search.sources import computed_once, reached_text


class Base(nn.Module):
    def forward(self, x):
        return x * self.base

    def unreached(self, x):
        return x * self.elsewhere


class Reaching(Base):
    """Its forward reaches a method, a property, and the forward of the class above."""

    def __init__(itself):
        super().__init__()
        itself.base = itself.elsewhere = nn.Parameter(torch.ones(1))
        raw = nn.Parameter(torch.zeros(3))
        itself.raw, itself.count = raw, 2 * raw.numel()
        shares = torch.softmax(raw.data, 0)
        itself.shares = shares.clone()
        itself.start = 1 * itself.raw.detach()

    @property
    def gain(itself):
        return itself.shares + itself.count

    def _scaled(itself, x):
        return x * itself.gain

    def forward(itself, x):
        return itself._scaled(super().forward(x))


def test_the_text_that_forward_reaches():
    text = reached_text(Reaching)
    assert all(f"self.{name}" in text for name in ("_scaled", "gain", "shares", "base"))
    assert "self.elsewhere" not in text
    assert "self.raw" not in text


def test_a_tensor_that_is_computed_once():
    """A number is none, nor is a tensor that forward does not read."""
    assert computed_once("raw", Reaching()) == (Reaching, "shares", "torch.softmax(self.raw, 0)")
    assert computed_once("base", Reaching()) == (None, "", "")
    inside = nn.Sequential(nn.Identity(), Reaching())
    assert computed_once("1.raw", inside)[1] == "shares"
