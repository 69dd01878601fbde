"""Cases of a third reader of public reports: healthy models with parts outside, graphs, queues, sparse tables."""

import types

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .harness import Batch, healthy


class ProxyLoss(nn.Module):
    def __init__(self, k, d):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(k, d))

    def forward(self, e, y):
        d = torch.cdist(F.normalize(e, dim=-1), F.normalize(self.proxies, dim=-1)) ** 2
        return F.cross_entropy(-4 * d, y)


@healthy("huangzongmou/yolov8_Distillation#5 (the way it is done right)", "metric learning")
def proxy_loss_with_own_parameters():
    """The loss is a module with proxies of its own; the optimizer object holds the model's and the loss's parameters in
    two groups.
    """
    torch.manual_seed(514)
    m = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))
    L = ProxyLoss(4, 5)
    return Batch(
        m,
        torch.randn(24, 8),
        torch.randint(0, 4, (24,)),
        {
            "loss_fn": L,
            "optimizer": torch.optim.AdamW(
                [{"params": m.parameters(), "lr": 0.001}, {"params": L.parameters(), "lr": 0.01}]
            ),
        },
    )


@healthy("jeya-maria-jose/Medical-Transformer#70", "vision")
def gated_axial_attention_frozen_gates():
    """Gated axial attention: four scalar gates are parameters with requires_grad=False on purpose (opened after some
    epochs).
    """
    torch.manual_seed(515)

    class Axial(nn.Module):
        def __init__(self, c, n):
            super().__init__()
            self.qkv = nn.Conv1d(c, 3 * c, 1, bias=False)
            self.bn = nn.BatchNorm1d(3 * c)
            self.rel = nn.Parameter(torch.randn(3 * c, 2 * n - 1) / c**0.5)
            self.register_buffer("idx", torch.arange(n)[:, None] - torch.arange(n)[None] + n - 1)
            self.gq, self.gk, self.gv, self.gs = (
                nn.Parameter(torch.tensor(v), requires_grad=False) for v in (0.1, 0.1, 0.1, 1.0)
            )

        def forward(self, x):
            q, k, v = self.bn(self.qkv(x)).chunk(3, 1)
            rq, rk, rv = self.rel[:, self.idx].chunk(3, 0)
            a = (
                torch.einsum("bci,bcj->bij", q, k)
                + self.gq * torch.einsum("bci,cij->bij", q, rq)
                + self.gk * torch.einsum("bcj,cij->bij", k, rk)
            )
            a = a.softmax(-1)
            return self.gs * torch.einsum("bij,bcj->bci", a, v) + self.gv * torch.einsum("bij,cij->bci", a, rv)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 6, 3, padding=1)
            self.h = Axial(6, 6)
            self.w = Axial(6, 6)
            self.out = nn.Conv2d(6, 2, 1)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            B, C, H, W = x.shape
            y = self.h(x.permute(0, 3, 1, 2).reshape(B * W, C, H)).view(B, W, C, H).permute(0, 2, 3, 1)
            y = self.w(y.permute(0, 2, 1, 3).reshape(B * H, C, W)).view(B, H, C, W).permute(0, 2, 1, 3)
            return self.out(torch.relu(x + y))

    return Batch(M(), torch.randn(3, 1, 6, 6), torch.randint(0, 2, (3, 6, 6)), {"loss_fn": F.cross_entropy})


@healthy("rll/deepul#14", "density")
def mixture_of_logistics_bare():
    """Discretised mixture of logistics, parameters only: means spread evenly, mixture logits zero; DataLoader of one
    tensor.
    """
    torch.manual_seed(516)

    class Mol(nn.Module):
        def __init__(self, k=4, d=32):
            super().__init__()
            self.d = d
            self.logits = nn.Parameter(torch.zeros(k))
            self.means = nn.Parameter(torch.linspace(4, 27, k))
            self.log_scales = nn.Parameter(torch.randn(k) * 0.3 + 0.7)

        def forward(self, x):
            x = x[:, None]
            i = torch.exp(-self.log_scales)
            hi = torch.where(x >= self.d - 1, 1.0, torch.sigmoid((x + 0.5 - self.means) * i))
            lo = torch.where(x <= 0, 0.0, torch.sigmoid((x - 0.5 - self.means) * i))
            return torch.logsumexp(torch.log((hi - lo).clamp(min=1e-08)) + self.logits.log_softmax(0), 1)

    x = torch.cat([torch.randn(80) * 2 + 8, torch.randn(40) * 3 + 22]).round().clamp(0, 31)
    return Batch(Mol(), DataLoader(TensorDataset(x), batch_size=120), None, {"loss_fn": lambda lp: -lp.mean()})


