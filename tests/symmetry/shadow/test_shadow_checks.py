"""Models without anything to train: the message names what is there, and what to type."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry import inspect


class Plain(nn.Module):
    """Tensors of a state dict as attributes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(4, 3)

    def forward(self, x):
        return x @ self.weight


def test_plain_tensors_are_named():
    with pytest.raises(InputError, match=r"has no parameter; weight is a plain tensor: register it as nn.Parameter\("):
        inspect(Plain(), torch.randn(8, 4))


def test_frozen_parameters_are_asked_for():
    with pytest.raises(InputError, match="has no trainable parameter; set requires_grad=True"):
        inspect(nn.Linear(4, 3).requires_grad_(False), torch.randn(8, 4))
