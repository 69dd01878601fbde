"""Cases of a further reader: copies made in a forward pass, faint gradients, arguments of a backward pass alone."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp


class Calibrating(nn.Module):
    """A fake quantizer: hands its input on as it is until it is told to quantize."""

    def __init__(self, quantizes=False):
        super().__init__()
        self.scale, self.quantizes = nn.Parameter(torch.ones(1)), quantizes

    def forward(self, x):
        return x * self.scale if self.quantizes else x


class Observing(Calibrating):
    """Writes down the scale of what it is given."""

    def forward(self, x):
        self.scale.data.copy_(x.detach().abs().max().view(1) / 127)
        if self.quantizes:
            x = x * self.scale
        return x


class Quantized(nn.Linear):
    """A layer that hands its weight through another module."""

    def __init__(self, kind, *sizes):
        super().__init__(*sizes)
        self.fake = kind()

    def forward(self, x):
        return F.linear(x, self.fake(self.weight), self.bias)


@healthy("ModelTC/MQBench#259", "handed through", "only if `self.quantizes`, which is not so here")
def a_quantizer_that_is_off():
    model = nn.Sequential(Quantized(Calibrating, 4, 8), nn.ReLU(), Quantized(Calibrating, 8, 3))
    return Batch(model, floats(16, 4), labels(3, 16), {"loss_fn": F.cross_entropy})


@healthy("ModelTC/MQBench#259", "handed through", "only if `self.quantizes`, which is not so here")
def a_quantizer_that_observes():
    model = nn.Sequential(Quantized(Observing, 4, 8), nn.ReLU(), Quantized(Observing, 8, 3))
    return Batch(model, floats(16, 4), labels(3, 16), {"loss_fn": F.cross_entropy})


@fault("own", "handed through", "ZI010", "unused", "The forward pass does not use `unused`.")
def a_parameter_beside_a_weight_that_is_handed_through():
    model = OneOf(lambda self, x: F.linear(x, self.same(self.layer.weight), self.layer.bias))
    model.layer, model.same, model.unused = nn.Linear(4, 3), nn.Identity(), nn.Parameter(torch.zeros(4, 3))
    return Batch(model, floats(16, 4), labels(3, 16), {"loss_fn": F.cross_entropy})


class SoftArgmax(nn.Module):
    """Finds the place of the largest value of a map."""

    def __init__(self, alpha):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
        self.alpha = alpha

    def forward(self, x):
        maps = 255 * self.net(x)
        shares = F.softmax(self.alpha * maps.flatten(2), 2)
        return (shares * torch.arange(maps[0, 0].numel())).sum(2) / maps[0, 0].numel()


def places(alpha):
    return Batch(SoftArgmax(alpha), floats(4, 1, 12, 12), torch.rand(4, 4), {"loss_fn": F.mse_loss})


@fault(
    "Fdevmsy/PyTorch-Soft-Argmax#3",
    "faint gradient",
    "ZI020",
    "net.0",
    "The softmax in `SoftArgmax.forward` is saturated, so next to no gradient passes.",
    never="Raise the learning rate",
)
def a_softmax_of_far_too_large_scores():
    return places(1000.0)


@healthy("own", "faint gradient", "Will learn: 3 of 4 parameters get a gradient by step 1")
def a_softmax_of_small_scores():
    return places(0.01)


def gated(start):
    model = OneOf(lambda self, x: self.head(x + torch.sigmoid(self.gate(x) + start)))
    model.gate, model.head = nn.Linear(8, 8), nn.Linear(8, 3)
    return Batch(model, floats(16, 8), labels(3, 16), {"loss_fn": F.cross_entropy})


@fault(
    "own",
    "faint gradient",
    "ZI020",
    "gate",
    "The sigmoid in `OneOf.forward` is saturated, so next to no gradient passes.",
    never="nn.ReLU()",
)
def a_gate_that_is_shut():
    return gated(-60.0)


@healthy("own", "faint gradient", "Will learn: all 4 parameters get a gradient by step 1.")
def a_gate_that_is_nearly_shut():
    return gated(-5.0)


def adapt(net, x, y):
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for _ in range(2):
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()


class Adapts(nn.Module):
    """Takes two inner steps on a copy of its network."""

    def __init__(self):
        super().__init__()
        self.net = mlp(1, 16, 1, activation=nn.Tanh)

    def forward(self, x, y, queries, answers):
        fast = self.copied()
        adapt(fast, x, y)
        return F.mse_loss(fast(queries), answers)

    def copied(self):
        return copy.deepcopy(self.net)


class Filled(Adapts):
    """Makes the copy once, and loads the values of the network into it."""

    def __init__(self):
        super().__init__()
        self.fast = mlp(1, 16, 1, activation=nn.Tanh)

    def copied(self):
        self.fast.load_state_dict(self.net.state_dict())
        return self.fast


class FilledAnew(Adapts):
    """Makes a network at each pass, and loads the values into it."""

    def copied(self):
        fast = mlp(1, 16, 1, activation=nn.Tanh)
        fast.load_state_dict(self.net.state_dict())
        return fast


class CopiedByHand(Adapts):
    """Makes a network at each pass, and writes the values into it."""

    def copied(self):
        fast = mlp(1, 16, 1, activation=nn.Tanh)
        for one, other in zip(fast.parameters(), self.net.parameters(), strict=True):
            one.data.copy_(other.data)
        return fast


class Functional(Adapts):
    """Takes the inner steps on the parameters themselves."""

    def forward(self, x, y, queries, answers):
        own = dict(self.net.named_parameters())
        for _ in range(2):
            loss = F.mse_loss(functional_call(self.net, own, (x,)), y)
            steps = torch.autograd.grad(loss, list(own.values()), create_graph=True)
            own = {name: each - 0.01 * step for (name, each), step in zip(own.items(), steps, strict=True)}
        return F.mse_loss(functional_call(self.net, own, (queries,)), answers)


class OwnTeacher(Adapts):
    """Stays near a copy of itself, and learns by itself."""

    def forward(self, x, y, queries, answers):
        return F.mse_loss(self.net(queries), answers) + F.mse_loss(self.net(x), self.copied()(x) + y)


def adapting(kind):
    x, queries = floats(10, 1), floats(10, 1)
    return Batch(kind(), (x, x.sin(), queries, queries.sin()), None, {"loss_fn": lambda loss: loss})


@fault(
    "katerakelly/pytorch-maml#21",
    "copy of a layer",
    "ZI009",
    "net.0",
    "`copy.deepcopy` in `Adapts.forward` makes copies, from which no gradient leads back to",
    never="made anew",
)
def inner_steps_on_a_deep_copy():
    return adapting(Adapts)


@fault(
    "katerakelly/pytorch-maml#21",
    "copy of a layer",
    "ZI009",
    "net.0",
    "`load_state_dict` in `Filled.forward` copies values, from which no gradient leads back to",
    never="could not be seen",
)
def inner_steps_on_a_layer_that_is_filled():
    return adapting(Filled)


@fault(
    "own",
    "copy of a layer",
    "ZI009",
    "net.0",
    "`load_state_dict` in `FilledAnew.forward` copies values, from which no gradient leads back to",
    never="made anew",
)
def inner_steps_on_a_new_layer_that_is_filled():
    return adapting(FilledAnew)


@fault(
    "own",
    "copy of a layer",
    "ZI009",
    "net.0",
    "`torch.func.functional_call(part, {name: p - rate * g}, x)`",
    never="made anew",
)
def inner_steps_on_a_new_layer_that_is_written_to():
    return adapting(CopiedByHand)


@fault("own", "copy of a layer", "ZI009", "net", "and no gradient leads back from a copy", never="under a condition")
def a_weight_that_is_made_a_parameter_again():
    model = OneOf(lambda self, x: self.head(F.linear(x, nn.Parameter(self.net.weight))))
    model.net, model.head = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)
    return Batch(model, floats(16, 4), labels(3, 16), {"loss_fn": F.cross_entropy})


@healthy("own", "copy of a layer", "Will learn: all 4 parameters get a gradient by step 1.")
def inner_steps_on_the_parameters():
    return adapting(Functional)


@healthy("own", "copy of a layer", "Will learn: all 4 parameters get a gradient by step 1.")
def a_deep_copy_as_its_own_teacher():
    return adapting(OwnTeacher)


class Reversed(torch.autograd.Function):
    """Hands its input on, and turns the gradient round."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(alpha)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, error):
        return -ctx.saved_tensors[0] * error, None


