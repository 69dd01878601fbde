"""Cases of a second reader of public reports: experts, adapters, checkpoints, optimizers, losses, masks."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from .harness import Batch, fault, healthy


@fault("INK-USC/RE-Net#6", "unused result", "ZI010", "score", "What `score` computes is thrown away", also=("ZI007",))
def history_attention_dropped():
    """The attention's result is computed but never written into the zero tensor that is handed to the GRU, so the
    embedding and the scorer have no path to the loss and the GRU's input weights only see zeros.
    """
    torch.manual_seed(11)

    class Aggregator(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(30, 8)
            self.score = nn.Linear(8, 1)
            self.gru = nn.GRU(8, 12, batch_first=True)
            self.out = nn.Linear(12, 5)

        def forward(self, hist):
            e = self.emb(hist)
            a = F.softmax(torch.tanh(self.score(e)), dim=2)
            pooled = (a * e).sum(2)
            seq = torch.zeros_like(pooled)
            _, h = self.gru(seq)
            return self.out(h[-1])

    return Batch(Aggregator(), torch.randint(0, 30, (12, 4, 6)), torch.randint(0, 5, (12,)))


@fault("davidmrau/mixture-of-experts#27", "mixture of experts", "ZI008", "gate", "is over one value, so it is always 1")
def moe_top1_softmax_after_topk():
    """Softmax over the single kept logit (k=1) is constantly 1, so the router has a zero gradient."""
    torch.manual_seed(12)

    class MoE(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(6, 3, bias=False)
            self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 4)) for _ in range(3))

        def forward(self, x):
            logits = self.gate(x)
            top, idx = logits.topk(1, -1)
            p = top.softmax(-1)
            y = x.new_zeros(len(x), 4)
            for i, ex in enumerate(self.experts):
                m = idx[:, 0] == i
                if m.any():
                    y = y.index_put((m.nonzero()[:, 0],), ex(x[m]) * p[m])
            return y

    return Batch(MoE(), torch.randn(64, 6), torch.randint(0, 4, (64,)))


@fault("showlab/Olaf-World#8", "vector quantisation", "ZI009", "codebook", "`detach()`")
def vq_codebook_loss_on_ste():
    """The codebook loss is taken on the straight-through output, in which the codebook only appears inside detach,
    so it never gets a gradient.
    """
    torch.manual_seed(13)

    class VQ(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
            self.codebook = nn.Embedding(6, 4)
            self.dec = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))

        def forward(self, x):
            z = self.enc(x)
            k = torch.cdist(z, self.codebook.weight).argmin(1)
            q = self.codebook(k)
            ste = z + (q - z).detach()
            code = F.mse_loss(ste, z.detach())
            return {"loss": F.mse_loss(self.dec(ste), x) + code + 0.25 * F.mse_loss(z, q.detach())}

    return Batch(VQ(), torch.randn(32, 8), None, {"loss_fn": lambda o: o["loss"]})


@fault("nvidia-cosmos/cosmos-predict2.5#15", "LoRA", "ZI006", "q.a", "`q.a.weight` and `q.b.weight` both start at zero")
def lora_a_and_b_zero():
    """Both LoRA factors start at zero, each one's gradient has the other as factor, so neither ever moves."""
    torch.manual_seed(14)

    class Lora(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.base = nn.Linear(n, n).requires_grad_(False)
            self.a = nn.Linear(n, 2, bias=False)
            self.b = nn.Linear(2, n, bias=False)

        def forward(self, x):
            return self.base(x) + 2 * self.b(self.a(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.v, self.head = (Lora(8), Lora(8), nn.Linear(8, 3))

        def forward(self, x):
            return self.head(torch.sigmoid(self.q(x)) * self.v(x))

    m = Net()
    for part in (m.q, m.v):
        nn.init.zeros_(part.a.weight)
        nn.init.zeros_(part.b.weight)
    return Batch(m, torch.randn(16, 8), torch.randint(0, 3, (16,)))


@fault(
    "lllyasviel/ControlNet#510",
    "zero convolutions",
    "ZI006",
    "zero",
    "`ctrl.proj_out.weight` and `zero.weight` both start at zero",
)
def two_zero_convs_in_a_row():
    """Two zero convolutions in a row without a residual between: each gradient carries the other's zero."""
    torch.manual_seed(15)

    class Ctrl(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 6, 3, padding=1)
            self.proj_out = nn.Conv2d(6, 6, 1)

        def forward(self, c):
            return self.proj_out(F.silu(self.body(c)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lock = nn.Conv2d(3, 6, 3, padding=1).requires_grad_(False)
            self.ctrl = Ctrl()
            self.zero = nn.Conv2d(6, 6, 1)
            self.up = nn.Conv2d(6, 3, 3, padding=1).requires_grad_(False)

        def forward(self, x, c):
            return self.up(F.silu(self.lock(x) + self.zero(self.ctrl(c))))

    m = Net()
    for part in [m.ctrl.proj_out, m.zero]:
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    return Batch(m, (torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)), torch.randn(4, 3, 8, 8))


@healthy("lllyasviel/ControlNet#510", "zero convolutions")
def controlnet_zero_conv_residual():
    """The zero projection sits in a residual block, so the zero convolution behind it sees a non-zero input and
    all wake up.
    """
    torch.manual_seed(16)

    class Block(nn.Module):
        def __init__(self, ch):
            super().__init__()
            self.n = nn.GroupNorm(2, ch)
            self.c1 = nn.Conv2d(ch, ch, 3, padding=1)
            self.proj_out = nn.Conv2d(ch, ch, 1)
            nn.init.zeros_(self.proj_out.weight)
            nn.init.zeros_(self.proj_out.bias)

        def forward(self, x):
            return x + self.proj_out(F.silu(self.c1(self.n(x))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Conv2d(3, 6, 3, padding=1)
            self.locked = Block(6)
            self.hint = nn.Conv2d(1, 6, 3, padding=1)
            self.zin = nn.Conv2d(6, 6, 1)
            self.copy = Block(6)
            self.zout = nn.Conv2d(6, 6, 1)
            self.out = nn.Conv2d(6, 3, 3, padding=1)
            for z in (self.zin, self.zout):
                nn.init.zeros_(z.weight)
                nn.init.zeros_(z.bias)
            for p in [*self.inp.parameters(), *self.locked.parameters(), *self.out.parameters()]:
                p.requires_grad_(False)

        def forward(self, x, c):
            h = self.inp(x)
            return self.out(F.silu(self.locked(h) + self.zout(self.copy(h + self.zin(F.silu(self.hint(c)))))))

    return Batch(Net(), (torch.randn(4, 3, 8, 8), torch.randn(4, 1, 8, 8)), torch.randn(4, 3, 8, 8))


@fault("localminimum/R-net#8", "attention", "ZI008", "score", "Use `dim=1`")
def pointer_softmax_over_singleton():
    """Softmax over the last dimension, which has one element, so every attention weight is constantly 1."""
    torch.manual_seed(17)

    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(7, 9)
            self.score = nn.Linear(9, 1)
            self.val = nn.Linear(7, 9)
            self.out = nn.Linear(9, 4)

        def forward(self, x):
            e = self.score(torch.tanh(self.proj(x)))
            a = torch.softmax(e, dim=-1)
            return self.out(torch.relu((a * self.val(x)).sum(1)))

    return Batch(Pool(), torch.randn(16, 5, 7), torch.randint(0, 4, (16,)))


@fault("ultralytics/yolov3#191", "wrong loss", "ZI008", "0", "Cross entropy over one class is always zero")
def one_class_cross_entropy():
    """Cross entropy over one class is always 0, so is every gradient."""
    torch.manual_seed(18)
    m = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
    return Batch(m, torch.randn(16, 5), torch.zeros(16, dtype=torch.long), {"loss_fn": F.cross_entropy})


def _ckpt(reentrant, hook=False):

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 8).requires_grad_(False)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2)
            )
            self.head = nn.Linear(8, 4)

        def forward(self, ids):
            h = self.emb(ids)
            for b in self.blocks:
                h = h + checkpoint(b, h, use_reentrant=reentrant)
            return self.head(h.mean(1))

    m = Net()
    if hook:
        m.emb.register_forward_hook(lambda mod, i, o: o.requires_grad_(True))
    return Batch(m, torch.randint(0, 20, (12, 5)), torch.randint(0, 4, (12,)))


@fault("huggingface/transformers#21381", "checkpointing", "ZI009", "blocks.0.0", "use_reentrant=True")
def reentrant_checkpoint_frozen_embedding():
    """Reentrant checkpointing with a frozen embedding: no input of the checkpoint requires a gradient, so the
    blocks run without graph.
    """
    torch.manual_seed(19)
    return _ckpt(True)


@healthy("huggingface/transformers#21381", "checkpointing")
def nonreentrant_checkpoint_frozen_embedding():
    """Non-reentrant checkpointing with a frozen embedding trains all."""
    torch.manual_seed(20)
    return _ckpt(False)


@healthy("huggingface/transformers#21598", "checkpointing")
def reentrant_checkpoint_with_hook():
    """A forward hook on the frozen embedding makes its output require a gradient, so reentrant checkpointing
    trains all.
    """
    torch.manual_seed(21)
    return _ckpt(True, hook=True)


@fault("pytorch/pytorch#108956", "norm", "ZI011", "fc", "`norm` is over one value")
def layernorm_over_one_feature():
    """LayerNorm over one feature returns its bias whatever comes in."""
    torch.manual_seed(22)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 1)
            self.norm = nn.LayerNorm(1)
            self.out = nn.Linear(1, 1)

        def forward(self, x):
            return self.out(torch.relu(self.norm(self.fc(x)) + 0.5))

    return Batch(Net(), torch.randn(32, 6), torch.randn(32, 1), {"loss_fn": F.mse_loss})


@fault("pytorch/pytorch#63541", "wrong loss", "ZI011", "2", "a plain sum over what the layer norm in `3` gives")
def sum_of_layernorm():
    """The sum of a layer norm's output is constant, so the loss does not depend on the weights and the gradient is
    rounding only.
    """
    torch.manual_seed(23)
    m = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 12), nn.LayerNorm(12, elementwise_affine=False))
    return Batch(m, torch.randn(16, 6), None, {"loss_fn": lambda o: o.sum()})


