"""Cases of a second reader: architecture search, spikes, siamese and adversarial models, gates."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault, healthy


@healthy("OpenGVLab/LLaMA-Adapter#39", "adapter")
def llama_adapter_zero_gate():
    """Zero tanh gate over random adaption prompts on a frozen model: the gate moves first, the prompts one step
    later.
    """
    torch.manual_seed(41)

    class Attn(nn.Module):
        def __init__(self, d=8, h=2):
            super().__init__()
            self.h = h
            self.qkv = nn.Linear(d, 3 * d).requires_grad_(False)
            self.o = nn.Linear(d, d).requires_grad_(False)
            self.prompt = nn.Parameter(torch.randn(3, d))
            self.gate = nn.Parameter(torch.zeros(1, h, 1, 1))

        def forward(self, x):
            B, T, D = x.shape
            q, k, v = [t.view(B, T, self.h, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1)]
            _, pk, pv = [t.view(1, 3, self.h, -1).transpose(1, 2) for t in self.qkv(self.prompt[None]).chunk(3, -1)]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            pa = torch.softmax(q @ pk.transpose(-1, -2) / 2, -1) @ pv
            return self.o((y + torch.tanh(self.gate) * pa).transpose(1, 2).reshape(B, T, D))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(16, 8).requires_grad_(False)
            self.att = nn.ModuleList(Attn() for _ in range(2))
            self.head = nn.Linear(8, 16, bias=False).requires_grad_(False)

        def forward(self, ids):
            h = self.emb(ids)
            for a in self.att:
                h = h + a(h)
            return self.head(h)

    return Batch(
        Net(),
        torch.randint(0, 16, (6, 7)),
        torch.randint(0, 16, (6, 7)),
        {"loss_fn": lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())},
    )


class _Cell(nn.Module):
    def __init__(self, straight_through):
        super().__init__()
        self.ops = nn.ModuleList(
            [nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 6), nn.ReLU())]
        )
        self.alpha = nn.Parameter(0.001 * torch.randn(3))
        self.out = nn.Linear(6, 3)
        self.straight_through = straight_through

    def forward(self, x):
        p = torch.softmax(self.alpha + (torch.rand(3) if self.training else 0), 0)
        w = F.one_hot(p.argmax(), 3).to(p)
        if self.straight_through:
            w = w - p.detach() + p
        return self.out(sum(w[i] * op(x) for i, op in enumerate(self.ops)))


@fault("D-X-Y/AutoDL-Projects#99", "NAS", "ZI009", "alpha", "The argmax in `_Cell.forward`")
def nas_hard_choice_without_ste():
    """The architecture weights only act through argmax/one-hot, which passes no gradient."""
    torch.manual_seed(42)
    return Batch(_Cell(False), torch.randn(24, 6), torch.randint(0, 3, (24,)))


@healthy("D-X-Y/AutoDL-Projects#99", "NAS")
def nas_gdas_straight_through():
    """One-hot with straight-through gradient over Gumbel noise is the standard and trains."""
    torch.manual_seed(43)
    return Batch(_Cell(True), torch.randn(24, 6), torch.randint(0, 3, (24,)))


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, width):
        ctx.save_for_backward(v)
        ctx.w = width
        return (v > 0).float() if v.dtype == torch.float32 else (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        return (g * (v.abs() < ctx.w).to(g), None)


class _SNN(nn.Module):
    def __init__(self, mode, scale=1.0):
        super().__init__()
        self.mode = mode
        self.fc1 = nn.Linear(6, 16)
        self.fc2 = nn.Linear(16, 4)
        self.scale = scale

    def forward(self, x):
        mem = x.new_zeros(len(x), 16)
        out = 0
        for _ in range(4):
            mem = 0.8 * mem + self.scale * self.fc1(x)
            v = mem - 1.0
            sp = (v > 0).to(x.dtype) if self.mode == "hard" else _Spike.apply(v, self.mode)
            mem = mem - sp.detach()
            out = out + self.fc2(sp)
        return out / 4


@fault(
    "jeshraghian/snntorch (discussion of dead neurons; guevara/read-it-later#12227)",
    "spiking",
    "ZI009",
    "fc1",
    "surrogate gradient",
)
def snn_without_surrogate():
    """Spikes are a hard threshold (a comparison) without surrogate gradient, so nothing reaches the first layer."""
    torch.manual_seed(44)
    return Batch(_SNN("hard", 2.0), torch.randn(32, 6), torch.randint(0, 4, (32,)))


@healthy("fangwei123456/spikingjelly#268", "spiking")
def snn_with_surrogate():
    """Spikes with a rectangular surrogate gradient train."""
    torch.manual_seed(45)
    return Batch(_SNN(1.0, 2.0), torch.randn(32, 6), torch.randint(0, 4, (32,)))


@fault("fangwei123456/spikingjelly#190", "spiking", "ZI008", "fc1", "The backward pass of `_Spike`", also=("ZI007",))
def snn_surrogate_window_missed():
    """No membrane potential comes near the threshold: no spike at all, and the narrow rectangular surrogate is
    zero everywhere.
    """
    torch.manual_seed(46)
    return Batch(_SNN(0.5, 0.05), torch.randn(32, 6) * 1, torch.randint(0, 4, (32,)))


@healthy("huggingface/transformers#8793", "unused part", "this loss does not use")
def bert_pooler_unused():
    """The loss uses last_hidden_state; the pooler's output is not part of it."""
    torch.manual_seed(47)
    from transformers import BertConfig, BertModel

    m = BertModel(
        BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=8,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=True,
    )
    return Batch(
        m,
        {"input_ids": torch.randint(0, 30, (6, 8)), "token_type_ids": torch.randint(0, 2, (6, 8))},
        torch.randn(6, 8, 16),
        {"loss_fn": lambda o, t: F.mse_loss(o.last_hidden_state, t)},
    )


