"""Norms, activations, softmaxes and rounding that let no gradient through."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp


@fault("pytorch/pytorch#108956", "norm over one value", "ZI011", "0", "layer norm in `3` is over one value")
def layer_norm_over_one_feature():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.LayerNorm(1), nn.Linear(1, 4))
    return Batch(model, floats(32, 8), labels(4, 32))


@fault("own", "norm over one value", "ZI011", "0", "group norm in `1` is over one value")
def group_norm_with_a_channel_for_each_group():
    model = nn.Sequential(nn.Linear(8, 6), nn.GroupNorm(6, 6), nn.ReLU(), nn.Linear(6, 4))
    nn.init.ones_(model[1].bias)
    return Batch(model, floats(32, 8), labels(4, 32))


@healthy("own", "norm over one value")
def layer_norm_over_two_features():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    return Batch(model, floats(32, 8), labels(4, 32))


@fault("FluxML/Flux.jl#1546", "softmax over one value", "ZI008", "0", "softmax in `3` is over one value")
def softmax_of_one_output():
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Softmax(1))
    return Batch(model, floats(32, 2), torch.rand(32, 1))


@fault("own", "softmax over one value", "ZI008", "0", "Cross entropy over one class is always zero")
def cross_entropy_over_one_class():
    return Batch(mlp(4, 8, 1), floats(16, 4), torch.zeros(16, dtype=torch.long))


@fault("own", "softmax over one value", "ZI008", "q", "over one value")
def attention_normalized_over_the_wrong_axis():
    """One query, and a softmax over the queries."""
    model = OneOf(
        lambda m, x: m.head(((m.q(x[:, :1]) @ m.k(x).transpose(1, 2)).softmax(1) @ m.v(x)).sum(1)),
        q=nn.Linear(6, 6), k=nn.Linear(6, 6), v=nn.Linear(6, 6), head=nn.Linear(6, 3),
    )  # fmt: skip
    return Batch(model, floats(8, 5, 6), labels(3, 8))


@healthy("own", "softmax over one value")
def softmax_of_two_outputs():
    return Batch(
        nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 2), nn.Softmax(1)), floats(32, 2), torch.rand(32, 2)
    )


class OneKey(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.attend(x, x[:, :1], x[:, :1])[0].mean(1))


@fault("own", "one key", "ZI007", "q", "its inputs are so small")
def attention_over_a_single_key():
    model = OneOf(
        lambda m, x, y: m.head(F.scaled_dot_product_attention(m.q(x), m.k(y), m.v(y)).mean(1)),
        q=nn.Linear(6, 6), k=nn.Linear(6, 6), v=nn.Linear(6, 6), head=nn.Linear(6, 3),
    )  # fmt: skip
    return Batch(model, (floats(8, 5, 6), floats(8, 1, 6)), labels(3, 8))


@healthy("own", "one key")
def attention_over_two_keys():
    model = OneOf(
        lambda m, x, y: m.head(F.scaled_dot_product_attention(m.q(x), m.k(y), m.v(y)).mean(1)),
        q=nn.Linear(6, 6), k=nn.Linear(6, 6), v=nn.Linear(6, 6), head=nn.Linear(6, 3),
    )  # fmt: skip
    return Batch(model, (floats(8, 5, 6), floats(8, 2, 6)), labels(3, 8))


@fault("own", "dead units", "ZI005", "0", "27 of 64 units in `0` are dead")
def some_units_far_below_zero():
    model = mlp(10, 64, 5)
    model[0].bias.data[:27] = -50.0
    return Batch(model, torch.rand(64, 10), labels(5, 64))


@fault("own", "dead units", "ZI005", "0", "3 of 8 channels in `0` are dead")
def some_channels_far_below_zero():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    model[0].bias.data[2:5] = -60.0
    return Batch(model, floats(8, 3, 8, 8), labels(4, 8))


@healthy("own", "dead units")
def deep_rectifiers_on_a_small_batch():
    return Batch(mlp(8, *[16] * 8, 3), floats(8, 8), labels(3, 8))


@fault("own", "dead layer", "ZI008", "2", "ReLU in `3` is off for every input")
def a_layer_far_below_zero():
    model = mlp(8, 16, 16, 3)
    nn.init.constant_(model[2].bias, -100.0)
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "dead layer", "ZI008", "0", "is saturated for every input")
def sigmoid_far_out():
    model = mlp(8, 16, 3, activation=nn.Sigmoid)
    nn.init.constant_(model[0].bias, 800.0)
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "dead layer", "ZI008", "net.0", "cuts off every value of the batch")
def outputs_clamped_below_what_they_are():
    model = OneOf(lambda m, x: m.net(x).clamp(100.0, 200.0), net=mlp(8, 16, 1))
    return Batch(model, floats(16, 8), floats(16, 1) + 150)


@fault("own", "rounding", "ZI008", "below", "round in")
def rounded_activations():
    model = OneOf(lambda m, x: m.above(m.below(x).round()), below=nn.Linear(8, 8), above=nn.Linear(8, 3))
    return Batch(model, 5 * floats(16, 8), labels(3, 16))


@healthy("own", "rounding")
def rounded_with_a_straight_through_gradient():
    def run(m, x):
        hidden = m.below(x)
        return m.above(hidden + (hidden.round() - hidden).detach())

    return Batch(OneOf(run, below=nn.Linear(8, 8), above=nn.Linear(8, 3)), floats(16, 8), labels(3, 16))


@fault("own", "died", "ZI014", "0", "got a gradient until step")
def a_first_step_that_kills_every_unit():
    return Batch(
        mlp(10, 32, 1), torch.rand(64, 10) * 10, torch.zeros(64, 1) - 300,
        {"optimizer": "sgd", "learning_rate": 0.05, "steps": 8},
    )  # fmt: skip


@fault("own", "diverges", "ZI015", "", "The loss grows from")
def a_learning_rate_that_is_too_large():
    return Batch(
        nn.Linear(10, 1), 10 * floats(64, 10), floats(64, 1), {"optimizer": "sgd", "learning_rate": 0.5, "steps": 6}
    )


@healthy("own", "died")
def the_same_with_a_smaller_learning_rate():
    return Batch(
        mlp(10, 32, 1), torch.rand(64, 10) * 10, torch.zeros(64, 1) - 300,
        {"optimizer": "sgd", "learning_rate": 0.00001, "steps": 8},
    )  # fmt: skip


@healthy("own", "died")
def a_hinge_loss_that_is_satisfied():
    """Once every margin is kept the loss is zero, and so are all gradients."""
    model = nn.Linear(4, 1, bias=False)
    nn.init.constant_(model.weight, 0.45)
    loss = {"loss_fn": lambda out: torch.relu(1 - out).sum(), "optimizer": "sgd", "learning_rate": 0.01, "steps": 8}
    return Batch(model, torch.full((8, 4), 0.25) + torch.eye(4).repeat(2, 1), None, loss)


@fault("own", "dropout", "ZI012", "0", "drops every value: its p is 1")
def dropout_of_everything():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(1.0), nn.Linear(8, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "dropout")
def dropout_of_a_half():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "norm over one value", "ZI012", "a", "is over one value, so only its sign is left")
def one_value_divided_by_its_norm():
    model = OneOf(lambda m, x: m.head(F.normalize(m.a(x), dim=-1)), a=nn.Linear(8, 1), head=nn.Linear(1, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "rounding", "has no effect")
def a_bias_that_is_differentiated_away():
    """A loss on the derivative of the output, as for a differential equation."""

    def run(m, x):
        x = x.clone().requires_grad_(True)
        return torch.autograd.grad(m.net(x).sum(), x, create_graph=True)[0]

    return Batch(OneOf(run, net=mlp(1, 8, 8, 1, activation=nn.Tanh)), floats(16, 1), floats(16, 1))