@fault("pytorch/pytorch#666", "not registered", "ZI016", "hidden[", "nn.ModuleList")
def layers_in_python_list():
    """The hidden layers sit in a Python list, are no parameters of the model and are never updated."""
    torch.manual_seed(24)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            hs = [nn.Linear(6, 10), nn.Linear(10, 10)]
            self.hidden = hs
            self.out = nn.Linear(10, 3)

        def forward(self, x):
            for h in self.hidden:
                x = torch.relu(h(x))
            return self.out(x)

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 3, (16,)))


@fault("pytorch/pytorch#632", "not registered", "ZI016", "rel[", "nn.ParameterDict")
def parameters_in_nested_dict():
    """Parameters inside nested plain dictionaries are not registered, so no optimizer gets them."""
    torch.manual_seed(25)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rel = {
                r: {"w": nn.Parameter(torch.randn(6, 6) * 0.3), "b": nn.Parameter(torch.zeros(6))} for r in range(3)
            }
            self.out = nn.Linear(6, 2)

        def forward(self, x):
            y = sum(torch.tanh(x @ self.rel[r]["w"] + self.rel[r]["b"]) for r in range(3))
            return self.out(y)

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 2, (16,)))


@fault("pytorch/pytorch#14467", "optimizer", "ZI018", "head.weight", "does not hold `head.weight` and `head.bias`")
def head_not_in_optimizer():
    """The optimizer only holds the backbone; the new head is not among its parameters."""
    torch.manual_seed(26)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU())
            self.head = nn.Linear(12, 5)

        def forward(self, x):
            return self.head(self.backbone(x))

    def opt(ps):
        return torch.optim.AdamW(list(ps)[:4], lr=0.001)

    return Batch(Net(), torch.randn(16, 6), torch.randint(0, 5, (16,)), {"optimizer": opt})


