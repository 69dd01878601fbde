"""Cases of a further reader: derivatives without a graph, causes that follow from others, names of a few parts."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

GRAPH = "takes a derivative without `create_graph=True`"
SOME = "Will learn: 5 of 6 parameters get a gradient by step 1"


def field(slope, activation=nn.Tanh, loss=F.mse_loss):
    """A force or a flow: the derivative of a network by its input."""
    net = mlp(2, 16, 16, 1, activation=activation)
    model = OneOf(lambda self, x: slope(self.net, x), net=net)
    return Batch(model, floats(8, 2), floats(8, 2), {"loss_fn": loss})


def by_grad(net, x, **settings):
    x = x.detach().requires_grad_()
    return -torch.autograd.grad(net(x).sum(), x, **settings)[0]


@fault(
    "pyg-team/pytorch_geometric#9161",
    "derivative cut off",
    "ZI009",
    "net.0",
    "-> Call `torch.autograd.grad(..., create_graph=True)` in `OneOf.forward`.",
    never="copies values",
)
def a_force_that_keeps_the_graph():
    return field(lambda net, x: by_grad(net, x, retain_graph=True))


@fault("own", "derivative cut off", "ZI009", "net.0", GRAPH, never="could not be seen")
def a_force_that_frees_the_graph():
    return field(by_grad)


@fault("own", "derivative cut off", "ZI009", "net.0.bias", "Use a smooth activation", never="could not be seen")
def a_force_behind_rectifiers():
    return field(by_grad, nn.ReLU)


@fault("own", "derivative cut off", "ZI009", "net.0", "`torch.autograd.grad` in the loss takes", never="copies values")
def a_slope_in_the_loss():
    seen = []

    def slope(output, targets):
        return F.mse_loss(torch.autograd.grad(output.sum(), seen.pop(), retain_graph=True)[0], targets)

    def forward(self, x):
        seen[:] = [x.detach().requires_grad_()]
        return self.net(seen[0])

    model = OneOf(forward, net=mlp(2, 16, 1, activation=nn.Tanh))
    return Batch(model, floats(8, 2), floats(8, 2), {"loss_fn": slope})


def by_jacobian(net, x, **settings):
    return torch.autograd.functional.jacobian(lambda at: net(at).sum(0), x, **settings)[0]


@fault(
    "own",
    "derivative cut off",
    "ZI009",
    "net.0",
    "-> Call `torch.autograd.functional.jacobian(..., create_graph=True)`",
)
def a_jacobian_without_a_graph():
    return field(by_jacobian)


def by_hessian(net, x, **settings):
    return torch.autograd.functional.hessian(lambda at: net(at).sum(), x, **settings).sum((2, 3))


@fault("own", "derivative cut off", "ZI009", "net.0", f"`torch.autograd.functional.hessian` in `OneOf.forward` {GRAPH}")
def a_hessian_without_a_graph():
    return field(by_hessian)


def by_backward(net, x, **settings):
    x = x.detach().requires_grad_()
    net(x).sum().backward(**settings)
    return x.grad


@fault(
    "own",
    "derivative cut off",
    "ZI009",
    "net.0",
    "-> Call `torch.autograd.grad(..., create_graph=True)` in place of `backward()` in `OneOf.forward`.",
)
def a_force_by_a_backward_pass_inside():
    return field(by_backward)


@fault("own", "derivative cut off", "ZI025", "", "The loss holds a derivative that is taken without")
def a_force_by_a_backward_pass_inside_beside_a_value():
    return field(
        lambda net, x: (net(x), by_backward(net, x)), loss=lambda out, y: out[0].mean() + F.mse_loss(out[1], y)
    )


@fault("own", "derivative cut off", "ZI009", "net.0", "2 operations cut", never="copies values")
def a_force_detached_once_more():
    return field(lambda net, x: by_grad(net, x).detach())


@healthy("pyg-team/pytorch_geometric#9161", "derivative cut off", SOME)
def a_force_with_a_graph():
    return field(lambda net, x: by_grad(net, x, create_graph=True))


@healthy("own", "derivative cut off", SOME)
def a_jacobian_with_a_graph():
    return field(lambda net, x: by_jacobian(net, x, create_graph=True))


@healthy("own", "derivative cut off", SOME)
def a_hessian_with_a_graph():
    return field(lambda net, x: by_hessian(net, x, create_graph=True))


@healthy("own", "derivative cut off", SOME)
def a_force_by_a_backward_pass_with_a_graph():
    return field(lambda net, x: by_backward(net, x, create_graph=True))


@healthy("own", "derivative cut off", "Will learn: all 6 parameters get a gradient by step 1.")
def an_attack_by_a_backward_pass_inside():
    """Inputs are moved along a gradient that needs no graph; the loss of the moved ones trains."""
    return field(lambda net, x: net(x + 0.1 * by_backward(net, x).sign()), loss=lambda out, y: out.square().mean())


@fault("own", "derivative cut off", "ZI009", "base.0", GRAPH)
def a_force_of_another_network_beside_a_value():
    """One cause, and not two: the derivative of the base alone has no graph."""
    model = OneOf(lambda self, x: (self.net(x), by_grad(self.base, x)), net=mlp(2, 16, 1), base=mlp(2, 16, 1))
    loss = {"loss_fn": lambda out, y: out[0].square().mean() + F.mse_loss(out[1], y)}
    return Batch(model, floats(8, 2), floats(8, 2), loss)


def of_transform(net, x):
    return torch.func.vmap(torch.func.grad(lambda at: net(at).sum()))(x)


@fault("own", "derivative cut off", "ZI009", "net.0", "-> Remove `torch.no_grad()` in `OneOf.forward`.")
def a_transform_under_no_grad():
    def slope(net, x):
        with torch.no_grad():
            return of_transform(net, x)

    return field(slope)


@healthy("own", "derivative cut off", SOME)
def a_transform_with_gradients():
    return field(of_transform)


def nearest(values):
    """Return the whole number nearest to each value, with a gradient; at first these are all zero."""
    centers = torch.arange(-2.0, 3.0).to(values)
    far = (values.unsqueeze(-1) - centers).square()
    hard, soft = centers[far.argmin(-1)], ((-far).softmax(-1) * centers).sum(-1)
    return (hard - soft).detach() + soft


def compressed(code, spread=0.3):
    """An encoder, a code of whole numbers, and a decoder."""
    x, encoder = torch.rand(16, 6), mlp(6, 12, 4)
    nn.init.normal_(encoder[2].weight, std=spread)
    model = OneOf(lambda self, x: self.decoder(code(nearest(self.encoder(x)))), encoder=encoder, decoder=mlp(4, 12, 6))
    return Batch(model, x, x, {"loss_fn": F.mse_loss})


@fault(
    "Justin-Tan/generative-compression#51",
    "consequence",
    "ZI008",
    "encoder.0",
    "OneOf: 1 warning; 3 of 8 parameters learn",
    never="Feed it values",
)
def rounded_to_zeros():
    return compressed(torch.round)


@fault(
    "own",
    "consequence",
    "ZI009",
    "encoder.0",
    "OneOf: 1 warning; 3 of 8 parameters learn",
    also=("ZI007",),
    never="Feed it values",
)
def codes_of_zero_that_are_detached():
    return compressed(torch.detach)


@fault("own", "consequence", "ZI008", "net", "OneOf: 2 warnings;", also=("ZI007",))
def rounded_beside_zeros_of_their_own():
    """The zeros of the other branch do not come from the rounding: two causes."""
    model = OneOf(
        lambda self, x: self.above(self.net(x).round()) + self.other(x.relu().minimum(torch.zeros(()))),
        net=nn.Linear(6, 8),
        above=nn.Linear(8, 3),
        other=nn.Linear(6, 3),
    )
    return Batch(model, 3 * floats(16, 6), floats(16, 3), {"loss_fn": F.mse_loss})


@healthy("own", "consequence", "Will learn:")
def rounded_to_zeros_with_a_gradient():
    return compressed(lambda code: code + (code.round() - code).detach(), 2.0)


class Scales(nn.Module):
    """Discriminators at several scales."""

    def __init__(self):
        super().__init__()
        self.discs = nn.ModuleList(mlp(8, 16, 1) for _ in range(3))

    def forward(self, x):
        return [each(x) for each in self.discs]


def scales(loss):
    return Batch(Scales(), floats(16, 8), None, {"loss_fn": loss})


@healthy("coqui-ai/TTS#3153", "names of some", "ZI105 info discs.{0,1}.* (4 of them): `discs.{0,1}.*.weight`")
def the_loss_of_the_last_scale_alone():
    """The loop over the scales overwrites the loss."""
    return scales(lambda scores: scores[-1].square().mean())


class Two(Scales):
    """All of its scales beside another layer, which alone is used."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return [*super().forward(x), self.head(x)]


