"""Cases of a fourteenth reader, who asked of own training scripts: trainers, schedules, own ``train`` methods."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}
LEARNS = "Will learn: all 4 parameters get a gradient by step 1. "


class Trainer:
    """It holds the model, and an optimizer that has taken a step."""

    def __init__(self, model, uses_weights):
        self.model, self.uses_weights = model, uses_weights
        self.optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(2, 6)).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def loss(self, output, target):
        size = sum(each.square().sum() for each in self.model.parameters()) if self.uses_weights else 0
        return F.cross_entropy(output, target) + 1e-3 * size


def resumed(uses_weights):
    model = mlp(6, 8, 3)
    return Batch(model, floats(16, 6), labels(3, 16), {"loss_fn": Trainer(model, uses_weights).loss})


@healthy("sthalles/SimCLR#8", "trainer", LEARNS)
def a_loss_of_a_trainer_whose_optimizer_has_state():
    """Parameters are the keys of that state, which is no use of them."""
    return resumed(False)


@healthy("own", "trainer", LEARNS)
def a_loss_of_a_trainer_that_uses_the_weights():
    return resumed(True)


class Attention(nn.Module):
    """It returns its result and its weights."""

    def __init__(self):
        super().__init__()
        self.query, self.value = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        weights = (self.query(x) @ x.mT).softmax(-1)
        return weights @ self.value(x), weights


def with_attention(uses):
    def forward(self, x):
        mixed, _ = self.mix(x)
        return self.out((x + mixed if uses else x).mean(1))

    return Batch(OneOf(forward, mix=Attention(), out=nn.Linear(8, 3)), floats(16, 5, 8), labels(3, 16), CROSS_ENTROPY)


@fault("lucidrains/audiolm-pytorch#265", "dropped", "ZI010", "mix.query", "What `mix` computes is thrown away")
def an_own_part_all_of_whose_results_are_dropped():
    """Several results of a part are no results of the model. The outermost part is named."""
    return with_attention(False)


@healthy("own", "dropped", "Will learn: all 6 parameters")
def an_own_part_one_of_whose_results_is_used():
    return with_attention(True)


def scheduled(steps, lowest):
    model = mlp(6, 8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(lowest, 1 - step / 5) if steps else step / 5
    )
    for _ in range(steps):
        model(torch.randn(2, 6)).sum().backward()
        optimizer.step()
        schedule.step()
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


@fault("CodefyUI/CodefyUI#205", "schedule", "ZI018", "0", "is 0, so they will never move")
def a_schedule_that_has_run_to_its_end():
    return scheduled(6, 0.0)


@healthy("own", "schedule", LEARNS)
def a_schedule_that_starts_at_zero():
    return scheduled(0, 0.0)


@healthy("own", "schedule", LEARNS)
def a_schedule_that_ends_above_zero():
    return scheduled(6, 0.1)


class PartlyFrozen(nn.Module):
    """Its own ``train`` freezes a norm."""

    def __init__(self, freezes):
        super().__init__()
        self.body, self.norm, self.out, self.freezes = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3), freezes

    def train(self, mode=True):
        super().train(mode)
        if mode and self.freezes:
            self.norm.eval().requires_grad_(False)
        return self

    def forward(self, x):
        return self.out(F.relu(self.norm(self.body(x))))


def validated(freezes):
    model = PartlyFrozen(freezes)
    model.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


@healthy("mit-han-lab/temporal-shift-module", "train method", LEARNS)
def a_train_method_that_freezes():
    """In eval mode nothing is frozen yet."""
    return validated(True)


@healthy("own", "train method", "Will learn: 5 of 6 parameters")
def a_train_method_that_freezes_nothing():
    return validated(False)


def rounded(passes):
    def loss(output, target):
        kept = output.sigmoid().clip(0.99, 1)
        hard = kept.round() if not passes else output.sigmoid()
        return 1 - (hard * target).sum() / (hard + target).sum()

    return Batch(mlp(6, 8, 3), floats(16, 6), labels(2, 16, 3).float(), {"loss_fn": loss})


@fault(
    "keras-team/keras#2994", "several cuts", "ZI008", "0", "have no slope, one behind the other, for the whole batch"
)
def a_rounding_behind_a_clamp():
    return rounded(False)


@healthy("own", "several cuts", LEARNS)
def no_rounding_and_no_clamp():
    return rounded(True)
