"""Operations whose derivative is zero here: functions of one's own, draws, samples, choices, cuts, margins, batches."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels


class Sign(torch.autograd.Function):
    """A sign whose backward pass hands the error on for values up to one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, error):
        (x,) = ctx.saved_tensors
        return error * (x.abs() <= 1)


def signed(bias: float) -> Batch:
    below = nn.Linear(6, 8)
    nn.init.constant_(below.bias, bias)
    model = OneOf(lambda m, x: m.above(Sign.apply(m.below(x))), below=below, above=nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16))


@fault("own", "own function", "ZI008", "below", "outside of the range in which it hands a gradient on")
def a_sign_of_values_beyond_its_range():
    return signed(30.0)


@healthy("own", "own function")
def a_sign_of_values_in_its_range():
    return signed(0.0)


class Dense(torch.autograd.Function):
    """A dense layer whose backward pass forgets the weight."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, error):
        return error @ ctx.saved_tensors[0], None, error.sum(0)


@fault("own", "own function", "ZI009", "weight", "`Dense` in `OneOf.forward` returns None")
def a_gradient_that_was_forgotten():
    model = OneOf(
        lambda m, x: m.head(torch.tanh(Dense.apply(x, m.weight, m.bias))),
        weight=nn.Parameter(torch.randn(8, 6)), bias=nn.Parameter(torch.zeros(8)), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        rounded = x.round()
        ctx.mark_non_differentiable(rounded)
        return rounded

    @staticmethod
    def backward(ctx, error):
        return error


@fault("own", "own function", "ZI009", "below", "The result of `Marked` in `OneOf.forward` carries no gradient")
def a_result_that_is_marked():
    model = OneOf(lambda m, x: m.above(Marked.apply(m.below(x))), below=nn.Linear(6, 8), above=nn.Linear(8, 3))
    return Batch(model, 3 * floats(16, 6), labels(3, 16))


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, error):
        (x,) = ctx.saved_tensors
        return error * x.relu() / x.relu()


@fault("own", "own function", "ZI013", "act", "`Broken` in `act` returns NaN or infinity from its backward pass")
def a_backward_pass_of_zero_by_zero():
    act = OneOf(lambda _, x: Broken.apply(x))
    model = OneOf(lambda m, x: m.above(m.act(m.below(x))), below=nn.Linear(6, 8), act=act, above=nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16))


class Again(torch.autograd.Function):
    """A checkpoint of one's own."""

    @staticmethod
    def forward(ctx, run, x):
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx, error):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.run(x).backward(error)
        return None, x.grad


@fault("own", "own function", "ZI009", "inner.0", "no tensor that `Again.apply` is given requires a gradient")
def a_checkpoint_of_ones_own_on_the_batch():
    inner = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    model = OneOf(lambda m, x: m.head(Again.apply(m.inner, x)), inner=inner, head=nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16))