@healthy("own", "names of some", "ZI105 info discs.*.* (6 of them): `discs.*.*.weight`")
def the_loss_of_no_scale():
    return Batch(Two(), floats(16, 8), None, {"loss_fn": lambda scores: scores[-1].square().mean()})


def log_of_raw_values(p, y):
    p = p.flatten().clamp(1e-7, 1 - 1e-7)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def looked_up(loss):
    model = nn.Embedding(5, 1)
    nn.init.zeros_(model.weight)
    return Batch(model, torch.randint(5, (64,)), torch.ones(64), {"loss_fn": loss})


@fault(
    "tensorflow/tensorflow#28487",
    "no probability",
    "ZI008",
    "",
    "-> Put a sigmoid in front of the clamp in the loss: `torch.sigmoid(x)`. Or leave both out, and use "
    "`F.binary_cross_entropy_with_logits`.",
)
def the_logarithm_of_clamped_raw_values():
    return looked_up(log_of_raw_values)


def low(outputs):
    model = nn.Linear(4, outputs)
    nn.init.constant_(model.bias, -9.0)
    return model


@fault("own", "no probability", "ZI008", "", "-> Put a sigmoid in front of the clamp in `OneOf.forward`")
def clamped_raw_values_in_the_forward_pass():
    model = OneOf(lambda self, x: self.net(x).clamp(1e-6, 1 - 1e-6), net=low(1))
    return Batch(model, floats(16, 4), torch.ones(16, 1), {"loss_fn": F.binary_cross_entropy})


