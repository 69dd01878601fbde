"""Cases of a third reader of public reports: healthy models with two losses, loaders, dictionaries, hooks."""

import types

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .harness import Batch, healthy


@healthy("kevinzakka/spatial-transformer-network#10", "vision")
def stn_identity_start():
    """Spatial transformer: last localisation layer has zero weights and an identity bias; the layers before it move one
    step later.
    """
    torch.manual_seed(508)

    class Stn(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Sequential(
                nn.Conv2d(1, 4, 3),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(36, 10),
                nn.ReLU(),
                nn.Linear(10, 6),
            )
            nn.init.zeros_(self.loc[6].weight)
            self.loc[6].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
            self.cnn = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4))

        def forward(self, x):
            g = F.affine_grid(self.loc(x).view(-1, 2, 3), x.shape, align_corners=False)
            return self.cnn(F.grid_sample(x, g, align_corners=False))

    return Batch(Stn(), torch.randn(10, 1, 8, 8), torch.randint(0, 4, (10,)))


class _Pairs(Dataset):
    def __init__(self):
        g = torch.Generator().manual_seed(9)
        self.i = torch.randn(24, 10, generator=g)
        self.c = torch.randint(1, 30, (24, 5), generator=g)
        self.d = torch.randint(1, 30, (24, 7), generator=g)

    def __len__(self):
        return 24

    def __getitem__(self, k):
        return {"image": self.i[k], "caption": self.c[k], "description": self.d[k]}


@healthy("google-deepmind/tips#6", "contrastive")
def clip_two_losses_dict_loader():
    """Two contrastive losses with a temperature each, computed inside; batches are dictionaries from a DataLoader."""
    torch.manual_seed(509)

    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.img = nn.Sequential(nn.Linear(10, 16), nn.GELU(), nn.Linear(16, 8))
            self.tok = nn.EmbeddingBag(30, 12, mode="mean")
            self.txt = nn.Linear(12, 8)
            self.t1 = nn.Parameter(torch.tensor(2.66))
            self.t2 = nn.Parameter(torch.tensor(2.66))

        def forward(self, image, caption, description):
            v = F.normalize(self.img(image), dim=-1)
            loss = 0
            for t, sc in ((caption, self.t1), (description, self.t2)):
                lg = sc.exp().clamp(max=100) * v @ F.normalize(self.txt(self.tok(t)), dim=-1).T
                y = torch.arange(len(lg), device=lg.device)
                loss = loss + (F.cross_entropy(lg, y) + F.cross_entropy(lg.T, y)) / 4
            return types.SimpleNamespace(loss=loss, features=v)

    return Batch(Clip(), DataLoader(_Pairs(), batch_size=12, shuffle=False))


@healthy("nikhilbarhate99/PPO-PyTorch#43", "reinforcement learning")
def a2c_shared_torso_dict_targets():
    """Actor-critic with a shared torso, detached advantage and entropy bonus; targets are a dictionary."""
    torch.manual_seed(510)

    class AC(nn.Module):
        def __init__(self):
            super().__init__()
            self.torso = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
            self.pi = nn.Linear(16, 3)
            self.v = nn.Linear(16, 1)
            for layer, g in ((self.torso[0], 2**0.5), (self.torso[2], 2**0.5), (self.pi, 0.01), (self.v, 1.0)):
                nn.init.orthogonal_(layer.weight, g)
                nn.init.zeros_(layer.bias)

        def forward(self, o):
            h = self.torso(o)
            return torch.distributions.Categorical(logits=self.pi(h)), self.v(h).squeeze(-1)

    def loss(out, t):
        d, v = out
        adv = (t["ret"] - v).detach()
        return -(d.log_prob(t["act"]) * adv).mean() + 0.5 * (v - t["ret"]).pow(2).mean() - 0.01 * d.entropy().mean()

    return Batch(
        AC(), torch.randn(20, 5), {"act": torch.randint(0, 3, (20,)), "ret": torch.randn(20)}, {"loss_fn": loss}
    )


