"""Own cases about effects that other values hide: equal slices, closed gates, masks the wrong way round."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels


class Mixture(nn.Module):
    """A density of several parts in a few dimensions, by its logarithm."""

    def __init__(self, means: torch.Tensor):
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(len(means)))
        self.means = nn.Parameter(means)

    def forward(self, x):
        distances = (x[:, None] - self.means).square().sum(-1)
        return torch.logsumexp(self.shares.log_softmax(0) - distances / 2, 1)


def negative_mean(scores: torch.Tensor) -> torch.Tensor:
    return -scores.mean()


@fault("own", "equal slices", "ZI001", "means", "are identical", never="`shares` has no effect")
def a_mixture_whose_means_are_one():
    """All means start at one point that is not zero."""
    return Batch(Mixture(torch.full((3, 4), 0.5)), floats(40, 4), None, {"loss_fn": negative_mean})


@healthy("own", "equal slices")
def a_mixture_with_drawn_means():
    """The means are drawn, so the shares get a gradient at once."""
    return Batch(Mixture(torch.randn(3, 4)), floats(40, 4), None, {"loss_fn": negative_mean})


class Assigned(nn.Module):
    """Soft assignment of inputs to a codebook, with a bias for each code."""

    def __init__(self, codes: torch.Tensor):
        super().__init__()
        self.encoder = nn.Linear(6, codes.shape[1])
        self.codes = nn.Parameter(codes)
        self.popularity = nn.Parameter(torch.zeros(len(codes)))
        self.decoder = nn.Linear(codes.shape[1], 4)

    def forward(self, x):
        weights = (self.encoder(x) @ self.codes.T + self.popularity).softmax(-1)
        return self.decoder(weights @ self.codes)


@fault("own", "equal slices", "ZI001", "codes", "slices of axis 0", never="`popularity` has no effect", also=("ZI012",))
def a_codebook_of_equal_codes():
    """All codes are equal, so it does not matter which of them an input is assigned to."""
    return Batch(Assigned(torch.ones(5, 8)), floats(20, 6), labels(4, 20))


@healthy("own", "equal slices")
def a_codebook_of_drawn_codes():
    """The codes are drawn."""
    return Batch(Assigned(torch.randn(5, 8)), floats(20, 6), labels(4, 20))


class Gated(nn.Module):
    """A branch behind a rectified gate of the whole input."""

    def __init__(self, start: float):
        super().__init__()
        self.inp, self.gate, self.branch = nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        nn.init.constant_(self.gate.bias, start)
        nn.init.normal_(self.gate.weight, std=0.05)

    def forward(self, x):
        x = self.inp(x)
        return self.head(x + F.hardtanh(self.gate(x), 0.0, 1.0) * torch.tanh(self.branch(x)))


@fault("own", "closed gate", "ZI008", "gate", "model.gate.bias", never="a constant", also=("ZI007",))
def a_hard_gate_that_is_closed():
    """The gate's bias is -2, so the gate is 0 for every input, and neither it nor the branch gets a gradient."""
    return Batch(Gated(-2.0), floats(24, 6), labels(3, 24))


@healthy("own", "closed gate")
def a_hard_gate_that_is_half_open():
    """The gate's bias is 0.5."""
    return Batch(Gated(0.5), floats(24, 6), labels(3, 24))


class Scaled(torch.autograd.Function):
    """Multiplies by a scale, and forgets the scale's gradient."""

    @staticmethod
    def forward(context, x, scale):
        context.save_for_backward(scale)
        return x * scale

    @staticmethod
    def backward(context, error):
        return error * context.saved_tensors[0], None


class ScaledRight(Scaled):
    """The same with a gradient for both."""

    @staticmethod
    def forward(context, x, scale):
        context.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(context, error):
        x, scale = context.saved_tensors
        return error * scale, (error * x).sum(0)


def scaled(function: type) -> nn.Module:
    parts = {"inp": nn.Linear(6, 8), "scale": nn.Parameter(torch.ones(8)), "head": nn.Linear(8, 3)}
    return OneOf(lambda self, x: self.head(function.apply(self.inp(x), self.scale)), **parts)


@fault(
    "own",
    "own function",
    "ZI009",
    "scale",
    "returns None in the place of the gradient of `scale`",
    never="has no effect",
)
def a_scale_whose_gradient_is_none():
    """The function's backward pass returns None for the scale."""
    return Batch(scaled(Scaled), floats(24, 6), labels(3, 24))


@healthy("own", "own function")
def a_scale_with_a_gradient():
    """The function's backward pass returns a gradient for both."""
    return Batch(scaled(ScaledRight), floats(24, 6), labels(3, 24))


