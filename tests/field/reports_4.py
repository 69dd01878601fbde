"""Cases of a second reader: parameters made anew, critics, stored state, hypernetworks, sparse embeddings."""

import copy
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault, healthy


@fault("benedekrozemberczki/pytorch_geometric_temporal#80", "detached", "ZI009", "evolve", "new `nn.Parameter`")
def parameter_rewrapped_in_forward():
    """The evolved weight is wrapped in a new nn.Parameter inside forward, a fresh leaf that cuts the recurrent
    cell off.
    """
    torch.manual_seed(111)

    class Evolve(nn.Module):
        def __init__(self):
            super().__init__()
            self.initial_weight = nn.Parameter(torch.randn(6, 6) / 2.5)
            self.evolve = nn.GRU(6, 6)
            self.out = nn.Linear(6, 3)

        def forward(self, x, adj):
            W, _ = self.evolve(self.initial_weight[None], self.initial_weight[None])
            W = nn.Parameter(W[0])
            return self.out(torch.relu(adj @ (x @ W)))

    return Batch(Evolve(), (torch.randn(15, 6), torch.rand(15, 15).softmax(1)), torch.randint(0, 3, (15,)))


@fault("EdanToledo/Stoix#73", "equal members", "ZI004", "q1.0", "`q1.0.weight` and `q2.0.weight` are copies")
def twin_critics_identical():
    """Both critics start from the same weights and regress on the same target, so they stay identical and their
    minimum is no minimum.
    """
    torch.manual_seed(112)

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()

            def mk():
                return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))

            self.q1 = mk()
            self.q2 = copy.deepcopy(self.q1)

        def forward(self, obs, act):
            x = torch.cat([obs, act], 1)
            return (self.q1(x), self.q2(x))

    return Batch(
        Twin(),
        (torch.randn(24, 4), torch.randn(24, 2)),
        torch.randn(24, 1),
        {"loss_fn": lambda o, t: F.mse_loss(o[0], t) + F.mse_loss(o[1], t)},
    )


@fault("KhrulkovV/tt-pytorch#4", "not registered", "ZI010", "weight", "`weight_t`, a plain tensor")
def forward_uses_plain_copy():
    """Forward uses a transposed copy that is a plain tensor, not a parameter; the registered weight takes no part."""
    torch.manual_seed(113)

    class TT(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(12, 6) / 2.5)
            self.weight_t = self.weight.detach().clone().T.contiguous()
            self.bias = nn.Parameter(torch.zeros(12))
            self.out = nn.Linear(12, 3)

        def forward(self, x):
            return self.out(torch.relu(x @ self.weight_t.to(x.dtype) + self.bias))

    return Batch(TT(), torch.randn(16, 6), torch.randint(0, 3, (16,)))