class ReversedWithZeros(Reversed):
    """Returns the true gradient of its factor, which is zero."""

    @staticmethod
    def backward(ctx, error):
        return -ctx.saved_tensors[0] * error, torch.zeros_like(ctx.saved_tensors[0])


class Scaled(Reversed):
    """Multiplies its input, and forgets the gradient of the factor."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(alpha)
        return x * alpha


class Spikes(torch.autograd.Function):
    """One above a threshold, with a slope near the threshold alone."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 9).to(x.dtype)

    @staticmethod
    def backward(ctx, error):
        return error * ((ctx.saved_tensors[0] - 9).abs() < 1)


@fault(
    "own",
    "backward alone",
    "ZI008",
    "body",
    "The backward pass of `Spikes` in `OneOf.forward` returns zero, or nothing,",
    never="in its backward pass alone",
)
def a_threshold_that_nothing_reaches():
    model = OneOf(lambda self, x: self.head(x + Spikes.apply(self.body(x))))
    model.body, model.head = nn.Linear(8, 8), nn.Linear(8, 3)
    return Batch(model, floats(16, 8), labels(3, 16), {"loss_fn": F.cross_entropy})


def adversarial(function, trained):
    def run(self, x):
        h = torch.relu(self.features(x))
        return self.classes(h), self.domains(function.apply(h, self.alpha))

    model = OneOf(run, features=nn.Linear(8, 16), classes=nn.Linear(16, 3), domains=nn.Linear(16, 2))
    if trained:
        model.alpha = nn.Parameter(torch.ones(()))
    else:
        model.register_buffer("alpha", torch.ones(()))
    y, domain = labels(3, 32), torch.arange(32) % 2
    loss = {"loss_fn": lambda out: F.cross_entropy(out[0], y) + F.cross_entropy(out[1], domain)}
    return Batch(model, floats(32, 8), None, loss)


