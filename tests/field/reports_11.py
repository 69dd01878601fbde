"""Cases of a fifth reader of public reports: margins that cancel, values taken once, plain holders, new layers."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": nn.CrossEntropyLoss()}
ADDS_UP = "add up to zero here. At other values of"


def hinge(scores):
    real, fake = scores.chunk(2)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def judged(norm, number):
    """A discriminator under a balanced hinge loss; all outputs are inside the margin for tens of steps."""
    layers = norm(nn.Conv2d(1, 8, 3, 2, 1)), nn.LeakyReLU(0.1), norm(nn.Conv2d(8, 16, 3, 2, 1)), nn.LeakyReLU(0.1)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 1))
    x = floats(number, 1, 8, 8)
    x[: number // 2] = x[: number // 2].cumsum(-1) / 2
    return Batch(model, x, None, {"loss_fn": hinge, "optimizer": torch.optim.Adam(model.parameters(), 1e-3)})


@healthy("heykeetae/Self-Attention-GAN#57", "margin", ADDS_UP)
def a_balanced_hinge_loss():
    return judged(lambda layer: layer, 32)


@healthy("own", "margin", ADDS_UP)
def a_balanced_hinge_loss_whose_slopes_cancel_up_to_rounding():
    return judged(lambda layer: layer, 48)


@healthy("own", "margin", ADDS_UP)
def a_balanced_hinge_loss_under_spectral_norm():
    return judged(nn.utils.parametrizations.spectral_norm, 32)


@healthy("own", "margin", ADDS_UP)
def an_absolute_error_with_as_many_targets_above_as_below():
    targets = torch.cat([torch.full((24, 1), 30.0), torch.full((24, 1), -30.0)])
    return Batch(mlp(8, 16, 1), floats(48, 8), targets, {"loss_fn": nn.L1Loss()})


@healthy("own", "margin", "`score.2.bias` has no effect")
def a_bias_that_a_difference_of_scores_cancels():
    """Its neighbour: no value of the bias changes the loss."""
    model = OneOf(lambda self, a, b: self.score(a) - self.score(b), score=mlp(8, 16, 1))
    settings = {"loss_fn": lambda margin: F.relu(1 - margin).mean()}
    return Batch(model, (floats(32, 8), floats(32, 8)), None, settings)


class Bayesian(nn.Module):
    """A layer with noise on its weights, whose size is taken from a parameter when the layer is made."""

    def __init__(self, inputs, outputs, is_taken_once=True):
        super().__init__()
        self.mean = nn.Parameter(torch.empty(outputs, inputs).uniform_(-0.2, 0.2))
        self.rho = nn.Parameter(torch.full((outputs, inputs), -3.0))
        self.is_taken_once = is_taken_once
        self.sigma = torch.log1p(torch.exp(self.rho.data))

    def forward(self, x):
        sigma = self.sigma if self.is_taken_once else F.softplus(self.rho)
        return F.linear(x, self.mean + sigma * torch.randn_like(self.mean))


class PlainBayesian(Bayesian):
    def forward(self, x):
        return F.linear(x, self.mean + self.sigma * torch.randn_like(self.mean))


class TwoLayers(nn.Module):
    """Two layers under names of their own."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@fault(
    "SaynaEbrahimi/UCB#5",
    "taken once",
    "ZI010",
    "first",
    "`sigma = torch.log1p(torch.exp(self.rho))`",
    never="only if",
)
def a_deviation_computed_once():
    return Batch(TwoLayers(PlainBayesian(8, 16), PlainBayesian(16, 1)), floats(64, 8), floats(64, 1))


class Policy(nn.Module):
    """A Gaussian policy. A helper of ``__init__`` computes its deviation."""

    def __init__(policy, is_attached):
        super().__init__()
        policy.mean, policy.log_std = nn.Linear(8, 3), nn.Parameter(torch.zeros(3))
        policy._build(is_attached)

    def _build(policy, is_attached):
        policy.std = policy.log_std.exp() if is_attached else policy.log_std.detach().exp()

    def forward(policy, x):
        return -torch.distributions.Normal(policy.mean(x), policy.std).log_prob(torch.ones(3)).mean()


