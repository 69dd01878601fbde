"""Cases of a sixth engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import functools

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import weight_norm

from .audit_harness import fault, healthy


class Mixer(nn.Module):
    """A layer whose steps come from a formula on drawn values."""

    def __init__(self):
        super().__init__()
        self.lin, self.steps = nn.Linear(4, 4), nn.Parameter(torch.ones(4))
        self.reset()

    def reset(self, how: str = "draw") -> None:
        steps = torch.exp(torch.rand(4)) if how == "draw" else torch.full((4,), 0.5)
        with torch.no_grad():
            self.steps.copy_(steps + torch.log(-torch.expm1(-steps)))


def mixers() -> nn.Module:
    return nn.Sequential(Mixer(), Mixer())


def saved_of(make) -> dict:
    return {key: torch.randn_like(each) for key, each in make().state_dict().items()}


OF_MIXERS = saved_of(mixers)


def from_pretrained(*orders: str) -> nn.Module:
    """Load and draw in the order that is given."""
    model = mixers()
    for order in orders:
        if order == "load":
            model.load_state_dict(OF_MIXERS)
        elif order == "copies":
            with torch.no_grad():
                for name, each in model.named_parameters():
                    each.copy_(OF_MIXERS[name])
        elif order == "halves":
            with torch.no_grad():
                for name, each in model.named_parameters():
                    each.copy_(OF_MIXERS[name] * torch.full_like(each, 0.5))
        elif order == "drawn":
            values = saved_of(mixers)
            with torch.no_grad():
                for name, each in model.named_parameters():
                    each.copy_(values[name])
        else:
            for mixer in model:
                mixer.reset(order)
    return model


TRANSFORMERS = "huggingface/transformers#45591"
STEPS = "0.steps 1.steps"


@fault(TRANSFORMERS, "loaders", "ZI204", STEPS, "a write (audit_outside_6.py:")
def drawn_values_copied_after_loading_by_a_loader():
    return {"build": lambda: from_pretrained("load", "draw")}


@fault("own", "loaders", "ZI204", STEPS, "the checkpoint's values are lost")
def a_formula_copied_after_loading_by_a_loader():
    return {"build": lambda: from_pretrained("load", "formula")}


@fault("own", "loaders", "ZI204", STEPS, "the checkpoint's values are lost")
def drawn_values_copied_over_copies_by_a_loader():
    return {"build": lambda: from_pretrained("copies", "draw")}


@healthy(TRANSFORMERS, "loaders")
def drawn_values_copied_before_loading_by_a_loader():
    return {"build": lambda: from_pretrained("draw", "load")}


@healthy("own", "loaders")
def a_second_checkpoint_that_is_scaled_by_a_loader():
    return {"build": lambda: from_pretrained("load", "halves")}


@healthy("own", "loaders")
def a_checkpoint_that_is_drawn_and_copied_by_a_loader():
    return {"build": lambda: from_pretrained("drawn")}


@healthy("own", "loaders")
def a_second_drawn_checkpoint_that_torch_loads():
    def load_model() -> nn.Module:
        model = mixers()
        for _ in range(2):
            model.load_state_dict(saved_of(mixers))
        return model

    return {"build": load_model}


class Relations(nn.Module):
    """Multiplies by the matrix of a relation."""

    relations, inputs, outputs = 9, 32, 16

    def __init__(self, alone: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(self.relations, self.inputs, self.outputs))
        for each in self.weight if alone else [self.weight]:
            nn.init.xavier_uniform_(each)

    def forward(self, nodes, kinds):
        return torch.bmm(nodes[:, None], self.weight[kinds])[:, 0]


class Bases(Relations):
    """Multiplies by mixtures of a few matrices."""

    relations = 5

    def __init__(self, alone: bool = False):
        super().__init__(alone)
        self.mixture = nn.Parameter(torch.empty(9, self.relations))
        nn.init.xavier_uniform_(self.mixture)

    def forward(self, nodes, kinds):
        matrices = torch.einsum("rb,bio->rio", self.mixture, self.weight)
        return torch.bmm(nodes[:, None], matrices[kinds])[:, 0]


class RelGraphConv(Relations):
    """Is called a convolution, and is none."""


class BasesConv(Bases):
    """Is called a convolution, and is none."""


class ManyBasesConv(Bases):
    """Has the axes of a kernel, as far as the shape tells."""

    relations, inputs, outputs = 40, 32, 16


NODES = torch.randn(12, 32), torch.arange(12) % 9
DGL = "dmlc/dgl#6051"


@fault(DGL, "graphs", "ZI205", "weight", "the parameter stacks 9 matrices")
def stack_of_relations_in_a_graph_convolution():
    return {"build": RelGraphConv}


@fault(DGL, "graphs", "ZI205", "weight", "the parameter stacks 5 matrices")
def stack_of_bases_in_a_graph_convolution():
    return {"build": BasesConv}


@fault(DGL, "graphs", "ZI205", "weight", "the parameter stacks 9 matrices, and the forward pass sums over 32 values")
def stack_of_relations_in_a_graph_convolution_with_a_batch():
    return {"build": RelGraphConv, "batch": NODES}


@fault(DGL, "graphs", "ZI205", "weight", "the parameter stacks 40 matrices")
def stack_of_many_bases_in_a_graph_convolution_with_a_batch():
    return {"build": ManyBasesConv, "batch": NODES}


@healthy("own", "graphs")
def stack_of_many_bases_in_a_graph_convolution():
    return {"build": ManyBasesConv}


@healthy(DGL, "graphs")
def bases_drawn_alone_in_a_graph_convolution():
    return {"build": functools.partial(BasesConv, alone=True), "batch": NODES}


class OwnConv(nn.Module):
    """Convolves with a kernel of its own."""

    def __init__(self, *shape: int, declared: bool = False, scaled: bool = False):
        super().__init__()
        self.weight, self.scaled = nn.Parameter(torch.empty(shape)), scaled
        if declared:
            self.kernel_size = shape[-1]
        if scaled:
            self.gain = nn.Parameter(torch.full((), 2.0))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, inputs):
        return F.conv1d(inputs, self.weight * self.gain if self.scaled else self.weight)


@healthy("own", "graphs")
def kernel_of_a_class_of_convolutions():
    return {"build": lambda: OwnConv(32, 16, 8)}


@healthy("own", "graphs")
def kernel_longer_than_the_outputs_with_its_size():
    return {"build": lambda: OwnConv(4, 16, 8, declared=True)}


@healthy("own", "graphs")
def kernel_longer_than_the_outputs_with_a_batch():
    return {"build": lambda: OwnConv(4, 16, 8, scaled=True), "batch": torch.randn(2, 16, 20)}


def body(layers: int = 4) -> nn.Module:
    model = nn.ModuleDict({"words": nn.Embedding(9, 4), "pooler": nn.Linear(4, 4)})
    model["layers"] = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(layers))
    return model


OF_BODY = saved_of(body)


def drawn(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class Task(nn.Module):
    """Loads a body, and then draws parts of it."""

    def __init__(self, how: str = "pooler"):
        super().__init__()
        self.body, self.head = body(), nn.Linear(4, 2)
        self.body.load_state_dict(OF_BODY)
        if how == "pooler":
            nn.init.normal_(self.body["pooler"].weight, std=0.02)
            nn.init.zeros_(self.body["pooler"].bias)
        elif how == "helper":
            drawn(self.body["pooler"])
        elif how == "method":
            self.init_weights()
        elif how == "body":
            self.body.apply(drawn)
        elif how == "model":
            self.apply(drawn)
        elif how == "apply one":
            self.body["pooler"].apply(drawn)
        else:
            for layer in self.body["layers"][-int(how) :]:
                layer.apply(drawn)

    def init_weights(self) -> None:
        nn.init.normal_(self.body["pooler"].weight, std=0.02)


TOP = "arXiv:2006.05987"
POOLER = "body.pooler.weight body.pooler.bias"
OF_LAYERS = " ".join(f"body.layers.{at}.0.{name}" for at in range(4) for name in ("weight", "bias"))


@healthy(TOP, "redrawn")
def one_loaded_layer_drawn_by_name_in_a_constructor():
    return {"build": Task}


@healthy("own", "redrawn")
def one_loaded_layer_drawn_by_a_helper_in_a_constructor():
    return {"build": lambda: Task("helper")}


@healthy(TOP, "redrawn")
def top_layers_drawn_by_apply():
    return {"build": lambda: Task("2")}


@healthy("own", "redrawn")
def one_loaded_layer_drawn_by_apply():
    return {"build": lambda: Task("apply one")}


@fault("own", "redrawn", "ZI204", "body.pooler.weight", "in Task.init_weights) wrote over it")
def one_loaded_layer_drawn_by_a_method():
    return {"build": lambda: Task("method")}


@fault("own", "redrawn", "ZI204", OF_LAYERS, "the checkpoint's values are lost")
def all_layers_drawn_by_apply():
    return {"build": lambda: Task("4")}


@fault("own", "redrawn", "ZI204", f"{OF_LAYERS} {POOLER}", "the checkpoint's values are lost")
def all_that_was_loaded_drawn_by_apply():
    return {"build": lambda: Task("body")}


@fault("own", "redrawn", "ZI204", f"{OF_LAYERS} {POOLER}", "the checkpoint's values are lost")
def whole_model_drawn_by_apply():
    return {"build": lambda: Task("model")}


@fault("own", "redrawn", "ZI204", f"{OF_LAYERS} {POOLER}", "the checkpoint's values are lost")
def one_of_two_loaded_models_drawn_by_apply():
    def build() -> nn.Module:
        model = nn.ModuleDict({"body": body(), "other": nn.Linear(4, 4)})
        model["body"].load_state_dict(OF_BODY)
        model["other"].load_state_dict({"weight": torch.eye(4), "bias": torch.ones(4)})
        model["body"].apply(drawn)
        return model

    return {"build": build}


def normed(before: bool = False) -> nn.Module:
    layer = nn.Linear(8, 8)
    if before:
        nn.init.normal_(layer.weight, std=0.02)
    layer = weight_norm(layer)
    if not before:
        nn.init.normal_(layer.weight, std=0.02)
    return layer


@fault("fastai/fastai#3315", "anew", "ZI202", "weight_v weight_g", "and `weight_g` in each forward pass")
def weight_drawn_behind_the_old_weight_norm():
    return {"build": normed}


@healthy("fastai/fastai#3315", "anew")
def weight_drawn_before_the_old_weight_norm():
    return {"build": lambda: normed(before=True)}


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("angles", self.table(), persistent=False)

    def table(self):
        return 1 / 100 ** (torch.arange(4.0) / 4)


OF_ROTARY = saved_of(Rotary)


def emptied(how: str = "to_empty", again: bool = False) -> nn.Module:
    with torch.device("meta"):
        model = Rotary()
    if how == "to_empty":
        model.to_empty(device="cpu")
    else:
        model._apply(lambda each: torch.empty_like(each, device="cpu"))
    model.load_state_dict(OF_ROTARY)
    if again:
        model.angles.copy_(model.table())
    return model


COSMOS = "nvidia-cosmos/cosmos-rl#411"


@fault(COSMOS, "emptied", "ZI201", "angles", "Compute `model.angles` after `to_empty` (audit_outside_6.py:")
def table_lost_by_to_empty():
    return {"build": emptied}


@fault(COSMOS, "emptied", "ZI201", "angles", "which drops the values of audit_outside_6.py:")
def table_lost_by_to_empty_with_its_line():
    return {"build": emptied}


@fault("own", "emptied", "ZI201", "angles", "Compute `model.angles` after audit_outside_6.py:")
def table_lost_by_memory_of_the_same_shape():
    return {"build": lambda: emptied("empty")}


@healthy(COSMOS, "emptied")
def table_computed_after_to_empty():
    return {"build": lambda: emptied(again=True)}


class Heads(nn.Module):
    """Has a projection whose axes are inputs, heads and the size of a head."""

    def __init__(self, init):
        super().__init__()
        self.query, self.out = nn.Parameter(torch.empty(64, 4, 16)), nn.Linear(64, 64)
        init(self.query)

    def forward(self, x):
        return self.out(torch.einsum("btd,dhk->bthk", x, self.query).flatten(2))


TOKENS = torch.randn(2, 5, 64)
SIXTY_FOUR = "taken as 544 from the shape (64, 4, 16), and is 64"


@fault("keras-team/keras#22789", "heads", "ZI205", "query", SIXTY_FOUR)
def heads_drawn_as_one_array_with_a_batch():
    return {"build": lambda: Heads(nn.init.xavier_uniform_), "batch": TOKENS}


@healthy("own", "heads")
def heads_whose_rule_no_pass_judges():
    """Without a batch, nobody knows that the first axis is no number of matrices."""
    return {"build": lambda: Heads(nn.init.xavier_uniform_)}


@healthy("own", "heads")
def heads_drawn_as_one_matrix():
    return {"build": lambda: Heads(lambda query: nn.init.xavier_uniform_(query.view(64, -1)))}


@healthy("own", "heads")
def heads_drawn_by_the_number_of_inputs():
    return {"build": lambda: Heads(lambda query: nn.init.normal_(query, std=64**-0.5))}
