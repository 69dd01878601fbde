"""Cases of a third reader of public reports: faults, many of which are not told as they should be yet."""

import math
import types

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault


@fault(
    "openai/CLIP#46 (with pytorch/pytorch#7002)",
    "contrastive",
    "ZI008",
    "logit_scale",
    "The clamp in `Clip.forward` cuts off every value",
)
def clip_scale_above_clamp():
    """The value exp(logit_scale) = 200 lies above the clamp's maximum of 100, where clamp has no gradient: the
    temperature never moves. Repair: clamp the parameter itself after each update (no_grad), or start it at
    ln(1/0.07).
    """
    torch.manual_seed(601)

    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.img = nn.Linear(10, 8)
            self.txt = nn.Sequential(nn.EmbeddingBag(30, 8), nn.Linear(8, 8))
            self.logit_scale = nn.Parameter(torch.tensor(math.log(200.0)))

        def forward(self, image, text):
            lg = (
                self.logit_scale.exp().clamp(max=100)
                * F.normalize(self.img(image), dim=-1)
                @ F.normalize(self.txt(text), dim=-1).T
            )
            y = torch.arange(len(lg), device=lg.device)
            return types.SimpleNamespace(loss=(F.cross_entropy(lg, y) + F.cross_entropy(lg.T, y)) / 2, logits=lg)

    return Batch(Clip(), {"image": torch.randn(12, 10), "text": torch.randint(0, 30, (12, 5))})


@fault(
    "open-mmlab/mmdetection#8053",
    "detection",
    "ZI007",
    "layers.0.self",
    "The zeros_like in `Detr.forward` makes these zeros",
)
def detr_first_self_attention():
    """The decoder's content starts as zeros, so in the first layer's self-attention all values are the same vector (the
    bias): queries and keys cannot matter and the value matrix only sees zeros. Repair: give the content an embedding
    of its own (learnable, random), or leave the self-attention out of the first layer.
    """
    torch.manual_seed(602)

    class Layer(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.self = nn.MultiheadAttention(d, 2, batch_first=True)
            self.cross = nn.MultiheadAttention(d, 2, batch_first=True)
            self.ff = nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d))
            self.n1, self.n2, self.n3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

        def forward(self, t, mem, pos):
            t = self.n1(t + self.self(t + pos, t + pos, t, need_weights=False)[0])
            t = self.n2(t + self.cross(t + pos, mem, mem, need_weights=False)[0])
            return self.n3(t + self.ff(t))

    class Detr(nn.Module):
        def __init__(self, d=12, n=5):
            super().__init__()
            self.back = nn.Conv2d(3, d, 4, stride=4)
            self.query_embed = nn.Embedding(n, d)
            self.layers = nn.ModuleList(Layer(d) for _ in range(2))
            self.box = nn.Linear(d, 4)
            self.cls = nn.Linear(d, 3)

        def forward(self, x):
            m = self.back(x).flatten(2).transpose(1, 2)
            p = self.query_embed.weight[None].expand(len(x), -1, -1)
            t = torch.zeros_like(p)
            for layer in self.layers:
                t = layer(t, m, p)
            return self.box(t).sigmoid(), self.cls(t)

    return Batch(
        Detr(),
        torch.randn(4, 3, 12, 12),
        (torch.rand(4, 5, 4), torch.randint(0, 3, (4, 5))),
        {"loss_fn": lambda o, t: F.l1_loss(o[0], t[0]) + F.cross_entropy(o[1].flatten(0, 1), t[1].flatten())},
    )


@fault(
    "modelscope/ms-swift#4570",
    "reinforcement learning",
    "ZI007",
    "emb",
    "another batch",
    also=("ZI008",),
    never="start at another value",
)
def grpo_equal_rewards():
    """All completions of each group have the same reward, so every advantage is 0 and the loss has no gradient. Repair:
    rewards that differ within a group (more varied sampling, a finer reward); another batch.
    """
    torch.manual_seed(603)

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
            return types.SimpleNamespace(loss=-(torch.exp(lp - lp.detach()) * adv[:, None]).mean(), logps=lp)

    r = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0])
    return Batch(Policy(), {"tokens": torch.randint(0, 20, (8, 7)), "rewards": r})


def _sink_np(c):
    k = np.exp(-c / 0.5)
    u = np.ones(len(c))
    v = np.ones(c.shape[1])
    for _ in range(20):
        u = 1 / len(c) / (k @ v)
        v = 1 / c.shape[1] / (k.T @ u)
    return float((u[:, None] * k * v * c).sum())