@healthy("huggingface/transformers#11903", "tied weights")
def tied_head_only():
    """Everything frozen, then lm_head made trainable: tied to the embedding, so that one matrix trains through
    both places.
    """
    torch.manual_seed(48)
    from transformers import GPT2Config, GPT2LMHeadModel

    m = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=24,
            n_positions=8,
            n_embd=16,
            n_layer=1,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )
    for p in m.parameters():
        p.requires_grad_(False)
    for p in m.lm_head.parameters():
        p.requires_grad_(True)
    ids = torch.randint(0, 24, (4, 8))
    return Batch(m, {"input_ids": ids, "labels": ids}, None, {"loss_fn": lambda o: o.loss})


class _Siam(nn.Module):
    def __init__(self, byol, freeze):
        super().__init__()

        def mk():
            return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))

        self.online = mk()
        self.pred = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))
        self.target = copy.deepcopy(self.online) if byol else None
        if byol and freeze:
            self.target.requires_grad_(False)

    def forward(self, a, b):
        loss = 0
        for u, v in ((a, b), (b, a)):
            p = self.pred(self.online(u))
            with torch.no_grad():
                z = (self.target or self.online)(v)
            loss = loss - F.cosine_similarity(p, z.detach(), dim=-1).mean()
        return loss / 2


@healthy("PatrickHua/SimSiam#39", "self-supervised")
def simsiam_stop_gradient():
    """Stop-gradient on one branch of a shared network; the other branch trains all."""
    torch.manual_seed(49)
    x = torch.randn(24, 8)
    return Batch(
        _Siam(False, False),
        (x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)),
        None,
        {"loss_fn": lambda part: part},
    )


@healthy("facebookresearch/simsiam#7", "self-supervised")
def byol_frozen_target():
    """The momentum (target) network is frozen on purpose, the online network trains."""
    torch.manual_seed(50)
    x = torch.randn(24, 8)
    return Batch(
        _Siam(True, True),
        (x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)),
        None,
        {"loss_fn": lambda part: part},
    )


@healthy("pytorch/pytorch#86274", "equal layers")
def transformer_encoder_cloned_layers():
    """TransformerEncoder clones one layer: all layers start equal, but units within a layer differ and the layers
    separate at once.
    """
    torch.manual_seed(51)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 16)
            self.enc = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True), 3, enable_nested_tensor=False
            )
            self.out = nn.Linear(16, 4)

        def forward(self, ids):
            return self.out(self.enc(self.emb(ids)).mean(1))

    return Batch(Net(), torch.randint(0, 20, (8, 6)), torch.randint(0, 4, (8,)))


