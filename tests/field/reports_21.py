"""More cases of two rounds of readers: cuts one behind another, ends of chains, masks among targets, solvers."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}


class Codes(nn.Module):
    """An encoder hands whole numbers on, without gradients or with a soft form of them."""

    def __init__(self, mode):
        super().__init__()
        self.encoder, self.decoder, self.mode = nn.Linear(6, 8), nn.Linear(4, 3), mode
        self.register_buffer("book", torch.randn(8, 4))

    def forward(self, x):
        with torch.no_grad() if self.mode == "quiet" else torch.enable_grad():
            scores = self.encoder(x)
            if self.mode == "soft":
                return self.decoder(scores.softmax(-1) @ self.book)
            index = scores.argmin(-1)
        return self.decoder(F.embedding(index.clone(), self.book))


@fault("lucidrains/audiolm-pytorch#255", "two cuts in a row", "ZI009", "encoder.weight", "and the argmin in")
def whole_numbers_behind_no_grad():
    return Batch(Codes("quiet"), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "two cuts in a row")
def a_mean_of_the_codes():
    return Batch(Codes("soft"), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


class SwitchesOff(nn.Module):
    """Gradients are switched off by a call in a method, and never on again."""

    def __init__(self, leaves_off):
        super().__init__()
        self.net, self.leaves_off = mlp(6, 8, 3), leaves_off

    def step(self, x):
        torch.set_grad_enabled(True)
        y = self.net(x)
        torch.set_grad_enabled(not self.leaves_off)
        return y * 0.5

    def forward(self, x):
        return self.step(x)


@fault("deepinv/deepinv#166", "switched off by a call", "ZI009", "net.0", "runs with gradients off", never="no_grad()")
def gradients_switched_off_in_a_method():
    class Off(SwitchesOff):
        def step(self, x):
            y = self.net(x)
            torch.set_grad_enabled(False)
            return y * 0.5

    return Batch(Off(True), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "switched off by a call", "Will learn: all 4 parameters get a gradient by step 1. ")
def gradients_switched_on_in_a_method():
    return Batch(SwitchesOff(False), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


class Written(nn.Module):
    """The rows of a prompt are computed by a projector and written into an embedding."""

    def __init__(self, writes):
        super().__init__()
        self.register_buffer("source", torch.randn(4, 6))
        self.projector, self.prompt, self.head, self.writes = mlp(6, 8, 6), nn.Embedding(4, 6), nn.Linear(6, 3), writes
        self.prompt.requires_grad_(False)

    def forward(self, x):
        rows = self.projector(self.source)
        if self.writes:
            self.prompt.weight.data = rows
            rows = self.prompt(torch.arange(4))
        return self.head(x + rows.mean(0))


@fault(
    "thunlp/Prompt-Transferability#2",
    "written into a parameter",
    "ZI009",
    "projector.0.weight",
    "Values are written through `.data` in `Written.forward`",
)
def computed_rows_written_into_an_embedding():
    return Batch(Written(True), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "written into a parameter", "Will learn: all 6 parameters get a gradient by step 1. ")
def computed_rows_used_as_they_are():
    return Batch(Written(False), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


def attended(axis):
    model = OneOf(
        lambda self, x: self.out(
            torch.softmax(self.query(x) @ self.query(x).transpose(1, 2), -1).sum(axis) * x[..., 0]
        ),
        query=nn.Linear(6, 6),
        out=nn.Linear(5, 3),
    )
    return Batch(model, floats(16, 5, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "hlzhu09/Hierarchical-Human-Parsing#13", "sum of a softmax", "ZI012", "query.weight", "Sum over another axis than"
)
def a_sum_over_the_axis_of_a_softmax():
    return attended(-1)


@healthy("own", "sum of a softmax")
def a_sum_over_the_other_axis():
    return attended(1)


def scaled_to_one(least):
    x = floats(16, 4, 6)
    x[0, 0] = 0.0
    model = OneOf(
        lambda self, x: self.out((self.net(x) * (self.net(x).square().sum(-1, keepdim=True) + least).rsqrt()).mean(1)),
        net=nn.Linear(6, 8, bias=False),
        out=nn.Linear(8, 3),
    )
    return Batch(model, x, labels(3, 16), CROSS_ENTROPY)


@fault("keras-team/keras#23075", "root of zero", "ZI013", "", "`(x + 1e-12).rsqrt()`")
def a_row_of_zeros_times_its_rsqrt():
    return scaled_to_one(0.0)


@healthy("own", "root of zero")
def a_rsqrt_of_more_than_zero():
    return scaled_to_one(1e-6)


class Solve(torch.autograd.Function):
    """It calls a module inside, and returns gradients for its parameters alone."""

    @staticmethod
    def forward(ctx, func, x, *params):
        ctx.func, ctx.params = func, params
        with torch.no_grad():
            y = func(x)
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx, error):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return None, *torch.autograd.grad(ctx.func(x), (x, *ctx.params), error, allow_unused=True)


class Driven(nn.Module):
    """What a solver solves depends on a condition, which it is given or finds in an attribute."""

    def __init__(self, given):
        super().__init__()
        self.condition, self.inner, self.head, self.given = mlp(4, 8, 6), nn.Linear(6, 6), nn.Linear(6, 3), given
        self.now = None

    def solve(self, x):
        return torch.tanh(self.inner(x)) * self.now

    def forward(self, x, about):
        self.now = self.condition(about)
        if self.given:
            return self.head(torch.tanh(self.inner(x)) * self.now)
        return self.head(Solve.apply(self.solve, x.requires_grad_(), *self.inner.parameters()))


@fault("rtqichen/torchdiffeq#104", "inside a function", "ZI009", "condition.0.weight", "uses `condition.")
def a_condition_that_a_solver_is_not_given():
    return Batch(Driven(False), (floats(16, 6), floats(16, 4)), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "inside a function", "Will learn: all 8 parameters get a gradient by step 1. ")
def a_condition_in_the_graph():
    return Batch(Driven(True), (floats(16, 6), floats(16, 4)), labels(3, 16), CROSS_ENTROPY)


class Overwritten(nn.Module):
    """The result of a chain of layers is overwritten by the next line."""

    def __init__(self, uses):
        super().__init__()
        self.first, self.norm, self.second, self.last, self.uses = (
            nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 3), uses
        )  # fmt: skip

    def forward(self, x):
        y = self.second(F.relu(self.norm(self.first(x))))
        return self.last(y if self.uses else x)


@fault(
    "pykao/BraTS2018-tumor-segmentation#2",
    "end of a chain",
    "ZI010",
    "first.weight",
    "What `second` computes is thrown away",
    never="What `first` computes",
)
def a_chain_whose_end_is_thrown_away():
    return Batch(Overwritten(False), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "end of a chain")
def a_chain_whose_end_is_used():
    return Batch(Overwritten(True), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


class Relative(nn.Module):
    """Positions that are parameters, made in each pass or once."""

    def __init__(self, anew):
        super().__init__()
        self.net, self.anew = nn.Linear(6, 3), anew
        self.place = None if anew else nn.Parameter(torch.randn(6))

    def forward(self, x):
        return self.net(x + (nn.Parameter(torch.randn(6)) if self.anew else self.place))


@fault("leaderj1001/Stand-Alone-Self-Attention#2", "parameter in forward", "ZI016", "", "a parameter is made anew")
def a_parameter_made_in_each_pass():
    return Batch(Relative(True), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "parameter in forward")
def a_parameter_made_once():
    return Batch(Relative(False), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


class Detector(nn.Module):
    """Two levels of detections, each with a scale of its own; a mask says which detections stand for something."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 4)
        self.first, self.second = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        boxes = self.body(x).reshape(-1, 2, 2)
        return torch.exp(torch.stack([boxes[:, 0] * self.first, boxes[:, 1] * self.second], 1)), boxes


