"""Cases of a third reader of public reports: healthy models with custom functions, adapters, optimizers."""

import math
import types

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, healthy


@healthy("huggingface/trl#3452", "reinforcement learning")
def grpo_loss_is_zero():
    """GRPO: the loss is 0 at every step (ratio 1, centred advantages), its gradient is not."""
    torch.manual_seed(501)

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 8)
            self.rnn = nn.GRU(8, 12, batch_first=True)
            self.head = nn.Linear(12, 20)

        def forward(self, tokens, rewards):
            h, _ = self.rnn(self.emb(tokens[:, :-1]))
            lp = torch.log_softmax(self.head(h), -1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
            r = rewards.view(-1, 4)
            adv = ((r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 0.0001)).flatten()
            loss = -(torch.exp(lp - lp.detach()) * adv[:, None]).mean(1).mean()
            return types.SimpleNamespace(loss=loss, logps=lp)

    return Batch(Policy(), {"tokens": torch.randint(0, 20, (8, 7)), "rewards": torch.rand(8)})


class RevFn(torch.autograd.Function):
    """Reversible residual pair: nothing is stored but the output; backward accumulates gradients of f and g."""

    @staticmethod
    def forward(ctx, x, f, g):
        ctx.f, ctx.g = f, g
        with torch.no_grad():
            a, b = x.chunk(2, -1)
            y1 = a + f(b)
            y2 = b + g(y1)
        y = torch.cat([y1, y2], -1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        y1, y2 = y.chunk(2, -1)
        d1, d2 = dy.chunk(2, -1)
        with torch.enable_grad():
            y1 = y1.detach().requires_grad_()
            gy = ctx.g(y1)
            gy.backward(d2)
        d1 = d1 + y1.grad
        with torch.no_grad():
            b = y2 - gy
        with torch.enable_grad():
            b = b.detach().requires_grad_()
            fb = ctx.f(b)
            fb.backward(d1)
        return torch.cat([d1, d2 + b.grad], -1), None, None


class RevBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.f = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU())
        self.g = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU())

    def forward(self, x):
        return RevFn.apply(x, self.f, self.g)


@healthy("RobinBruegger/RevTorch#11", "custom autograd")
def reversible_behind_embedding():
    """Reversible blocks behind an embedding: parameter gradients are accumulated inside the function's backward."""
    torch.manual_seed(502)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(15, 12)
            self.blocks = nn.Sequential(RevBlock(6), RevBlock(6))
            self.head = nn.Linear(12, 15)

        def forward(self, x):
            return self.head(self.blocks(self.emb(x)))

    x = torch.randint(0, 15, (6, 9))
    return Batch(M(), x[:, :-1], x[:, 1:])


@healthy("adambielski/CapsNet-pytorch#8, XifengGuo/CapsNet-Keras#26", "vision")
def capsule_learnable_routing_logits():
    """Capsules: learnable routing logits start at zero, inner routing iterations are detached; all get a gradient at
    once.
    """
    torch.manual_seed(503)

    def squash(v):
        n = (v * v).sum(-1, keepdim=True)
        return v * n / (1 + n) / (n + 1e-08).sqrt()

    class Caps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 16, 3, stride=2)
            self.W = nn.Parameter(torch.randn(36, 3, 4, 6) * 0.3)
            self.b = nn.Parameter(torch.zeros(36, 3))

        def forward(self, x):
            u = squash(
                torch.relu(self.conv(x)).view(x.shape[0], 4, 4, 9).permute(0, 1, 3, 2).reshape(x.shape[0], 36, 4)
                + 0.001
            )
            uh = torch.einsum("bid,ijde->bije", u, self.W)
            uhd = uh.detach()
            b = self.b.expand(x.shape[0], -1, -1)
            for _ in range(2):
                v = squash((b.softmax(2)[..., None] * uhd).sum(1))
                b = b + (uhd * v[:, None]).sum(-1)
            v = squash((b.softmax(2)[..., None] * uh).sum(1))
            return (v * v).sum(-1).add(1e-08).sqrt()

    def margin(o, y):
        t = F.one_hot(y, 3).to(o.dtype)
        return (t * torch.relu(0.9 - o) ** 2 + 0.5 * (1 - t) * torch.relu(o - 0.1) ** 2).sum(1).mean()

    return Batch(Caps(), torch.randn(8, 1, 8, 8), torch.randint(0, 3, (8,)), {"loss_fn": margin})


@healthy("zhutmost/lsq-net#23", "quantization")
def lsq_learned_step():
    """LSQ: straight-through rounding, learned steps whose gradient is scaled by a detach trick."""
    torch.manual_seed(504)

    def gscale(x, k):
        return (x - x * k).detach() + x * k

    def rnd(x):
        return (x.round() - x).detach() + x

    class Q(nn.Module):
        def __init__(self, lo, hi, start):
            super().__init__()
            self.lo, self.hi = lo, hi
            self.step = nn.Parameter(torch.tensor(start))

        def forward(self, x):
            st = gscale(self.step, 1 / math.sqrt(self.hi * x.numel()))
            return rnd((x / st).clamp(self.lo, self.hi)) * st

    class QLinear(nn.Linear):
        def __init__(self, i, o):
            super().__init__(i, o)
            self.qw = Q(-4, 3, 2 * self.weight.abs().mean().item() / math.sqrt(3))
            self.qa = Q(0, 7, 0.3)

        def forward(self, x):
            return F.linear(self.qa(x), self.qw(self.weight), self.bias)

    m = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), QLinear(16, 16), nn.ReLU(), QLinear(16, 4))
    return Batch(m, torch.randn(32, 6), torch.randint(0, 4, (32,)))


