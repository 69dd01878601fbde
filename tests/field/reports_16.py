"""Cases of an eleventh reader of public reports: conditions, slices that nothing reads, two cuts in a row."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}
MEAN_SQUARE = {"loss_fn": lambda output, target: F.mse_loss(output, target)}


class Tokens(nn.Module):
    """It returns before its token is used where it has no table of positions."""

    def __init__(self, has_positions):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8)) if has_positions else None
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        if self.positions is None:
            return self.head(x.mean(1))
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(x.square().mean(1))


@healthy("huggingface/pytorch-image-models#2676", "condition", "uses `token` only if `self.positions is not None`")
def a_token_that_goes_with_the_positions():
    return Batch(Tokens(False), floats(16, 4, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "condition", "Will learn: all 4 parameters")
def a_token_beside_positions():
    return Batch(Tokens(True), floats(16, 4, 8), labels(3, 16), CROSS_ENTROPY)


def variational(first, last):
    def forward(self, x):
        mean, spread = self.enc(x)[:, :4], self.enc(x)[:, first:last]
        return self.dec(mean + torch.exp(spread / 2) * torch.randn_like(mean)), mean, spread

    def loss(output, target):
        image, mean, spread = output
        return F.mse_loss(image, target) - 0.1 * (1 + spread - mean.square() - spread.exp()).mean()

    x = floats(32, 12)
    return Batch(OneOf(forward, enc=mlp(12, 16, 8), dec=mlp(4, 12)), x, x, {"loss_fn": loss})


@healthy("kaist-dmlab/TRAP#1", "slice", "4 of 8 units have no gradient, with any batch: 4 to 7. Nothing in the loss")
def a_spread_cut_with_the_indices_of_the_mean():
    return variational(0, 4)


@healthy("own", "slice", "Will learn: all 6 parameters")
def a_spread_cut_with_its_own_indices():
    return variational(4, 8)


def cut_twice(inside, outside):
    def forward(self, x):
        hidden = self.enc(x)
        return self.out(hidden.detach() if inside else hidden), hidden

    def loss(output, target):
        logits = output[0].detach() if outside else output[0]
        return F.mse_loss(logits, target) + 0 * output[1].sum().detach()

    return Batch(OneOf(forward, enc=mlp(6, 8), out=mlp(8, 2)), floats(16, 6), floats(16, 2), {"loss_fn": loss})


@fault("own", "two cuts", "ZI009", "enc", "Take all of them out, or let the gradient pass each.", also=("ZI009",))
def one_cut_in_the_model_and_one_in_the_loss():
    return cut_twice(True, True)


@healthy("own", "two cuts")
def no_cut_in_the_model_and_none_in_the_loss():
    return cut_twice(False, False)


def with_optimizer(made_late, replaced):
    model = nn.Sequential(mlp(6, 8), nn.ReLU(), nn.Linear(8, 3))
    held = model.parameters() if made_late else model[0].parameters()
    optimizer = torch.optim.Adam([*held, *(nn.Linear(8, 3).parameters() if replaced else [])])
    return Batch(model, floats(16, 6), labels(3, 16), {"loss_fn": F.cross_entropy, "optimizer": optimizer})


@fault("zjunlp/HVPNeT#5", "optimizer", "ZI018", "", "`optimizer.add_param_group({'params': model[2].parameters()})`",
       never="after the model is complete")  # fmt: skip
def a_head_that_no_group_holds():
    return with_optimizer(False, False)


@fault("own", "optimizer", "ZI018", "", "Make the optimizer after the model is complete")
def a_head_in_the_place_of_one_that_the_optimizer_holds():
    return with_optimizer(False, True)


@healthy("own", "optimizer")
def an_optimizer_that_holds_the_head():
    return with_optimizer(True, False)


class Control(nn.Module):
    """A trained branch enters through a layer that starts at zero."""

    def __init__(self):
        super().__init__()
        self.base, self.branch, self.zero = mlp(6, 8).requires_grad_(False), mlp(6, 8), nn.Linear(8, 8)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(self, x):
        return self.base(x) + self.zero(self.branch(x))


def controlled(*held):
    model = Control()
    optimizer = torch.optim.AdamW([each for part in held for each in getattr(model, part).parameters()])
    return Batch(model, floats(16, 6), floats(16, 8), {"loss_fn": F.mse_loss, "optimizer": optimizer})


@fault("adapter-hub/adapters#260", "optimizer", "ZI018", "zero",
       "model.zero.parameters()})`. Nothing to do if another optimizer trains them. also ZI018 branch.0: "
       "`branch.0.weight` and `branch.0.bias` never get a gradient. `zero.weight` starts at zero, and the optimizer "
       "does not move it.",
       never="nn.init")  # fmt: skip
def a_zero_layer_that_the_optimizer_does_not_hold():
    """Its start is right. One cause, one line to type."""
    return controlled("branch")


@healthy("own", "optimizer", "Will learn: all 4 parameters get a gradient by step 2")
def a_zero_layer_that_the_optimizer_holds():
    return controlled("branch", "zero")


def allocation(draws):
    def forward(self, x):
        spread = torch.diag_embed(F.softplus(self.spread(x)) + 0.1)
        shares = torch.distributions.MultivariateNormal(self.mean(x), spread)
        return self.out(shares.rsample() if draws == "rsample" else shares.sample())

    parts = {"mean": nn.Linear(6, 4), "spread": nn.Linear(6, 4), "out": nn.Linear(4, 2)}
    return Batch(OneOf(forward, **parts), floats(16, 6), floats(16, 2), {"loss_fn": F.mse_loss})


@fault("jankrepl/deepdow#106", "drawing", "ZI009", "mean", "Use `rsample()` in `OneOf.forward`", never="no_grad()` in")
def a_sample_of_several_operations():
    """The library's own no_grad is not the user's."""
    return allocation("sample")


@healthy("own", "drawing")
def a_reparametrized_sample_of_several_operations():
    return allocation("rsample")


def policy(is_detached):
    def loss(output, target):
        now = output.log_softmax(-1)[:, 0]
        before = now.detach() if is_detached else now
        return -((now - before).exp() * target).mean()

    return Batch(mlp(4, 8, 2), floats(16, 4), floats(16), {"loss_fn": loss})


@fault("abhisheksuran/Reinforcement_Learning#4", "cancels", "ZI012", "0", "Detach what the output is compared with")
def an_old_probability_that_is_the_new_one():
    return policy(False)


@healthy("own", "cancels")
def an_old_probability_that_is_detached():
    return policy(True)


def pairs(number):
    def forward(self, query, answer):
        return F.normalize(self.query(query), dim=-1) @ F.normalize(self.answer(answer), dim=-1).T

    def loss(output):
        return F.cross_entropy(5 * output, torch.arange(len(output)))

    parts = {name: nn.Sequential(nn.EmbeddingBag(20, 8), nn.Linear(8, 8)) for name in ("query", "answer")}
    texts = labels(20, number, 5), labels(20, number, 5)
    return Batch(OneOf(forward, **parts), texts, None, {"loss_fn": loss})


@fault("huggingface/sentence-transformers#3149", "one example", "ZI007", "query.1", "Hand over two or more examples")
def negatives_of_a_batch_of_one():
    return pairs(1)


@healthy("own", "one example")
def negatives_of_a_batch():
    return pairs(6)


class OwnNorm(nn.Module):
    """A batch norm as a text book writes it."""

    def __init__(self, width):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return self.gamma * (x - x.mean(0)) / torch.sqrt((x - x.mean(0)).square().mean(0) + 1e-5) + self.beta


@fault("d2l-ai/d2l-en#1722", "one example", "ZI007", "0", "the batch has one example", never="Take the difference")
def an_own_batch_norm_on_one_example():
    return Batch(nn.Sequential(nn.Linear(6, 8), OwnNorm(8), nn.Linear(8, 3)), floats(1, 6), labels(3, 1), CROSS_ENTROPY)


@healthy("own", "one example")
def an_own_batch_norm_on_a_batch():
    model = nn.Sequential(nn.Linear(6, 8), OwnNorm(8), nn.Linear(8, 3))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


def boxes(distance):
    def loss(output, target):
        first, last = torch.maximum(output - 1, target - 1), torch.minimum(output + 1, target + 1)
        return 1 - (last - first).clamp(min=0).prod(-1).mean() / 4

    return Batch(nn.Linear(6, 2), floats(16, 6), distance + floats(16, 2), {"loss_fn": loss})


@fault("lilanxiao/Rotated_IoU#9", "saturated", "ZI008", "", "Use a loss with a slope there", never="Take the clamp")
def boxes_that_meet_no_target():
    """Without the clamp two negative sides would count as an overlap."""
    return boxes(9.0)


@healthy("own", "saturated")
def boxes_that_meet_some_targets():
    return boxes(0.5)


class ZeroBranches(nn.Module):
    """Residual blocks whose last layer starts at zero, and a ReLU behind the sum."""

    def __init__(self):
        super().__init__()
        self.inside = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.last = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 3)
        for each in self.last:
            nn.init.zeros_(each.weight)

    def forward(self, x):
        for inside, last in zip(self.inside, self.last, strict=True):
            x = x + last(F.relu(inside(F.relu(x))))
        return self.head(F.relu(x - 1.5))


@healthy("FlyingGiraffe/vnn-neural-implicits#2", "dead layer", "Will learn: all 14 parameters")
def zero_layers_whose_sum_with_the_stream_is_off():
    """Their biases are not all that the ReLU behind the sum receives."""
    return Batch(ZeroBranches(), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


class Spike(torch.autograd.Function):
    """A step with the slope of a sigmoid, written as exp / (1 + exp) ** 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, error):
        (x,) = ctx.saved_tensors
        return error * 25 * torch.exp(-25 * x) / (1 + torch.exp(-25 * x)) ** 2