@fault(
    "janfreyberg/pytorch-revgrad#6",
    "backward alone",
    "ZI009",
    "alpha",
    "`Reversed` in `OneOf.forward` uses `alpha` in its backward pass alone.",
    never="Return that gradient",
)
def a_learned_factor_of_a_reversed_gradient():
    return adversarial(Reversed, True)


@fault(
    "janfreyberg/pytorch-revgrad#6",
    "backward alone",
    "ZI009",
    "alpha",
    "Make it a buffer or a plain number, and set it by a schedule.",
    never="widen its range",
)
def a_learned_factor_whose_gradient_is_zero():
    return adversarial(ReversedWithZeros, True)


@fault("own", "backward alone", "ZI009", "alpha", "Return that gradient in `Scaled.backward`", never="a buffer")
def a_learned_factor_that_acts_forward_as_well():
    return adversarial(Scaled, True)


@healthy("own", "backward alone", "Will learn: all 6 parameters get a gradient by step 1.")
def a_fixed_factor_of_a_reversed_gradient():
    return adversarial(Reversed, False)


def distances(points):
    def run(self, features, points):
        away = (points - points.roll(1, 0)).square().sum(1, keepdim=True).sqrt()
        return self.head(torch.tanh(self.body(torch.cat([features, away], 1)) + self.shift(points)))

    def start(self, features, points):
        return run(self, features, self.move(points))

    model = OneOf(start, body=nn.Linear(9, 8), shift=nn.Linear(3, 8), head=nn.Linear(8, 1), move=nn.Linear(3, 3))
    return Batch(model, (floats(10, 8), points), floats(10, 1), {"loss_fn": F.mse_loss})


@fault(
    "dmlc/dgl#7271",
    "input of zeros",
    "ZI013",
    "",
    "-> Keep what is under the root above zero: `x.clamp_min(1e-12).sqrt()`.",
    never="the batch is all zeros",
)
def points_that_are_all_at_zero():
    return distances(torch.zeros(10, 3))


