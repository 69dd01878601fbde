"""Cases of two rounds of readers: slips in the groups of an optimizer, shared frozen parts, roots of zero."""

import warnings

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}


class TwoParts(nn.Module):
    """Two networks whose scores are added, as two discriminators."""

    def __init__(self):
        super().__init__()
        self.first, self.second = mlp(6, 8, 3), mlp(6, 8, 3)

    def forward(self, x):
        return self.first(x) + self.second(x)


def with_groups(make):
    model = TwoParts()
    optimizer = torch.optim.SGD(make(model), lr=0.1)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


@fault("line/open-universe#5", "groups of an optimizer", "ZI018", "second.0.weight", "It lists `first.0.weight` twice.")
def one_part_twice_and_the_other_never():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of it, too
        return with_groups(lambda model: [*model.first.parameters(), *model.first.parameters()])


@fault("feidfoe/learning-not-to-learn#3", "groups of an optimizer", "ZI018", "first.0.weight", "Its group 0 is empty")
def a_filter_that_was_read_before():
    def groups(model):
        base = filter(lambda each: each.requires_grad, model.first.parameters())
        assert sum(each.numel() for each in base)  # printed in the script
        return [{"params": base}, {"params": model.second.parameters()}]

    return with_groups(groups)


@healthy("own", "groups of an optimizer", "the optimizer holds no parameter of `first`")
def a_network_that_another_step_trains():
    return with_groups(lambda model: model.second.parameters())


@healthy("own", "groups of an optimizer", "Will learn: all 8 parameters get a gradient by step 1. ")
def an_empty_group_beside_all_parameters():
    """A group without weight decay may be empty."""
    return with_groups(lambda model: [{"params": []}, {"params": model.parameters()}])


class Sharpness(torch.optim.Optimizer):
    """A step that refuses to run without a closure, as that of sharpness-aware minimization."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        assert closure is not None, "a second forward pass is needed"
        closure()


@healthy("davda54/sam", "step with a closure", "Will learn: all 4 parameters get a gradient by step 1. ")
def an_optimizer_that_asserts_a_closure():
    model = mlp(6, 8, 3)
    optimizer = Sharpness(model.parameters(), lr=0.1)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


def direction(x, least):
    return x / (x.square().sum(-1, keepdim=True) + least).sqrt()


def of_directions(least):
    x = floats(16, 5, 3)
    x[0, 0] = 0.0
    model = OneOf(
        lambda self, x: self.out(direction(self.lift(x), least).flatten(1)),
        lift=nn.Linear(3, 4, bias=False),
        out=nn.Linear(20, 3),
    )
    return Batch(model, x, labels(3, 16), CROSS_ENTROPY)


@fault("FlyingGiraffe/vnn#4", "root of zero", "ZI013", "", "`x.clamp_min(1e-12).sqrt()`")
def a_vector_of_zeros_over_its_length():
    return of_directions(0.0)


@healthy("own", "root of zero")
def a_length_that_is_never_zero():
    return of_directions(1e-6)


class Distilled(nn.Module):
    """A student and a frozen teacher, with one backbone for both or with two."""

    def __init__(self, shared):
        super().__init__()
        self.student, self.student_head = nn.Linear(8, 16), nn.Linear(16, 6)
        self.teacher = self.student if shared else nn.Linear(8, 16)
        self.teacher_head = mlp(16, 16, 6)
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            target = self.teacher_head(self.teacher(x).relu()).softmax(-1)
        return self.student_head(self.student(x).relu()), target


def distilled(shared):
    return Batch(Distilled(shared), floats(16, 8), None, {"loss_fn": lambda out: F.cross_entropy(out[0], out[1])})


@healthy("facebookresearch/dinov2#407", "shared and frozen", "the frozen layers of `student` and `teacher_head`")
def a_student_that_is_its_teacher():
    """Its head can learn, and the verdict names the backbone that cannot."""
    return distilled(True)


@healthy("own", "shared and frozen", "Will learn: all 4 parameters get a gradient by step 1, and the frozen layers of")
def a_student_beside_its_teacher():
    return distilled(False)


class Dropped(nn.Module):
    """A layer whose gradient is faint, and which is left out in one pass of ten."""

    def __init__(self, share):
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.share, self.passes = share, 0

    def forward(self, x):
        x = self.body(x)
        if torch.rand(()) >= self.share:
            x = x + 1e-6 * self.norm(x)
        return self.head(x)


def dropped(share):
    return Batch(Dropped(share), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("huggingface/transformers, NllbMoe", "faint and dropped", "Will learn: all 6 parameters get a gradient by")
def a_faint_layer_that_is_left_out_at_random():
    return dropped(0.6)


@healthy("own", "faint and dropped", "Will learn: all 6 parameters get a gradient by step 1. ")
def a_faint_layer_that_is_never_left_out():
    return dropped(0.0)


class Towers(nn.Module):
    """The loss of two views, one of which is cut off, behind a batch norm."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False))
        self.shift = nn.Parameter(torch.zeros(8))
        self.predictor = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, x):
        z = self.encoder(x) + self.shift
        return self.predictor(z), z.detach()