@fault("PythonOT/POT#393", "optimal transport", "ZI009", "proj", "`.numpy()` in `Da.forward` take values out of torch")
def sinkhorn_through_numpy():
    """The Sinkhorn distance of the projected features is computed in numpy and comes back as a plain number, so the
    projection has no path to the loss. Repair: compute it with torch operations (backend that keeps the graph).
    """
    torch.manual_seed(604)

    class Da(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(6, 10), nn.Tanh())
            self.proj = nn.Linear(10, 4, bias=False)
            self.cls = nn.Linear(10, 3)

        def forward(self, src, tgt, y):
            a, b = self.enc(src), self.enc(tgt)
            c = torch.cdist(self.proj(a), self.proj(b)) ** 2
            ot = torch.as_tensor(_sink_np(c.detach().cpu().numpy()), dtype=a.dtype)
            return types.SimpleNamespace(loss=F.cross_entropy(self.cls(a), y) + 0.1 * ot)

    return Batch(Da(), (torch.randn(12, 6), torch.randn(12, 6) + 0.5, torch.randint(0, 3, (12,))))


@fault("kevinzakka/spatial-transformer-network#3", "vision", "ZI010", "loc.0", "What `loc` computes is thrown away")
def stn_output_not_used():
    """The transformed image is computed but the classifier reads the untransformed one, so the localisation network has
    no path to the loss. Repair: feed the transformed image to the classifier.
    """
    torch.manual_seed(605)

    class Stn(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6))
            nn.init.normal_(self.loc[3].weight, 0, 0.01)
            self.loc[3].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
            self.cnn = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4))

        def forward(self, x):
            grid = F.affine_grid(self.loc(x).view(-1, 2, 3), x.shape, align_corners=False)
            F.grid_sample(x, grid, align_corners=False)
            return self.cnn(x)

    return Batch(Stn(), torch.randn(10, 1, 8, 8), torch.randint(0, 4, (10,)))


@fault(
    "keras-team/keras#478 (focusing on empty spaces)",
    "vision",
    "ZI008",
    "loc.3",
    "outside",
    also=("ZI007",),
    never="has no effect",
)
def stn_samples_outside():
    """The predicted transformation samples outside of every image, where grid_sample returns zeros without gradient;
    the classifier sees black images. Repair: start the transformation at the identity (zero weights, identity bias).
    """
    torch.manual_seed(606)

    class Stn(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6))
            nn.init.normal_(self.loc[3].weight, 0, 0.01)
            self.loc[3].bias.data.copy_(torch.tensor([1.0, 0, 4, 0, 1, 4]))
            self.cnn = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4))
            self.cnn[0].bias.data.uniform_(0.05, 0.3)

        def forward(self, x):
            grid = F.affine_grid(self.loc(x).view(-1, 2, 3), x.shape, align_corners=False)
            return self.cnn(F.grid_sample(x, grid, align_corners=False))

    return Batch(Stn(), torch.randn(10, 1, 8, 8), torch.randint(0, 4, (10,)))


@fault("pyro-ppl/pyro#2192", "flows", "ZI013", "flows.0", "flows.0.w", never="Look at what goes into the division")
def planar_flow_zero_w():
    """The vector w starts at zero and the constraint divides by its squared norm: 0/0 = NaN in the first forward pass.
    Repair: draw w at random (u may be zero), or add an epsilon to the squared norm.
    """
    torch.manual_seed(607)

    class Planar(nn.Module):
        def __init__(self, d=2):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(d))
            self.u = nn.Parameter(torch.zeros(d))
            self.b = nn.Parameter(torch.zeros(1))

        def forward(self, z):
            wu = self.w @ self.u
            u = self.u + (F.softplus(wu) - 1 - wu) * self.w / (self.w**2).sum()
            t = torch.tanh(z @ self.w + self.b)
            return z + u * t[:, None], torch.log((1 + (1 - t**2) * (self.w @ u)).abs() + 1e-06)

    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.flows = nn.ModuleList(Planar() for _ in range(2))

        def forward(self, z):
            ld = 0
            for f in self.flows:
                z, change = f(z)
                ld = ld + change
            return (0.5 * ((z - 1) ** 2).sum(1) - ld).mean()

    return Batch(Flow(), torch.randn(64, 2), None, {"loss_fn": lambda o: o})