@healthy("own", "own function")
def a_checkpoint_of_ones_own_behind_a_layer():
    inner = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    model = OneOf(
        lambda m, x: m.head(Again.apply(m.inner, m.first(x))),
        first=nn.Linear(6, 6), inner=inner, head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


@fault("own", "draws", "ZI009", "gate", "`bernoulli` in `OneOf.forward` draws values")
def gates_that_are_drawn():
    model = OneOf(
        lambda m, x: m.head(torch.tanh(m.below(x)) * torch.bernoulli(torch.sigmoid(m.gate(x)))),
        below=nn.Linear(6, 4), gate=nn.Linear(6, 4), head=nn.Linear(4, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


@healthy("own", "draws")
def a_mean_plus_a_spread_times_noise():
    model = OneOf(
        lambda m, x: m.up(m.mean(x) + F.softplus(m.spread(x)) * torch.randn(len(x), 4)),
        mean=nn.Linear(5, 4), spread=nn.Linear(5, 4), up=nn.Linear(4, 5),
    )  # fmt: skip
    return Batch(model, floats(16, 5), floats(16, 5))


def sampled(mode: str) -> Batch:
    def run(m, x):
        places = F.affine_grid(m.where(x.flatten(1)).view(-1, 2, 3), x.shape, align_corners=False)
        return m.head(F.grid_sample(x, places, mode=mode, align_corners=False).flatten(1))

    where = nn.Linear(36, 6)
    nn.init.zeros_(where.weight)
    where.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return Batch(OneOf(run, where=where, head=nn.Linear(36, 3)), floats(8, 1, 6, 6), labels(3, 8))


@fault("own", "samples", "ZI008", "where", "takes the nearest value")
def samples_of_the_nearest_value():
    return sampled("nearest")


@healthy("own", "samples")
def samples_between_values():
    return sampled("bilinear")


def bounded(bound: float) -> Batch:
    model = OneOf(
        lambda m, x: m.head(torch.minimum(m.below(x).relu(), m.bound)),
        below=nn.Linear(6, 8), bound=nn.Parameter(torch.tensor(bound)), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


@fault("own", "choices", "ZI008", "bound", "no value of this batch reaches it")
def a_bound_that_no_value_reaches():
    return bounded(20.0)


@healthy("own", "choices")
def a_bound_that_values_reach():
    return bounded(0.2)


@fault("own", "choices", "ZI008", "one", "takes the other value for every input of the batch")
def a_maximum_that_one_of_two_always_wins():
    other = nn.Linear(6, 8)
    nn.init.constant_(other.bias, 100.0)
    model = OneOf(
        lambda m, x: m.head(torch.tanh(torch.maximum(m.one(x), m.other(x)) / 100)),
        one=nn.Linear(6, 8), other=other, head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


@fault("own", "choices", "ZI008", "below", "hides every value: its mask is true everywhere", never="not all zero")
def a_mask_that_hides_everything():
    model = OneOf(
        lambda m, x, hidden: m.head(torch.tanh(m.below(x)).masked_fill(hidden[..., None], 0.0).sum(1)),
        below=nn.Linear(6, 8), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, (floats(16, 4, 6), torch.ones(16, 4, dtype=torch.bool)), labels(3, 16))


@fault("own", "rounding", "ZI008", "below", "rounds its result")
def a_division_that_rounds():
    model = OneOf(
        lambda m, x: m.above(torch.div(m.below(x), 0.1, rounding_mode="floor")),
        below=nn.Linear(6, 8), above=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))


def triplets(margin: float) -> Batch:
    anchors = 2 * floats(16, 6)
    batch = torch.stack([anchors, anchors + 0.01 * floats(16, 6), -anchors], 1)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4, bias=False))

    def loss(found):
        return F.triplet_margin_loss(found[:, 0], found[:, 1], found[:, 2], margin=margin)

    return Batch(model, batch, None, {"loss_fn": loss})


@fault("own", "margins", "ZI008", "0", "Every example of this batch keeps the margin")
def triplets_that_keep_the_margin():
    return triplets(0.01)


@healthy("own", "margins")
def triplets_that_do_not():
    return triplets(10.0)


@fault("own", "margins", "ZI008", "below", "there is nothing to learn from it", never="leaky_relu")
def a_hinge_in_the_forward_pass():
    def run(m, x):
        return SimpleNamespace(loss=torch.clamp(torch.tanh(m.below(x)).mean(1) - 3.0, min=0).mean())

    return Batch(OneOf(run, below=nn.Linear(6, 8)), floats(16, 6))


@healthy("own", "margins", "2 are not used for this batch and loss")
def a_margin_that_is_kept_beside_classes():
    """The other term trains the rest."""

    def loss(found, classes):
        kept = F.margin_ranking_loss(found[1] + 50, found[1].detach() - 50, torch.ones(16), margin=0.1)
        return F.cross_entropy(found[0], classes) + kept

    model = OneOf(lambda m, x: (m.head(x), m.rank(x).squeeze(1)), head=nn.Linear(6, 3), rank=nn.Linear(6, 1))
    return Batch(model, floats(16, 6), labels(3, 16), {"loss_fn": loss})


@fault("own", "zeros in a batch", "ZI007", "", "These zeros are in the batch")
def examples_whose_weights_are_all_zero():
    def loss(scores, given):
        return (F.cross_entropy(scores, given["classes"], reduction="none") * given["weights"]).mean()

    targets = {"classes": labels(3, 16), "weights": torch.zeros(16)}
    return Batch(nn.Linear(6, 3), floats(16, 6), targets, {"loss_fn": loss})


@fault("own", "zeros in a batch", "ZI007", "policy", "Hand over another batch")
def returns_that_are_equal_beside_a_critic():
    def loss(found, given):
        gain = given["returns"] - given["returns"].mean()
        chosen = found[0].gather(1, given["actions"][:, None]).squeeze(1)
        return F.mse_loss(found[1].squeeze(1), given["returns"]) - (chosen * gain).mean()

    model = OneOf(
        lambda m, x: (torch.log_softmax(m.policy(x), -1), m.critic(x)),
        policy=nn.Linear(4, 3), critic=nn.Linear(4, 1),
    )  # fmt: skip
    targets = {"actions": labels(3, 16), "returns": torch.ones(16)}
    return Batch(model, floats(16, 4), targets, {"loss_fn": loss})


@fault("own", "zeros in a batch", "ZI007", "encoder", "two inputs in it are the same")
def pairs_of_the_same_input():
    model = OneOf(
        lambda m, one, other: m.head((m.encoder(one) - m.encoder(other)).abs()),
        encoder=nn.Linear(6, 8, bias=False), head=nn.Linear(8, 1),
    )  # fmt: skip
    x = floats(16, 6)
    return Batch(model, (x, x.clone()), torch.rand(16, 1))


@fault("own", "zeros in a batch", "ZI007", "2", "The loss is zero from the start", never="nn.init")
def targets_that_the_first_output_equals():
    head = nn.Linear(8, 2, bias=False)
    nn.init.zeros_(head.weight)
    return Batch(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), head), floats(16, 6), torch.zeros(16, 2))


@healthy("own", "zeros in a batch")
def a_gate_at_zero_that_is_trained():
    model = OneOf(
        lambda m, x: m.head(x + m.gate * torch.tanh(m.branch(x))),
        branch=nn.Linear(6, 6), gate=nn.Parameter(torch.zeros(1)), head=nn.Linear(6, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 6), labels(3, 16))
