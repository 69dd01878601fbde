"""Cases of a tenth reader of public reports: dropped results, inference mode, copies, densities, thresholds."""

import copy
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

LEARNS = "get a gradient by step 1. "


def translation(used):
    def forward(self, source, target):
        _, state = self.encoder(self.table(source))
        return self.head(self.decoder(self.table(target), state if used else None)[0])

    parts = {"table": nn.Embedding(16, 8), "encoder": nn.GRU(8, 8, batch_first=True)}
    parts |= {"decoder": nn.GRU(8, 8, batch_first=True), "head": nn.Linear(8, 16)}
    tokens = labels(16, 6, 5)
    loss = {"loss_fn": lambda output, target: F.cross_entropy(output.flatten(0, 1), target.flatten())}
    return Batch(OneOf(forward, **parts), (labels(16, 6, 4), tokens), tokens, loss)


@fault("keras-team/keras#2995", "dropped", "ZI010", "encoder", "What `encoder` computes is thrown away")
def an_encoder_whose_state_is_dropped():
    """A recurrent layer returns several tensors, so it hands nothing out by that."""
    return translation(False)


@healthy("own", "dropped", LEARNS)
def an_encoder_whose_state_is_used():
    return translation(True)


class Generator(nn.Module):
    """A language model in small, whose forward pass is for inference where ``infers`` is true."""

    def __init__(self, infers):
        super().__init__()
        self.table, self.body, self.head = nn.Embedding(16, 8), nn.Linear(8, 8), nn.Linear(8, 16)
        self.run = torch.inference_mode()(self.plain) if infers else self.plain

    def plain(self, tokens):
        return self.head(torch.tanh(self.body(self.table(tokens))))

    def forward(self, tokens):
        return self.run(tokens)


@fault(
    "meta-llama/llama#122",
    "inference mode",
    "ZI009",
    "head.weight",
    "Remove `torch.inference_mode()` in `Generator.forward`",
)
def a_forward_pass_in_inference_mode():
    return Batch(Generator(True), labels(16, 24), labels(16, 24))


@healthy("own", "inference mode", LEARNS)
def a_forward_pass_for_training():
    return Batch(Generator(False), labels(16, 24), labels(16, 24))


def thresholded(soft):
    def loss_fn(output, target):
        chance = torch.sigmoid(output)
        with warnings.catch_warnings(action="ignore"):  # torch warns of this copy
            chance = chance if soft else torch.tensor((chance > 0.5).type(chance.dtype), requires_grad=True)
        return 1 - 2 * (chance * target).sum() / (chance.sum() + target.sum() + 1)

    return Batch(mlp(8, 16, 4), floats(24, 8), (floats(24, 4) > 0).float(), {"loss_fn": loss_fn})


@fault(
    "qubvel-org/segmentation_models.pytorch#611",
    "a new leaf",
    "ZI009",
    "2.weight",
    "The comparison in the loss",
    never="could not be seen",
)
def a_threshold_that_is_copied_to_a_new_tensor():
    return thresholded(False)


@healthy("own", "a new leaf", LEARNS)
def a_loss_of_chances():
    return thresholded(True)


@fault(
    "ronghuaiyang/arcface-pytorch#56",
    "a new leaf",
    "ZI009",
    "0.weight",
    "on the loss only hides this",
    never="could not be seen",
)
def a_gradient_asked_of_the_loss():
    def loss_fn(output, target):
        loss = F.cross_entropy(output.data * 30, target)
        loss.requires_grad = True
        return loss

    return Batch(mlp(10, 16, 5), floats(20, 10), labels(5, 20), {"loss_fn": loss_fn})


def reinforced(detached):
    def forward(self, state):
        hidden = torch.tanh(self.body(state))
        policy = torch.distributions.Normal(self.mean(hidden), self.spread(hidden).clamp(-5, 2).exp())
        action = policy.rsample()
        return policy.log_prob(action.detach() if detached else action).sum(-1)

    model = OneOf(forward, body=nn.Linear(5, 16), mean=nn.Linear(16, 2), spread=nn.Linear(16, 2))
    return Batch(model, floats(32, 5), floats(32), {"loss_fn": lambda density, gain: -(density * gain).mean()})


@fault(
    "HorizonRobotics/alf#34",
    "density of a draw",
    "ZI008",
    "mean.bias",
    "`Normal.log_prob` in `OneOf.forward`",
    never="Take the difference",
)
def the_density_of_a_value_that_moves_along():
    return reinforced(False)


@healthy("own", "density of a draw", LEARNS)
def the_density_of_a_value_that_stays():
    return reinforced(True)


def classes(rectified):
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 8), *([nn.ReLU()] if rectified else []))
    with torch.no_grad():
        model[2].bias[:2] = -3
    return Batch(model, floats(32, 12), labels(8, 32), {"loss_fn": F.cross_entropy})


@fault(
    "hunkim/PyTorchZeroToAll#4",
    "activation before the loss",
    "ZI023",
    "",
    "holds 2 of 8 scores at 0 for every example",
    also=("ZI005",),
)
def scores_held_at_zero_by_a_rectifier():
    return classes(True)


@healthy("own", "activation before the loss", LEARNS)
def scores_of_every_sign():
    return classes(False)


def bootstrapped(mistaken):
    def forward(self, state):
        with torch.no_grad():
            goal = self.target(state).amax(1)
        return self.net(state).amax(1), goal

    net = mlp(4, 16, 2)
    model = OneOf(forward, net=net, target=mlp(4, 16, 3) if mistaken else copy.deepcopy(net))
    loss = {"loss_fn": lambda output: (output[0] - 1 - 0.9 * output[1]).square().mean()}
    return Batch(model, floats(32, 4), None, loss)


@healthy("DLR-RM/stable-baselines3#1946", "a copy without gradients", "4 of a copy get none")
def a_target_network_that_the_optimizer_holds():
    return bootstrapped(False)


def a_tower(name):
    def forward(self, x):
        with torch.no_grad():
            code = self.tower(x)
        return self.head(code)

    model = OneOf(forward, tower=mlp(6, 16, 8), head=nn.Linear(8, 3))
    return Batch(model, floats(24, 6), labels(3, 24))


@fault("own", "a copy without gradients", "ZI009", "tower.0.weight", "Remove `torch.no_grad()` in `OneOf.forward`")
def a_tower_that_is_no_copy():
    return a_tower("tower")


@fault(
    "AyanKumarBhunia/Deep-One-Shot-Logo-Retrieval#7",
    "softmax over one value",
    "ZI008",
    "0.weight",
    "Use a sigmoid in place of",
    never="larger images",
)
def a_softmax_over_one_channel():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Conv2d(6, 1, 1), nn.Softmax(dim=1))
    return Batch(model, floats(4, 3, 8, 8), torch.rand(4, 1, 6, 6), {"loss_fn": F.binary_cross_entropy})


def flow(cut):
    def forward(self, x):
        steps = F.log_softmax(self.policy(x), -1)[:, 0]
        return (self.log_z + (steps.detach() if cut else steps) - x[:, 0]).square().mean()

    model = OneOf(forward, policy=mlp(4, 16, 3), log_z=nn.Parameter(torch.zeros(1)))
    return Batch(model, floats(24, 4), None, {"loss_fn": lambda loss: loss})


@fault(
    "alexhernandezgarcia/gflownet#251",
    "all but one number",
    "ZI009",
    "policy.0.weight",
    "4 of 5 parameters will not learn",
)
def a_policy_cut_off_beside_a_number_that_learns():
    return flow(True)


@healthy("own", "all but one number", LEARNS)
def a_policy_beside_a_number():
    return flow(False)
