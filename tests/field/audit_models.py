"""What layers of transformers, peft and torch do to their parameters, in our own words, each with a faulty twin."""

import copy
import math

import numpy as np
import torch
from torch import nn

from .audit_harness import fault, healthy


class Separable(nn.Module):
    """The constructor draws its layers as the general rule does later, or with a size of its own."""

    def __init__(self, std: float):
        super().__init__()
        self.depthwise, self.pointwise = nn.Conv1d(8, 8, 3, groups=8, bias=False), nn.Conv1d(8, 8, 1, bias=False)
        self.depthwise.weight.data.normal_(mean=0.0, std=std)


def draw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def drawn(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules, *(nn.Linear(8, 8) for _ in range(3))).apply(draw)


@healthy("transformers ConvBert", "overwritten")
def drawn_twice_with_one_rule():
    return {"build": lambda: drawn(Separable(0.02))}


@fault("transformers ConvBert", "overwritten", "ZI203", "0.depthwise.weight", "and `normal_`")
def drawn_twice_with_two_sizes():
    return {"build": lambda: drawn(Separable(0.1))}


class Shifted(nn.Module):
    """Draws around a mean of its own; only the mean differs from the general rule."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 8)
        self.gate.weight.data.normal_(mean=-2.0, std=0.02)


@fault("own", "overwritten", "ZI203", "0.gate.weight", "and `normal_`")
def drawn_around_another_mean():
    return {"build": lambda: drawn(Shifted())}


class Biased(nn.Module):
    """A bias that is put together from zeros, or from zeros and what opens the last third."""

    def __init__(self, last: float):
        super().__init__()
        self.qkv = nn.Linear(8, 24, bias=False)
        parts = torch.zeros(8), torch.zeros(8), torch.full((8,), last)
        self.qkv.bias = nn.Parameter(torch.cat(parts))


@healthy("transformers Blip2", "overwritten")
def zeros_over_zeros():
    return {"build": lambda: drawn(Biased(0.0))}


@fault("transformers Blip2", "overwritten", "ZI203", "0.qkv.bias", "and `zeros_`")
def zeros_over_what_is_none():
    return {"build": lambda: drawn(Biased(1.0))}


class Axes(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.full(size, value)) for size in ((4, 1, 8), (1, 6, 8)))


class Positioned(nn.Module):
    """A list of parameters gets a place holder, and then the rule of its class; or a rule for everything."""

    def __init__(self, value: float, own: bool):
        super().__init__()
        self.axes, self.layers = Axes(value), nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4))
        for weight in self.axes.weights if own else self.parameters():
            nn.init.normal_(weight, std=0.5)


@healthy("transformers Reformer", "overwritten")
def place_holders_in_a_list():
    return {"build": lambda: Positioned(1.0, True)}


@fault("transformers Reformer", "overwritten", "ZI203", "axes.weights.0 axes.weights.1", "as over 5 more")
def constants_in_a_list_that_are_more():
    return {"build": lambda: Positioned(0.25, False)}


class Pooled(nn.Module):
    """Pools with a learned query, whose first axes have the length 1."""

    def __init__(self):
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        nn.init.xavier_uniform_(self.probe)
        nn.init.xavier_uniform_(self.attention.in_proj_weight)

    def forward(self, x):
        return self.attention(self.probe.expand(len(x), 1, 16), x, x)[0]


@healthy("transformers Siglip", "wrong scale")
def learned_query():
    return {"build": Pooled}


@healthy("transformers Siglip", "wrong scale")
def learned_query_with_a_batch():
    return {"build": Pooled, "batch": torch.ones(1, 5, 16)}


class OneExpert(nn.Module):
    """A stack of one matrix that inputs are multiplied by is a matrix."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 16, 24))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x):
        return torch.bmm(x[None], self.weight)


@fault("own", "wrong scale", "ZI205", "weight", "the forward pass sums over 16 values")
def stack_of_one():
    return {"build": OneExpert, "batch": torch.ones(3, 16)}


def attention_drawn(rule, **options) -> nn.Module:
    layer = nn.MultiheadAttention(16, 2)
    rule(layer.in_proj_weight, **options)
    return layer


@healthy("transformers Siglip", "wrong scale")
def attention_drawn_as_torch_does():
    return {"build": lambda: attention_drawn(nn.init.xavier_uniform_)}


@fault("pytorch/pytorch#166378", "wrong scale", "ZI205", "in_proj_weight", "packs 3 projections")
def attention_drawn_by_another_rule():
    return {"build": lambda: attention_drawn(nn.init.xavier_normal_, gain=2.0)}