@fault("meta-pytorch/torchtune#2270", "equal members", "ZI004", "members.1.0", "are copies of each other")
def ensemble_of_deepcopies():
    """The ensemble's members are deep copies with the same weights, are averaged and get the same gradient: they
    stay identical for ever.
    """
    torch.manual_seed(52)

    class Ens(nn.Module):
        def __init__(self):
            super().__init__()

            def mk():
                return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

            one = mk()
            self.members = nn.ModuleList(copy.deepcopy(one) for _ in range(3))

        def forward(self, x):
            return torch.stack([m(x) for m in self.members]).mean(0)

    return Batch(Ens(), torch.randn(20, 6), torch.randint(0, 3, (20,)))


@fault("suvojit-0x55aa/A2S2K-ResNet#4", "attention", "ZI012", "conv_se", "2 copies of one value")
def softmax_over_two_copies():
    """The softmax runs over two copies of the same logits, so both attention weights are always 1/2."""
    torch.manual_seed(53)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 1)
            self.b = nn.Conv2d(3, 8, 3, padding=1)
            self.conv_se = nn.Conv2d(8, 4, 1)
            self.conv_ex = nn.Conv2d(4, 8, 1)
            self.conv_ex2 = self.conv_ex
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            A, B = (torch.relu(self.a(x)), torch.relu(self.b(x)))
            z = torch.relu(self.conv_se((A + B).mean((2, 3), keepdim=True)))
            w = torch.softmax(torch.stack([self.conv_ex(z), self.conv_ex2(z)], 1), 1)
            return self.out((torch.stack([A, B], 1) * w).sum(1).mean((2, 3)))

    return Batch(Net(), torch.randn(8, 3, 6, 6), torch.randint(0, 3, (8,)))


@fault("DrChainsaw/NaiveGAflux.jl#39", "zero initialization", "ZI006", "block.c1", "`block.c1.weight`")
def residual_branch_all_zero():
    """All layers of the residual branch start at zero: the second gets a zero input and the first a zero gradient."""
    torch.manual_seed(54)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1 = nn.Conv2d(6, 6, 3, padding=1)
            self.c2 = nn.Conv2d(6, 6, 3, padding=1)
            for c in [self.c1, self.c2]:
                nn.init.zeros_(c.weight)
                nn.init.zeros_(c.bias)

        def forward(self, x):
            return x + self.c2(torch.relu(self.c1(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3, padding=1)
            self.block = Block()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            return self.fc(self.block(self.stem(x)).relu().mean((2, 3)))

    return Batch(Net(), torch.randn(8, 3, 6, 6), torch.randint(0, 4, (8,)))


class _Gate(nn.Module):
    def __init__(self, both):
        super().__init__()
        self.vis = nn.Linear(6, 10)
        self.lang = nn.Linear(5, 10)
        self.out = nn.Linear(10, 4)
        self.res_gate = nn.Sequential(
            nn.Linear(10, 10, bias=False), nn.ReLU(), nn.Linear(10, 10, bias=False), nn.Tanh()
        )
        if both:
            nn.init.zeros_(self.res_gate[0].weight)
        nn.init.zeros_(self.res_gate[2].weight)

    def forward(self, v, part):
        f = torch.tanh(self.vis(v))
        r = torch.tanh(self.lang(part)) * f
        return self.out(f + self.res_gate(r) * r)


@fault(
    "yz93/LAVT-RIS#25",
    "zero initialization",
    "ZI006",
    "res_gate.0",
    "`res_gate.0.weight` and `res_gate.2.weight` both start at zero",
)
def language_gate_both_zero():
    """Both bias-free layers of the language gate are zero, so the gate is 0 and neither gets a gradient; the
    language branch stays shut off.
    """
    torch.manual_seed(55)
    return Batch(_Gate(True), (torch.randn(24, 6), torch.randn(24, 5)), torch.randint(0, 4, (24,)))


@healthy("yz93/LAVT-RIS#25", "zero initialization")
def language_gate_last_zero():
    """Only the gate's last layer is zero: everything wakes up within three steps."""
    torch.manual_seed(56)
    return Batch(_Gate(False), (torch.randn(24, 6), torch.randn(24, 5)), torch.randint(0, 4, (24,)))


@fault("yaoyao-liu/class-incremental-learning#4", "detached", "ZI009", "exemplars", "`.data`")
def parameter_read_through_data():
    """The learnable exemplars are read through .data (stacked into a new tensor), so they are constants for
    autograd.
    """
    torch.manual_seed(57)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.exemplars = nn.Parameter(torch.randn(5, 6))
            self.f = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8))

        def forward(self, x):
            e = self.exemplars.data
            return -torch.cdist(self.f(x), self.f(e))

    return Batch(Net(), torch.randn(24, 6), torch.randint(0, 5, (24,)))


