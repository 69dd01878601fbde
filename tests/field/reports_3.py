"""Cases of a second reader: zeros in vision models, graphs, speech, physics, precision, LoRA."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault, healthy


@healthy("fundamentalvision/Deformable-DETR#44", "zero initialization")
def deformable_attention_zero_offsets():
    """Zero offset and attention weights: uniform attention after the softmax, offsets from the bias; both move at
    the first step.
    """
    torch.manual_seed(71)

    class Deform(nn.Module):
        def __init__(self, d=6, k=4):
            super().__init__()
            self.q = nn.Linear(5, d)
            self.sampling_offsets = nn.Linear(d, 2 * k)
            self.attention_weights = nn.Linear(d, k)
            self.value = nn.Conv2d(3, d, 1)
            self.out = nn.Linear(d, 3)
            self.k = k
            nn.init.zeros_(self.sampling_offsets.weight)
            nn.init.zeros_(self.attention_weights.weight)
            nn.init.zeros_(self.attention_weights.bias)
            a = torch.arange(k) * 2 * math.pi / k
            with torch.no_grad():
                self.sampling_offsets.bias.copy_(torch.stack([a.cos(), a.sin()], 1).flatten() * 0.3)

        def forward(self, feat, q, ref):
            q = torch.relu(self.q(q))
            B, Q, _ = q.shape
            loc = ref[:, :, None] + self.sampling_offsets(q).view(B, Q, self.k, 2)
            v = F.grid_sample(self.value(feat), loc, align_corners=False)
            w = self.attention_weights(q).softmax(-1)
            return self.out((v * w[:, None]).sum(-1).transpose(1, 2))

    return Batch(
        Deform(),
        (torch.randn(4, 3, 8, 8), torch.randn(4, 5, 5), torch.rand(4, 5, 2) - 0.5),
        torch.randn(4, 5, 3),
        {"loss_fn": F.mse_loss},
    )


@healthy("rosinality/glow-pytorch#22", "flow")
def glow_zero_conv_coupling():
    """Zero last convolution with a learnable exp scale: the coupling is the identity first and then learns."""
    torch.manual_seed(72)

    class ZeroConv(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.conv = nn.Conv2d(i, o, 3)
            nn.init.zeros_(self.conv.weight)
            nn.init.zeros_(self.conv.bias)
            self.scale = nn.Parameter(torch.zeros(1, o, 1, 1))

        def forward(self, x):
            return self.conv(F.pad(x, [1] * 4, value=1)) * torch.exp(self.scale * 3)

    class Coupling(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), ZeroConv(8, 4)
            )

        def forward(self, x):
            a, b = x.chunk(2, 1)
            ls, t = self.net(a).chunk(2, 1)
            sg = torch.sigmoid(ls + 2)
            return (torch.cat([(b + t) * sg, a], 1), torch.log(sg).sum((1, 2, 3)))

    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.ModuleList(Coupling() for _ in range(2))

        def forward(self, x):
            ld = 0
            for c in self.c:
                x, part = c(x)
                ld = ld + part
            return (x, ld)

    return Batch(
        Flow(),
        torch.randn(8, 4, 4, 4) * 1.7 + 0.3,
        None,
        {"loss_fn": lambda o: (0.5 * (o[0] ** 2).sum((1, 2, 3)) - o[1]).mean() / 64},
    )


@healthy("gbup-group/IEBN#1", "zero initialization")
def iebn_zero_readjust():
    """Readjust weight 0 and bias -1 inside a sigmoid gate; both get a gradient at once."""
    torch.manual_seed(73)

    class IEBN(nn.BatchNorm2d):
        def __init__(self, n):
            super().__init__(n)
            self.weight_readjust = nn.Parameter(torch.zeros(n))
            self.bias_readjust = nn.Parameter(torch.full((n,), -1.0))

        def forward(self, x):
            g = torch.sigmoid(x.mean((2, 3)) * self.weight_readjust + self.bias_readjust)
            y = F.batch_norm(x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps)
            return y * (self.weight * g)[:, :, None, None] + self.bias[None, :, None, None]

    m = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        IEBN(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        IEBN(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    return Batch(m, torch.randn(8, 3, 8, 8), torch.randint(0, 4, (8,)))


@healthy("AlexHex7/Non-local_pytorch#38", "zero initialization")
def nonlocal_block_zero_gamma():
    """The residual branch ends in a batch norm with gamma = beta = 0; the branch wakes up at the second step."""
    torch.manual_seed(74)

    class NL(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.g = nn.Conv2d(c, c // 2, 1)
            self.th = nn.Conv2d(c, c // 2, 1)
            self.ph = nn.Conv2d(c, c // 2, 1)
            self.W = nn.Sequential(nn.Conv2d(c // 2, c, 1, bias=False), nn.BatchNorm2d(c))
            nn.init.zeros_(self.W[1].weight)
            nn.init.zeros_(self.W[1].bias)

        def forward(self, x):
            B, C, H, W = x.shape
            f = torch.softmax(self.th(x).flatten(2).transpose(1, 2) @ self.ph(x).flatten(2), -1)
            y = (f @ self.g(x).flatten(2).transpose(1, 2)).transpose(1, 2).reshape(B, C // 2, H, W)
            return x + self.W(y)

    m = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), NL(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Batch(m, torch.randn(8, 3, 7, 7), torch.randint(0, 4, (8,)))


@healthy("4uiiurz1/pytorch-nested-unet#39", "harmless leftovers")
def unet_bias_before_batchnorm():
    """The convolutions' biases before batch norm cancel (gradient = rounding); superfluous, harmless, at most an
    information.
    """
    torch.manual_seed(75)

    def vgg(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.d0 = vgg(3, 6)
            self.d1 = vgg(6, 8)
            self.u0 = vgg(14, 6)
            self.final = nn.Conv2d(6, 2, 1)

        def forward(self, x):
            a = self.d0(x)
            b = self.d1(F.max_pool2d(a, 2))
            return self.final(self.u0(torch.cat([a, F.interpolate(b, scale_factor=2.0)], 1)))

    return Batch(UNet(), torch.randn(4, 3, 8, 8), torch.randint(0, 2, (4, 8, 8)), {"loss_fn": F.cross_entropy})


@healthy("pytorch/pytorch#102245", "pruning")
def pruned_convolution():
    """Weight_orig is the parameter, a mask removes 60 % of the weights and one whole channel on purpose."""
    torch.manual_seed(76)
    import torch.nn.utils.prune as prune

    m = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
    prune.random_unstructured(m[0], "weight", 0.4)
    prune.ln_structured(m[2], "weight", 1, n=2, dim=0)
    return Batch(m, torch.randn(8, 1, 8, 8), torch.randint(0, 4, (8,)))


@healthy("pytorch/pytorch#59998", "complex numbers", "Will learn: all 3 ")
def complex_network():
    """Complex64 parameters, Adam handles them as pairs of real numbers."""
    torch.manual_seed(77)

    class CNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.w1 = nn.Parameter(torch.randn(6, 10, dtype=torch.complex64) / 4)
            self.b1 = nn.Parameter(torch.zeros(10, dtype=torch.complex64))
            self.w2 = nn.Parameter(torch.randn(10, 3, dtype=torch.complex64) / 4)

        def forward(self, x):
            f = torch.fft.rfft(x, dim=1)
            h = f.to(self.w1.dtype) @ self.w1 + self.b1
            h = h * torch.relu(h.abs() + 0.1) / (h.abs() + 0.001)
            return (h @ self.w2).abs()

    return Batch(CNet(), torch.randn(16, 10), torch.randint(0, 3, (16,)))


@healthy("facebookresearch/dlrm#15", "sparse")
def sparse_embedding_sgd():
    """Embedding bags with sparse gradients under SGD; rows that are not in the batch stay."""
    torch.manual_seed(78)

    class Dlrm(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.ModuleList(nn.EmbeddingBag(40, 4, mode="sum", sparse=True) for _ in range(2))
            self.bot = nn.Linear(3, 4)
            self.top = nn.Sequential(nn.Linear(7, 8), nn.ReLU(), nn.Linear(8, 1))

        def forward(self, d, i, j):
            z = torch.stack([torch.relu(self.bot(d)), self.emb[0](i), self.emb[1](j)], 1)
            g = z @ z.transpose(1, 2)
            iu = torch.triu_indices(3, 3, 1)
            return self.top(torch.cat([z[:, 0], g[:, iu[0], iu[1]]], 1)).squeeze(1)

    return Batch(
        Dlrm(),
        (torch.randn(20, 3), torch.randint(0, 40, (20, 2)), torch.randint(0, 40, (20, 2))),
        torch.rand(20).round(),
        {"loss_fn": F.binary_cross_entropy_with_logits, "optimizer": "sgd"},
    )


@fault("KindXiaoming/pykan#142", "dead units", "ZI007", "coef", "Scale the inputs")
def kan_inputs_outside_grid():
    """All inputs lie outside the spline grid [-1, 1], where every basis function is 0."""
    torch.manual_seed(79)

    class Kan(nn.Module):
        def __init__(self, i=3, o=4, g=6):
            super().__init__()
            self.register_buffer("knots", torch.linspace(-1, 1, g))
            self.coef = nn.Parameter(torch.randn(i, g, o) * 0.1)
            self.base = nn.Linear(i, o)

        def forward(self, x):
            b = torch.relu(1 - (x[..., None] - self.knots).abs() * 2.5)
            return torch.einsum("big,igo->bo", b, self.coef) + self.base(F.silu(x))

    x = torch.rand(24, 3) * 2 + 3
    return Batch(Kan(), x, torch.randn(24, 4), {"loss_fn": F.mse_loss})


@healthy("dmlc/dgl#4282", "graph", "Other inputs use this part of the model")
def graph_edge_types_missing():
    """No edge of types 1 and 3 occurs in this batch; their layers are not called."""
    torch.manual_seed(80)

    class GG(nn.Module):
        def __init__(self):
            super().__init__()
            self.linears = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
            self.gru = nn.GRUCell(6, 6)
            self.out = nn.Linear(6, 3)

        def forward(self, x, src, dst, et):
            for _ in range(2):
                a = torch.zeros_like(x)
                for e, lin in enumerate(self.linears):
                    m = (et == e).nonzero()[:, 0]
                    if len(m):
                        a = a.index_add(0, dst[m], lin(x[src[m]]))
                x = self.gru(a, x)
            return self.out(x)

    et = torch.randint(0, 4, (40,))
    et = et // 2 * 2
    return Batch(
        GG(),
        (torch.randn(15, 6), torch.randint(0, 15, (40,)), torch.randint(0, 15, (40,)), et),
        torch.randint(0, 3, (15,)),
    )


@fault("itayhubara/BinaryNet.pytorch#25", "custom function", "ZI008", "fc2.latent", "The sign in `fc2` has slope zero")
def sign_without_straight_through():
    """Torch.sign has a zero derivative everywhere; it is used for activations and weights without straight-
    through.
    """
    torch.manual_seed(81)

    class BinLin(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.latent = nn.Parameter(torch.randn(o, i) * 0.3)

        def forward(self, x):
            return F.linear(x, _sign(self.latent))

    def _sign(x):
        return torch.sign(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(6, 12)
            self.fc2 = BinLin(12, 12)
            self.out = nn.Linear(12, 4)

        def forward(self, x):
            return self.out(torch.tanh(self.fc2(_sign(self.fc1(x))) / 4))

    return Batch(Net(), torch.randn(24, 6), torch.randint(0, 4, (24,)))


@fault("omoindrot/tensorflow-triplet-loss#6", "wrong loss", "ZI006", "2", "`2.weight` starts at zero")
def triplet_collapsed_at_margin():
    """All embeddings coincide (zero last layer), so all squared distances and their gradients are 0 and the loss
    stays at the margin.
    """
    torch.manual_seed(82)
    m = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
    nn.init.zeros_(m[2].weight)
    nn.init.zeros_(m[2].bias)
    y = torch.arange(24) % 4

    def loss(e, t):
        d = ((e[:, None] - e[None]) ** 2).sum(-1)
        same = t[:, None] == t[None]
        pos = d.masked_fill(~same, -1).max(1).values
        neg = d.masked_fill(same, 1000000000.0).min(1).values
        return torch.relu(pos - neg + 0.5).mean()

    return Batch(m, torch.randn(24, 6), y, {"loss_fn": loss})


@fault("wenet-e2e/wenet#2299", "speech", "ZI008", "conv", "Every target is longer than the input allows")
def ctc_targets_longer_than_input():
    """Every target is longer than the subsampled input, CTC is infinite and zero_infinity turns it into 0 without
    gradient.
    """
    torch.manual_seed(83)

    class Asr(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(5, 8, 3, stride=4, padding=1)
            self.rnn = nn.GRU(8, 8, batch_first=True)
            self.ctc_lo = nn.Linear(8, 7)

        def forward(self, x):
            h, _ = self.rnn(torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2))
            return self.ctc_lo(h).log_softmax(-1)

    L = 10
    y = torch.stack([torch.arange(L) % 5 + 1 for _ in range(4)])

    def loss(o, t):
        B, T, _ = o.shape
        return F.ctc_loss(o.transpose(0, 1), t, torch.full((B,), T), torch.full((B,), t.shape[1]), zero_infinity=True)

    return Batch(Asr(), torch.randn(4, 24, 5), y, {"loss_fn": loss})


@fault("ProteomicsML/ProteomicsML#203", "dead units", "ZI008", "fc", "The ReLU in `Ccs.forward` is off")
def relu_on_regression_output():
    """The output passes a last ReLU and is negative before it for all examples, so the output is 0 and nothing
    gets a gradient.
    """
    torch.manual_seed(84)

    class Ccs(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 8, batch_first=True)
            self.fc = nn.Linear(8, 1)
            with torch.no_grad():
                self.fc.bias.fill_(-1.0)
                self.fc.weight.mul_(0.5)

        def forward(self, x):
            y = self.fc(self.lstm(x)[0][:, -1])
            return torch.relu(y)

    return Batch(Ccs(), torch.randn(16, 6, 4), torch.rand(16, 1) * 3, {"loss_fn": F.mse_loss})


class _Pinn(nn.Module):
    def __init__(self, act, boundary):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 16), act(), nn.Linear(16, 16), act(), nn.Linear(16, 1))
        self.boundary = boundary

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            u = self.net(x)
            (ux,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (uxx,) = torch.autograd.grad(ux.sum(), x, create_graph=True)
        r = ((uxx + torch.sin(3 * x.detach())) ** 2).mean()
        if self.boundary:
            r = r + self.net(x.new_tensor([[-1.0], [1.0]])).square().mean()
        return r


@fault("ComputationalDomain/PINNs#1", "PINN", "ZI008", "net.4", "have no second one")
def pinn_second_derivative_of_relu():
    """The loss only holds a second derivative, which is 0 for a ReLU network."""
    torch.manual_seed(85)
    return Batch(_Pinn(nn.ReLU, False), torch.linspace(-1, 1, 24)[:, None], None, {"loss_fn": lambda r: r})


@healthy("ComputationalDomain/PINNs#1", "PINN")
def pinn_tanh():
    """Derivatives taken inside forward with create_graph, tanh and boundary values: trains."""
    torch.manual_seed(86)
    return Batch(_Pinn(nn.Tanh, True), torch.linspace(-1, 1, 24)[:, None], None, {"loss_fn": lambda r: r})


@healthy("workofart/ml-by-hand#85", "precision", "Every update of `norm.weight` is lost in bfloat16")
def bf16_update_swallowed():
    """The parameters are bfloat16: an update of 6e-4 on a weight of 1.0 rounds back to 1.0."""
    torch.manual_seed(87)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 16)
            self.norm = nn.LayerNorm(16)
            self.fc = nn.Linear(16, 16)
            self.out = nn.Linear(16, 20)
            nn.init.normal_(self.emb.weight, std=0.02)

        def forward(self, ids):
            return self.out(F.gelu(self.fc(self.norm(self.emb(ids))))).float()

    m = Net()
    m = m.to(torch.bfloat16)
    return Batch(
        m,
        torch.randint(0, 20, (6, 7)),
        torch.randint(0, 20, (6, 7)),
        {
            "loss_fn": lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()),
            "optimizer": lambda ps: torch.optim.AdamW(ps, lr=0.0006),
        },
    )


@fault("neuroinfo-os/deep-bottleneck#168", "dead units", "ZI008", "0", "The tanh in `1` is saturated")
def tanh_saturated_by_large_bias():
    """Biases of 40 saturate the tanh to exactly 1, whose derivative is 0."""
    torch.manual_seed(88)
    m = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 3))
    nn.init.constant_(m[0].bias, 40.0)
    return Batch(m, torch.randn(20, 6), torch.randint(0, 3, (20,)))


@fault("gabrielloye/RNN-walkthrough#3", "RNN", "ZI007", "rnn", "the state in front of it is zero")
def rnn_single_step_zero_state():
    """Every sequence has one step and starts from a zero state, so the recurrent matrix only ever meets zeros."""
    torch.manual_seed(89)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(4, 8, batch_first=True)
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            x = x.reshape(-1, 1, 4)
            o, _ = self.rnn(x, x.new_zeros(1, len(x), 8))
            return self.fc(o.reshape(-1, 8))

    return Batch(Net(), torch.randn(6, 5, 4), torch.randint(0, 4, (30,)))


@healthy("google/uis-rnn#87", "RNN")
def rnn_learnable_initial_state():
    """A learnable initial state that starts at zero, and packed sequences."""
    torch.manual_seed(90)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.h0 = nn.Parameter(torch.zeros(1, 1, 8))
            self.gru = nn.GRU(4, 8)
            self.fc = nn.Linear(8, 3)

        def forward(self, x, lengths):
            p = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
            _, h = self.gru(p, self.h0.expand(-1, x.shape[1], -1).contiguous())
            return self.fc(h[-1])

    return Batch(
        Net(), (torch.randn(6, 10, 4), torch.tensor([6, 5, 5, 4, 3, 3, 2, 2, 1, 1])), torch.randint(0, 3, (10,))
    )


@healthy("state-spaces/mamba#281", "state space")
def mamba_block():
    """Selective scan with A_log, D = 1 and a softplus-inverse step bias."""
    torch.manual_seed(91)

    class Mamba(nn.Module):
        def __init__(self, d=6, n=4):
            super().__init__()
            self.inp = nn.Linear(d, 2 * d, bias=False)
            self.conv = nn.Conv1d(d, d, 3, padding=2, groups=d)
            self.xp = nn.Linear(d, 2 * n + 1, bias=False)
            self.dt = nn.Linear(1, d)
            self.A_log = nn.Parameter(torch.log(torch.arange(1.0, n + 1)).repeat(d, 1))
            self.D = nn.Parameter(torch.ones(d))
            self.out = nn.Linear(d, d, bias=False)
            self.n = n
            dt = torch.exp(torch.rand(d) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
            with torch.no_grad():
                self.dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

        def forward(self, x):
            u, z = self.inp(x).chunk(2, -1)
            T = x.shape[1]
            u = F.silu(self.conv(u.transpose(1, 2))[..., :T].transpose(1, 2))
            dt, Bm, C = self.xp(u).split([1, self.n, self.n], -1)
            dt = F.softplus(self.dt(dt))
            A = -self.A_log.exp()
            h = x.new_zeros(len(x), u.shape[-1], self.n)
            ys = []
            for t in range(T):
                h = (dt[:, t, :, None] * A).exp() * h + (dt[:, t] * u[:, t])[..., None] * Bm[:, t, None]
                ys.append((h * C[:, t, None]).sum(-1) + self.D * u[:, t])
            return self.out(torch.stack(ys, 1) * F.silu(z))

    class LM(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(12, 6)
            self.m = nn.ModuleList(Mamba() for _ in range(2))
            self.norm = nn.LayerNorm(6)

        def forward(self, ids):
            x = self.emb(ids)
            for m in self.m:
                x = x + m(x)
            return self.norm(x) @ self.emb.weight.T

    return Batch(
        LM(),
        torch.randint(0, 12, (4, 8)),
        torch.randint(0, 12, (4, 8)),
        {"loss_fn": lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())},
    )


@healthy("habla-liaa/encodecmae#3", "shared weights")
def shared_feed_forward():
    """One feed-forward block shared by all layers, attention of its own in each."""
    torch.manual_seed(92)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            ff = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
            self.layers = nn.ModuleList(
                nn.ModuleDict(
                    {
                        "att": nn.MultiheadAttention(8, 2, batch_first=True),
                        "ff": ff,
                        "n1": nn.LayerNorm(8),
                        "n2": nn.LayerNorm(8),
                    }
                )
                for _ in range(3)
            )
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            for part in self.layers:
                h = part["n1"](x)
                x = x + part["att"](h, h, h)[0]
                x = x + part["ff"](part["n2"](x))
            return self.out(x.mean(1))

    return Batch(Net(), torch.randn(8, 5, 8), torch.randint(0, 3, (8,)))


@healthy("huggingface/accelerate#1191", "dropped layers")
def stochastic_depth():
    """Stochastic depth: a block is skipped at random in training and gets no gradient in that step."""
    torch.manual_seed(93)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(6, 10)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10)) for _ in range(4)
            )
            self.out = nn.Linear(10, 3)

        def forward(self, x):
            x = self.inp(x)
            for _i, b in enumerate(self.blocks):
                if self.training and torch.rand(()) < 0.5:
                    continue
                x = x + b(x)
            return self.out(x)

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 3, (16,)))


@healthy("pytorch/pytorch#41101", "multi-task", "`heads.b.weight` and `heads.b.bias` get no gradient")
def multitask_inactive_head():
    """The batch is for task a; head b is not called (only a zero times its parameters is added so that DDP does
    not complain).
    """
    torch.manual_seed(94)

    class MT(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(6, 12), nn.ReLU())
            self.heads = nn.ModuleDict({"a": nn.Linear(12, 3), "b": nn.Linear(12, 5)})

        def forward(self, x, task):
            h = self.trunk(x)
            o = self.heads[task](h)
            for k, m in self.heads.items():
                if k != task:
                    o = o + 0.0 * sum(p.sum() for p in m.parameters())
            return o

    return Batch(MT(), {"x": torch.randn(16, 6), "task": "a"}, torch.randint(0, 3, (16,)))


@fault("speechbrain/speechbrain#735", "detached", "ZI009", "0", "`.item()` in the loss")
def loss_made_a_new_leaf():
    """The loss is a new leaf tensor (torch.tensor(loss.item(), requires_grad=True)), cut off from the model."""
    torch.manual_seed(96)
    m = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

    def lf(o, t):
        return torch.tensor(F.cross_entropy(o, t).item(), requires_grad=True)

    return Batch(m, torch.randn(16, 6), torch.randint(0, 3, (16,)), {"loss_fn": lf})


@fault("jonkhler/s2cnn#7", "custom function", "ZI008", "kernel", "The backward pass of `Mul`")
def custom_function_drops_gradient():
    """The custom autograd function returns None for both its inputs, so neither the kernel nor what comes before
    it gets a gradient.
    """
    torch.manual_seed(97)

    class Mul(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_backward(x, k)
            return x @ k

        @staticmethod
        def backward(ctx, g):
            _x, _k = ctx.saved_tensors
            return (None, None)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(6, 8)
            self.kernel = nn.Parameter(torch.randn(8, 8) / 3)
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            return self.out(torch.tanh(Mul.apply(torch.tanh(self.enc(x)), self.kernel)))

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 3, (16,)))


class NormSGD(torch.optim.Optimizer):
    def __init__(self, ps, lr=0.01, eps=0.0):
        super().__init__(ps, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None:
                    p.sub_(g["lr"] * p.grad / (p.grad.norm() + g["eps"]))


@fault("microsoft/dion#24", "optimizer", "ZI013", "0.weight", "the optimizer makes `0.weight` and `0.bias` NaN")
def optimizer_divides_by_zero_norm():
    """The optimizer divides each gradient by its norm; the layers below the zero-initialised projection have a
    zero gradient at the first step, so 0/0 = NaN.
    """
    torch.manual_seed(98)
    m = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    nn.init.zeros_(m[2].weight)
    return Batch(m, torch.randn(16, 6), torch.randint(0, 3, (16,)), {"optimizer": lambda ps: NormSGD(ps, eps=0.0)})


@healthy("microsoft/LoRA#98", "LoRA")
def lora_embedding_a_zero():
    """LoRA on an embedding: A zero, B normal, the base frozen; a padding row never moves."""
    torch.manual_seed(99)

    class LoraEmb(nn.Embedding):
        def __init__(self, n, d, r=2):
            super().__init__(n, d, padding_idx=0)
            self.weight.requires_grad_(False)
            self.lora_A = nn.Parameter(torch.zeros(r, n))
            self.lora_B = nn.Parameter(torch.randn(d, r))

        def forward(self, ids):
            return super().forward(ids) + F.embedding(ids, self.lora_A.T, 0) @ self.lora_B.T

    m = nn.Sequential(LoraEmb(12, 8), nn.Flatten(), nn.Linear(40, 16), nn.Tanh(), nn.Linear(16, 3))
    for p in m[2].parameters():
        p.requires_grad_(False)
    return Batch(m, torch.randint(0, 12, (16, 5)), torch.randint(0, 3, (16,)))


@healthy("huggingface/peft (default LoRA; feared in microsoft/LoRA#59)", "LoRA")
def peft_lora_gpt2():
    """Peft's default LoRA (B zero) on a tiny GPT-2."""
    torch.manual_seed(100)
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel

    m = GPT2LMHeadModel(
        GPT2Config(vocab_size=24, n_positions=8, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    )
    m = get_peft_model(
        m, LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, lora_dropout=0.1, task_type="CAUSAL_LM")
    )
    ids = torch.randint(0, 24, (4, 8))
    return Batch(m, {"input_ids": ids, "labels": ids}, None, {"loss_fn": lambda o: o.loss})


