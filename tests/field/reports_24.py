"""Cases of a further round of readers: a last ReLU that is off, values far too large, slices that leave nothing."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp


def scored(last):
    """Three layers, a sigmoid in the loss; the last bias is so low that a last ReLU would be off."""
    model = OneOf(lambda self, x: last(self.c(F.relu(self.b(F.relu(self.a(x)))))))
    model.a, model.b, model.c = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 1)
    nn.init.constant_(model.c.bias, -3.0)
    settings = {"loss_fn": lambda scores, y: F.binary_cross_entropy(torch.sigmoid(scores), y.to(scores.dtype))}
    return Batch(model, floats(16, 6), (floats(16, 1) > 0.2).float(), settings)


@fault(
    "discuss.pytorch.org/t/output-of-the-binary-classification-model/56327",
    "trial from no gradient at all",
    "ZI008",
    "a.weight",
    "0 of 6 parameters learn",
    never="Cause not found",
)
def a_last_relu_that_is_off_for_every_example():
    return scored(F.relu)


@healthy("own", "trial from no gradient at all", "Will learn: all 6 parameters get a gradient by step 1. ")
def scores_without_a_last_relu():
    return scored(lambda scores: scores)


def biaffine(size):
    def forward(self, x):
        return torch.einsum("bxi,ioj,byj->bxyo", self.left(x), self.between, self.right(x))

    model = OneOf(forward, left=mlp(8, 8, 6), right=mlp(8, 8, 6))
    model.between = nn.Parameter(size * torch.randn(6, 3, 6))
    settings = {"loss_fn": lambda out, y: F.cross_entropy(out.flatten(0, 2), y.flatten())}
    return Batch(model, floats(4, 5, 8), labels(3, 4, 5, 5), settings)


BIAFFINE = "suolyer/PyTorch_BERT_Biaffine_NER#3"
SMALLER = "Start with smaller values: `nn.init.normal_(model.between, std=0.02)`."


@fault(BIAFFINE, "values far too large", "ZI020", "between", SMALLER, never="Start with larger weights")
def left_over_memory_that_updates_do_not_reach():
    return biaffine(1e20)


@fault(BIAFFINE, "values far too large", "ZI013", "between", "and `between` holds values up to")
def left_over_memory_that_overflows():
    return biaffine(5e37)


@healthy("own", "values far too large", "Will learn: all 9 parameters get a gradient by step 1. ")
def a_product_of_two_sides_of_the_usual_size():
    return biaffine(0.1)


def overlap(first):
    def loss(scores, y):
        given = torch.sigmoid(scores)
        both, one, other = (each[:, first:].sum() for each in (given * y, given, y))
        return 1 - (2 * both + 1) / (one + other + 1)

    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    return Batch(model, floats(2, 3, 8, 8), (floats(2, 1, 8, 8) > 0).float(), {"loss_fn": loss})


@fault(
    "jocpae/clDice#28",
    "slice of nothing",
    "ZI007",
    "0.weight",
    "has the shape (2, 0, 8, 8), which is no value at all. at",
    never="No example",
)
def the_background_of_one_channel_is_left_out():
    return overlap(1)


@healthy("own", "slice of nothing", "Will learn: all 4 parameters get a gradient by step 1. ")
def one_channel_that_counts():
    return overlap(0)


def hardest(out):
    def loss(x):
        anchor, near, far = x.unflatten(0, (3, -1))
        chosen = ((anchor - far).norm(dim=1) - (anchor - near).norm(dim=1) < 2.0).numpy().nonzero()[0]
        return F.triplet_margin_loss(*(out(each, chosen) for each in (anchor, near, far)), margin=2.0)

    return Batch(mlp(6, 8, 4), floats(24, 6), settings={"loss_fn": loss})


@fault(
    "liorshk/facenet_pytorch#6",
    "index outside of torch",
    "ZI009",
    "0.weight",
    "torch.from_numpy(x.data.numpy()[chosen]",
)
def hard_triplets_are_taken_out_of_torch():
    return hardest(lambda x, chosen: torch.from_numpy(x.data.numpy()[chosen]))


@healthy("own", "index outside of torch", "Will learn: 3 of 4 parameters get a gradient by step 1")
def hard_triplets_by_an_index_from_outside():
    return hardest(lambda x, chosen: x[chosen])


class OwnNorm(nn.Module):
    """A batch norm written by hand."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        mean, variance = x.mean(0, keepdim=True), x.var(0, keepdim=True)
        return self.scale * (x - mean) / torch.sqrt(variance + 1e-5) + self.shift


def normed(size):
    model = nn.Sequential(nn.Linear(5, 8), OwnNorm(), nn.Tanh(), nn.Linear(8, 3))
    return Batch(model, floats(size, 5), labels(3, size), {"loss_fn": F.cross_entropy})


@fault("karpathy/makemore#22", "one example", "ZI013", "1", "-> Hand over more than one example, or divide by their")
def a_variance_over_one_example():
    return normed(1)


@healthy("own", "one example", "get a gradient by step 1")
def a_variance_over_eight_examples():
    return normed(8)