@healthy("w1oves/Rein#58", "adapters")
def adaptformer_parallel():
    """Parallel adapters in a frozen transformer: down random, up and biases zero, constant scale 0.1; down moves one
    step later.
    """
    torch.manual_seed(505)

    class Ad(nn.Module):
        def __init__(self, d, r):
            super().__init__()
            self.down = nn.Linear(d, r)
            self.up = nn.Linear(r, d)
            nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
            for p in (self.down.bias, self.up.weight, self.up.bias):
                nn.init.zeros_(p)

        def forward(self, x):
            return self.up(torch.relu(self.down(x))) * 0.1

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.n1 = nn.LayerNorm(d)
            self.attn = nn.MultiheadAttention(d, 2, batch_first=True)
            self.n2 = nn.LayerNorm(d)
            self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
            for p in self.parameters():
                p.requires_grad_(False)
            self.adapter = Ad(d, 3)

        def forward(self, x):
            h = self.n1(x)
            x = x + self.attn(h, h, h, need_weights=False)[0]
            return x + self.mlp(self.n2(x)) + self.adapter(x)

    class Vit(nn.Module):
        def __init__(self, d=12):
            super().__init__()
            self.patch = nn.Conv2d(3, d, 4, stride=4).requires_grad_(False)
            self.blocks = nn.Sequential(Block(d), Block(d))
            self.head = nn.Linear(d, 5)

        def forward(self, x):
            return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1))

    return Batch(Vit(), torch.randn(6, 3, 8, 8), torch.randint(0, 5, (6,)))


class Muon(torch.optim.Optimizer):
    """Own optimizer: matrices get an orthogonalised momentum (in bfloat16), all else Adam without bias correction."""

    def __init__(self, groups, lr=0.02, momentum=0.9, weight_decay=0.01):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "use_muon": False})

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if not st:
                    st["m"] = torch.zeros_like(p)
                    st["v"] = torch.zeros_like(p)
                st["m"].lerp_(p.grad, 1 - g["momentum"])
                p.mul_(1 - g["lr"] * g["weight_decay"])
                if g["use_muon"]:
                    x = st["m"].bfloat16()
                    x = x / (x.norm() + 1e-07)
                    t = x.shape[0] > x.shape[1]
                    if t:
                        x = x.T
                    for _ in range(5):
                        a = x @ x.T
                        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                    p.add_((x.T if t else x).to(p.dtype), alpha=-g["lr"])
                else:
                    st["v"].lerp_(p.grad**2, 0.05)
                    p.addcdiv_(st["m"], st["v"].sqrt() + 1e-08, value=-g["lr"])


@healthy("KellerJordan/Muon#54", "custom optimizer")
def muon_two_groups():
    """Own optimizer class as an object, two groups with own keys, matrices orthogonalised in bfloat16."""
    torch.manual_seed(506)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 10)
            self.body = nn.ModuleList(
                nn.Sequential(nn.RMSNorm(10), nn.Linear(10, 20), nn.SiLU(), nn.Linear(20, 10)) for _ in range(2)
            )
            self.out = nn.Linear(10, 20, bias=False)
            for b in self.body:
                nn.init.zeros_(b[3].weight)

        def forward(self, x):
            h = self.emb(x)
            for b in self.body:
                h = h + b(h)
            return self.out(h)

    m = M()
    mats = [p for b in m.body for p in b.parameters() if p.ndim == 2]
    rest = [p for p in m.parameters() if all(p is not q for q in mats)]
    return Batch(
        m,
        torch.randint(0, 20, (8, 6)),
        torch.randint(0, 20, (8, 6)),
        {
            "optimizer": Muon(
                [{"params": mats, "use_muon": True, "lr": 0.02}, {"params": rest, "use_muon": False, "lr": 0.003}]
            )
        },
    )


@healthy("waterhorse1/MELU_pytorch#4", "meta learning")
def meta_sgd_inner_step():
    """Inner gradient step with learned rates (second order) inside forward."""
    torch.manual_seed(507)

    class Meta(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.ParameterDict(
                {
                    "a": torch.randn(10, 3) * 0.4,
                    "b": torch.zeros(10),
                    "c": torch.randn(1, 10) * 0.3,
                    "d": torch.zeros(1),
                }
            )
            self.rate = nn.ParameterDict({k: torch.full_like(v, math.log(0.1)) for k, v in self.w.items()})

        @staticmethod
        def net(x, w):
            return F.linear(torch.tanh(F.linear(x, w["a"], w["b"])), w["c"], w["d"]).squeeze(-1)

        def forward(self, xs, ys, xq):
            out = []
            for i in range(xs.shape[0]):
                w = dict(self.w.items())
                for _ in range(2):
                    g = torch.autograd.grad(F.mse_loss(self.net(xs[i], w), ys[i]), list(w.values()), create_graph=True)
                    w = {k: v - self.rate[k].exp() * gg for (k, v), gg in zip(w.items(), g, strict=True)}
                out.append(self.net(xq[i], w))
            return torch.stack(out)

    def f(x):
        return (x[..., 0] * 2).sin() + x[..., 1]

    xs, xq = torch.randn(3, 8, 3), torch.randn(3, 6, 3)
    return Batch(Meta(), (xs, f(xs), xq), f(xq), {"loss_fn": F.mse_loss})