@fault("edreisMD/ConVIRT-pytorch#7", "detached", "ZI009", "text_proj.0", "set_grad_enabled(False)")
def projection_inside_no_grad():
    """The text branch, its projection head included, runs under torch.no_grad()."""
    torch.manual_seed(58)

    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.text = nn.EmbeddingBag(30, 8)
            self.text = nn.Linear(8, 8)
            self.img = nn.Linear(10, 8)
            self.text_proj = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
            self.img_proj = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))

        def forward(self, im, tx):
            with torch.set_grad_enabled(False):
                t = self.text_proj(torch.relu(self.text(tx)))
            i = self.img_proj(torch.relu(self.img(im)))
            return F.normalize(i, dim=-1) @ F.normalize(t, dim=-1).T / 0.1

    return Batch(Clip(), (torch.randn(12, 10), torch.randn(12, 8)), torch.arange(12))


class _GradRev(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -g


class _Gan(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6))
        self.disc = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, z, real):
        fake = self.generator(z)
        bce = F.binary_cross_entropy_with_logits
        if self.mode == "reverse":
            f, r = (self.disc(_GradRev.apply(fake)), self.disc(real))
            return bce(f, torch.zeros_like(f)) + bce(r, torch.ones_like(r))
        pf = self.disc(fake.detach())
        pr = self.disc(real)
        d = bce(pf, torch.zeros_like(pf)) + bce(pr, torch.ones_like(pr))
        pg = self.disc(fake) if self.mode == "good" else pf.detach()
        return d + bce(pg, torch.ones_like(pg))


@fault("wangle53/CSA-CDGAN#5", "GAN", "ZI009", "generator.0", "`detach()`")
def gan_detached_prediction():
    """The generator's loss is computed from a detached prediction, so the generator gets no gradient."""
    torch.manual_seed(59)
    return Batch(_Gan("bad"), (torch.randn(16, 4), torch.randn(16, 6)), None, {"loss_fn": lambda part: part})


@healthy("pytorch/examples#116", "GAN")
def gan_gradient_reversal():
    """Generator and discriminator trained at once through a gradient reversal function."""
    torch.manual_seed(60)
    return Batch(_Gan("reverse"), (torch.randn(16, 4), torch.randn(16, 6)), None, {"loss_fn": lambda part: part})


@healthy("nicklashansen/dmcontrol-generalization-benchmark#5", "reinforcement learning")
def sac_shared_encoder_detached_for_actor():
    """The shared encoder is detached for the actor but trained by the critic."""
    torch.manual_seed(61)

    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared_cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8))
            self.actor = nn.Linear(8, 2)
            self.q = nn.Linear(10, 1)
            self.log_alpha = nn.Parameter(torch.zeros(()))

        def forward(self, obs, act, ret):
            h = self.shared_cnn(obs)
            critic = F.mse_loss(self.q(torch.cat([torch.relu(h), act], 1)).squeeze(1), ret)
            pi = torch.tanh(self.actor(torch.relu(h.detach())))
            W = self.q.weight.detach()
            value = (torch.cat([torch.relu(h.detach()), pi], 1) @ W.T).mean()
            alpha = self.log_alpha.exp() * (pi.detach() ** 2).mean() - self.log_alpha
            return critic - value + alpha

    return Batch(
        Agent(), (torch.randn(8, 1, 6, 6), torch.randn(8, 2), torch.randn(8)), None, {"loss_fn": lambda part: part}
    )