@fault("own", "taken once", "ZI010", "log_std", "but `std`, which `Policy.__init__` computed once")
def a_deviation_computed_once_in_a_helper():
    return Batch(Policy(False), floats(16, 8), None, {"loss_fn": lambda loss: loss})


@fault("own", "taken once", "ZI010", "log_std", "but `std`, which `Policy.__init__` computed once", never="registered,")
def a_deviation_computed_once_with_its_graph():
    return Batch(Policy(True), floats(16, 8), None, {"loss_fn": lambda loss: loss})


class Gated(nn.Module):
    """A gate in a buffer, made of a local name."""

    def __init__(self):
        super().__init__()
        raw = nn.Parameter(torch.zeros(8))
        self.raw, self.out = raw, nn.Linear(8, 3)
        self.register_buffer("gate", torch.sigmoid(raw.detach()))

    def forward(self, x):
        return self.out(x * self.gate)


@fault("own", "taken once", "ZI010", "raw", "`gate = torch.sigmoid(self.raw)`")
def a_buffer_computed_once():
    return Batch(Gated(), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("SaynaEbrahimi/UCB#5", "taken once")
def a_deviation_computed_in_each_pass():
    return Batch(Bayesian(8, 1, is_taken_once=False), floats(64, 8), floats(64, 1))


@healthy("own", "taken once", "`Bayesian` uses `rho` only if `not self.is_taken_once`")
def a_deviation_that_a_switch_leaves_out():
    return Batch(Bayesian(8, 1), floats(64, 8), floats(64, 1))


class TwoWays(nn.Module):
    """It has two ways to encode, and the model takes the other one."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)

    def encode(self, x):
        return self.used(x)

    def forward(self, x):
        return self.unused(x)


@fault("own", "taken once", "ZI010", "part.unused", "does not use `part.unused.weight`", never="only if")
def a_part_whose_other_method_is_called():
    model = OneOf(None, part=TwoWays(), out=nn.Linear(8, 3))
    return Batch(Encoded(model.part, model.out), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


class Encoded(nn.Module):
    def __init__(self, part, out):
        super().__init__()
        self.part, self.out = part, out

    def forward(self, x):
        return self.out(self.part.encode(x))


class PlainHead:
    """A head that holds a layer, and is no module."""

    def __init__(self, inputs, outputs):
        self.layer = nn.Linear(inputs, outputs)

    def __call__(self, x):
        return self.layer(x)


class Head(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def __call__(self, x):
        return self.layer(x)


NO_MODULE = "because `PlainHead` is no `nn.Module`"


@fault("EleutherAI/gpt-neox#267", "plain holder", "ZI016", "head", NO_MODULE, never="self.weight = nn.Parameter")
def a_head_that_is_no_module():
    model = OneOf(lambda self, x: self.head(torch.tanh(self.body(x))), body=nn.Linear(8, 16), head=PlainHead(16, 3))
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@fault("own", "plain holder", "ZI016", "", "`self.heads = nn.ModuleDict(...)`", never="more cause")
def heads_that_are_no_modules_in_a_dictionary():
    heads = {"a": PlainHead(16, 3), "b": PlainHead(16, 3)}
    model = OneOf(lambda self, x: sum(each(self.body(x)) for each in self.heads.values()), body=nn.Linear(8, 16))
    model.heads = heads
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("EleutherAI/gpt-neox#267", "plain holder")
def a_head_that_is_a_module():
    model = OneOf(lambda self, x: self.head(torch.tanh(self.body(x))), body=nn.Linear(8, 16), head=Head(16, 3))
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


def actor_critic(put_together):
    """Log probabilities of actions are gathered in a list, as in a loop over an episode."""

    def loss_fn(output, targets):
        (logits, value), (actions, returns) = output, targets
        pairs = zip(logits, actions, strict=True)
        chosen = [torch.distributions.Categorical(logits=each).log_prob(action) for each, action in pairs]
        return -(put_together(chosen) * (returns - value).detach()).mean() + F.mse_loss(value, returns)

    def run(self, state):
        h = torch.tanh(self.body(state))
        return self.actor(h), self.critic(h).squeeze(-1)

    model = OneOf(run, body=nn.Linear(4, 16), actor=nn.Linear(16, 3), critic=nn.Linear(16, 1))
    return Batch(model, floats(12, 4), (labels(3, 12), floats(12)), {"loss_fn": loss_fn})


@fault("kengz/SLM-Lab#133", "list of tensors", "ZI009", "actor", "Use `torch.stack(...)` in place of `tensor`")
def log_probabilities_made_a_tensor():
    return actor_critic(torch.tensor)


@fault("own", "list of tensors", "ZI009", "actor", "Use `torch.cat(...)` in place of `tensor`")
def log_probabilities_of_one_value_made_a_tensor():
    return actor_critic(lambda chosen: torch.tensor([each[None] for each in chosen]))


@fault("own", "list of tensors", "ZI009", "actor", "Use `torch.stack(...)` in place of `new_tensor`")
def log_probabilities_made_a_new_tensor():
    return actor_critic(lambda chosen: chosen[0].new_tensor(chosen))


@healthy("kengz/SLM-Lab#133", "list of tensors")
def log_probabilities_that_are_stacked():
    return actor_critic(torch.stack)


@fault("dalinvip/pytorch_word2vec#2", "list of tensors", "ZI009", "words", "`.data` and `.numpy()` in `OneOf.forward`")
def embeddings_summed_by_numpy():
    """Both cut; a user who takes out one of them alone is no further."""

    def run(self, context):
        summed = torch.from_numpy(self.words(context).data.numpy().sum(1))
        return self.out(self.body(context.float()) + summed)

    model = OneOf(run, words=nn.Embedding(10, 8), body=nn.Linear(4, 8), out=nn.Linear(8, 3))
    return Batch(model, labels(10, 16, 4), labels(3, 16), CROSS_ENTROPY)


class Encoder(nn.Module):
    """A frozen part of several layers and a head."""

    def __init__(self, *layers):
        super().__init__()
        self.encoder, self.head = nn.Sequential(*layers).requires_grad_(False), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))


AS_NEW = "and the frozen layers of `encoder` have the values of new ones"


@healthy("nttcslab/byol-a#7", "new and frozen", AS_NEW)
def a_new_encoder_that_stays_frozen():
    """Only what is frozen was to be switched on again. The layers of one part are judged together."""
    return Batch(Encoder(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16)), floats(32, 10), labels(4, 32), CROSS_ENTROPY)


@healthy("own", "new and frozen", AS_NEW)
def a_new_encoder_with_a_layer_of_few_values():
    return Batch(Encoder(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 16)), floats(32, 3), labels(4, 32), CROSS_ENTROPY)


@healthy("own", "new and frozen", "get a gradient by step 1. Encoder")
def a_trained_encoder_that_is_frozen():
    """Its weights have grown beyond what a new layer holds."""
    layers = nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16)
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, std=0.3)
    return Batch(Encoder(*layers), floats(32, 10), labels(4, 32), CROSS_ENTROPY)


@healthy("MishaLaskin/rad#4", "new and frozen", "get a gradient by step 1. OneOf")
def a_frozen_copy_of_what_learns():
    """A target network holds the start values of its online network."""
    model = OneOf(lambda self, x, y: self.online(x) - self.target(y), online=mlp(8, 16, 4), target=mlp(8, 16, 4))
    model.target.load_state_dict(model.online.state_dict())
    model.target.requires_grad_(False)
    return Batch(model, (floats(32, 8), floats(32, 8)), floats(32, 4))


class ValueNetwork(nn.Module):
    """One value for each action, behind an activation."""

    def __init__(self, activation):
        super().__init__()
        self.hidden, self.out, self.activation = nn.Linear(4, 32), nn.Linear(32, 3), activation

    def forward(self, state):
        return self.activation(self.out(torch.relu(self.hidden(state))))


def valued(activation, low, high):
    """The value of the action that was taken, under the squared error."""

    def loss_fn(values, targets):
        return F.mse_loss(values.gather(1, targets[0][:, None]).squeeze(1), targets[1])

    returns = low + (high - low) * torch.rand(48)
    return Batch(ValueNetwork(activation), floats(48, 4), (labels(3, 48), returns), {"loss_fn": loss_fn})


OUT = "get a gradient by step 1, but targets are out of its reach"


@healthy("thu-ml/tianshou#725", "out of reach", "-- loss: from 5")
def values_of_a_softmax_for_targets_beyond_it():
    """Every parameter has a gradient, and the loss hardly moves: information with the ranges."""
    return valued(nn.Softmax(-1), 50, 100)


@healthy("own", "out of reach", OUT)
def a_sigmoid_for_pixels_up_to_255():
    return Batch(ValueNetwork(nn.Sigmoid()), floats(48, 4), 255 * torch.rand(48, 3), {"loss_fn": nn.L1Loss()})


@healthy("own", "out of reach", "its output lies above 0")
def a_rectifier_for_targets_around_zero():
    """Half of the targets are below what a ReLU can give."""
    model = ValueNetwork(nn.ReLU())
    nn.init.ones_(model.out.bias)
    return Batch(model, floats(48, 4), floats(48, 3))


@healthy("thu-ml/tianshou#725", "out of reach", "get a gradient by step 1. Value")
def values_within_reach():
    return valued(nn.Sigmoid(), 0, 1)


@healthy("own", "out of reach", "get a gradient by step 1. Value")
def values_scaled_behind_a_tanh():
    return valued(lambda values: 100 * torch.tanh(values), 50, 100)


def policy(is_rectified, is_dead=True):
    """Scores go through a ReLU and then a softmax; all of them are below zero for the states near the origin."""

    def run(self, state):
        scores = self.second(torch.relu(self.first(state)))
        return torch.softmax(torch.relu(scores) if is_rectified else scores, dim=1)

    model = OneOf(run, first=nn.Linear(4, 16), second=nn.Linear(16, 2))
    nn.init.constant_(model.second.bias, -1.0 if is_dead else 0.5)

    def loss_fn(shares, actions):
        return -torch.log(shares.gather(1, actions[:, None])).mean()

    return Batch(model, torch.rand(32, 4) * 0.1, labels(2, 32), {"loss_fn": loss_fn})


@fault("Bowen1911/ML_practice#2", "last activation", "ZI008", "second", "out: a softmax needs none in front",
       never="dead units: 18 of 18")  # fmt: skip
def scores_behind_a_rectifier():
    return policy(True)


@fault("own", "last activation", "ZI008", "2", "Take the ReLU in `3` out: the output needs none.")
def an_output_behind_a_rectifier():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.ReLU())
    nn.init.constant_(model[2].bias, -2.0)
    return Batch(model, floats(32, 4), floats(32, 1))


@healthy("Bowen1911/ML_practice#2", "last activation")
def scores_without_a_rectifier():
    return policy(False)


@healthy("own", "last activation")
def scores_behind_a_rectifier_that_is_on():
    return policy(True, is_dead=False)


def mixture(is_copied):
    """Experts that are copies of one dense layer, under a gate of zeros."""

    def run(self, x):
        shares = self.gate(x).softmax(-1)
        return sum(shares[:, at : at + 1] * each(torch.relu(self.body(x))) for at, each in enumerate(self.experts))

    experts = nn.ModuleList(nn.Linear(16, 3) for _ in range(4))
    for each in experts if is_copied else ():
        each.load_state_dict(experts[0].state_dict())
    gate = nn.Linear(8, 4, bias=False)
    nn.init.zeros_(gate.weight)
    model = OneOf(run, body=nn.Linear(8, 16), experts=experts, gate=gate)
    return Batch(model, floats(32, 8), floats(32, 3))


@fault("james-oldfield/MxD#1", "copied experts", "ZI004", "experts.0", "`experts.*.bias` (4 times)", also=("ZI012",))
def experts_copied_with_their_biases():
    return mixture(True)


@healthy("james-oldfield/MxD#1", "copied experts")
def experts_that_differ():
    return mixture(False)


@healthy("LAMDA-CL/LAMDA-PILOT#21", "masked rows", "ZI107 info 2: 5 of 10 units have no gradient")
def scores_of_old_classes_that_the_loss_leaves_out():
    settings = {"loss_fn": lambda scores, classes: F.cross_entropy(scores[:, 5:], classes)}
    return Batch(mlp(12, 16, 10), floats(48, 12), labels(5, 48), settings)


@healthy("own", "masked rows", "2: 1 of 3 units have no gradient")
def an_action_that_no_example_took():
    settings = {"loss_fn": lambda values, actions: values.gather(1, actions[:, None]).square().mean()}
    return Batch(mlp(12, 16, 3), floats(48, 12), labels(2, 48), settings)


@fault("espnet/espnet#4684", "gains of zero", "ZI006", "1", "`for i in (1, 4, 7): nn.init.ones_(model[i].weight)`",
       also=("ZI007",))  # fmt: skip
def norms_whose_gains_are_all_zero():
    """An initializer set all vectors to zero; drawing all that is called weight would hit the convolutions."""
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv1d(6, 6, 3, padding=1, bias=False), nn.BatchNorm1d(6), nn.Tanh()]
        nn.init.zeros_(layers[-2].weight)
    return Batch(nn.Sequential(*layers), floats(16, 6, 8), floats(16, 6, 8))


@fault("own", "gains of zero", "ZI006", "1", "`nn.init.ones_(model[1].weight)`", also=("ZI007",))
def two_layer_norms_whose_gains_are_zero():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 8, bias=False), nn.LayerNorm(8))
    for layer in (model[1], model[4]):
        nn.init.zeros_(layer.weight)
    return Batch(model, floats(16, 8), floats(16, 8))


@healthy("espnet/espnet#4684", "gains of zero")
def a_last_norm_of_a_branch_whose_gain_is_zero():
    branch = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
    nn.init.zeros_(branch[1].weight)
    model = OneOf(lambda self, x: self.out(x + self.branch(x)), branch=branch, out=nn.Linear(8, 3))
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


class TwoLosses(nn.Module):
    """Returns the losses of a generator and of a discriminator, and what each of them computes."""

    def __init__(self):
        super().__init__()
        self.words, self.generator, self.judge = nn.Embedding(10, 8), nn.Linear(8, 10), mlp(10, 8, 1)

    def forward(self, tokens):
        scores = self.generator(self.words(tokens))
        verdict = self.judge(scores.detach().softmax(-1))
        return F.cross_entropy(scores, tokens), F.softplus(-verdict).mean(), scores, verdict


@healthy("ThilinaRajapakse/simpletransformers#390", "second loss", "4 through a second loss alone, which is left out")
def a_second_loss_that_is_left_out():
    """Whether another optimizer minimizes it cannot be seen; the first line tells."""
    return Batch(TwoLosses(), labels(10, 24), None, {"loss_fn": lambda output: output[0]})


@healthy("own", "second loss", "all 7 parameters")
def both_losses_are_added():
    return Batch(TwoLosses(), labels(10, 24), None, {"loss_fn": lambda output: output[0] + output[1]})


@healthy("autonomousvision/transfuser#335", "second loss", "This batch uses its sibling `spreads.a`")
def a_spread_of_a_task_that_is_switched_off():
    """Logarithms of variances lie in a dictionary of parameters; one task has the weight 0."""
    spreads = nn.ParameterDict({"a": nn.Parameter(torch.zeros(1)), "b": nn.Parameter(torch.zeros(1))})
    model = OneOf(lambda self, x: self.a(x).square().mean() * (-self.spreads["a"]).exp() + self.spreads["a"].sum(),
                  a=nn.Linear(8, 3), spreads=spreads)  # fmt: skip
    return Batch(model, floats(16, 8), None, {"loss_fn": lambda loss: loss.sum()})


def related(padding):
    """Scores for a pair of an entity and a relation; the first of each has the number 0."""
    entities, relations = (nn.Embedding(number, 6, padding_idx=padding) for number in (12, 4))
    model = OneOf(lambda self, e, r: (self.entities(e) * self.relations(r)) @ self.entities.weight.T,
                  entities=entities, relations=relations)  # fmt: skip
    pairs = labels(12, 64), labels(4, 64)
    return Batch(model, pairs, labels(12, 64), CROSS_ENTROPY)


@healthy("ibalazevic/TuckER#17", "padding row", "Row 0 of `relations.weight` never gets a gradient")
def a_relation_that_is_the_padding_index():
    return related(0)


@healthy("ibalazevic/TuckER#17", "padding row", "get a gradient by step 1. OneOf")
def relations_without_a_padding_index():
    return related(None)


@healthy("own", "padding row", "get a gradient by step 1. Sequential")
def sequences_that_are_padded():
    model = nn.Sequential(nn.Embedding(10, 8, padding_idx=0), nn.Flatten(), nn.Linear(40, 3))
    return Batch(model, labels(10, 16, 5), labels(3, 16), CROSS_ENTROPY)


@healthy("pytorch/pytorch#52290", "margin", "Only values of `zero_point` that are far from this one change the loss")
def a_zero_point_that_nothing_is_clipped_by():
    """A learned range of a quantizer: as long as no value is outside, its position does not matter."""

    def run(self, x):
        h = self.body(x)
        place = torch.clamp(torch.round(h / 0.05) + torch.round(self.zero_point), 0, 255)
        return self.out(h + ((place - torch.round(self.zero_point)) * 0.05 - h).detach())

    model = OneOf(run, body=nn.Linear(8, 8), out=nn.Linear(8, 3), zero_point=nn.Parameter(torch.full((1,), 128.0)))
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


class ZeroedHead(nn.Module):
    """Each pass sets the head to zero and takes one step with it, as one trick of meta-learning does."""

    def __init__(self, is_set):
        super().__init__()
        self.encoder, self.head, self.is_set = mlp(4, 16, 8), nn.Linear(8, 3), is_set

    def forward(self, support, classes, query):
        with torch.no_grad():
            for each in self.head.parameters():
                each.zero_() if self.is_set else each.clamp_(-1, 1)
        parts = tuple(self.head.parameters())
        loss = F.cross_entropy(self.head(torch.relu(self.encoder(support))), classes)
        weight, bias = torch.autograd.grad(loss, parts, create_graph=True)
        return F.linear(torch.relu(self.encoder(query)), parts[0] - weight / 2, parts[1] - bias / 2)


@healthy("IandRover/MAML_noisy_contrasive_learner#2", "set in forward", "4 of 6 parameters learn within")
def a_head_that_each_pass_sets_to_zero():
    classes = torch.arange(3).repeat(5)
    return Batch(ZeroedHead(True), (floats(15, 4), classes, floats(15, 4)), classes, CROSS_ENTROPY)


@healthy("own", "set in forward", "6 of 6 parameters learn within")
def a_head_that_each_pass_clamps():
    classes = torch.arange(3).repeat(5)
    return Batch(ZeroedHead(False), (floats(15, 4), classes, floats(15, 4)), classes, CROSS_ENTROPY)
