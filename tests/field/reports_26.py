"""Cases of a further round of readers: pieces of a body, logarithms of zero, choices in a loss, losses left out."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels


class Body(nn.Module):
    """Two layers, of which others may use the first alone."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 10)

    def forward(self, x):
        return self.last(self.first(x))


class InPieces(nn.Module):
    """Calls one piece of its body, and keeps the other under a condition or not at all."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.whole = Body(), nn.Linear(8, 3), False

    def forward(self, x):
        return self.head(self.body.first(x))


class UnderACondition(InPieces):
    """Calls the whole body where it is told to."""

    def forward(self, x):
        if self.whole:
            return self.body.last(self.body.first(x))
        return self.head(self.body.first(x))


def pieces(kind):
    return Batch(kind(), floats(16, 4), labels(3, 16), {"loss_fn": F.cross_entropy})


@fault(
    "layumi/Person_reID_baseline_pytorch#90",
    "pieces of a body",
    "ZI010",
    "body.last.weight",
    "The forward pass does not use `body.last.weight` and `body.last.bias`.",
    never="under a condition",
)
def the_last_layer_of_a_body_is_never_called():
    return pieces(InPieces)


@healthy("own", "pieces of a body", "only if `self.whole`, which is not so here")
def the_last_layer_of_a_body_is_called_on_demand():
    return pieces(UnderACondition)


def counts(start):
    model = OneOf(lambda self, x: self.rate * torch.ones_like(x))
    model.rate = nn.Parameter(torch.full((1,), start))
    x = torch.poisson(torch.full((64, 1), 4.0))
    return Batch(model, x, x, {"loss_fn": lambda rate, y: (rate - y * torch.log(rate)).mean()})


@fault(
    "pytorch/pytorch#3336", "logarithm of zero", "ZI013", "", "Add a small number: `(x + 1e-8).log()`.", never="clamp"
)
def a_rate_that_starts_at_zero():
    return counts(0.0)


@healthy("own", "logarithm of zero", "Will learn")
def a_rate_that_starts_at_one():
    return counts(1.0)


def recalled(of):
    def loss(scores, y):
        given, true = of(scores), F.one_hot(y, 4).to(scores.dtype)
        return 1 - ((given * true).sum(0) / (true.sum(0) + 1)).mean()

    return Batch(nn.Linear(6, 4), floats(16, 6), labels(4, 16), {"loss_fn": loss})


@fault(
    "shuaizzZ/Recall-Loss-PyTorch#1",
    "choice in a loss",
    "ZI009",
    "weight",
    "Use probabilities in place of what is chosen: `scores.softmax(dim)`.",
    never="what is chosen by its score",
)
def a_recall_of_the_largest_score():
    return recalled(lambda scores: F.one_hot(scores.max(1)[1], 4).to(scores.dtype))


@healthy("own", "choice in a loss", "Will learn: all 2 parameters get a gradient by step 1. ")
def a_recall_of_probabilities():
    return recalled(lambda scores: scores.softmax(1))


class Proposes(nn.Module):
    """Chooses places by scores without a gradient, and reads its features there."""

    def __init__(self):
        super().__init__()
        self.body, self.scores, self.head = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(8, 1, 1), nn.Linear(8, 4)

    def forward(self, x):
        h = F.elu(self.body(x))
        scores = self.scores(h)
        places = scores.detach().flatten(1).topk(3, 1)[1]
        found = h.gather(2, places[:, None].expand(-1, 8, -1))
        return {"scores": scores, "classes": self.head(found.mean(2))}


def proposes(weight):
    def loss(out, y):
        return F.cross_entropy(out["classes"], y) + (out["scores"].square().mean() if weight else 0)

    return Batch(Proposes(), floats(6, 3, 8), labels(4, 6), {"loss_fn": loss})


@healthy("open-mmlab/mmdetection#233", "loss left out", "2 are not used for this batch and loss")
def the_loss_of_the_proposals_is_left_out():
    return proposes(False)


@healthy("own", "loss left out", "Will learn: all 6 parameters get a gradient by step 1. ")
def the_loss_of_the_proposals_is_there():
    return proposes(True)
