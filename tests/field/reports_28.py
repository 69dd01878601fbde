"""Cases of a further reader: what a loss compares, and rates at which rectifiers die."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

LEARNS = "Will learn: all 4 parameters get a gradient by step 1."


def critic(loss, outputs=1, targets=6):
    return Batch(mlp(4, 8, outputs), floats(16, 4), floats(16, targets), {"loss_fn": loss})


@fault("thu-ml/tianshou#40", "each with several", "ZI017", "", "each output with 6 targets: their shapes are (16, 1)")
def a_value_against_six_targets():
    """The logarithm of the probability is not summed over the actions."""
    return critic(F.mse_loss)


@fault("own", "each with several", "ZI017", "", "each output with 6 targets")
def the_target_first():
    return critic(lambda out, y: nn.HuberLoss()(y, out))


@fault("own", "each with several", "ZI017", "", "6 outputs with each target: their shapes are (16, 6) and (16, 1)")
def six_outputs_against_one_target():
    return critic(nn.SmoothL1Loss(), 6, 1)


@healthy("own", "each with several", LEARNS)
def a_value_for_each_target():
    return critic(F.mse_loss, 6)


@healthy("own", "each with several", LEARNS)
def one_label_for_all_outputs():
    return Batch(mlp(4, 8, 6), floats(16, 4), None, {"loss_fn": lambda out: F.mse_loss(out, torch.ones(1, 1))})


def quantiles(loss):
    """Each quantile is compared with each of the targets, on purpose."""
    shares = (torch.arange(6) + 0.5) / 6

    def total(out, y):
        below = (y[:, None, :] - out[:, :, None]).detach() < 0
        return ((shares[:, None] - below.to(shares.dtype)).abs() * loss(out[:, :, None], y[:, None, :])).mean()

    return critic(total, 6, 6)


@healthy("own", "each with several", LEARNS)
def a_quantile_regression_by_hand():
    return quantiles(lambda out, y: (y - out).abs())


@healthy("own", "each with several", LEARNS)
def a_quantile_regression_without_a_reduction():
    return quantiles(lambda out, y: F.smooth_l1_loss(out, y, reduction="none"))


class ActorCritic(nn.Module):
    """Scores of four actions, and a value."""

    def __init__(self):
        super().__init__()
        self.body, self.policy, self.value = nn.Linear(4, 8), nn.Linear(8, 4), nn.Linear(8, 1)

    def forward(self, x):
        h = self.body(x).tanh()
        return self.policy(h), self.value(h)


def advantage(difference):
    returns, actions = floats(16), torch.arange(16) % 4

    def loss(out):
        scores, value = out
        chosen = scores.log_softmax(1)[range(16), actions]
        return F.mse_loss(value.squeeze(-1), returns) - (difference(returns, value.detach()) * chosen).mean()

    return Batch(ActorCritic(), floats(16, 4), None, {"loss_fn": loss})


@fault(
    "PacktPublishing/Deep-Reinforcement-Learning-Hands-On#74",
    "each with each",
    "ZI017",
    "",
    "The loss compares each output with every target: their shapes are (16, 1) and (16,).",
)
def an_advantage_of_all_pairs():
    """Returns (N) minus values (N, 1); the values are detached, and no targets are handed over."""
    return advantage(lambda returns, value: returns - value)


@healthy("own", "each with each", "Will learn: all 6 parameters get a gradient by step 1.")
def an_advantage_of_each_example():
    return advantage(lambda returns, value: returns - value.squeeze(-1))


def kept(loss):
    y = floats(16)
    return Batch(mlp(4, 8, 1), floats(16, 4), None, {"loss_fn": lambda out: loss(out, y)})


@fault("own", "each with each", "ZI017", "", "their shapes are (16, 1) and (16,).")
def targets_that_the_loss_holds():
    return kept(lambda out, y: (2 * y - out).square().mean())


@healthy("own", "each with each", LEARNS)
def pairs_of_the_outputs_themselves():
    return kept(lambda out, y: F.softplus(out - out.detach().view(-1)).mean() + (out.squeeze(1) - y).square().mean())


@healthy("own", "each with each", LEARNS)
def pairs_with_an_axis_made_for_them():
    y, model = floats(16), OneOf(lambda self, x: self.net(x).squeeze(1), net=mlp(4, 8, 1))
    return Batch(model, floats(16, 4), None, {"loss_fn": lambda out: (out - y[:, None]).abs().mean()})


class GraphConv(nn.Module):
    """Starts with zero weights."""

    def __init__(self, *sizes):
        super().__init__()
        self.w0, self.w1 = nn.Linear(*sizes), nn.Linear(*sizes)
        nn.init.zeros_(self.w0.weight)
        nn.init.zeros_(self.w1.weight)

    def forward(self, x, near):
        return self.w0(x) + near @ self.w1(x)


class Refinement(nn.Module):
    """Moves the points of a mesh; the last layer starts at zero."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([GraphConv(3, 16), GraphConv(19, 32), GraphConv(35, 32)])
        self.offset = nn.Linear(35, 3)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, points, near):
        features = points
        for conv in self.convs:
            features = torch.cat([torch.relu(conv(features, near)), points], -1)
        return points + torch.tanh(self.offset(features))


def refined(rate):
    model, near = Refinement(), (torch.rand(42, 42) < 0.12).float()
    near, points = ((near + near.T) > 0).float().fill_diagonal_(0), F.normalize(floats(42, 3), dim=-1)
    settings = {"loss_fn": nn.MSELoss(reduction="sum"), "optimizer": torch.optim.Adam(model.parameters(), rate)}
    return Batch(model, (points, near), points * 1.3, settings)


@fault(
    "facebookresearch/pytorch3d#147",
    "rate",
    "ZI014",
    "convs.2.w0",
    "-> Divide the learning rate by 100.",
    never="leaky_relu",
)
def rectifiers_that_the_first_update_switches_off():
    """The layers in front get no gradient because of that; a tenth of the rate does not help, a hundredth does."""
    return refined(0.1)


@healthy("own", "rate", "Will learn: all 14 parameters get a gradient by step 4.")
def rectifiers_at_a_hundredth_of_the_rate():
    return refined(0.001)


def negative(sign):
    sizes = (nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    model = nn.Sequential(*sizes)
    with torch.no_grad():
        for each in model.parameters() if sign < 0 else ():
            each.copy_(-each.abs())
    return Batch(model, torch.rand(64, 6) * 4, labels(3, 64), {"loss_fn": F.cross_entropy})


@fault(
    "discuss.pytorch.org/t/43814",
    "off",
    "ZI008",
    "2",
    "`model[1] = nn.LeakyReLU()`; `model[3] = nn.LeakyReLU()`",
    also=("ZI007",),
)
def weights_that_are_all_negative():
    """Three rectifiers are off, not the last alone: 24 of 27 units."""
    return negative(-1)


@healthy("own", "off", "Will learn: all 8 parameters get a gradient by step 1.")
def weights_of_both_signs():
    return negative(1)