@fault("AntixK/PyTorch-VAE#12", "VAE", "ZI009", "enc", "Use `rsample()`")
def vae_sample_instead_of_rsample():
    """The latent is drawn by Normal.sample(), which carries no gradient, so the encoder is cut off."""
    torch.manual_seed(27)

    class Vae(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(8, 16)
            self.mu = nn.Linear(16, 3)
            self.logstd = nn.Linear(16, 3)
            self.dec = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 8))

        def forward(self, x):
            h = torch.relu(self.enc(x))
            d = torch.distributions.Normal(self.mu(h), self.logstd(h).exp())
            return self.dec(d.sample())

    x = torch.randn(32, 8)
    return Batch(Vae(), x, x.clone(), {"loss_fn": F.mse_loss})


@fault("facebookresearch/dlrm#358", "dead units", "ZI008", "bot.0", "The ReLU in `bot.1` is off for every input")
def relu_killed_by_bias():
    """The biases are so negative that no ReLU fires for any example."""
    torch.manual_seed(28)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.bot = nn.Sequential(nn.Linear(6, 12), nn.ReLU())
            self.emb = nn.EmbeddingBag(20, 12, mode="sum")
            self.top = nn.Linear(12, 1)
            nn.init.constant_(self.bot[0].bias, -8.0)

        def forward(self, d, ids):
            return self.top(self.bot(d) + self.emb(ids)).squeeze(-1)

    return Batch(
        Net(),
        (torch.rand(32, 6), torch.randint(0, 20, (32, 3))),
        torch.randint(0, 2, (32,)).float(),
        {"loss_fn": F.binary_cross_entropy_with_logits},
    )