@healthy("pytorch/pytorch#113180", "compiled")
def compiled_parametrized():
    """A compiled module (aot_eager backend) with weight norm and spectral norm."""
    torch.manual_seed(101)
    m = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 12)),
        nn.LeakyReLU(0.2),
        nn.utils.parametrizations.spectral_norm(nn.Linear(12, 3)),
    )
    return Batch(torch.compile(m, backend="aot_eager"), torch.randn(16, 6), torch.randint(0, 3, (16,)))


@healthy("kohjingyu/fromage#18", "hooks")
def embedding_gradient_mask_hook():
    """Only the new token's row trains: a hook on the embedding's gradient masks all other rows."""
    torch.manual_seed(102)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(13, 8)
            self.lm = nn.GRU(8, 8, batch_first=True).requires_grad_(False)
            self.head = nn.Linear(8, 13)
            keep = torch.zeros(13, 1)
            keep[12] = 1
            self.register_buffer("keep", keep)
            self.emb.weight.register_hook(lambda g: g * keep.to(g.dtype))

        def forward(self, ids):
            return self.head(self.lm(self.emb(ids))[0][:, -1])

    ids = torch.randint(0, 12, (12, 5))
    ids[:, 2] = 12
    return Batch(Net(), ids, torch.randint(0, 13, (12,)))


