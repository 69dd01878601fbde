"""Cases of two more rounds of readers: roundings, kept inputs, one-hot softmaxes, rows of zeros under a weight norm."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}


class Attends(nn.Module):
    """A layer of attention whose queries and keys start at a given size."""

    def __init__(self, size):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.head = nn.Linear(8, 3)
        for each in (self.query, self.key):
            nn.init.normal_(each.weight, std=size)

    def forward(self, x):
        weights = (self.query(x) @ self.key(x).transpose(1, 2)).softmax(-1)
        return self.head((x + weights @ self.value(x)).mean(1))


def attends(size):
    return Batch(Attends(size), floats(8, 5, 8), labels(3, 8), CROSS_ENTROPY)


@fault(
    "TransformerLensOrg/TransformerLens#518",
    "one-hot softmax",
    "ZI008",
    "query.weight",
    "is saturated for every input of the batch",
    never="undoes every change",
)
def queries_and_keys_of_left_over_memory():
    return attends(1e4)


@healthy("own", "one-hot softmax")
def queries_and_keys_of_the_usual_size():
    return attends(0.3)


class Heads(nn.Module):
    """Causal attention of two heads, whose parameters start at a given size."""

    def __init__(self, size):
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(30, 16), nn.LayerNorm(16), nn.Linear(16, 30)
        self.query, self.key, self.value = (nn.Parameter(torch.randn(2, 16, 8) * each) for each in (size, size, 0.2))

    def forward(self, ids):
        x = self.norm(self.embed(ids))
        query, key, value = (torch.einsum("bsd,hde->bhse", x, each) for each in (self.query, self.key, self.value))
        later = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
        weights = (query @ key.transpose(-1, -2)).masked_fill(later, -1e9).softmax(-1)
        return self.head(x + (weights @ value).transpose(1, 2).flatten(2))


def heads(size):
    torch.manual_seed(2)
    ids = labels(30, 8, 8)
    model = Heads(size)
    return Batch(model, ids, ids, {"loss_fn": lambda out, y: F.cross_entropy(out.transpose(1, 2), y)})


@fault(
    "TransformerLensOrg/TransformerLens#518",
    "one-hot softmax",
    "ZI014",
    "query",
    "is saturated for every input of the batch",
    never="undoes every change",
)
def heads_of_which_one_chooses_a_single_key():
    return heads(90)


@healthy("own", "one-hot softmax")
def heads_of_the_usual_size():
    return heads(0.1)


class Modulated(nn.Module):
    """The last layer and its modulation start at zero, as in diffusion transformers."""

    def __init__(self, outputs):
        super().__init__()
        self.body, self.modulation, self.last = nn.Linear(6, 16), nn.Linear(6, 32), nn.Linear(16, outputs)
        for each in (self.modulation, self.last):
            nn.init.zeros_(each.weight)
            nn.init.zeros_(each.bias)

    def forward(self, x, about):
        shift, scale = self.modulation(F.silu(about)).chunk(2, -1)
        return self.last(F.layer_norm(self.body(x), (16,)) * (1 + scale) + shift)


def modulated(outputs):
    settings = {"loss_fn": F.mse_loss, "optimizer": "adam"}
    return Batch(Modulated(outputs), (floats(32, 6), floats(32, 6)), floats(32, outputs), settings)


@healthy("LTH14/mar#46", "zero modulation", "Will learn: all 6 parameters get a gradient by step 2. ")
def a_zero_modulation_with_one_output():
    """Units that start exactly equal and part are near each other for a few steps."""
    return modulated(1)


@healthy("own", "zero modulation", "Will learn: all 6 parameters get a gradient by step 2. ")
def a_zero_modulation_with_eight_outputs():
    return modulated(8)


def normed(zero_row):
    layer = nn.Linear(6, 8)
    if zero_row:
        nn.init.zeros_(layer.weight[5])
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(layer), nn.ReLU(), nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault("google/flax#1671", "weight norm", "ZI013", "0", "divides row 5 of the weight of `0` by its norm, which is zero")
def a_row_of_zeros_under_a_weight_norm():
    return normed(True)


@healthy("own", "weight norm")
def no_row_of_zeros_under_a_weight_norm():
    return normed(False)


class Snapped(nn.Linear):
    """A weight that each pass rounds, in place or as a copy."""

    def __init__(self, inputs, outputs, in_place, steps=16):
        super().__init__(inputs, outputs)
        self.in_place, self.steps = in_place, steps

    def forward(self, x):
        rounded = torch.round(self.weight.detach() * self.steps) / self.steps
        if self.in_place:
            self.weight.data = rounded
            return F.linear(x, self.weight, self.bias)
        return F.linear(x, self.weight + (rounded - self.weight.detach()), self.bias)


def snapped(in_place):
    model = nn.Sequential(Snapped(6, 8, in_place), nn.Tanh(), Snapped(8, 3, in_place))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "ZLkanyo009/STBP-train-and-compression#1",
    "rounded in place",
    "ZI022",
    "0.weight",
    "an update at this learning rate is smaller than a step",
)
def weights_that_each_pass_rounds_in_place():
    return snapped(True)


@healthy("own", "rounded in place", "Will learn: all 4 parameters get a gradient by step 1. ")
def weights_of_which_each_pass_rounds_a_copy():
    return snapped(False)


class Quantized(nn.Module):
    """A kernel that is rounded in steps, with a straight-through gradient."""

    def __init__(self, inputs, outputs, steps):
        super().__init__()
        self.kernel, self.bias = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        nn.init.uniform_(self.kernel, -0.1, 0.1)
        self.steps = steps

    def forward(self, x):
        rounded = torch.round(self.kernel * self.steps) / self.steps
        return F.linear(x, self.kernel + (rounded - self.kernel).detach(), self.bias)


def quantized(steps):
    model = nn.Sequential(Quantized(6, 8, steps), nn.ReLU(), Quantized(8, 3, steps))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "calad0i/HGQ2#13", "rounded to zero", "ZI008", "0.kernel", "makes every value zero", never="`0.bias` and `2.bias`"
)
def kernels_that_are_all_rounded_to_zero():
    return quantized(4)


@healthy("own", "rounded to zero", "Will learn: all 4 parameters get a gradient by step 1. ")
def kernels_that_are_rounded_in_finer_steps():
    return quantized(64)


class Penalized(nn.Module):
    """A critic that keeps what it was given and what it made of it, for a penalty on its slope."""

    def __init__(self, keeps):
        super().__init__()
        self.body, self.head, self.keeps = mlp(6, 8, 8), nn.Linear(8, 1), keeps
        self.scale = torch.ones(1, requires_grad=True) if keeps == "scale" else None

    def forward(self, x):
        x = x.detach().requires_grad_()
        features = self.body(x)
        if self.keeps == "features":
            self.x, self.features = x, features
        return self.head(features) * (1 if self.scale is None else self.scale), x


def slope(out):
    score, x = out
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return score.mean() + (gradient.norm(dim=1) - 1).square().mean()


def penalized(keeps):
    return Batch(Penalized(keeps), floats(16, 6), None, {"loss_fn": slope})


@healthy("y0ast/deterministic-uncertainty-quantification", "kept input", "get a gradient by step 1")
def a_critic_that_keeps_its_input():
    return penalized("features")


@fault("own", "kept input", "ZI016", "scale", "`scale` takes part in the loss, but it is no registered parameter")
def a_critic_with_a_factor_that_is_not_registered():
    return penalized("scale")


def tokens(wraps):
    def forward(self, x):
        token = self.embed(x[..., 0].long().abs() % 5)
        token = nn.Parameter(token, requires_grad=False) if wraps else token
        return self.head(self.body(x) + token)

    model = OneOf(forward, embed=nn.Embedding(5, 8), body=nn.Linear(6, 8), head=nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "memmelma/VO-Transformer#4", "frozen parameter in forward", "ZI009", "embed.weight", "is made a new `nn.Parameter`"
)
def an_embedding_made_a_frozen_parameter():
    return tokens(True)


@healthy("own", "frozen parameter in forward")
def an_embedding_used_as_it_is():
    return tokens(False)


class Float32Alone(torch.autograd.Function):
    """A product whose backward pass takes float32 alone, as a kernel does, and forgets its points."""

    @staticmethod
    def forward(ctx, points, table):
        ctx.save_for_backward(points, table)
        return points @ table

    @staticmethod
    def backward(ctx, error):
        points, table = ctx.saved_tensors
        out = torch.zeros(table.shape, dtype=torch.float32)
        out.index_add_(0, torch.arange(len(table)), points.t().float() @ error)  # raises in float64
        return (None if ctx.needs_input_grad[0] else error), out.to(table.dtype)


def looked_up(forgets):
    def forward(self, x):
        points = self.lift(x)
        return self.head(Float32Alone.apply(points, self.table) if forgets else points @ self.table)

    model = OneOf(forward, lift=nn.Linear(6, 5), head=nn.Linear(4, 3))
    model.table = nn.Parameter(torch.randn(5, 4))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault(
    "Totoro97/f2-nerf#84", "float32 alone", "ZI009", "lift.weight", "returns None in the place of the gradient of `lift"
)
def a_kernel_for_float32_that_forgets_its_points():
    return looked_up(True)


@healthy("own", "float32 alone", "Will learn: all 5 parameters get a gradient by step 1. ")
def a_plain_product_in_its_place():
    return looked_up(False)


def kept_in_step(scale):
    def forward(self, x):
        y = self.head(torch.tanh(self.body(x)))
        return y + scale * self.spare.weight.sum()

    model = OneOf(forward, body=nn.Linear(6, 8), head=nn.Linear(8, 3), spare=nn.Embedding(4, 8))
    return Batch(model, floats(16, 6), labels(3, 16), {"loss_fn": lambda out, y: F.cross_entropy(out, y) + out.mean()})


@healthy("ultralytics/ultralytics#26012", "times 0", "1 is not used for this batch and loss")
def a_spare_table_that_is_kept_in_step_with_other_processes():
    return kept_in_step(0)


@healthy("own", "times 0", "Will learn: all 5 parameters get a gradient by step 1. ")
def a_spare_table_that_counts():
    return kept_in_step(0.1)


@fault("bermanmaxim/LovaszSoftmax#14", "times 0", "ZI007", "0.weight", "Hand over a batch for which the loss does not")
def a_loss_of_void_labels():
    def loss(scores, target):
        kept = target != 255
        return F.cross_entropy(scores[kept], target[kept]) if kept.any() else scores.sum() * 0.0

    return Batch(mlp(6, 8, 3), floats(16, 6), torch.full((16,), 255), {"loss_fn": loss})


def rendered(hard):
    def forward(self, x):
        distance = (x - self.center).norm(dim=-1) - self.radius
        cover = (distance < 0).float() if hard else torch.sigmoid(-distance)
        return cover[:, None] * self.color

    model = OneOf(forward)
    model.center, model.radius = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.tensor(1.0))
    model.color = nn.Parameter(torch.rand(3))
    return Batch(model, floats(32, 2), floats(32, 3), {"loss_fn": F.mse_loss})


@fault("NVlabs/nvdiffrast#5", "vectors alone", "ZI009", "center", "2 of 3 parameters will not learn")
def a_disk_with_a_hard_edge():
    return rendered(True)


@healthy("own", "vectors alone", "Will learn: all 3 parameters get a gradient by step 1. ")
def a_disk_with_a_soft_edge():
    return rendered(False)