class SmallLstmFeedForward(nn.Module):
    """Small init takes the width of the model: sqrt(2 / (5 d)) meets the mean of both fans of (d, 4 d)."""

    def __init__(self, std: float, times: int = 4):
        super().__init__()
        self.proj_up, self.proj_up_gate = nn.Linear(32, times * 32), nn.Linear(32, times * 32)
        self.proj_down = nn.Linear(times * 32, 32)
        for layer in (self.proj_up, self.proj_up_gate):
            nn.init.normal_(layer.weight, std=std)


@healthy("transformers xLSTM", "wrong scale")
def feed_forward_of_a_recurrent_model():
    return {"build": lambda: SmallLstmFeedForward(math.sqrt(2 / (5 * 32)))}


@healthy("transformers xLSTM", "wrong scale")
def feed_forward_drawn_by_both_fans():
    return {"build": lambda: SmallLstmFeedForward(math.sqrt(2 / (4 * 32)), 3)}


class GateUp(nn.Module):
    """One layer holds both projections of a gated block."""

    def __init__(self, times: int):
        super().__init__()
        self.gate_up = nn.Linear(32, times * 32)
        nn.init.normal_(self.gate_up.weight, std=math.sqrt(2 / (32 + times * 32)))


@healthy("own", "wrong scale")
def small_init_of_two_projections():
    return {"build": lambda: GateUp(4)}


@fault("own", "wrong scale", "ZI205", "gate_up.weight", "packs 2 projections")
def both_fans_of_two_projections():
    return {"build": lambda: GateUp(6)}


class Product(nn.Module):
    """The weight is a product of two parameters; or inputs meet the second one themselves."""

    def __init__(self, alone: bool):
        super().__init__()
        self.alone = alone
        self.left, self.right = nn.Parameter(torch.zeros(32, 4)), nn.Parameter(torch.empty(4, 32))
        nn.init.kaiming_uniform_(self.right, a=math.sqrt(5))

    def forward(self, x):
        return x[:, :4] @ self.right if self.alone else nn.functional.linear(x, self.left @ self.right)


@healthy("peft LoHa", "wrong scale")
def product_of_two_parameters():
    return {"build": lambda: Product(False), "batch": torch.ones(3, 32)}


@fault("peft LoHa", "wrong scale", "ZI205", "right", "the forward pass sums over 4 values")
def product_with_inputs():
    return {"build": lambda: Product(True), "batch": torch.ones(3, 32)}


class Sparse(nn.Module):
    """The forward pass makes a sparse tensor of a parameter, and one value may be missing from the rules."""

    def __init__(self, rule):
        super().__init__()
        self.register_buffer("places", torch.tensor([[0, 1, 2], [2, 0, 1]]))
        self.values = nn.Parameter(torch.empty(3))
        rule(self.values)

    def forward(self, x):
        change = torch.sparse_coo_tensor(self.places, self.values, (3, 3))
        return x @ (torch.eye(3) + change) + torch.sparse.mm(change, x.t()).t()


@healthy("peft SHiRA", "never written")
def sparse_change():
    return {"build": lambda: Sparse(nn.init.zeros_), "batch": torch.ones(2, 3)}


@fault("peft SHiRA", "never written", "ZI201", "values", "never written")
def sparse_change_that_nobody_wrote():
    return {"build": lambda: Sparse(lambda values: None), "batch": torch.ones(2, 3)}


@healthy("torch.nn.Transformer", "copies")
def biases_alone_are_copies():
    return {"build": lambda: nn.Transformer(16, 2, 2, 2, 32)}


