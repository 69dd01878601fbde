"""Cases of a further reader: second derivatives that train nothing, gradients off around a recursion, attention."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

NOTHING = "have no second one. So this part of the loss trains nothing. -> Use a smooth activation in place of the"
EDGE = torch.tensor([[-1.0], [1.0]])
ALL = "Will learn: all 6 parameters get a gradient by step 1."


def slope(values, x):
    return torch.autograd.grad(values.sum(), x, create_graph=True)[0]


def rest(u, x):
    """How far a function is from a solution of u'' = -sin(x)."""
    return (slope(slope(u, x), x) + torch.sin(x)).square().mean()


def equation(net, residual=rest, field=None):
    """A network that solves an equation: a residual beside values at the edge."""
    seen, field = [], field or (lambda net, x: net(x))

    def forward(self, x):
        seen[:] = [x.detach().requires_grad_()]
        return field(self.net, seen[0]), field(self.net, EDGE.to(x))

    def loss(out):
        return residual(out[0], seen[0]) + (out[1] - 1).square().mean()

    return Batch(OneOf(forward, net=net), torch.linspace(-1, 1, 40)[:, None], None, {"loss_fn": loss})


def layers(*activations):
    """Dense layers of 24 units with biases that leave no unit dead."""
    net = nn.Sequential(nn.Linear(1, 24), activations[0], nn.Linear(24, 24), activations[1], nn.Linear(24, 1))
    nn.init.zeros_(net[0].bias)
    return net


def zero_end(net):
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


@fault("arXiv:2212.00270", "no second derivative", "ZI025", "", f"{NOTHING} ReLU in `net.1` and the ReLU in `net.3`")
def a_residual_behind_rectifiers_beside_an_edge():
    return equation(layers(nn.ReLU(), nn.ReLU()))


@fault("own", "no second derivative", "ZI025", "", NOTHING)
def a_residual_behind_leaky_rectifiers():
    return equation(layers(nn.LeakyReLU(), nn.LeakyReLU()))


@fault("own", "no second derivative", "ZI025", "", NOTHING)
def a_second_derivative_of_another_term_alone():
    """It is 2 and not zero, and no parameter changes it."""
    return equation(layers(nn.ReLU(), nn.ReLU()), field=lambda net, x: net(x) + x.square())


@fault("own", "no second derivative", "ZI025", "", NOTHING)
def a_residual_of_first_order_in_time():
    """One derivative of the equation trains the network, the other one nothing."""
    return equation(layers(nn.ReLU(), nn.ReLU()), lambda u, x: rest(u, x) + (slope(u, x) - 1).square().mean())


@fault("own", "no second derivative", "ZI025", "", NOTHING)
def a_residual_behind_rectifiers_with_a_zero_end():
    return equation(zero_end(layers(nn.ReLU(), nn.ReLU())))


@fault("own", "no second derivative", "ZI025", "", NOTHING)
def a_hessian_behind_rectifiers_beside_a_value():
    def forward(self, x):
        bent = torch.autograd.functional.hessian(lambda at: self.net(at).sum(), x, create_graph=True)
        return self.net(x), bent.sum((2, 3))

    model = OneOf(forward, net=mlp(2, 16, 16, 1))
    loss = {"loss_fn": lambda out: out[0].square().mean() + (out[1] - 1).square().mean()}
    return Batch(model, floats(8, 2), None, loss)


@healthy("arXiv:2212.00270", "no second derivative", ALL)
def a_residual_behind_tanh_beside_an_edge():
    return equation(layers(nn.Tanh(), nn.Tanh()))


@healthy("own", "no second derivative", ALL)
def a_residual_behind_a_rectifier_and_tanh():
    return equation(layers(nn.ReLU(), nn.Tanh()))


@healthy("own", "no second derivative", "Will learn: all 6 parameters get a gradient by step 2")
def a_residual_behind_tanh_with_a_zero_end():
    return equation(zero_end(layers(nn.Tanh(), nn.Tanh())))


@healthy("own", "no second derivative", "Will learn: all 6 parameters get a gradient by step 2")
def a_residual_behind_a_rectifier_and_tanh_with_a_zero_end():
    return equation(zero_end(layers(nn.ReLU(), nn.Tanh())))


@healthy("own", "no second derivative", ALL)
def a_residual_of_rectifiers_times_the_distance_to_the_edge():
    """The product has a second derivative, through the first one of the network."""
    return equation(layers(nn.ReLU(), nn.ReLU()), field=lambda net, x: net(x) * (1 - x.square()) + 0 * x)


@healthy("own", "no second derivative")
def a_line_whose_coefficients_come_from_rectifiers():
    """A line has no second derivative, whatever the activations."""

    def forward(self, c):
        x = torch.linspace(-1, 1, len(c)).to(c).requires_grad_()
        u = (self.net(c) * x[:, None] ** torch.arange(2)).sum(1)
        return u, slope(slope(u, x), x)

    model = OneOf(forward, net=mlp(3, 16, 16, 2))
    loss = {"loss_fn": lambda out: (out[0] - 1).square().mean() + (out[1] - 1).square().mean()}
    return Batch(model, floats(8, 3), None, loss)


@healthy("own", "no second derivative", ALL)
def a_second_derivative_that_is_looked_at_alone():
    def watched(u, x):
        first = slope(u, x)
        assert math.isfinite(float(slope(first, x).detach().abs().max()))
        return (first - 1).square().mean()

    return equation(layers(nn.ReLU(), nn.ReLU()), watched)


@healthy("own", "no second derivative", ALL)
def a_slope_of_a_limit_that_is_kept():
    """A first derivative is zero while the limit is kept: the rectifier is off, and no second one is asked for."""
    return equation(layers(nn.Tanh(), nn.Tanh()), lambda u, x: slope((u - 3).relu(), x).square().mean())


@healthy("caogang/wgan-gp#56", "no second derivative", ALL)
def a_gradient_penalty_behind_rectifiers():
    def penalty(u, x):
        return u.mean() + 10 * (slope(u, x).norm(dim=1) - 1).square().mean()

    return equation(layers(nn.ReLU(), nn.LeakyReLU(0.2)), penalty)


@healthy("own", "no second derivative")
def two_inner_steps_on_a_code_behind_rectifiers():
    """The second step takes a derivative at what the first one has moved."""

    def forward(self, x):
        code = torch.zeros(len(x), 4).to(x).requires_grad_()
        for _ in range(2):
            code = code - slope((self.net(code) - x).square(), code)
        return self.net(code)

    model = OneOf(forward, net=mlp(4, 16, 16, 3))
    return Batch(model, floats(8, 3), None, {"loss_fn": lambda out: out.square().mean()})


class Filter(nn.Module):
    """A network that sets the coefficients of a recursive filter, or of a sum."""

    def __init__(self, quiet=True, recursive=True):
        super().__init__()
        self.net, self.gain = nn.Linear(16, 2), nn.Parameter(torch.ones(1))
        self.quiet, self.recursive = quiet, recursive

    def forward(self, x):
        now, last = self.net(x).split(1, -1)
        if not self.quiet:
            values = [now[:, 0] * x[:, 0]]
            for n in range(1, 16):
                values.append(now[:, 0] * x[:, n] - 0.5 * torch.tanh(last[:, 0]) * values[-1])
            return self.gain * torch.stack(values, 1)
        with torch.no_grad():
            out = torch.zeros_like(x)
            for n in range(16):
                out[:, n] = now[:, 0] * x[:, n]
                if n and self.recursive:
                    out[:, n] -= 0.5 * torch.tanh(last[:, 0]) * out[:, n - 1]
        return self.gain * out


def filtered(**how):
    return Batch(Filter(**how), floats(8, 16), floats(8, 16), {"loss_fn": F.mse_loss})


@fault(
    "pytorch/audio#1517",
    "recursion without gradients",
    "ZI009",
    "net",
    "-> Remove `torch.no_grad()` in `Filter.forward`. Collect the values that are written in place there in a list, "
    "and use `torch.stack`.",
    never="could not be seen",
)
def a_recursive_filter_under_no_grad():
    return filtered()


@fault(
    "own", "recursion without gradients", "ZI009", "net", "-> Remove `torch.no_grad()` in `Filter", never="torch.stack"
)
def a_filter_in_place_under_no_grad():
    return filtered(recursive=False)


@healthy("pytorch/audio#1517", "recursion without gradients", "Will learn: all 3 parameters get a gradient by step 1.")
def a_recursive_filter_of_a_list():
    return filtered(quiet=False)


@fault(
    "Unity-Technologies/ml-agents#5546",
    "drawn",
    "ZI009",
    "enc.0",
    "draws values without a gradient. Their mean and spread come from `enc.0.weight` and `enc.0.bias`.",
)
def a_normal_draw_behind_an_encoder():
    def forward(self, x):
        h = self.enc(x)
        return self.out(torch.normal(self.mean(h), self.spread(h).exp()))

    parts = {"mean": nn.Linear(16, 8), "spread": nn.Linear(16, 8), "out": nn.Linear(8, 1)}
    model = OneOf(forward, enc=nn.Sequential(nn.Linear(6, 16), nn.SiLU()), **parts)
    return Batch(model, floats(32, 6), floats(32, 1), {"loss_fn": F.mse_loss})


@healthy("own", "drawn", "Will learn: all 4 parameters get a gradient by step 1.")
def a_normal_draw_that_is_reparametrized():
    def forward(self, x):
        return self.out(torch.distributions.Normal(self.mean(x), 1.0).rsample())

    model = OneOf(forward, mean=nn.Linear(6, 8), out=nn.Linear(8, 1))
    return Batch(model, floats(32, 6), floats(32, 1), {"loss_fn": F.mse_loss})


def attention(weights):
    """Attention over the edges of a graph."""

    def forward(self, x, edges):
        h, (start, end) = self.values(x), edges
        scores = F.leaky_relu(self.score(torch.cat([h[end], h[start]], -1)), 0.2)
        return self.out(torch.zeros_like(h).index_add(0, end, h[start] * weights(scores, end)))

    model = OneOf(forward, values=nn.Linear(5, 12), score=nn.Linear(24, 1, bias=False), out=nn.Linear(12, 3))
    return Batch(model, (floats(20, 5), labels(20, 2, 70)), labels(3, 20), {"loss_fn": F.cross_entropy})


def per_node(scores, end):
    parts = (scores - scores.max()).exp()
    return parts / torch.zeros(20, 1).to(parts).index_add(0, end, parts)[end]


@fault(
    "FluxML/GeometricFlux.jl#130",
    "attention over edges",
    "ZI008",
    "score",
    "-> Let it run over the edges of each node: `torch_geometric.utils.softmax(scores, node_of_edge)`.",
    never="another dimension",
)
def a_softmax_over_one_score_of_each_edge():
    return attention(lambda scores, end: torch.softmax(scores, -1))


@fault("own", "attention over edges", "ZI008", "score", "-> Use a sigmoid in place of", never="each node")
def a_softmax_over_one_score_of_each_example():
    """Nothing is summed up by an index here."""
    model = OneOf(lambda self, x: self.out(x * self.score(x).softmax(-1)), score=nn.Linear(5, 1), out=nn.Linear(5, 3))
    return Batch(model, floats(20, 5), labels(3, 20), {"loss_fn": F.cross_entropy})


@healthy("FluxML/GeometricFlux.jl#130", "attention over edges", "Will learn: all 5 parameters")
def a_softmax_over_the_edges_of_each_node():
    return attention(per_node)