@healthy(
    "smallflyingpig/universal_adversarial_perturbation_generative_network_for_speaker_recognition#4",
    "zero initialization",
)
def perturbation_generator_zero_last():
    """Last convolution at zero in a perturbation generator that is added to the input of a frozen classifier."""
    torch.manual_seed(103)

    class Gen(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose1d(4, 8, 4, 2, 1)
            self.bn = nn.BatchNorm1d(8)
            self.last = nn.Conv1d(8, 1, 3, padding=1)
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)
            self.victim = nn.Sequential(
                nn.Conv1d(1, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 4)
            ).requires_grad_(False)

        def forward(self, z, wav):
            return self.victim(wav + 0.1 * torch.tanh(self.last(F.leaky_relu(self.bn(self.up(z)), 0.2))))

    return Batch(
        Gen(),
        (torch.randn(8, 4, 10), torch.randn(8, 1, 20)),
        torch.randint(0, 4, (8,)),
        {"loss_fn": lambda o, t: -F.cross_entropy(o, t)},
    )


@healthy("IDEA-Research/detrex#160", "detached")
def detr_box_refinement():
    """Iterative box refinement: references are detached between layers and the last box layer is zero."""
    torch.manual_seed(104)

    class Dec(nn.Module):
        def __init__(self, d=8):
            super().__init__()
            self.query = nn.Embedding(5, d)
            self.ref = nn.Embedding(5, 4)
            self.layers = nn.ModuleList(
                nn.TransformerDecoderLayer(d, 2, 16, dropout=0.0, batch_first=True) for _ in range(2)
            )
            self.pos = nn.Linear(4, d)
            self.box = nn.ModuleList(nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 4)) for _ in range(2))
            for b in self.box:
                nn.init.zeros_(b[2].weight)
                nn.init.zeros_(b[2].bias)

        def forward(self, mem):
            q = self.query.weight.expand(len(mem), -1, -1)
            ref = self.ref.weight.sigmoid().expand(len(mem), -1, -1)
            outs = []
            for part, b in zip(self.layers, self.box, strict=False):
                q = part(q + self.pos(ref), mem)
                new = (b(q) + torch.logit(ref, 1e-05)).sigmoid()
                outs.append(new)
                ref = new.detach()
            return torch.stack(outs)

    return Batch(Dec(), torch.randn(4, 7, 8), torch.rand(4, 5, 4), {"loss_fn": lambda o, t: (o - t).abs().mean()})


@healthy("MenghaoGuo/PCT#32", "shared weights")
def pct_shared_query_key():
    """Query and key convolution share one weight; their gradients are summed."""
    torch.manual_seed(105)

    class SA(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.q_conv = nn.Conv1d(c, c // 2, 1, bias=False)
            self.k_conv = nn.Conv1d(c, c // 2, 1, bias=False)
            self.q_conv.weight = self.k_conv.weight
            self.v_conv = nn.Conv1d(c, c, 1)
            self.trans = nn.Conv1d(c, c, 1)
            self.norm = nn.BatchNorm1d(c)

        def forward(self, x):
            e = torch.softmax(self.q_conv(x).transpose(1, 2) @ self.k_conv(x), -1)
            a = e / (1e-09 + e.sum(1, keepdim=True))
            return x + torch.relu(self.norm(self.trans(x - self.v_conv(x) @ a)))

    m = nn.Sequential(nn.Conv1d(3, 8, 1), nn.ReLU(), SA(8), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 4))
    return Batch(m, torch.randn(8, 3, 12), torch.randint(0, 4, (8,)))