class Spiking(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(Spike.apply(self.inside(x)))


@fault("jeshraghian/snntorch#433", "own backward", "ZI013", "", "Write `Spike.backward` so that it is finite")
def an_own_backward_that_divides_infinities():
    return Batch(Spiking(), 10 * floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "own backward")
def an_own_backward_on_small_inputs():
    return Batch(Spiking(), 0.1 * floats(16, 6), labels(3, 16), CROSS_ENTROPY)


def adapted(floor):
    def forward(self, x):
        weight = self.weight
        for _ in range(2):
            (slope,) = torch.autograd.grad((x @ weight).square().mean(), weight, create_graph=True)
            size = slope.square()
            weight = weight - 0.1 * slope / (size.clamp_min(1e-12) if floor else size).sqrt().add(1e-8)
        return x @ weight

    x = floats(16, 6) * torch.tensor([0.0, 1, 1, 1, 1, 1])
    model = OneOf(forward)
    model.weight = nn.Parameter(torch.randn(6, 3))
    return Batch(model, x, floats(16, 3), {"loss_fn": F.mse_loss})


@fault("facebookresearch/higher#17", "second derivative", "ZI013", "", "`x.clamp_min(1e-12).sqrt()`")
def a_root_of_zero_in_each_inner_step():
    """The line has to hold at all steps."""
    return adapted(False)


@healthy("own", "second derivative")
def a_root_above_zero_in_each_inner_step():
    return adapted(True)


@fault("andrewgcodes/xlstm#4", "shapes", "ZI017", "", "compares all outputs with one target")
def one_target_for_all_outputs():
    return Batch(mlp(6, 8, 1), floats(10, 6), floats(1, 1), MEAN_SQUARE)


@healthy("own", "shapes")
def a_target_for_each_output():
    return Batch(mlp(6, 8, 1), floats(10, 6), floats(10, 1), MEAN_SQUARE)


def attended(bias):
    def forward(self, x):
        scores = self.q(x) @ self.k(x).mT
        return self.head(self.norm(x + scores.softmax(-1) @ self.v(x)).mean(1))

    parts = {name: nn.Linear(8, 8, bias=bias or name != "k") for name in "qkv"}
    model = OneOf(forward, **parts, norm=nn.LayerNorm(8), head=nn.Linear(8, 3))
    return Batch(model, floats(16, 5, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("graykode/nlp-tutorial#29", "key bias", "`k.bias` has no effect. The loss is the same whatever its value.")
def a_key_bias_in_front_of_a_norm():
    """It is the softmax that takes it out, not the norm behind it."""
    return attended(True)


@healthy("own", "key bias", "Will learn: all 9 parameters")
def no_key_bias_in_front_of_a_norm():
    return attended(False)


class Sharing(nn.Module):
    """A control branch with the frozen modules of the model, or with copies of them."""

    def __init__(self, is_shared):
        super().__init__()
        self.base = nn.Linear(6, 8).requires_grad_(False)
        self.control = nn.ModuleList([self.base if is_shared else nn.Linear(6, 8), nn.Linear(8, 8)])

    def forward(self, x):
        return self.base(x) + self.control[1](self.control[0](x))


@healthy("huggingface/diffusers#13077", "alias", "They are also `control.0.weight` and `control.0.bias`.")
def a_branch_made_of_frozen_modules():
    return Batch(Sharing(True), floats(16, 6), floats(16, 8), MEAN_SQUARE)


@healthy("own", "alias", "`base.weight` and `base.bias` are frozen: requires_grad is False.")
def a_branch_made_of_copies():
    return Batch(Sharing(False), floats(16, 6), floats(16, 8), MEAN_SQUARE)