@fault("lizekang/ITDD#10", "detached", "ZI009", "first", "The argmax in `")
def two_pass_decoder_argmax():
    """The second decoder reads the first one's argmax tokens, and only the second one's loss is used."""
    torch.manual_seed(114)

    class Itdd(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(15, 8)
            self.first = nn.GRU(8, 8, batch_first=True)
            self.first_out = nn.Linear(8, 15)
            self.second = nn.GRU(16, 8, batch_first=True)
            self.second_out = nn.Linear(8, 15)

        def forward(self, src):
            e = self.emb(src)
            l1 = self.first_out(self.first(e)[0])
            l2 = self.second_out(self.second(torch.cat([e, self.emb(l1.argmax(-1))], -1))[0])
            return (l1, l2)

    def loss(o, t):
        return F.cross_entropy(o[1].flatten(0, 1), t.flatten())

    return Batch(Itdd(), torch.randint(0, 15, (6, 5)), torch.randint(0, 15, (6, 5)), {"loss_fn": loss})


@fault("SSL92/hyperIQA#32", "optimizer", "ZI018", "hyper.weight", "does not hold `hyper.weight`")
def optimizer_group_exhausted():
    """The generator (filter object) with the hypernetwork's parameters is used up, so this group of the optimizer
    is empty.
    """
    torch.manual_seed(115)

    class Iqa(nn.Module):
        def __init__(self):
            super().__init__()
            self.res = nn.Linear(6, 8)
            self.hyper = nn.Linear(8, 9)

        def forward(self, x):
            h = torch.relu(self.res(x))
            w = self.hyper(h)
            return (h * w[:, :8]).sum(1) + w[:, 8]

    def opt(ps):
        ps = list(ps)
        hyper = filter(lambda p: p.shape[0] == 9, ps)
        rest = [p for p in ps if p.shape[0] != 9]
        torch.optim.Adam([{"params": hyper, "lr": 0.01}, {"params": rest}], lr=0.001)
        groups = [{"params": list(hyper), "lr": 0.01}, {"params": rest}]
        return torch.optim.Adam([g for g in groups if g["params"]], lr=0.001)

    return Batch(Iqa(), torch.randn(16, 6), torch.randn(16), {"loss_fn": F.l1_loss, "optimizer": opt})


@fault("soumith/net2net.torch#3", "identical units", "ZI001", "0", "Only 8 of 16 units of `0` are different")
def net2wider_without_noise():
    """Net2wider copied units without noise: each pair has equal incoming and equal outgoing weights and stays
    identical.
    """
    torch.manual_seed(116)
    a, b = (nn.Linear(6, 8), nn.Linear(8, 3))
    A, B = (nn.Linear(6, 16), nn.Linear(16, 3))
    with torch.no_grad():
        A.weight.copy_(a.weight.repeat(2, 1))
        A.bias.copy_(a.bias.repeat(2))
        B.weight.copy_(b.weight.repeat(1, 2) / 2)
        B.bias.copy_(b.bias)
    return Batch(nn.Sequential(A, nn.ReLU(), B), torch.randn(24, 6), torch.randint(0, 3, (24,)))


@fault(
    "pages.dogdog.run/machine_learning/weight_initialization.html",
    "identical units",
    "ZI001",
    "h.w",
    "10 slices of axis 1 of `h.w`",
)
def equal_columns():
    """All columns of the weight are the same vector and the reader is constant, so all hidden units are equal and
    stay equal.
    """
    torch.manual_seed(117)

    class Layer(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.w = nn.Parameter(torch.randn(i, 1).repeat(1, o))

        def forward(self, x):
            return torch.tanh(x @ self.w)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = Layer(6, 10)
            self.out = nn.Linear(10, 1)
            nn.init.constant_(self.out.weight, 0.1)

        def forward(self, x):
            return self.out(self.h(x))

    return Batch(Net(), torch.randn(24, 6), torch.randn(24, 1))


@fault("codegenes.net/blog/outputs-all-0-no-updates-pytorch", "dead input", "ZI007", "0", "all values in it are zero")
def all_zero_inputs():
    """All inputs are zero, so the first layer's weight has a zero gradient; only biases and what follows learn a
    constant.
    """
    torch.manual_seed(118)
    m = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    return Batch(m, torch.zeros(16, 6), torch.randint(0, 3, (16,)))


@fault("pyg-team/pytorch_geometric#7454", "unused part", "ZI010", "edge_mask", "handed to `c2`, which does not use it")
def edge_mask_ignored():
    """The custom convolution ignores the edge weights it is given, so the learnable edge mask takes no part in the
    result.
    """
    torch.manual_seed(119)

    class Conv(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.lin = nn.Linear(i, o)

        def forward(self, x, src, dst, w=None):
            m = self.lin(x)[src]
            return torch.zeros(len(x), m.shape[1], dtype=m.dtype).index_add(0, dst, m)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.edge_mask = nn.Parameter(0.1 * torch.randn(40))
            self.c1, self.c2 = (Conv(5, 8), Conv(8, 3))

        def forward(self, x, src, dst):
            w = torch.sigmoid(self.edge_mask)
            return self.c2(torch.relu(self.c1(x, src, dst, w)), src, dst, w)

    return Batch(
        Net(),
        (torch.randn(15, 5), torch.randint(0, 15, (40,)), torch.randint(0, 15, (40,))),
        torch.randint(0, 3, (15,)),
    )


@fault("tdspora/syngen#258", "loss weight zero", "ZI007", "prior_mu", "by 0")
def kl_times_zero():
    """The KL term is multiplied by 0, and the learnable prior only occurs there."""
    torch.manual_seed(120)

    class Cvae(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(8, 6)
            self.dec = nn.Linear(3, 8)
            self.prior_mu = nn.Parameter(torch.zeros(3) + 0.1)
            self.prior_logvar = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            mu, lv = self.enc(x).chunk(2, 1)
            z = mu + (0.5 * lv).exp() * torch.randn_like(mu)
            kl = (
                0.5
                * (self.prior_logvar - lv + (lv.exp() + (mu - self.prior_mu) ** 2) / self.prior_logvar.exp() - 1)
                .sum(1)
                .mean()
            )
            return F.mse_loss(self.dec(z), x) + 0.0 * kl

    return Batch(Cvae(), torch.randn(24, 8), None, {"loss_fn": lambda part: part})


@fault(
    "LTH14/mage#38", "unused part", "ZI010", "cls_token", "The forward pass does not use `cls_token` and `pos_embed`"
)
def leftover_tokens():
    """Left over from an older version: registered, never used in forward."""
    torch.manual_seed(121)

    class Mage(nn.Module):
        def __init__(self):
            super().__init__()
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
            self.pos_embed = nn.Parameter(torch.zeros(1, 6, 8))
            self.tok = nn.Embedding(20, 8)
            self.p = nn.Embedding(6, 8)
            self.blk = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
            self.head = nn.Linear(8, 20)

        def forward(self, ids):
            return self.head(self.blk(self.tok(ids) + self.p.weight))

    return Batch(
        Mage(),
        torch.randint(0, 20, (4, 6)),
        torch.randint(0, 20, (4, 6)),
        {"loss_fn": lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())},
    )


@healthy("prodopsy.com/how-can-the-backward-function-in-tensor-influence-the-matrix-in-model", "feared")
def softmax_regression_detached_zero():
    """Softmax regression with weight.detach().zero_(): the page claims it cuts the graph; it does not, and zero is
    a fine start for one layer.
    """
    torch.manual_seed(122)

    class Reg(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 5)
            self.linear.weight.detach().zero_()
            self.linear.bias.detach().zero_()

        def forward(self, x):
            return self.linear(x)

    return Batch(Reg(), torch.randn(32, 8), torch.randint(0, 5, (32,)))


@healthy("sktime/sktime#10928", "state kept on the module")
def attention_stored_on_module():
    """The attention layer keeps its last attention and a regularisation loss as attributes and was already called
    once; such a module cannot be deep-copied but trains.
    """
    torch.manual_seed(123)

    class Att(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Linear(5, 8)
            self.v = nn.Linear(5, 8)
            self.s = nn.Linear(8, 1)
            self.attention = None
            self.reg = 0.0

        def forward(self, x):
            self.attention = torch.softmax(self.s(torch.tanh(self.k(x))), 1)
            self.reg = 0.001 * (self.attention**2).sum(1).mean()
            return (self.attention * self.v(x)).sum(1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.att = Att()
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            return self.out(torch.relu(self.att(x)))

    m = Net()
    x = torch.randn(12, 6, 5)
    m(x)
    return Batch(m, x, torch.randint(0, 3, (12,)))


@healthy("lyuwenyu/RT-DETR#677", "plain tensor attribute")
def positional_table_plain_attribute():
    """A fixed positional table kept as a plain float32 attribute instead of a buffer."""
    torch.manual_seed(124)

    class Enc(nn.Module):
        def __init__(self):
            super().__init__()
            p = torch.arange(6.0)[:, None] * torch.exp(-torch.arange(0, 8, 2) / 8 * math.log(100.0))
            self.pos_embed0 = torch.cat([p.sin(), p.cos()], 1)
            self.inp = nn.Linear(4, 8)
            self.att = nn.MultiheadAttention(8, 2, batch_first=True)
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            h = self.inp(x)
            q = h + self.pos_embed0
            return self.out((h + self.att(q, q, h)[0]).mean(1))

    return Batch(Enc(), torch.randn(8, 6, 4), torch.randint(0, 3, (8,)))


@healthy("SSL92/hyperIQA#16", "hypernetwork")
def hypernetwork_functional_call():
    """A hypernetwork generates all weights of a frozen target network, which is called with functional_call."""
    torch.manual_seed(125)

    class Hyper(nn.Module):
        def __init__(self):
            super().__init__()
            self.target = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).requires_grad_(False)
            self.names = [(n, p.shape, p.numel()) for n, p in self.target.named_parameters()]
            self.z = nn.Parameter(torch.randn(5))
            self.gen = nn.Linear(5, sum((k for *_, k in self.names)))

        def forward(self, x):
            w = 0.3 * self.gen(self.z).split([k for *_, k in self.names])[0].new_tensor(0.0) + self.gen(self.z)
            d = {n: t.view(sh) for (n, sh, _), t in zip(self.names, w.split([k for *_, k in self.names]), strict=False)}
            return torch.func.functional_call(self.target, d, (x,))

    return Batch(Hyper(), torch.randn(16, 4), torch.randint(0, 2, (16,)))


@healthy("lezcano/geotorch#44", "parametrized")
def orthogonal_parametrization():
    """An orthogonal parametrization: weight.grad is None because the parameter is called original."""
    torch.manual_seed(126)
    m = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    nn.utils.parametrizations.orthogonal(m[0], orthogonal_map="matrix_exp")
    return Batch(m, torch.randn(16, 6), torch.randint(0, 3, (16,)))


@healthy("lucidrains/vector-quantize-pytorch#40", "vector quantisation")
def vq_ema_codebook():
    """The codebook is a buffer that is moved by an exponential average in forward; encoder and decoder train
    through the straight-through step.
    """
    torch.manual_seed(127)

    class Vq(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(8, 4)
            self.dec = nn.Linear(4, 8)
            self.register_buffer("embed", torch.randn(6, 4))
            self.register_buffer("size", torch.ones(6))
            self.register_buffer("avg", self.embed.clone())

        def forward(self, x):
            z = self.enc(x)
            k = torch.cdist(z, self.embed).argmin(1)
            if self.training:
                with torch.no_grad():
                    oh = F.one_hot(k, 6).to(z.dtype)
                    self.size.mul_(0.9).add_(oh.sum(0), alpha=0.1)
                    self.avg.mul_(0.9).add_(oh.T @ z, alpha=0.1)
                    self.embed.copy_(self.avg / self.size[:, None].clamp(min=0.001))
            q = self.embed[k].clone()
            return (self.dec(z + (q - z).detach()), F.mse_loss(z, q))

    x = torch.randn(32, 8)
    return Batch(Vq(), x, x.clone(), {"loss_fn": lambda o, t: F.mse_loss(o[0], t) + 0.25 * o[1]})


@dataclasses.dataclass
class Out:
    logits: torch.Tensor
    loss: torch.Tensor = None
    aux: dict = None


@healthy(
    "labmlai/annotated_deep_learning_paper_implementations#95", "mixture of experts", "No example of this batch reaches"
)
def switch_layer_dataclass():
    """Switch layer: the input is scaled by the router's probability, some tokens are dropped for capacity, output
    is a dataclass with loss, optional inputs are None.
    """
    torch.manual_seed(129)

    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(6, 8)
            self.route = nn.Linear(8, 3)
            self.ex = nn.ModuleList(nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)) for _ in range(3))
            self.out = nn.Linear(8, 4)

        def forward(self, x, labels=None, mask=None, cache=None):
            h = self.inp(x)
            p, i = self.route(h).softmax(-1).max(-1)
            y = torch.zeros_like(h)
            load = []
            for e, f in enumerate(self.ex):
                idx = (i == e).nonzero()[:, 0]
                load.append(len(idx))
                idx = idx[:16]
                y[idx] = f(h[idx] * p[idx, None])
            logits = self.out(h + y)
            return Out(logits, F.cross_entropy(logits, labels), {"load": load})

    return Batch(Switch(), {"x": torch.randn(48, 6), "labels": torch.randint(0, 4, (48,)), "mask": None, "cache": None})


@healthy("huggingface/transformers#2256-like (numpy in forward)", "unusual forward")
def generator_lock_and_numpy():
    """Statistics taken through numpy in forward for a log, a torch.Generator and a lock kept on the module."""
    torch.manual_seed(130)
    import threading

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gen = torch.Generator().manual_seed(3)
            self.lock = threading.Lock()
            self.a = nn.Linear(6, 12)
            self.b = nn.Linear(12, 3)
            self.log = []

        def forward(self, x):
            with self.lock:
                h = torch.relu(self.a(x))
                self.log.append(float(h.detach().cpu().numpy().mean()))
            if self.training:
                h = h * (torch.rand(h.shape, generator=self.gen) > 0.1)
            return self.b(h)

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 3, (16,)))


@healthy("deepset-ai/FARM#229", "loss shape")
def regression_autocast():
    """A regression head without squeeze against targets (N, 1): shapes agree; half of the work runs under bf16
    autocast.
    """
    torch.manual_seed(131)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU())
            self.head = nn.Linear(16, 1)

        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                h = self.body(x)
            return self.head(h.to(self.head.weight.dtype))

    return Batch(Net(), torch.randn(24, 6), torch.randn(24, 1))


