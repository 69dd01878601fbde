"""Cases of a fourth reader of public reports: made in forward, numbers, precision, frozen adapters, choices."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels

CROSS_ENTROPY = {"loss_fn": nn.CrossEntropyLoss()}


class HeadInForward(nn.Module):
    """Its head is a new layer at each pass, assigned to the module."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv1d(3, 8, 3, padding=1)
        self.out = None

    def forward(self, x):
        h = F.silu(self.features(x)).mean(-1)
        self.out = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))
        return self.out(h)


@fault("Project-MONAI/MONAI#8578", "made in forward", "ZI016", "", "`self.out` is assigned inside")
def head_assigned_in_forward():
    model = HeadInForward()
    settings = {"loss_fn": nn.MSELoss(), "optimizer": torch.optim.Adam(model.parameters())}
    return Batch(model, floats(12, 3, 10), floats(12, 1), settings)


@fault("Project-MONAI/MONAI#8578", "made in forward", "ZI016", "out", "`self.out` is assigned inside")
def head_assigned_in_forward_after_a_pass():
    model = HeadInForward()
    model(floats(2, 3, 10))
    return Batch(model, floats(12, 3, 10), floats(12, 1), {"loss_fn": nn.MSELoss()})


class HeadOnce(nn.Module):
    """Its head is made in the first pass, in the size that the features have."""

    def __init__(self):
        super().__init__()
        self.features = nn.Linear(6, 8)
        self.built = False

    def forward(self, x):
        h = F.relu(self.features(x))
        if not self.built:
            self.out, self.built = nn.Linear(h.shape[1], 3), True
        return self.out(h)


@fault("own", "made in forward", "ZI016", "", "in the first pass, so an optimizer made before")
def head_made_in_the_first_pass():
    return Batch(HeadOnce(), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "made in forward")
def head_made_in_a_pass_before():
    model = HeadOnce()
    model(floats(2, 6))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "made in forward")
def weights_tied_in_forward():
    def run(self, x):
        self.back.weight = self.there.weight
        return self.back(F.relu(self.there(x)))

    model = OneOf(run, there=nn.Linear(8, 8), back=nn.Linear(8, 8))
    model.back.weight = model.there.weight
    return Batch(model, floats(16, 8), floats(16, 8))