class Encoder(nn.Module):
    """Words, one layer of attention over them, their mean over what the mask keeps."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(40, 8, padding_idx=0)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens, keep):
        x = self.layer(self.words(tokens))
        weights = keep.to(x.dtype)[..., None]
        return self.head((x * weights).sum(1) / weights.sum(1))


def padded(wrong: bool) -> Batch:
    lengths = torch.tensor([6, 5, 4, 3, 5, 4, 2, 6])
    keep = torch.arange(8) < lengths[:, None]
    tokens = torch.randint(1, 40, (8, 8)) * keep
    return tokens, ~keep if wrong else keep


@healthy("own", "mask")
def a_mean_over_words():
    """The mask is right."""
    return Batch(Encoder(), padded(False), labels(3, 8))


class Looking(nn.Module):
    """A learned query looks at padded frames, by an additive mask."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Parameter(torch.randn(8)), nn.Linear(5, 8), nn.Linear(5, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, frames, hide):
        weights = (self.key(frames) @ self.query + hide).softmax(-1)
        return self.head((weights[..., None] * self.value(frames)).sum(1))


@fault("own", "mask", "ZI007", "value", "the mask", never="Other inputs give", also=("ZI008", "ZI012"))
def an_additive_mask_that_hides_the_frames():
    """Minus infinity stands where the frames are, and zeros where the padding is."""
    frames, keep = padded_frames()
    hide = torch.zeros(keep.shape).masked_fill(keep, -torch.inf)
    return Batch(Looking(), (frames, hide), labels(3, 8))


@healthy("own", "mask")
def an_additive_mask_that_hides_the_padding():
    """The same the right way round."""
    frames, keep = padded_frames()
    return Batch(Looking(), (frames, torch.zeros(keep.shape).masked_fill(~keep, -torch.inf)), labels(3, 8))


def padded_frames() -> tuple[torch.Tensor, torch.Tensor]:
    keep = torch.arange(8) < torch.tensor([6, 5, 4, 3, 5, 4, 2, 6])[:, None]
    return floats(8, 8, 5) * keep[..., None], keep


@healthy("own", "mask")
def experts_chosen_by_a_mask():
    """A mask tells which domains an example belongs to; one of them is not in this batch."""
    parts = {"experts": nn.ModuleList(nn.Linear(6, 4) for _ in range(3)), "head": nn.Linear(4, 3)}

    def forward(self, x, belongs):
        each = torch.stack([expert(x) for expert in self.experts], 1)
        return self.head((each * belongs[..., None]).sum(1))

    belongs = torch.zeros(12, 3)
    belongs[torch.arange(12), torch.arange(12) % 2] = 1.0
    return Batch(OneOf(forward, **parts), (floats(12, 6), belongs.bool()), labels(3, 12))


def mixture_head(zero: bool) -> Batch:
    """A head for the shares and one for the means of a mixture density."""
    parts = {"body": nn.Linear(4, 16), "shares": nn.Linear(16, 3), "means": nn.Linear(16, 3)}
    for part in ("shares", "means") if zero else ():
        nn.init.zeros_(parts[part].weight), nn.init.zeros_(parts[part].bias)

    def forward(self, x, y):
        x = torch.tanh(self.body(x))
        return -torch.logsumexp(self.shares(x).log_softmax(-1) - (y - self.means(x)).square() / 2, -1).mean()

    return Batch(OneOf(forward, **parts), (floats(32, 4), floats(32, 1)))


@fault("own", "equal slices", "ZI001", "means", "can choose nothing among units of `means.weight`", also=("ZI012",))
def a_mixture_density_whose_heads_are_zero():
    """Both heads start at zero, so all parts have one mean, and the shares make no difference."""
    return mixture_head(True)


@healthy("own", "equal slices")
def a_mixture_density_with_drawn_heads():
    """Both heads are drawn."""
    return mixture_head(False)


@fault(
    "own",
    "equal slices",
    "ZI001",
    "slots",
    "All slices of `slots` are identical",
    never="layer of its own",
    also=("ZI012",),
)
def slots_that_start_at_zero():
    """Slots compete for the inputs by a softmax; all are zero, so each gets the same share."""

    def forward(self, x):
        shares = torch.einsum("kd,btd->bkt", self.query(self.slots), self.key(x)).softmax(1)
        shares = shares / (shares.sum(-1, keepdim=True) + 1e-6)
        return self.head(torch.tanh(self.mix(shares @ self.value(x)))).amax(1)

    names = {"query": nn.Linear(8, 8), "key": nn.Linear(6, 8), "value": nn.Linear(6, 8), "mix": nn.Linear(8, 8)}
    slots = nn.Parameter(torch.zeros(4, 8))
    return Batch(OneOf(forward, slots=slots, head=nn.Linear(8, 3), **names), floats(8, 10, 6), labels(3, 8))


@healthy("own", "equal slices", "8 slices of axis 2 of `shift`")
def a_map_of_shifts_before_a_mean():
    """Entries that are only added up are equal, and stay equal, and need not differ."""
    parts = {"conv": nn.Conv2d(3, 8, 3, padding=1), "shift": nn.Parameter(torch.zeros(1, 1, 8, 8))}
    model = OneOf(lambda self, x: self.head((self.conv(x) + self.shift).mean((2, 3))), **parts, head=nn.Linear(8, 3))
    return Batch(model, floats(8, 3, 8, 8), labels(3, 8))
