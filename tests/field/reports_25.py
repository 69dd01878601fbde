"""Cases of a further round of readers: a softmax over one of many values, a weight of zero in the loss, a p of one."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels


def segmented(last, targets):
    def forward(self, x):
        scores = self.out(F.relu(self.body(x)))
        return last(scores.reshape(len(x), -1, scores.shape[1]))

    model = OneOf(forward, body=nn.Conv2d(1, 4, 3, padding=1), out=nn.Conv2d(4, 1, 1))
    settings = {"loss_fn": lambda given, y: F.mse_loss(given, y.to(given.dtype))}
    return Batch(model, floats(4, 1, 6, 6), targets, settings)


SOFTMAX = "jocicmarko/ultrasound-nerve-segmentation#18"


@fault(SOFTMAX, "softmax over one value", "ZI008", "out.weight", "Use a sigmoid in place of the softmax", never="dim=1")
def a_softmax_over_one_channel_of_many_pixels():
    return segmented(lambda scores: scores.softmax(-1), (floats(4, 36, 1) > 0.5).float())


@fault("own", "softmax over one value", "ZI008", "out.weight", "Use `dim=1` in the softmax", never="a sigmoid")
def a_softmax_over_one_value_where_the_targets_are_shares():
    return segmented(lambda scores: scores.softmax(-1), floats(4, 36, 1).softmax(1))


@healthy("own", "softmax over one value", "Will learn: all 4 parameters get a gradient by step 1. ")
def a_sigmoid_for_each_pixel():
    return segmented(torch.sigmoid, (floats(4, 36, 1) > 0.5).float())


def rendered(weight, mask):
    def forward(self, grid):
        distance = (grid - self.place).square().sum(-1)
        return torch.exp(-distance / torch.exp(self.size)) - 0.4

    model = OneOf(forward)
    model.place, model.size = nn.Parameter(torch.tensor([0.3, -0.2])), nn.Parameter(torch.tensor(-1.0))
    settings = {"loss_fn": lambda given, y: weight * (given - y).abs().mean() + 0.7 * (mask(given) - y).abs().mean()}
    return Batch(model, floats(8, 8, 2), (floats(8, 8) > 0).float(), settings)


@fault("NVlabs/diff-dope#1", "weight of zero", "ZI009", "place", "The comparison in the loss returns", never="by 0")
def a_hard_mask_beside_a_term_that_is_switched_off():
    return rendered(0.0, lambda given: torch.where(given > 0, 1.0, 0.0))


@healthy("own", "weight of zero", "Will learn: all 2 parameters get a gradient by step 1. ")
def a_soft_mask_beside_a_term_that_is_switched_off():
    return rendered(0.0, lambda given: torch.sigmoid(20 * given))


def dropped(p):
    layers = [OneOf(lambda self, x: F.dropout(self.map(x), p), map=nn.Linear(*sizes)) for sizes in ((6, 8), (8, 3))]
    return Batch(nn.Sequential(*layers), floats(16, 6), labels(3, 16), {"loss_fn": F.cross_entropy})


@fault(
    "diegoantognini/pyGAT#55",
    "p of one",
    "ZI012",
    "0.map.weight",
    "A dropout drops every value: its p is 1. at",
    never="more cause",
)
def true_is_taken_for_the_p_of_every_dropout():
    return dropped(True)


@healthy("own", "p of one", "Will learn: all 4 parameters get a gradient by step 1. ")
def a_dropout_of_half():
    return dropped(0.5)


class Tasks(nn.Module):
    """Two heads; the loss of a head is over the examples that its mask names."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(12, 16)
        self.heads = nn.ModuleDict({"first": nn.Linear(16, 3), "second": nn.Linear(16, 4)})

    def forward(self, x):
        return self.body(x)


@healthy("open-mmlab/mmpretrain#1530", "masked task", "2 are not used for this batch and loss")
def a_head_without_an_example_in_this_batch():
    return masked()


@healthy("open-mmlab/mmpretrain#1530", "masked task", "ok batch: 1 input tensor, not constant")
def a_mask_is_no_label():
    return masked()


def masked():
    model = Tasks()
    masks = {"first": torch.ones(8, dtype=torch.bool), "second": torch.zeros(8, dtype=torch.bool)}

    def loss(h, targets):
        total = 0 * h.sum()
        for name, head in model.heads.items():
            if masks[name].any():
                total = total + F.cross_entropy(head(h[targets[0][name]]), targets[1])
        return total

    return Batch(model, floats(8, 12), (masks, labels(3, 8)), {"loss_fn": loss})