@healthy("PatrickHua/SimSiam#22", "two reasons", "The batch norm in `predictor.1` lets nothing through.")
def a_shift_behind_a_norm_and_a_detach():
    model = Towers()
    return Batch(model, floats(32, 6), None, {"loss_fn": lambda out: -F.cosine_similarity(*out).mean()})


def wrapped_lazily():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@healthy("pytorch/pytorch#53366", "lazy", "Will learn: all 4 parameters get a gradient by step 1. ")
def an_optimizer_over_lazy_layers():
    model, optimizer = wrapped_lazily()
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


@fault("own", "lazy", "ZI018", "2.weight", "The optimizer does not hold `2.weight`")
def an_optimizer_over_some_lazy_layers():
    model, _ = wrapped_lazily()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


def scheduled(updates, optimizer=torch.optim.SGD):
    """A cosine schedule of four steps, of which some are done."""
    model = mlp(6, 8, 3)
    updated = optimizer(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(updated, 4)
    for _ in range(updates):
        updated.step()
        schedule.step()
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": updated})


@fault("mosaicml/composer#1384", "schedule at its end", "ZI018", "0.weight", "The learning rate of", also=("ZI018",))
def plain_sgd_after_its_schedule():
    """It has no state that would say so."""
    return scheduled(4)


@healthy("own", "schedule at its end", "Will learn: all 4 parameters get a gradient by step 1. ")
def plain_sgd_in_the_middle_of_its_schedule():
    return scheduled(2)


@healthy("deepspeedai/DeepSpeed#7969", "warm-up", "the one that it warms up to was taken")
def a_linear_warm_up_from_zero():
    model = mlp(6, 8, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


class Agent(nn.Module):
    """A value is fitted to a reward, which is not trained in this step."""

    def __init__(self):
        super().__init__()
        self.reward, self.value = mlp(6, 8, 1), mlp(6, 8, 1)

    def forward(self, x):
        with torch.no_grad():
            reward = self.reward(x)
        return self.value(x), reward


def fitted(part):
    model = Agent()
    optimizer = torch.optim.Adam(model.get_submodule(part).parameters())
    return Batch(model, floats(16, 6), None, {"loss_fn": lambda out: F.mse_loss(*out), "optimizer": optimizer})


@fault(
    "juliusfrost/dreamer-pytorch#79",
    "optimizer of another part",
    "ZI009",
    "reward.0",
    "the gradients go to `value`, which the optimizer does not hold.",
)
def the_optimizer_of_the_other_model():
    return fitted("reward")


class Actor(nn.Module):
    """The loss of a critic does not use its actor."""

    def __init__(self):
        super().__init__()
        self.actor, self.critic = mlp(6, 8, 2), mlp(6, 8, 1)

    def forward(self, x):
        return self.critic(x)


@fault(
    "own",
    "optimizer of another part",
    "ZI018",
    "critic.0.weight",
    "Will not learn as it is: the optimizer holds `actor`, and the gradients of this loss go to `critic`.",
)
def the_loss_of_a_critic_with_the_optimizer_of_the_actor():
    model = Actor()
    optimizer = torch.optim.Adam(model.actor.parameters())
    return Batch(model, floats(16, 6), floats(16, 1), {"loss_fn": F.mse_loss, "optimizer": optimizer})


@healthy("own", "optimizer of another part", "Will learn: 4 of 8 parameters get a gradient by step 1")
def the_optimizer_of_this_model():
    return fitted("value")