@fault("pytorch/pytorch#16045", "loss shape", "ZI017", "", "(40, 1) and (40,)")
def mse_broadcast():
    """Predictions (N, 1) against targets (N,) broadcast to N x N, so the model is pulled to the mean of all
    targets.
    """
    torch.manual_seed(29)
    x = torch.randn(40, 2)
    y = 10 + 9 * x[:, 0] - 2 * x[:, 1]
    return Batch(nn.Linear(2, 1), x, y, {"loss_fn": nn.MSELoss()})


@fault("pytorch/pytorch#116349", "NaN", "ZI013", "", "every label is -100")
def all_labels_ignored():
    """All labels are the ignored index, so the mean cross entropy is 0/0 = NaN from the first step."""
    torch.manual_seed(30)
    m = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 20))
    y = torch.full((3, 5), -100)
    return Batch(
        m, torch.randint(0, 20, (3, 5)), y, {"loss_fn": lambda o, t: F.cross_entropy(o.reshape(-1, 20), t.reshape(-1))}
    )


@fault("pytorch/pytorch#19126", "NaN", "ZI013", "1", "by its norm, which is zero")
def weight_norm_of_zero_weight():
    """Weight normalisation of a zero weight divides by a zero norm: NaN from the first forward pass."""
    torch.manual_seed(31)
    lin = nn.Linear(12, 4)
    nn.init.zeros_(lin.weight)
    lin = nn.utils.parametrizations.weight_norm(lin)
    return Batch(
        nn.Sequential(nn.Sequential(nn.Linear(6, 12), nn.ELU()), lin), torch.randn(16, 6), torch.randint(0, 4, (16,))
    )


@fault("Li-Chongyi/Zero-DCE_extension#2", "NaN", "ZI013", "", "square root in the loss has no finite slope at zero")
def sqrt_of_zero_colour_loss():
    """The colour loss takes a square root of a difference that is exactly 0 at the start (zero last layer), whose
    derivative is infinite.
    """
    torch.manual_seed(32)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
            nn.init.zeros_(self.net[2].weight)
            nn.init.zeros_(self.net[2].bias)

        def forward(self, x):
            return torch.tanh(self.net(x))

    def colour(o):
        r, g, b = o.mean((2, 3)).unbind(1)
        e = 0.0
        return (
            torch.sqrt((r - g) ** 2 + (g - b) ** 2 + (b - r) ** 2 + e).mean() + ((o - 0.6).mean((1, 2, 3)) ** 2).mean()
        )

    return Batch(Net(), torch.rand(4, 3, 8, 8), None, {"loss_fn": colour})


def _mha(mask_all):

    class Enc(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(15, 8)
            self.att = nn.MultiheadAttention(8, 2, batch_first=True)
            self.ff = nn.Linear(8, 8)
            self.out = nn.Linear(8, 3)

        def forward(self, ids, pad):
            e = self.emb(ids)
            a, _ = self.att(e, e, e, key_padding_mask=pad)
            h = torch.relu(self.ff(e + a)).masked_fill(pad[..., None], 0)
            return self.out(h.sum(1) / (~pad).sum(1, keepdim=True).clamp(min=1))

    pad = torch.arange(6)[None] >= torch.tensor([6, 4, 3, 0 if mask_all else 2])[:, None]
    return Batch(Enc(), (torch.randint(0, 15, (4, 6)), pad), torch.tensor([0, 1, 2, 1]))


@fault("pytorch/pytorch#41508", "masks", "ZI013", "att", "every key is masked")
def attention_row_fully_masked():
    """One sequence of the batch is all padding; softmax over only -inf is NaN and the NaN reaches every shared
    weight.
    """
    torch.manual_seed(33)
    return _mha(True)


@healthy("pytorch/pytorch#41508", "masks")
def attention_partly_masked():
    """Padding masks that leave at least one key are fine."""
    torch.manual_seed(34)
    return _mha(False)
