"""Faults whose repair must keep what is right: rows, gains, scalars, and layers that compute their weight."""

import math

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from .audit_harness import fault, healthy

ROWS = torch.randn(3, 8)


def weight_normed(when: str) -> nn.Module:
    """Weight norm by a hook, which computes the weight before each forward pass."""
    model = nn.Sequential(nn.Linear(8, 4))
    if when == "before":
        nn.init.orthogonal_(model[0].weight)
    nn.utils.weight_norm(model[0])
    if when == "after":
        nn.init.orthogonal_(model[0].weight)
    elif when == "assigned":
        with torch.no_grad():
            model[0].weight = nn.init.orthogonal_(torch.empty(4, 8))
    return model


@fault("jik876/hifi-gan#145", "lost write", "ZI202", "0.weight_g 0.weight_v", "nn.utils.remove_weight_norm(model[0])")
def drawn_after_weight_norm():
    return {"build": lambda: weight_normed("after"), "batch": ROWS}


@fault("own", "lost write", "ZI202", "0.weight_g 0.weight_v", "`orthogonal_` (audit_repairs.py")
def assigned_after_weight_norm():
    return {"build": lambda: weight_normed("assigned")}


@healthy("jik876/hifi-gan#145", "lost write")
def drawn_before_weight_norm():
    return {"build": lambda: weight_normed("before"), "batch": ROWS}


def cut(when: str) -> nn.Module:
    layer = nn.Linear(8, 4)
    if when == "before":
        nn.init.normal_(layer.weight, std=0.1)
    prune.l1_unstructured(layer, "weight", 0.3)
    if when == "after":
        nn.init.normal_(layer.weight, std=0.1)
    elif when == "assigned":
        layer.weight = torch.full((4, 8), 0.1)
    return layer


@fault(
    "Lightning-AI/pytorch-lightning#13643",
    "lost write",
    "ZI202",
    "weight_orig",
    "nn.init.normal_(model.weight_orig, std=0.1)",
)
def drawn_after_pruning():
    return {"build": lambda: cut("after"), "batch": ROWS}


@fault("own", "lost write", "ZI202", "weight_orig", "is computed anew")
def assigned_after_pruning():
    return {"build": lambda: cut("assigned")}


@healthy("Lightning-AI/pytorch-lightning#13643", "lost write")
def drawn_before_pruning():
    return {"build": lambda: cut("before"), "batch": ROWS}


def root(lost: bool) -> nn.Module:
    """The model itself is the layer with the parametrization."""
    layer = parametrizations.spectral_norm(nn.Linear(8, 4))
    if lost:
        nn.init.orthogonal_(layer.weight, gain=0.8)
    else:
        layer.weight = nn.init.orthogonal_(torch.empty(4, 8), gain=0.8)
    return layer


@fault(
    "pytorch/pytorch#180968",
    "lost write",
    "ZI202",
    "parametrizations.weight.original",
    "Assign: `model.weight = nn.init.orthogonal_(torch.empty(4, 8), gain=0.8)`",
)
def root_with_a_parametrization():
    return {"build": lambda: root(True), "batch": ROWS}


@healthy("pytorch/pytorch#180968", "lost write")
def root_with_a_parametrization_fixed():
    return {"build": lambda: root(False), "batch": ROWS}


def new_tokens(lost: bool) -> nn.Module:
    table = nn.Embedding(9, 4)
    numbers = torch.tensor([2, 7])
    with torch.no_grad():
        if lost:
            nn.init.normal_(table.weight[numbers], std=0.02)
        else:
            table.weight[numbers] = 0.02 * torch.randn(2, 4)
    return table


@fault("hiyouga/LlamaFactory#10547", "lost write", "ZI202", "weight", "`model.weight.data[[2, 7]] = nn.init.normal_(")
def new_tokens_in_a_copy():
    return {"build": lambda: new_tokens(True), "batch": torch.tensor([2, 7])}


@healthy("hiyouga/LlamaFactory#10547", "lost write")
def new_tokens_in_place():
    return {"build": lambda: new_tokens(False)}


class Table(nn.Module):
    """Old rows or columns are copied into a larger table, and the new ones stay empty."""

    def __init__(self, where: str):
        super().__init__()
        self.table = nn.Parameter(torch.empty(6, 8))
        with torch.no_grad():
            if where == "rows":
                self.table[:4] = torch.randn(4, 8)
            elif where == "scattered":
                self.table[[0, 2, 3, 5]] = torch.randn(4, 8)
            else:
                self.table[:, 3:] = torch.randn(6, 5)


@fault(
    "huggingface/transformers#26264", "never written", "ZI201", "table", "`nn.init.normal_(model.table[4:6], std=0.02)`"
)
def last_rows_of_a_table():
    return {"build": lambda: Table("rows")}


@fault(
    "own",
    "never written",
    "ZI201",
    "table",
    "`model.table.data[[1, 4]] = nn.init.normal_(torch.empty(2, 8), std=0.02)`",
)
def scattered_rows_of_a_table():
    return {"build": lambda: Table("scattered")}


@fault("own", "never written", "ZI201", "table", "(columns 0 to 2)")
def first_columns_of_a_table():
    return {"build": lambda: Table("columns")}