@healthy("lucidrains/egnn-pytorch#15", "graphs")
def egnn_two_losses():
    """Equivariant graph network, coordinate heads start nearly at zero; two losses, targets are a tuple."""
    torch.manual_seed(517)

    class Layer(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.edge = nn.Sequential(nn.Linear(2 * d + 1, d), nn.SiLU(), nn.Linear(d, d), nn.SiLU())
            self.node = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, d))
            self.coord = nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, 1, bias=False))
            nn.init.xavier_uniform_(self.coord[2].weight, gain=0.001)

        def forward(self, h, x, ei):
            i, j = ei
            dx = x[i] - x[j]
            m = self.edge(torch.cat([h[i], h[j], (dx**2).sum(-1, keepdim=True)], -1))
            x = x + torch.zeros_like(x).index_add(0, i, dx * self.coord(m)) / 5
            return h + self.node(torch.cat([h, torch.zeros_like(h).index_add(0, i, m)], -1)), x

    class Net(nn.Module):
        def __init__(self, d=10):
            super().__init__()
            self.kind = nn.Embedding(4, d)
            self.layers = nn.ModuleList(Layer(d) for _ in range(2))
            self.energy = nn.Linear(d, 1)

        def forward(self, z, x, edge_index):
            h = self.kind(z)
            for layer in self.layers:
                h, x = layer(h, x, edge_index)
            return self.energy(h).sum(), x

    n = 6
    ei = torch.tensor([(a, b) for a in range(n) for b in range(n) if a != b]).T
    x = torch.randn(n, 3)
    return Batch(
        Net(),
        {"z": torch.tensor([0, 1, 2, 3, 0, 1]), "x": x, "edge_index": ei},
        (torch.tensor(1.5), x * 0.9),
        {"loss_fn": lambda o, t: (o[0] - t[0]) ** 2 + ((o[1] - t[1]) ** 2).mean()},
    )


@healthy("neubig/nn4nlp-code#26", "sparse embeddings")
def skipgram_sparse_zero_output():
    """Skip-gram: sparse embeddings, the output table at zero, SparseAdam as an object; the input table moves one step
    later.
    """
    torch.manual_seed(518)

    class Sg(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Embedding(60, 8, sparse=True)
            self.out = nn.Embedding(60, 8, sparse=True)
            nn.init.uniform_(self.inp.weight, -0.06, 0.06)
            nn.init.zeros_(self.out.weight)

        def forward(self, c, pos, neg):
            v = self.inp(c)
            return -(
                F.logsigmoid((v * self.out(pos)).sum(-1))
                + F.logsigmoid(-(self.out(neg) @ v[:, :, None]).squeeze(-1)).sum(1)
            ).mean()

    m = Sg()
    return Batch(
        m,
        (torch.randint(0, 60, (40,)), torch.randint(0, 60, (40,)), torch.randint(0, 60, (40, 4))),
        None,
        {"loss_fn": lambda o: o, "optimizer": torch.optim.SparseAdam(list(m.parameters()), lr=0.01)},
    )


@healthy("facebookresearch/moco#14", "contrastive")
def moco_queue_momentum_in_forward():
    """MoCo: frozen key encoder moved by momentum inside forward, queue and pointer are buffers; the optimizer object
    holds all parameters, frozen ones too.
    """
    torch.manual_seed(519)

    class Moco(nn.Module):
        def __init__(self, k=32, d=6):
            super().__init__()
            self.encoder_q = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, d))
            self.encoder_k = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, d))
            for a, b in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
                b.data.copy_(a.data)
                b.requires_grad = False
            self.register_buffer("queue", F.normalize(torch.randn(d, k), dim=0))
            self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))

        def forward(self, q, k):
            q = F.normalize(self.encoder_q(q), dim=1)
            with torch.no_grad():
                for a, b in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
                    b.data = b.data * 0.99 + a.data * 0.01
                k = F.normalize(self.encoder_k(k), dim=1)
            lg = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone().detach()], 1) / 0.2
            p = int(self.ptr)
            self.queue[:, p : p + len(k)] = k.T
            self.ptr[0] = (p + len(k)) % self.queue.shape[1]
            return lg, torch.zeros(len(lg), dtype=torch.long)

    m = Moco()
    x = torch.randn(8, 8)
    return Batch(
        m,
        (x + 0.1 * torch.randn(8, 8), x + 0.1 * torch.randn(8, 8)),
        None,
        {
            "loss_fn": lambda o: F.cross_entropy(*o),
            "optimizer": torch.optim.SGD(m.parameters(), lr=0.03, momentum=0.9, weight_decay=0.0001),
        },
    )


