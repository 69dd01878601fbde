"""Cases of a third reader of public reports: further faults, many of which are not told right yet."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, fault, healthy
from .reports_5 import RevBlock


@fault("omoindrot/tensorflow-triplet-loss#27", "metric learning", "ZI008", "0.weight", "The ReLU in the loss is off")
def triplets_all_easy():
    """Every negative is already farther than the positive plus the margin: the hinge is 0 for all triplets, so the loss
    and every gradient are 0. Repair: mine hard(er) negatives, or a larger margin.
    """
    torch.manual_seed(612)
    m = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4, bias=False))
    a = torch.randn(16, 6) * 2
    n = -a
    x = torch.cat([a, a + 0.02 * torch.randn(16, 6), n])

    def loss(e):
        a, p, n = e.chunk(3)
        return torch.relu((a - p).pow(2).sum(1) - (a - n).pow(2).sum(1) + 0.01).mean()

    return Batch(m, x, None, {"loss_fn": loss})


@fault("phlippe/uvadlc_notebooks#119", "deep", "ZI020", "net.0.weight", "rounding", never="updates survive in float32")
def forty_sigmoid_layers():
    """40 sigmoid layers: each multiplies the gradient by less than 1/4 times a small weight, so below the upper layers
    it is smaller than rounding and the weights do not change. Repair: ReLU or tanh, skip connections, normalisation.
    """
    torch.manual_seed(613)

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            layers = []
            for i in range(40):
                layers += [nn.Linear(6 if i == 0 else 8, 8), nn.Sigmoid()]
            self.net = nn.Sequential(*layers)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.net(x))

    return Batch(Deep(), torch.randn(24, 6), torch.randint(0, 3, (24,)), {"optimizer": "sgd"})


@fault(
    "loosely after pytorch/pytorch#38951 (backward hooks that replace gradients)",
    "hooks",
    "ZI019",
    "0",
    "A hook on a module sets its gradient to zero",
)
def backward_hook_zeroes_input_gradient():
    """A full backward hook on the third convolution, left over from an attribution experiment, returns zeros as
    gradient of its input. Repair: remove the hook (handle.remove()).
    """
    torch.manual_seed(614)
    m = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3),
        nn.SiLU(),
        nn.Conv2d(6, 6, 3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    m[4].register_full_backward_hook(lambda mod, gi, go: (torch.zeros_like(gi[0]),))
    return Batch(m, torch.randn(8, 3, 8, 8), torch.randint(0, 4, (8,)))


@fault(
    "loosely after Kyubyong/transformer#69 (wrong padding mask)",
    "attention mask",
    "ZI007",
    "attn",
    "mask",
    also=("ZI008",),
)
def padding_mask_inverted():
    """The padding mask has the wrong sense (True = real token, but key_padding_mask hides True): only padding is
    attended to, whose embedding is zero, so no word reaches the loss. Repair: invert the mask: key_padding_mask =
    (tokens == 0).
    """
    torch.manual_seed(615)

    class Pool(nn.Module):
        def __init__(self, d=8):
            super().__init__()
            self.emb = nn.Embedding(30, d, padding_idx=0)
            self.query = nn.Parameter(torch.randn(1, 1, d))
            self.attn = nn.MultiheadAttention(d, 2, batch_first=True)
            self.out = nn.Linear(d, 3)

        def forward(self, tok, mask):
            e = self.emb(tok)
            m = mask.bool()
            q = self.query.expand(len(tok), -1, -1)
            return self.out(self.attn(q, e, e, key_padding_mask=m, need_weights=False)[0].squeeze(1))

    ln = torch.tensor([6, 5, 4, 3, 5, 4, 2, 6])
    mask = (torch.arange(8) < ln[:, None]).long()
    return Batch(Pool(), {"tok": torch.randint(1, 30, (8, 8)) * mask, "mask": mask}, torch.randint(0, 3, (8,)))


@fault(
    "loosely after seungeunrho/minimalRL#33",
    "reinforcement learning",
    "ZI008",
    "actor.0",
    "clamp in the loss",
    never="Take the clamp in the loss out",
)
def ppo_all_ratios_clipped():
    """The old policy's probabilities were stored instead of their logarithms: all ratios lie below 1 - eps, and with
    negative advantages PPO's minimum takes the clipped, constant branch everywhere. Repair: store log-probabilities
    (ratio = 1 at the start).
    """
    torch.manual_seed(616)

    class Ac(nn.Module):
        def __init__(self):
            super().__init__()
            self.actor = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 4))
            self.critic = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 1))

        def forward(self, obs):
            return torch.log_softmax(self.actor(obs), -1), self.critic(obs).squeeze(-1)

    m = Ac()
    obs = torch.randn(20, 4)
    act = torch.randint(0, 4, (20,))
    with torch.no_grad():
        old = m(obs)[0].gather(1, act[:, None]).squeeze(1)
    old = old.exp()
    t = {"act": act, "old": old, "adv": -torch.rand(20) - 0.2, "ret": -torch.rand(20)}

    def loss(o, t):
        r = (o[0].gather(1, t["act"][:, None]).squeeze(1) - t["old"]).exp()
        return -torch.min(r * t["adv"], r.clamp(0.8, 1.2) * t["adv"]).mean() + F.mse_loss(o[1], t["ret"])

    return Batch(m, obs, t, {"loss_fn": loss})


@fault(
    "huggingface/transformers#31151 (idefics2)",
    "vision-language",
    "ZI001",
    "latents",
    "6 slices of axis 0 of `latents` are identical",
)
def resampler_latents_ones():
    """All latents of the resampler start at ones: they are equal, get equal gradients and stay equal, so the resampler
    has one latent. Repair: draw the latents at random.
    """
    torch.manual_seed(617)

    class Res(nn.Module):
        def __init__(self, d=12, n=6):
            super().__init__()
            self.inp = nn.Linear(7, d)
            self.latents = nn.Parameter(torch.ones(n, d))
            self.nc = nn.LayerNorm(d)
            self.attn = nn.MultiheadAttention(d, 3, batch_first=True)
            self.ff = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
            self.head = nn.Linear(d, 4)

        def forward(self, x):
            c = self.nc(self.inp(x))
            h = self.latents.expand(len(x), -1, -1)
            k = torch.cat([c, h], 1)
            h = h + self.attn(h, k, k, need_weights=False)[0]
            h = h + self.ff(h)
            return self.head(h.mean(1))

    return Batch(Res(), torch.randn(10, 9, 7), torch.randint(0, 4, (10,)))


@fault("evelinehong/slot-attention-pytorch#8", "vision", "ZI009", "slots_mu", "rsample")
def slots_drawn_by_torch_normal():
    """The slots are drawn with torch.normal(mu, sigma), whose derivative with respect to mean and deviation is defined
    as zero. Repair: mu + sigma * torch.randn_like(sigma), or Normal(mu, sigma).rsample().
    """
    torch.manual_seed(618)

    class Slots(nn.Module):
        def __init__(self, d=8):
            super().__init__()
            self.enc = nn.Linear(5, d)
            self.slots_mu = nn.Parameter(torch.randn(1, 1, d))
            self.slots_logsigma = nn.Parameter(torch.zeros(1, 1, d))
            self.q = nn.Linear(d, d, bias=False)
            self.k = nn.Linear(d, d, bias=False)
            self.v = nn.Linear(d, d, bias=False)
            self.gru = nn.GRUCell(d, d)
            self.dec = nn.Linear(d, 6)

        def forward(self, x):
            h = torch.tanh(self.enc(x))
            B, _, d = h.shape
            mu = self.slots_mu.expand(B, 3, -1)
            sg = self.slots_logsigma.exp().expand(B, 3, -1)
            sl = torch.normal(mu, sg)
            k, v = self.k(h), self.v(h)
            for _ in range(2):
                a = (k @ self.q(sl).transpose(1, 2) / d**0.5).softmax(-1)
                a = a / a.sum(1, keepdim=True)
                sl = self.gru((a.transpose(1, 2) @ v).reshape(-1, d), sl.reshape(-1, d)).view(B, 3, d)
            o = self.dec(sl)
            al = o[..., 5:].softmax(1)
            return (o[..., :5] * al).sum(1)

    x = torch.randn(8, 7, 5)
    return Batch(Slots(), x, x.mean(1), {"loss_fn": F.mse_loss})


class Pact(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(x, alpha)
        s = 15 / alpha
        return (x.clamp(min=0).minimum(alpha) * s).round() / s

    @staticmethod
    def backward(ctx, g):
        x, alpha = ctx.saved_tensors
        return g * ((x >= 0) & (x < alpha)), (g * (x >= alpha)).sum().view_as(alpha)


@fault("ModelTC/MQBench#72", "quantization", "ZI008", "1.alpha", "Pact")
def pact_alpha_never_reached():
    """The level alpha starts at 6 and no activation reaches it: a clipping level only gets a gradient from values that
    are clipped, so it never moves (and 4 bits are spread over an empty range). Repair: start alpha from the data (a
    high quantile of the activations).
    """
    torch.manual_seed(619)

    class Act(nn.Module):
        def __init__(self):
            super().__init__()
            self.alpha = nn.Parameter(torch.tensor(6.0))

        def forward(self, x):
            return Pact.apply(x, self.alpha)

    return Batch(
        nn.Sequential(nn.Linear(6, 16), Act(), nn.Linear(16, 16), Act(), nn.Linear(16, 4)),
        torch.randn(32, 6),
        torch.randint(0, 4, (32,)),
    )


@healthy(
    "labmlai/annotated_deep_learning_paper_implementations#66",
    "distillation",
    "is handed out by `M.forward`, and this loss does not use it",
)
def distillation_teacher_twice():
    """The distillation term compares the teacher's logits with themselves; the student's distillation head is computed
    but takes no part in the loss. Repair: use the student's distillation logits in the
    divergence. It is told as information: another loss may use this output.
    """
    torch.manual_seed(620)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)).requires_grad_(False)
            self.body = nn.Sequential(nn.Linear(6, 10), nn.GELU())
            self.cls = nn.Linear(10, 4)
            self.dist = nn.Linear(10, 4)

        def forward(self, x):
            h = self.body(x)
            with torch.no_grad():
                t = self.teacher(x)
            return self.cls(h), self.dist(h), t

    def loss(o, y):
        c, _, t = o
        return F.cross_entropy(c, y) + F.kl_div((t / 2).log_softmax(-1), (t / 2).softmax(-1), reduction="batchmean") * 4

    return Batch(M(), torch.randn(16, 6), torch.randint(0, 4, (16,)), {"loss_fn": loss})


@fault(
    "riccardomiotto/py-dmm#1",
    "density",
    "ZI001",
    "means",
    "4 slices of axis 0 of `means`",
    never="`logits` has no effect",
)
def mixture_components_equal():
    """All mixture components start with the same mean and scale: their responsibilities are equal, they get equal
    gradients and stay one component; the weights' logits get none. Repair: draw the means at random (or from
    k-means).
    """
    torch.manual_seed(621)

    class Gmm(nn.Module):
        def __init__(self, k=4, d=3):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(k))
            self.means = nn.Parameter(torch.zeros(k, d))
            self.log_scales = nn.Parameter(torch.zeros(k, d))

        def forward(self, x):
            z = (x[:, None] - self.means) * torch.exp(-self.log_scales)
            return torch.logsumexp(-0.5 * (z**2).sum(-1) - self.log_scales.sum(-1) + self.logits.log_softmax(0), 1)

    return Batch(
        Gmm(), torch.randn(60, 3) + 2 * torch.randint(-1, 2, (60, 1)), None, {"loss_fn": lambda lp: -lp.mean()}
    )


@fault("lucidrains/reformer-pytorch#29", "custom autograd", "ZI009", "blocks.0.f", "RevFn", never="Look for detach()")
def reversible_on_raw_input():
    """The reversible blocks run under no_grad inside a custom function whose only tensor input is the batch, which
    needs no gradient: the function's backward is never called. Repair: make the input require a gradient (or pass it
    through a trainable layer first).
    """
    torch.manual_seed(622)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(RevBlock(4), RevBlock(4))
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.blocks(x))

    return Batch(M(), torch.randn(16, 8), torch.randint(0, 3, (16,)))


class AlignLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.align = nn.Linear(10, 20)

    def forward(self, o, y):
        return F.cross_entropy(o[0], y) + F.mse_loss(self.align(o[1]), o[2])


@fault("huangzongmou/yolov8_Distillation#5", "distillation", "ZI018", "align.weight", "align.weight")
def loss_alignment_layer_not_optimized():
    """The feature loss has a trainable alignment layer of its own, which is in no group of the optimizer (it was built
    from model.parameters() only) and stays random. Repair: add the loss module's parameters to the optimizer.
    """
    torch.manual_seed(623)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher = nn.Sequential(nn.Linear(6, 20), nn.ReLU()).requires_grad_(False)
            self.body = nn.Sequential(nn.Linear(6, 10), nn.GELU())
            self.cls = nn.Linear(10, 4)

        def forward(self, x):
            h = self.body(x)
            return self.cls(h), h, self.teacher(x)

    m = M()
    L = AlignLoss()
    ps = [p for p in m.parameters() if p.requires_grad]
    return Batch(
        m, torch.randn(16, 6), torch.randint(0, 4, (16,)), {"loss_fn": L, "optimizer": torch.optim.Adam(ps, lr=0.001)}
    )