@healthy("jiesutd/NCRFpp#68, kmkurn/pytorch-crf#73", "text")
def crf_zero_transitions():
    """CRF tagger: transitions start at zero, forbidden ones at -10000; the model returns the loss itself."""
    torch.manual_seed(511)
    K = 4
    START, STOP = K, K + 1

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(25, 8, padding_idx=0)
            self.rnn = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
            self.out = nn.Linear(12, K)
            t = torch.zeros(K + 2, K + 2)
            t[:, START] = -10000.0
            t[STOP] = -10000.0
            self.trans = nn.Parameter(t)

        def forward(self, tok, tag, mask):
            e = self.out(self.rnn(self.emb(tok))[0])
            B, T, _ = e.shape
            tr = self.trans
            r = torch.arange(B)
            a = tr[START, :K] + e[:, 0]
            g = tr[START, tag[:, 0]] + e[r, 0, tag[:, 0]]
            last = tag[:, 0]
            for i in range(1, T):
                m = mask[:, i].bool()
                a = torch.where(m[:, None], torch.logsumexp(a[:, :, None] + tr[:K, :K] + e[:, i, None], 1), a)
                g = g + torch.where(m, tr[tag[:, i - 1], tag[:, i]] + e[r, i, tag[:, i]], 0.0)
                last = torch.where(m, tag[:, i], last)
            return (torch.logsumexp(a + tr[:K, STOP], 1) - g - tr[last, STOP]).mean()

    tok = torch.randint(1, 25, (6, 7))
    ln = torch.tensor([7, 6, 5, 7, 4, 3])
    mask = (torch.arange(7) < ln[:, None]).long()
    return Batch(Tagger(), (tok * mask, torch.randint(0, K, (6, 7)), mask), None, {"loss_fn": lambda o: o})


@healthy("pytorch/pytorch#56380", "hooks")
def logging_hooks_everywhere():
    """Full backward hooks and forward hooks only log norms into a list."""
    torch.manual_seed(512)
    m = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    log = []
    for n, layer in m.named_children():
        layer.register_full_backward_hook(lambda mod, gi, go, n=n: log.append((n, float(go[0].norm()))))
        layer.register_forward_hook(lambda mod, i, o, n=n: log.append((n, float(o.mean()))))
    m.history = log
    return Batch(m, torch.randn(8, 3, 8, 8), torch.randint(0, 4, (8,)))


@healthy("czq142857/IM-NET-pytorch#5", "implicit shapes")
def implicit_autodecoder_leaky_clip():
    """Auto-decoder: one latent row per shape, leaky clip at the output."""
    torch.manual_seed(513)

    class Im(nn.Module):
        def __init__(self):
            super().__init__()
            self.code = nn.Embedding(5, 6)
            nn.init.normal_(self.code.weight, 0, 0.01)
            self.net = nn.Sequential(
                nn.Linear(9, 24), nn.LeakyReLU(0.02), nn.Linear(24, 24), nn.LeakyReLU(0.02), nn.Linear(24, 1)
            )
            nn.init.normal_(self.net[4].weight, 1e-05, 0.02)
            nn.init.constant_(self.net[4].bias, 0.5)

        def forward(self, idx, pts):
            z = self.code(idx)[:, None].expand(-1, pts.shape[1], -1)
            o = self.net(torch.cat([z, pts], -1)).squeeze(-1)
            return torch.max(torch.min(o, o * 0.01 + 0.99), o * 0.01)

    p = torch.rand(5, 20, 3) - 0.5
    return Batch(
        Im(),
        {"idx": torch.arange(5), "pts": p},
        (p.norm(dim=-1) < 0.2 + 0.06 * torch.arange(5)[:, None]).float(),
        {"loss_fn": F.mse_loss},
    )