def found_at(levels):
    there = torch.zeros(16, 2, dtype=torch.bool)
    there[:, levels] = True

    def loss(out, target):
        where, aim = target
        return F.mse_loss(out[0][where], aim[where]) + out[1].square().mean()

    return Batch(Detector(), floats(16, 6), (there, floats(16, 2, 2)), {"loss_fn": loss})


@healthy("rosinality/fcos-pytorch", "masked by targets", "Other targets give `second` a gradient.")
def a_level_without_a_detection():
    return found_at([0])


@healthy("own", "masked by targets", "Will learn: all 4 parameters get a gradient by step 1. ")
def detections_on_both_levels():
    return found_at([0, 1])


class Prompted(nn.Module):
    """A prompt in front of a text encoder, with a temperature."""

    def __init__(self):
        super().__init__()
        self.prompt = nn.Module()
        self.prompt.rows = nn.Parameter(torch.randn(2, 6))
        self.encoder, self.temperature = mlp(6, 8, 3), nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.encoder(x + self.prompt.rows.mean(0)) * self.temperature


def prompted(make):
    model = Prompted()
    optimizer = torch.optim.SGD(make(model), lr=0.1)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": optimizer})


@healthy("KaiyangZhou/CoOp#7", "network and a number", "the optimizer holds no parameter of `encoder`")
def an_optimizer_of_the_prompt_alone():
    return prompted(lambda model: model.prompt.parameters())


@fault("own", "network and a number", "ZI018", "encoder.2.weight", "The optimizer does not hold")
def an_optimizer_without_the_last_layer():
    return prompted(lambda model: [*model.prompt.parameters(), *model.encoder[0].parameters(), model.temperature])


def behind_a_channel(open_):
    model = OneOf(
        lambda self, x: self.out(torch.relu(self.lift(x)[:, 0])[:, None] * self.lift(x)[:, 1:].relu()),
        lift=nn.Linear(6, 9),
        out=nn.Linear(8, 3),
    )
    with torch.no_grad():
        model.lift.bias[0] = 5.0 if open_ else -20.0
        model.out.bias.requires_grad_(False)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "chenhsuanlin/bundle-adjusting-NeRF#42",
    "one channel off",
    "ZI008",
    "lift.weight",
    "dead units: 0 of",
    also=("ZI007",),
)
def a_density_that_is_off_everywhere():
    return behind_a_channel(False)


@healthy("own", "one channel off")
def a_density_that_is_on():
    return behind_a_channel(True)