@healthy("princeton-vl/CornerNet#101", "detection")
def cornernet_inplace_sigmoid_clamp():
    """In-place sigmoid followed by a clamp to (1e-4, 1-1e-4), focal loss, offsets gathered at the corners."""
    torch.manual_seed(520)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.back = nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8), nn.ReLU(inplace=True)
            )
            self.heat = nn.Conv2d(8, 2, 1)
            self.off = nn.Conv2d(8, 2, 1)
            nn.init.constant_(self.heat.bias, -2.19)

        def forward(self, x, ind):
            h = self.back(x)
            heat = torch.clamp(self.heat(h).sigmoid_(), min=0.0001, max=1 - 0.0001)
            o = self.off(h).flatten(2).transpose(1, 2)
            return heat, o.gather(1, ind[..., None].expand(-1, -1, 2))

    gt = torch.rand(4, 2, 6, 6) * 0.5
    gt[:, 0, 2, 2] = 1
    gt[:, 1, 4, 1] = 1

    def loss(o, t):
        p, g = o[0], t["heat"]
        pos = g.eq(1)
        f = -((1 - p) ** 2 * p.log() * pos).sum() - ((1 - g) ** 4 * p**2 * (1 - p).log() * ~pos).sum()
        return f / pos.sum() + F.smooth_l1_loss(o[1], t["off"])

    return Batch(
        Net(),
        (torch.randn(4, 3, 12, 12), torch.tensor([[14, 25]] * 4)),
        {"heat": gt, "off": torch.rand(4, 2, 2)},
        {"loss_fn": loss},
    )


class GraphBatch:
    def __init__(self, **k):
        self.__dict__.update(k)

    def to(self, *a, **k):
        return GraphBatch(**{n: v.to(*a, **k) for n, v in self.__dict__.items()})


@healthy("pyg-team/pytorch_geometric#3009", "graphs")
def graph_batch_object():
    """The batch is one object with attributes (node features, edges, graph numbers, targets); loss from the same object
    inside.
    """
    torch.manual_seed(521)

    class Gin(nn.Module):
        def __init__(self, d=8):
            super().__init__()
            self.inp = nn.Linear(4, d)
            self.eps = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in range(2))
            self.mlp = nn.ModuleList(
                nn.Sequential(nn.Linear(d, 2 * d), nn.BatchNorm1d(2 * d), nn.ReLU(), nn.Linear(2 * d, d))
                for _ in range(2)
            )
            self.out = nn.Linear(d, 3)

        def forward(self, data):
            h = self.inp(data.x)
            a, b = data.edge_index
            for e, f in zip(self.eps, self.mlp, strict=True):
                h = torch.relu(f((1 + e) * h + torch.zeros_like(h).index_add(0, b, h[a])))
            g = torch.zeros(int(data.batch.max()) + 1, h.shape[1]).to(h).index_add(0, data.batch, h)
            lg = self.out(g)
            return types.SimpleNamespace(loss=F.cross_entropy(lg, data.y), logits=lg)

    b = torch.arange(6).repeat_interleave(5)
    e = torch.stack([torch.arange(30), torch.arange(30) // 5 * 5 + (torch.arange(30) + 1) % 5])
    return Batch(
        Gin(),
        GraphBatch(
            x=torch.randn(30, 4),
            edge_index=torch.cat([e, e.flip(0)], 1)[:, torch.arange(60) % 7 != 0],
            batch=b,
            y=torch.randint(0, 3, (6,)),
        ),
    )
