"""Cases of a further reader: gates closed at zero, results dropped, arguments never passed, updates rounded away."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed

CLOSED = "Each of these is off for every input of the batch: the ReLU in `gates.0` and the ReLU in `gates.1`."


class Gate(nn.Module):
    def __init__(self, width, count, activation):
        super().__init__()
        self.linear, self.activation = zeroed(nn.Linear(width, count, bias=False)), activation

    def forward(self, past):
        shares = self.activation(self.linear(past[-1]))
        return sum(shares[..., at : at + 1] * each for at, each in enumerate(past))


def gated(activation):
    def forward(self, x):
        past = [self.embed(x)]
        last = past[0]
        for layer, gate in zip(self.layers, self.gates, strict=True):
            past.append(layer(last))
            last = gate(past)
        return self.out(last)

    layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
    gates = nn.ModuleList(Gate(16, at + 2, activation) for at in range(2))
    model = OneOf(forward, embed=nn.Linear(8, 16), layers=layers, gates=gates, out=nn.Linear(16, 5))
    return Batch(model, floats(32, 8), labels(5, 32))


@fault(
    "lucidrains/deep-cross-attention#2",
    "closed gates",
    "ZI008",
    "gates.0.linear.weight",
    CLOSED,
    never="the other gets no gradient",
)
def two_gates_closed_at_zero():
    return gated(torch.relu)


@healthy("lucidrains/deep-cross-attention#2", "closed gates")
def two_gates_with_a_slope_at_zero():
    return gated(F.leaky_relu)


def multiplied(activation):
    def forward(self, x):
        x = activation(self.first(x)) * self.a(x)
        return self.out(activation(self.second(self.b(x))) * self.b(x))

    gates = {name: zeroed(nn.Linear(8, 1, bias=False)) for name in ("first", "second")}
    return Batch(OneOf(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 8), out=nn.Linear(8, 3), **gates), floats(32, 8))


@fault("own", "closed gates", "ZI008", "a", "in each of 2 calls", never="once other parameters have changed")
def two_gates_in_one_forward_pass():
    return multiplied(torch.relu)


@healthy("own", "closed gates")
def two_gates_in_one_forward_pass_with_a_slope():
    return multiplied(F.leaky_relu)


@fault("own", "closed gates", "ZI006", "0", "both start at zero", never="the other gets no gradient")
def zeros_of_which_only_the_first_frees_the_other():
    """The ReLU at zero holds the first one, whatever the second one is."""
    model = nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 3))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[2].weight)
    return Batch(model, floats(32, 8), labels(3, 32))


def actor_and_critic(chosen, critic=None):
    def forward(self, state, action):
        self.action = self.actor(state)
        return self.critic(torch.cat([state, self.action if chosen else action], 1))

    model = OneOf(forward, actor=mlp(4, 16, 2), critic=critic or mlp(6, 16, 1))
    settings = {"loss_fn": lambda value: -value.mean(), "optimizer": torch.optim.Adam(model.actor.parameters())}
    return Batch(model, (floats(32, 4), floats(32, 2)), None, settings)


@fault(
    "MorvanZhou/Reinforcement-learning-with-tensorflow#124",
    "result dropped",
    "ZI010",
    "actor.0",
    "Will not learn as it is: what `actor` computes is thrown away.",
    never="Make the optimizer of what is to learn",
)
def an_actor_whose_action_is_dropped():
    return actor_and_critic(chosen=False)


@fault("own", "result dropped", "ZI010", "actor.0", "what `actor` computes is thrown away", never="ZI018")
def an_actor_whose_action_is_dropped_beside_one_layer():
    return actor_and_critic(chosen=False, critic=nn.Linear(6, 1))


@healthy("MorvanZhou/Reinforcement-learning-with-tensorflow#124", "result dropped")
def an_actor_whose_action_is_judged():
    return actor_and_critic(chosen=True)


class Temporal(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.time = nn.Linear(8, 8), nn.Linear(4, 8)

    def forward(self, x, emb=None):
        x = self.mix(x)
        if emb is not None:
            x = x + self.time(emb)
        return x


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.temporal, self.out = nn.Linear(6, 8), Temporal(), nn.Linear(8, 3)

    def forward(self, x, emb=None):
        return self.out(torch.tanh(self.temporal(self.enter(x))))


class TimedVideo(Video):
    def forward(self, x, emb=None):
        return self.out(torch.tanh(self.temporal(self.enter(x), emb)))


@fault(
    "TIGER-AI-Lab/ConsistI2V#26",
    "argument never passed",
    "ZI010",
    "temporal.time",
    "only if `emb is not None`, and `Video.forward` calls `temporal` without `emb`.",
    never="not used for this batch",
)
def a_layer_whose_argument_is_never_passed():
    return Batch(Video(), floats(16, 6), labels(3, 16))


@healthy("TIGER-AI-Lab/ConsistI2V#26", "argument never passed", "which is not so here")
def a_layer_whose_argument_the_user_leaves_out():
    return Batch(TimedVideo(), floats(16, 6), labels(3, 16))


class Scaled(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes, bias=False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return F.linear(x, self.weight * self.scale)


def scaled(rate, momentum=0.0):
    model = nn.Sequential(Scaled(6, 16), nn.BatchNorm1d(16, eps=1e-3), nn.ReLU(), nn.Linear(16, 4))
    return Batch(
        model, floats(64, 6), labels(4, 64), {"optimizer": torch.optim.SGD(model.parameters(), rate, momentum)}
    )


@healthy("Xilinx/brevitas#557", "update rounded away", "Every update of `0.scale` is lost in float32")
def a_scale_whose_updates_are_rounded_away():
    return scaled(1e-5)


@healthy("Xilinx/brevitas#557", "update rounded away", "ok optimizer: moves 6 of 6 parameters")
def a_scale_that_moves():
    return scaled(1.0)


@healthy("own", "update rounded away", "ok optimizer: moves 6 of 6 parameters")
def a_scale_that_momentum_will_move():
    return scaled(1e-5, 0.9)


class Gains(nn.Module):
    def __init__(self):
        super().__init__()
        self.gains = nn.Parameter(torch.tensor([1.0, 1e-3, 1.0, 1.0]))

    def forward(self, x):
        return x * self.gains


@healthy("own", "update rounded away", "ok optimizer: moves 3 of 3 parameters")
def gains_of_which_a_small_one_moves():
    model = nn.Sequential(Gains(), nn.Linear(4, 3))
    groups = [{"params": model[0].parameters(), "lr": 1e-8}, {"params": model[1].parameters()}]
    return Batch(model, floats(32, 4), labels(3, 32), {"optimizer": torch.optim.SGD(groups, lr=0.1)})