@fault("own", "no probability", "ZI008", "", "-> Put a softmax in front of the clamp in the loss: `x.softmax(-1)`.")
def clamped_raw_values_of_classes():
    loss = {"loss_fn": lambda p, y: F.nll_loss(p.clamp(1e-6, 1).log(), y)}
    return Batch(low(3), floats(16, 4), torch.randint(3, (16,)), loss)


@fault("own", "no probability", "ZI008", "", "-> Look at what goes into the clamp min in the loss.", never="margin")
def a_spread_below_its_least_value():
    """A bound below alone: what is logged may be a spread, and no probability."""

    def loss(spread, y):
        spread = spread.clamp_min(1e-6)
        return (spread.log() + y / spread).mean()

    return Batch(low(1), floats(16, 4), torch.rand(16, 1), {"loss_fn": loss})


@fault("own", "no probability", "ZI008", "", "-> Look at what goes into the clamp in the loss.", never="sigmoid")
def clamped_values_that_are_compared():
    return Batch(low(1), floats(16, 4), torch.ones(16, 1), {"loss_fn": lambda p, y: F.mse_loss(p.clamp(0, 1), y)})


@healthy("own", "no probability", "Will learn: the only trained parameter gets a gradient by step 1.")
def the_logarithm_of_probabilities():
    return looked_up(lambda output, y: log_of_raw_values(output.sigmoid(), y))


class Skipped(nn.Module):
    """Blocks that are left out at random."""

    def __init__(self, norm):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), norm(16), nn.ReLU()) for _ in range(6))

    def forward(self, x):
        x = self.stem(x)
        for each in self.blocks:
            if torch.rand(()) < 0.5:
                x = x + each(x)
        return self.head(x)


@healthy(
    "pytorch/pytorch#90171",
    "one reason",
    "ZI103 info blocks.*.0 (6 of them): `blocks.*.0.bias` has no effect. The batch norm in `blocks.*.1` removes",
)
def biases_in_front_of_norms_of_skipped_blocks():
    return Batch(Skipped(nn.BatchNorm1d), floats(32, 8), labels(4, 32))


@healthy("own", "one reason", "Will learn: all 28 parameters get a gradient")
def biases_in_front_of_other_norms_of_skipped_blocks():
    return Batch(Skipped(nn.LayerNorm), floats(32, 8), labels(4, 32))