@healthy("own", "input of zeros", "Will learn: all 8 parameters get a gradient by step 1.")
def points_that_are_apart():
    return distances(floats(10, 3))


def spoken(frames):
    model = OneOf(lambda self, x: self.net(x).transpose(1, 2).log_softmax(2))
    model.net = nn.Sequential(nn.Conv1d(5, 8, 3, 2, 1), nn.ReLU(), nn.Conv1d(8, 7, 3, 2, 1))
    lengths, y = torch.tensor(frames) // 4, torch.arange(1, 6).repeat(4, 1)

    def loss(scores):
        return F.ctc_loss(scores.transpose(0, 1), y, lengths, torch.full((4,), 5))

    return Batch(model, floats(4, 5, 80), None, {"loss_fn": loss})


@fault(
    "k2-fsa/icefall#135",
    "short example",
    "ZI013",
    "",
    "has too few time steps for 1 of 4 examples: 2 for a target of 5 labels",
    never="-> Give it more time steps",
)
def one_example_of_four_is_too_short():
    return spoken([80, 64, 8, 40])


@healthy("own", "short example", "Will learn: all 4 parameters get a gradient by step 1.")
def no_example_is_too_short():
    return spoken([80, 64, 48, 40])


class Physics(nn.Module):
    """The residual of an equation with second derivatives."""

    def __init__(self, activation):
        super().__init__()
        self.net = mlp(2, 16, 16, 1, activation=activation)

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        (first,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
        second = [torch.autograd.grad(first[:, at].sum(), x, create_graph=True)[0][:, at] for at in (0, 1)]
        return second[0] + second[1]


def physics(activation):
    return Batch(Physics(activation), torch.rand(32, 2), None, {"loss_fn": lambda out: (out - 1).square().mean()})


@fault(
    "lululxvi/deepxde#80",
    "several kinks",
    "ZI008",
    "net.0",
    "Use a smooth activation in place of the ReLU in `net.1` and the ReLU in `net.3`: `nn.Tanh()`.",
)
def two_rectifiers_under_a_second_derivative():
    return physics(nn.ReLU)


@healthy("own", "several kinks", "Will learn: 5 of 6 parameters get a gradient by step 1")
def two_smooth_activations_under_a_second_derivative():
    return physics(nn.Tanh)


def ranked(loss):
    model = OneOf(lambda self, u, p, n: (self.users(u) * self.items(p)).sum(1) - (self.users(u) * self.items(n)).sum(1))
    model.users, model.items = nn.Embedding(8, 6), nn.Embedding(8, 6)
    return Batch(model, (labels(8, 64), labels(8, 64), labels(8, 64)), None, {"loss_fn": loss})


@fault(
    "tanatosuu/GDE#2",
    "log of negative values",
    "ZI013",
    "",
    "Use `F.logsigmoid(x)` in place of the logarithm of a difference. A clamp leaves the",
    never="clamp_min",
)
def the_log_of_a_difference_of_scores():
    return ranked(lambda x: -x.log().mean())


@healthy("own", "log of negative values", "Will learn: all 2 parameters get a gradient by step 1.")
def the_log_of_the_sigmoid_of_a_difference():
    return ranked(lambda x: -F.logsigmoid(x).mean())


@fault("own", "log of negative values", "ZI013", "", "Make its argument positive: `F.softplus(x).log()`.")
def the_log_of_an_output_that_may_be_negative():
    return Batch(nn.Linear(4, 1), floats(16, 4), floats(16, 1), {"loss_fn": lambda x, y: (x.log() - y).square().mean()})


def regression(loss):
    return Batch(mlp(4, 8, 1), floats(16, 4), floats(16), {"loss_fn": loss})


@fault(
    "dingmyu/CamNet#4",
    "each with each",
    "ZI017",
    "",
    "Give both one shape: `targets.reshape(-1, 1)`.",
)
def a_difference_of_two_shapes_by_hand():
    return regression(lambda out, y: (y - out).abs().mean())


@healthy("own", "each with each", "Will learn: all 4 parameters get a gradient by step 1.")
def a_difference_of_all_pairs_that_is_meant():
    return regression(lambda out, y: (y - out.squeeze(1)[:, None]).abs().mean())
