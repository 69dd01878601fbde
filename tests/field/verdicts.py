"""Own cases about the verdict and the checks: weights that do not move, and parameters that the loss alone has."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

ALIVE: list[torch.optim.Optimizer] = []
"""Optimizers of other models, as a training script has them beside the one that is handed over."""


def deep(count: int, activation: type[nn.Module], width: int = 16) -> nn.Sequential:
    layers = [part for _ in range(count) for part in (nn.Linear(width, width), activation())]
    return nn.Sequential(nn.Linear(8, width), *layers, nn.Linear(width, 3))


@fault("own", "vanishing gradients", "ZI020", "0.weight", "40 activations (sigmoid)", never="ok precision")
def forty_sigmoid_layers_under_weight_decay():
    """AdamW decays every weight a little, so all of them change; the gradient adds nothing to the lower ones."""
    model = deep(40, nn.Sigmoid)
    return Batch(model, floats(32, 8), labels(3, 32), {"optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3)})


@fault("own", "vanishing gradients", "ZI020", "0.weight", "weights are so small", never="ok gradients")
def small_weights_in_a_deep_network():
    """Weights of 0.001 in 12 layers: each divides the gradient by 500."""
    model = deep(12, nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
    return Batch(model, floats(32, 8), labels(3, 32), {"optimizer": "sgd"})


@fault("own", "vanishing gradients", "ZI020", "0.weight", "Raise the learning rate", never="so small that it shrinks")
def a_loss_scaled_to_nothing():
    """The loss is divided by a billion, so plain SGD changes no value."""
    model = mlp(8, 16, 3)
    settings = {"optimizer": "sgd", "loss_fn": lambda scores, classes: 1e-9 * F.cross_entropy(scores, classes)}
    return Batch(model, floats(32, 8), labels(3, 32), settings)


@healthy("own", "vanishing gradients")
def gates_that_open_slowly():
    """Zero gates and a small learning rate: updates behind them are tiny at first, and grow from step to step."""

    def forward(self, x):
        for layer, gate in zip(self.layers, self.gates, strict=True):
            x = x + gate * torch.tanh(layer(x))
        return self.head(x)

    layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
    gates = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(6))
    model = OneOf(forward, layers=layers, gates=gates, head=nn.Linear(8, 3))
    return Batch(model, floats(32, 8), labels(3, 32), {"optimizer": "sgd", "learning_rate": 1e-4})


@healthy("own", "vanishing gradients", "updates survive in float32")
def twelve_tanh_layers():
    """Deep, with gradients that shrink, but not to rounding."""
    return Batch(deep(12, nn.Tanh), floats(32, 8), labels(3, 32), {"optimizer": "sgd"})


class Weighted(nn.Module):
    """A perceptual loss: a fixed network in eval mode, and a learned logarithm of a variance."""

    def __init__(self):
        super().__init__()
        self.network = mlp(6, 8, 8).eval()
        self.log_variance = nn.Parameter(torch.zeros(1))

    def forward(self, output, target):
        error = (self.network(output) - self.network(target)).square().mean()
        return error / self.log_variance.exp() + self.log_variance.sum()


@fault("own", "parameters of the loss", "ZI018", "log_variance", "moves 4 of 5 parameters", never="network.0.weight")
def a_variance_in_the_loss_that_no_optimizer_holds():
    """The loss learns a variance, but the optimizer was made of the model alone; its fixed network need not learn."""
    model = mlp(8, 16, 6)
    settings = {"loss_fn": Weighted(), "optimizer": torch.optim.Adam(model.parameters())}
    return Batch(model, floats(16, 8), floats(16, 6), settings)


@fault("own", "parameters of the loss", "ZI018", "balance", "[balance]")
def task_weights_in_a_closure():
    """The weights of two losses are a parameter beside the model, and the optimizer was made without it."""
    model, balance = mlp(8, 16, 4), nn.Parameter(torch.zeros(2))

    def loss_fn(output, target):
        first, second = F.mse_loss(output, target), output.abs().mean()
        return (-balance).exp()[0] * first + (-balance).exp()[1] * second + balance.sum()

    settings = {"loss_fn": loss_fn, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
    return Batch(model, floats(16, 8), floats(16, 4), settings)


@healthy("own", "parameters of the loss", "moves 4 of 4 parameters")
def a_discriminator_with_an_optimizer_of_its_own():
    """The generator's loss goes through the discriminator, which another optimizer trains."""
    generator, judge = mlp(8, 16, 6), mlp(6, 8, 1)
    ALIVE.append(torch.optim.Adam(judge.parameters()))
    settings = {
        "loss_fn": lambda image: F.softplus(-judge(image)).mean(),
        "optimizer": torch.optim.Adam(generator.parameters()),
    }
    return Batch(generator, floats(16, 8), None, settings)


@healthy("own", "parameters of the loss", "moves 4 of 4 parameters")
def a_schedule_that_warms_up_from_zero():
    """The learning rate is 0 before the first update, because a schedule warms it up."""
    model = mlp(8, 16, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    return Batch(model, floats(16, 8), labels(3, 16), {"optimizer": optimizer})