class Norm(nn.Module):
    """A norm without a function that resets it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))


class Clip(nn.Module):
    """A scalar, a norm, a table with a rule of its own, and a layer whose weight alone is drawn again."""

    def __init__(self):
        super().__init__()
        self.scale, self.norm = nn.Parameter(torch.tensor(2.6592)), Norm()
        self.turn = nn.Parameter(nn.init.orthogonal_(torch.empty(8, 8), gain=0.5))
        self.router = nn.Linear(8, 4)

    def weights_alone(self) -> None:
        nn.init.normal_(self.router.weight, std=0.02)

    def all(self) -> None:
        self.weights_alone()
        nn.init.zeros_(self.router.bias)
        nn.init.ones_(self.norm.weight)
        nn.init.constant_(self.scale, 2.6592)
        nn.init.orthogonal_(self.turn, gain=0.5)


ON_META = "scale norm.weight turn router.bias"


@fault("huggingface/transformers CLIP", "never written", "ZI201", ON_META, "`nn.init.constant_(model.scale, 2.6592)`")
def scalar_on_meta():
    return {"build": Clip, "init": Clip.weights_alone}


@fault("pytorch/torchtitan#164", "never written", "ZI201", ON_META, "`nn.init.ones_(model.norm.weight)`")
def norm_on_meta():
    return {"build": Clip, "init": Clip.weights_alone}


@fault("own", "never written", "ZI201", ON_META, "`nn.init.orthogonal_(model.turn, gain=0.5)`")
def orthogonal_on_meta():
    return {"build": Clip, "init": Clip.weights_alone}


@healthy("huggingface/transformers CLIP", "never written")
def all_on_meta():
    return {"build": Clip, "init": Clip.all}


class Indices(nn.Module):
    def __init__(self, filled: bool):
        super().__init__()
        self.register_buffer("index", torch.empty(4, dtype=torch.long))
        if filled:
            self.index.copy_(torch.arange(4))


@fault(
    "microsoft/Swin-Transformer", "never written", "ZI201", "index", "Compute `model.index` where the model is built"
)
def indices_never_filled():
    return {"build": lambda: Indices(False)}


@healthy("microsoft/Swin-Transformer", "never written")
def indices_filled():
    return {"build": lambda: Indices(True)}


def by_groups(channels: int) -> nn.Module:
    layer = nn.Conv2d(16, 16, 3, groups=16)
    layer.weight.data.normal_(0, math.sqrt(2 / (9 * channels)))
    return layer


@fault(
    "huggingface/pytorch-image-models#84",
    "wrong scale",
    "ZI205",
    "weight",
    "`nn.init.normal_(model.weight, std=0.471)`",
)
def fan_out_over_all_groups():
    return {"build": lambda: by_groups(16)}


@healthy("huggingface/pytorch-image-models#84", "wrong scale")
def fan_out_of_a_group():
    return {"build": lambda: by_groups(1)}


class Low(nn.Module):
    """A rule with a slope, on a matrix that stores its inputs first."""

    def __init__(self, turned: bool):
        super().__init__()
        self.down = nn.Parameter(torch.empty(64, 4))
        nn.init.kaiming_uniform_(self.down.t() if turned else self.down, a=math.sqrt(5))

    def forward(self, x):
        return x @ self.down


@fault("rasbt/LLMs-from-scratch#166", "wrong scale", "ZI205", "down", "`nn.init.uniform_(model.down, -0.125, 0.125)`")
def slope_and_inputs_first():
    return {"build": lambda: Low(False), "batch": torch.randn(3, 64)}


@healthy("rasbt/LLMs-from-scratch#166", "wrong scale")
def slope_and_inputs_first_fixed():
    return {"build": lambda: Low(True), "batch": torch.randn(3, 64)}


class Padded(nn.Module):
    """The padding row is zero, and a rule for all weights draws it."""

    def __init__(self, last: bool):
        super().__init__()
        self.words, self.layers = nn.Embedding(9, 8, padding_idx=2), nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.turn = last
        for step in (self.general, self.padding) if last else (self.padding, self.general):
            step()

    def padding(self) -> None:
        nn.init.zeros_(self.words.weight[2])

    def general(self) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)


@fault(
    "huggingface/transformers BERT",
    "overwritten",
    "ZI203",
    "words.weight",
    "Row 2 of `words.weight` was set by `zeros_`",
)
def padding_row_drawn():
    return {"build": lambda: Padded(False)}


@healthy("huggingface/transformers BERT", "overwritten")
def padding_row_last():
    return {"build": lambda: Padded(True)}


def stage(rank: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.ModuleDict({str(at): nn.Linear(8, 8, bias=False) for at in (2 * rank, 2 * rank + 1)})


def stages(one_seed: bool) -> dict:
    ranks = [lambda at=at: stage(at, 0 if one_seed else at) for at in range(2)]
    return {"build": lambda: nn.ModuleDict({str(at): nn.Linear(8, 8, bias=False) for at in range(4)}), "ranks": ranks}


STAGES = "0.weight 1.weight 2.weight 3.weight"


@fault(
    "Modalities/modalities#426",
    "copies (stages)",
    "ZI207",
    STAGES,
    "layers on different ranks hold the same random values",
)
def stages_with_one_seed():
    return stages(True)


@healthy("Modalities/modalities#426", "copies (stages)")
def stages_with_seeds_of_their_own():
    return stages(False)
