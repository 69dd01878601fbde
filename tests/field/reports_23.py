"""Cases of a further round of readers: norms with a large epsilon, choices behind a cut, straight-through lines."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault, floats, healthy, mlp


def denoiser(*epsilon):
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()]
    for _ in range(12):
        layers += [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, *epsilon), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(8, 1, 3, padding=1, bias=False))
    return Batch(model, floats(4, 1, 8, 8), floats(4, 1, 8, 8), {"loss_fn": F.mse_loss})


@fault(
    "Culaccino-matpy/DnCNN#1",
    "large epsilon",
    "ZI020",
    "0.weight",
    "`eps` is 64 in 12 norms. That is far more than the variance there, so the signal shrinks. "
    "-> Use the default, `eps=1e-05`.",
    never="activation",
)
def the_number_of_channels_is_taken_for_epsilon():
    return denoiser(64)


@fault("own", "large epsilon", "ZI020", "0.weight", "17 of 39 parameters will not learn")
def scales_of_norms_whose_updates_are_lost():
    return denoiser(64)


@healthy("own", "large epsilon", "Will learn: all 39 parameters get a gradient by step 1. ")
def a_denoiser_with_the_usual_epsilon():
    return denoiser()


class Codes(nn.Module):
    """Chooses an entry of a fixed table for each place, and decodes it."""

    def __init__(self, gives_gradient):
        super().__init__()
        self.gives_gradient = gives_gradient
        self.encoder, self.scores, self.decoder = nn.Linear(6, 8), nn.Linear(8, 10), nn.Linear(8, 3)
        self.register_buffer("table", torch.randn(10, 8))

    def forward(self, x):
        soft = self.scores(F.relu(self.encoder(x))).softmax(-1)
        if self.gives_gradient:
            return self.decoder(soft @ self.table)
        chosen = self.table[soft.argmax(-1)]
        chosen = chosen.detach()
        return self.decoder(chosen)


def codes(gives_gradient):
    return Batch(Codes(gives_gradient), floats(8, 5, 6), floats(8, 5, 3), {"loss_fn": F.l1_loss})


@fault(
    "sczhou/CodeFormer#171",
    "choice behind a cut",
    "ZI009",
    "scores.weight",
    "4 of 6 parameters will not learn: 2 operations cut",
    never="thrown away",
)
def an_argmax_and_then_a_detach():
    return codes(False)


@healthy("own", "choice behind a cut", "Will learn: all 6 parameters get a gradient by step 1. ")
def a_mean_over_the_table():
    return codes(True)


class Quantizes(nn.Module):
    """Replaces what it encodes by the nearest entry of a codebook."""

    def __init__(self, loss_of):
        super().__init__()
        self.encoder, self.codebook, self.decoder = mlp(6, 8, 4), nn.Embedding(7, 4), mlp(4, 8, 6)
        self.loss_of = loss_of

    def forward(self, x):
        z = self.encoder(x)
        nearest = self.codebook(torch.cdist(z, self.codebook.weight).argmin(-1))
        passed = z + (nearest - z).detach()
        given = passed if self.loss_of == "passed" else nearest
        return F.mse_loss(self.decoder(passed), x) + F.mse_loss(given, z.detach()) + F.mse_loss(given.detach(), z)


@fault(
    "andylolu2/jax-vqvae-gpt#2",
    "straight-through line",
    "ZI009",
    "codebook.weight",
    "makes a straight-through estimator, which gives `codebook.weight` no gradient.",
    never="Remove `detach()`",
)
def the_codebook_loss_comes_after_the_straight_through_line():
    return Batch(Quantizes("passed"), floats(16, 6))


@healthy("own", "straight-through line", "Will learn: all 9 parameters get a gradient by step 1. ")
def the_codebook_loss_comes_before_it():
    return Batch(Quantizes("nearest"), floats(16, 6))


class Meta(nn.Module):
    """One inner step for each task; the losses before and after it are kept."""

    def __init__(self, after):
        super().__init__()
        self.after = after
        self.weight, self.bias = nn.Parameter(torch.randn(3, 4) * 0.5), nn.Parameter(torch.zeros(3))

    def forward(self, x, y):
        before = after = 0
        for one, target in zip(x, y, strict=True):
            own = list(self.parameters())
            gradients = torch.autograd.grad(F.mse_loss(F.linear(one, *own), target), own, create_graph=True)
            fast = [each - 0.1 * of for each, of in zip(own, gradients, strict=True)]
            with torch.no_grad():
                before = before + F.mse_loss(F.linear(one, *own), target)
            if self.after:
                after = after + F.mse_loss(F.linear(one, *fast), target)
            else:
                with torch.no_grad():
                    after = after + F.mse_loss(F.linear(one, *fast), target)
        return after / len(x)


@fault(
    "dragen1860/MAML-Pytorch#40",
    "two blocks",
    "ZI009",
    "weight",
    "reports_23.py:132: with torch.no_grad()",
)
def both_losses_of_a_task_under_no_grad():
    return Batch(Meta(False), (floats(3, 6, 4), floats(3, 6, 3)))


@healthy("own", "two blocks", "Will learn: all 2 parameters get a gradient by step 1. ")
def the_loss_after_the_inner_step_with_gradients():
    return Batch(Meta(True), (floats(3, 6, 4), floats(3, 6, 3)))