class Scales(nn.Module):
    """Layers without a weight of two axes: their vectors are all that they have."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(16))


@fault("own", "copies", "ZI206", "0.scale 1.scale", "2 layers start as one")
def layers_of_vectors_alone():
    return {"build": lambda: nn.Sequential(layer := Scales(), copy.deepcopy(layer))}


def half_copied() -> nn.Module:
    cell = nn.GRU(8, 8)
    model = nn.Sequential(*(copy.deepcopy(cell) for _ in range(2)))
    for each in model:
        nn.init.normal_(each.weight_ih_l0), nn.init.zeros_(each.bias_ih_l0), nn.init.zeros_(each.bias_hh_l0)
    return model


@fault("own", "copies", "ZI206", "0.weight_hh_l0 1.weight_hh_l0", "random values; their other values differ.")
def one_of_two_weights_is_a_copy():
    return {"build": half_copied}


class Given(nn.Module):
    """NumPy draws the values of both layers, and they get into the layers in one of three ways."""

    def __init__(self, how: str, seeds: tuple[int, int]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(2))
        for layer, seed in zip(self.layers, seeds, strict=True):
            values = np.random.RandomState(seed).randn(8, 8).astype("float32")
            if how == "data":
                layer.weight.data = torch.from_numpy(values)
            elif how == "copy":
                layer.weight.data.copy_(torch.from_numpy(values))
            elif how == "tensor":
                layer.weight = nn.Parameter(torch.tensor(values, dtype=torch.float32))
            else:
                layer.weight = nn.Parameter(torch.empty(8, 8))
                layer.weight.data.numpy()[:] = values


def of_numpy(how: str) -> None:
    def twice():
        return {"build": lambda: Given(how, (0, 0))}

    def once():
        return {"build": lambda: Given(how, (0, 1))}

    twice.__name__, once.__name__ = f"numpy_values_twice_{how}", f"numpy_values_once_{how}"
    fault("own", "copies", "ZI206", "layers.0.weight layers.1.weight", "2 layers start as one")(twice)
    healthy("own", "copies")(once)


for each in ("data", "copy", "tensor", "in_place"):
    of_numpy(each)


class Filters(nn.Module):
    """Two layers start with one formula: no value was drawn."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(2))
        for layer in self.layers:
            layer.weight.data = torch.from_numpy(np.eye(8, dtype="float32"))


@healthy("own", "copies")
def numpy_formula_in_two_layers():
    return {"build": Filters}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.weight = inner, inner.weight


def replaced(attribute: str, new, again: bool = False) -> nn.Module:
    model = nn.ModuleDict({"lm": Tied()})
    setattr(model["lm"], attribute, new(getattr(model["lm"], attribute)))
    if again:
        model["lm"].head.weight = model["lm"].embed.weight
    return model


@fault("huggingface/transformers resize", "ties", "ZI209", "lm.embed.weight lm.head.weight", "and are two now")
def larger_embedding_loses_its_head():
    return {"build": lambda: replaced("embed", lambda old: nn.Embedding(12, 8))}


@healthy("huggingface/transformers resize", "ties")
def larger_embedding_tied_again():
    return {"build": lambda: replaced("embed", lambda old: nn.Embedding(12, 8), True)}


@healthy("own", "ties")
def new_head_for_another_task():
    return {"build": lambda: replaced("head", lambda old: nn.Linear(8, 3))}


@healthy("peft", "ties")
def wrapped_embedding():
    return {"build": lambda: replaced("embed", Wrapped)}


class Patches(nn.Module):
    """Patches that do not overlap: the convolution is a dense layer, and is drawn as one; or the patches overlap."""

    def __init__(self, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(3, 16, 4, stride)
        nn.init.xavier_uniform_(self.proj.weight.data.view(16, -1))


@healthy("facebookresearch/DiT", "wrong scale")
def patches_drawn_as_a_matrix():
    return {"build": lambda: Patches(4)}


@fault("own", "wrong scale", "ZI205", "proj.weight", "a kernel of 16")
def overlapping_patches_drawn_as_a_matrix():
    return {"build": lambda: Patches(1)}


class Steps(nn.Module):
    """The bias of one layer follows a formula, and it is the only bias of a dense layer in the block."""

    def __init__(self):
        super().__init__()
        self.mix, self.step = nn.Linear(8, 8, bias=False), nn.Linear(4, 8)
        sizes = torch.exp(torch.rand(8) * 4.6 - 6.9)
        with torch.no_grad():
            self.step.bias.copy_(sizes + torch.log(-torch.expm1(-sizes)))


def reset(module: nn.Module, marked: bool) -> None:
    if isinstance(module, nn.Linear) and module.bias is not None and not marked:
        nn.init.zeros_(module.bias)


def stepped(marked: bool) -> nn.Module:
    return nn.ModuleList(Steps() for _ in range(2)).apply(lambda module: reset(module, marked))


@fault("state-spaces/mamba", "overwritten", "ZI203", "0.step.bias 1.step.bias", "and `zeros_`")
def formula_of_a_bias_is_lost():
    return {"build": lambda: stepped(False)}


@healthy("state-spaces/mamba", "overwritten")
def formula_of_a_bias_stays():
    return {"build": lambda: stepped(True)}