@healthy("facebookresearch/DiT#82", "adaLN-Zero")
def dit_adaln_zero():
    """Zero modulation and zero final layer: the final layer moves first, the modulation next, then the blocks."""
    torch.manual_seed(62)

    def mod(x, sh, sc):
        return x * (1 + sc[:, None]) + sh[:, None]

    class Blk(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.n1 = nn.LayerNorm(d, elementwise_affine=False)
            self.n2 = nn.LayerNorm(d, elementwise_affine=False)
            self.att = nn.MultiheadAttention(d, 2, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU("tanh"), nn.Linear(2 * d, d))
            self.ada = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
            nn.init.zeros_(self.ada[1].weight)
            nn.init.zeros_(self.ada[1].bias)

        def forward(self, x, c):
            a, b, g, a2, b2, g2 = self.ada(c).chunk(6, 1)
            h = mod(self.n1(x), a, b)
            x = x + g[:, None] * self.att(h, h, h, need_weights=False)[0]
            return x + g2[:, None] * self.mlp(mod(self.n2(x), a2, b2))

    class DiT(nn.Module):
        def __init__(self, d=8):
            super().__init__()
            self.x = nn.Linear(4, d)
            self.pos = nn.Parameter(torch.randn(1, 6, d) * 0.02, requires_grad=False)
            self.t = nn.Sequential(nn.Linear(4, d), nn.SiLU(), nn.Linear(d, d))
            self.blocks = nn.ModuleList(Blk(d) for _ in range(2))
            self.nf = nn.LayerNorm(d, elementwise_affine=False)
            self.adaf = nn.Sequential(nn.SiLU(), nn.Linear(d, 2 * d))
            self.lin = nn.Linear(d, 4)
            for part in (self.adaf[1], self.lin):
                nn.init.zeros_(part.weight)
                nn.init.zeros_(part.bias)

        def forward(self, x, t):
            e = torch.cat(
                [
                    torch.sin(t[:, None] * torch.tensor([1.0, 3.0], dtype=t.dtype)),
                    torch.cos(t[:, None] * torch.tensor([1.0, 3.0], dtype=t.dtype)),
                ],
                1,
            )
            c = self.t(e)
            x = self.x(x) + self.pos
            for b in self.blocks:
                x = b(x, c)
            sh, sc = self.adaf(c).chunk(2, 1)
            return self.lin(mod(self.nf(x), sh, sc))

    return Batch(DiT(), (torch.randn(6, 6, 4), torch.rand(6)), torch.randn(6, 6, 4), {"loss_fn": F.mse_loss})


@healthy("lucidrains/alphafold3-pytorch#303", "adaLN-Zero")
def alphafold_zero_gamma_constant_bias():
    """Zero weight without bias behind a constant offset of -2: the weight's gradient is its input, it moves at the
    first step.
    """
    torch.manual_seed(63)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(5, 8)
            self.cond = nn.Linear(4, 8)
            self.ff = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8))
            self.gamma = nn.Linear(8, 8, bias=False)
            nn.init.zeros_(self.gamma.weight)
            self.register_buffer("off", torch.full((8,), -2.0))
            self.out = nn.Linear(8, 3)

        def forward(self, x, c):
            h = self.inp(x)
            return self.out(h + torch.sigmoid(self.gamma(torch.tanh(self.cond(c))) + self.off) * self.ff(h))

    return Batch(Net(), (torch.randn(20, 5), torch.randn(20, 4)), torch.randint(0, 3, (20,)))


@healthy("chinhsuanwu/coatnet-pytorch#2", "zero initialization")
def vit_zero_tokens_and_bias_table():
    """Zero relative bias table, class token and positions are parameters and move at the first step."""
    torch.manual_seed(64)

    class ViT(nn.Module):
        def __init__(self, d=8, n=9):
            super().__init__()
            self.patch = nn.Conv2d(3, d, 2, 2)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
            self.pos_embed = nn.Parameter(torch.zeros(1, n + 1, d))
            self.table = nn.Parameter(torch.zeros(2 * (n + 1) - 1, 2))
            i = torch.arange(n + 1)
            self.register_buffer("idx", i[:, None] - i[None] + n)
            self.norm = nn.LayerNorm(d)
            self.qkv = nn.Linear(d, 3 * d)
            self.proj = nn.Linear(d, d)
            self.head = nn.Linear(d, 4)

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            B = len(x)
            x = torch.cat([self.cls_token.expand(B, -1, -1), x], 1) + self.pos_embed
            q, k, v = [t.view(B, -1, 2, 4).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1)]
            bias = self.table[self.idx].permute(2, 0, 1)
            y = ((q @ k.transpose(-1, -2) / 2 + bias).softmax(-1) @ v).transpose(1, 2).reshape(B, -1, 8)
            return self.head((x + self.proj(y)).mean(1))

    return Batch(ViT(), torch.randn(8, 3, 6, 6), torch.randint(0, 4, (8,)))