@healthy("pytorch/pytorch#18404", "embedding")
def embedding_max_norm():
    """An embedding with padding index and max_norm (renormalised in place in forward); rows outside the batch
    stay.
    """
    torch.manual_seed(132)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(30, 8, padding_idx=0, max_norm=1.0)
            self.c = nn.Conv1d(8, 6, 3, padding=1)
            self.o = nn.Linear(6, 3)

        def forward(self, ids):
            return self.o(torch.relu(self.c(self.e(ids).transpose(1, 2))).amax(2))

    ids = torch.randint(1, 15, (12, 7))
    ids[:, 5:] = 0
    return Batch(Net(), ids, torch.randint(0, 3, (12,)))


@healthy("pytorch/pytorch#84537", "sparse")
def sparse_adam_pair():
    """Sparse embedding with the documented SparseAdam for it and Adam for the rest, as one optimizer object."""
    torch.manual_seed(133)

    class Pair(torch.optim.Optimizer):
        def __init__(self, ps):
            ps = list(ps)
            self.sp = torch.optim.SparseAdam([p for p in ps if p.shape[0] == 50], lr=0.01)
            self.de = torch.optim.Adam([p for p in ps if p.shape[0] != 50], lr=0.001)
            super().__init__(ps, {})

        def step(self, closure=None):
            self.sp.step()
            self.de.step()

        def zero_grad(self, set_to_none=True):
            self.sp.zero_grad(set_to_none)
            self.de.zero_grad(set_to_none)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(50, 8, sparse=True)
            self.o = nn.Linear(8, 3)

        def forward(self, ids):
            return self.o(torch.tanh(self.e(ids)).mean(1))

    return Batch(Net(), torch.randint(0, 50, (16, 4)), torch.randint(0, 3, (16,)), {"optimizer": Pair})


@healthy("wagonhelm/NaNmnist#2", "zero initialization")
def one_layer_zero_sgd():
    """One layer at zero under SGD: no symmetry problem, since each class has its own error."""
    torch.manual_seed(134)
    m = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    nn.init.zeros_(m[1].weight)
    nn.init.zeros_(m[1].bias)
    return Batch(m, torch.rand(32, 1, 4, 4), torch.randint(0, 10, (32,)), {"optimizer": "sgd"})