@fault(
    "Quantum-Cheese/DeepReinforcementLearning_Pytorch#1",
    "reinforcement learning",
    "ZI009",
    "actor.0",
    "`.item()` in `Ac.forward` takes values out of torch",
)
def log_probs_into_new_tensor():
    """The stored log-probabilities are put into torch.tensor([...]), which copies the numbers without the graph, so the
    actor has no path to the loss. Repair: torch.stack(log_probs).
    """
    torch.manual_seed(608)

    class Ac(nn.Module):
        def __init__(self):
            super().__init__()
            self.actor = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 3))
            self.critic = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 1))

        def forward(self, obs, act, ret):
            mem = [
                (torch.distributions.Categorical(logits=self.actor(o)).log_prob(a), self.critic(o).squeeze())
                for o, a in zip(obs, act, strict=True)
            ]
            lp = torch.tensor([m[0].item() for m in mem], dtype=obs.dtype)
            v = torch.stack([m[1] for m in mem])
            return types.SimpleNamespace(loss=-(lp * (ret - v.detach())).mean() + F.mse_loss(v, ret))

    return Batch(Ac(), (torch.randn(10, 4), torch.randint(0, 3, (10,)), torch.randn(10)))


@fault("tensorflow/recommenders#231", "recommender", "ZI001", "user", "All 6 features of `user` are identical")
def factorisation_constant_tables():
    """Both tables are filled with the same constant: all latent features are equal and get equal gradients, so the
    factorisation stays of rank one. Repair: draw at least one of the two tables at random.
    """
    torch.manual_seed(609)

    class Mf(nn.Module):
        def __init__(self):
            super().__init__()
            self.user = nn.Embedding(12, 6)
            self.item = nn.Embedding(15, 6)
            self.bu = nn.Embedding(12, 1)
            self.bi = nn.Embedding(15, 1)
            nn.init.zeros_(self.bu.weight)
            nn.init.zeros_(self.bi.weight)
            nn.init.constant_(self.user.weight, 0.1)
            nn.init.constant_(self.item.weight, 0.1)

        def forward(self, u, i):
            return (self.user(u) * self.item(i)).sum(-1) + self.bu(u).squeeze(-1) + self.bi(i).squeeze(-1)

    return Batch(
        Mf(), (torch.randint(0, 12, (80,)), torch.randint(0, 15, (80,))), torch.randn(80), {"loss_fn": F.mse_loss}
    )


class FakeQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        q = (x / scale).round()
        m = (q >= -8) & (q <= 7)
        ctx.save_for_backward(m)
        return q.clamp(-8, 7) * scale

    @staticmethod
    def backward(ctx, g):
        (m,) = ctx.saved_tensors
        return g * m, None


@fault("pytorch/ao#2280", "quantization", "ZI009", "1.scale", "FakeQ")
def range_learning_scale_none():
    """The custom fake-quantization function returns None as the gradient of its scale, so the learned ranges never
    move. Repair: return the scale's gradient in backward (or make only the rounding a custom function).
    """
    torch.manual_seed(610)

    class Qat(nn.Linear):
        def __init__(self, i, o):
            super().__init__(i, o)
            self.scale = nn.Parameter(self.weight.detach().abs().max() / 7.5)

        def forward(self, x):
            w = FakeQ.apply(self.weight, self.scale)
            return F.linear(x, w, self.bias)

    return Batch(
        nn.Sequential(nn.Linear(6, 12), Qat(12, 12), nn.ReLU(), Qat(12, 4)),
        torch.randn(24, 6),
        torch.randint(0, 4, (24,)),
    )


@fault(
    "Megvii-BaseDetection/DynamicRouting#16",
    "vision",
    "ZI008",
    "cells.0.gate",
    "model.cells[0].gate.bias",
    also=("ZI007",),
    never="by a constant",
)
def routing_gates_closed():
    """The gates max(0, tanh(...)) start with a bias of -1.5 and are closed for every input: neither the gates nor the
    cells behind them get a gradient. Repair: a positive gate bias (1.5).
    """
    torch.manual_seed(611)

    class Cell(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.conv = nn.Conv2d(c, c, 3, padding=1)
            self.gate = nn.Conv2d(c, 1, 1)
            nn.init.normal_(self.gate.weight, 0, 0.05)
            nn.init.constant_(self.gate.bias, -1.5)

        def forward(self, x):
            return x + torch.relu(torch.tanh(self.gate(F.adaptive_avg_pool2d(x, 1)))) * torch.relu(self.conv(x))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.cells = nn.Sequential(Cell(8), Cell(8))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.cells(self.stem(x)).mean((2, 3)))

    return Batch(M(), torch.randn(8, 3, 8, 8), torch.randint(0, 4, (8,)))
