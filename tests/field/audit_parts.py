"""Parts of one layer, whole and sharded parameters side by side, and experts that start as a loaded layer."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional

from .audit_harness import fault, healthy


class Attention(nn.Module):
    """One convolution packs queries, keys and values; channels are the second axis."""

    def __init__(self, dims: int, by_part: bool):
        super().__init__()
        layer = {1: nn.Conv1d, 2: nn.Conv2d}[dims]
        self.project, self.out = layer(16, 48, 1), layer(16, 16, 1)
        for weight in self.project.weight.chunk(3) if by_part else [self.project.weight]:
            nn.init.xavier_uniform_(weight)

    def forward(self, x):
        queries, keys, values = self.project(x).chunk(3, 1)
        return self.out(queries.softmax(1) * keys.softmax(-1) + values)


@fault("openai/guided-diffusion", "wrong scale", "ZI205", "project.weight", "for part in model.project.weight.chunk(3)")
def packed_convolution():
    return {"build": lambda: Attention(1, False), "batch": torch.randn(2, 16, 5)}


@healthy("openai/guided-diffusion", "wrong scale")
def packed_convolution_fixed():
    return {"build": lambda: Attention(1, True), "batch": torch.randn(2, 16, 5)}


@fault("lucidrains/linear-attention-transformer", "wrong scale", "ZI205", "project.weight", "packs 3 projections")
def packed_image_convolution():
    return {"build": lambda: Attention(2, False), "batch": torch.randn(2, 16, 5, 5)}


class ConvLSTM(nn.Module):
    """A convolution computes the four gates of a recurrent cell."""

    def __init__(self, by_gate: bool):
        super().__init__()
        self.gates = nn.Conv2d(12, 24, 3, padding=1)
        for weight in self.gates.weight.chunk(4) if by_gate else [self.gates.weight]:
            nn.init.xavier_normal_(weight)

    def forward(self, x):
        i, f, o, g = torch.split(self.gates(x), 6, dim=1)
        return o.sigmoid() * torch.tanh(i.sigmoid() * g.tanh() + f.sigmoid())


@fault("ndrplz/ConvLSTM_pytorch", "wrong scale", "ZI205", "gates.weight", "packs 4 projections")
def gates_of_a_convolution():
    return {"build": lambda: ConvLSTM(False), "batch": torch.randn(2, 12, 5, 5)}


@healthy("ndrplz/ConvLSTM_pytorch", "wrong scale")
def gates_of_a_convolution_fixed():
    return {"build": lambda: ConvLSTM(True), "batch": torch.randn(2, 12, 5, 5)}


class Halves(nn.Module):
    """A gated linear unit reads the two halves of one layer."""

    def __init__(self, by_half: bool):
        super().__init__()
        self.up, self.down = nn.Linear(16, 128), nn.Linear(64, 16)
        for weight in self.up.weight.chunk(2) if by_half else [self.up.weight]:
            nn.init.xavier_uniform_(weight)

    def forward(self, x):
        return self.down(functional.glu(self.up(x)))


@fault("facebookresearch/fairseq", "wrong scale", "ZI205", "up.weight", "packs 2 projections")
def halves_of_a_gated_unit():
    return {"build": lambda: Halves(False), "batch": torch.randn(2, 16)}


@healthy("facebookresearch/fairseq", "wrong scale")
def halves_of_a_gated_unit_fixed():
    return {"build": lambda: Halves(True), "batch": torch.randn(2, 16)}


class Heads(nn.Module):
    """A convolution whose outputs are split into heads, with one rule for all."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv1d(16, 16, 1)
        nn.init.xavier_uniform_(self.mix.weight)

    def forward(self, x):
        return torch.stack([each.softmax(1) for each in self.mix(x).chunk(4, 1)])


@healthy("own", "wrong scale")
def heads_of_a_convolution():
    return {"build": Heads, "batch": torch.randn(2, 16, 5)}


class Graph(nn.Module):
    """A weight of shape (inputs, outputs), and a bound from one of its axes."""

    def __init__(self, axis: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(128, 16))
        bound = 1 / math.sqrt(self.weight.size(axis))
        self.weight.data.uniform_(-bound, bound)

    def forward(self, x):
        return x @ self.weight


@fault("tkipf/pygcn", "wrong scale", "ZI205", "weight", "`nn.init.uniform_(model.weight, -0.0884, 0.0884)`")
def bound_from_the_outputs():
    return {"build": lambda: Graph(1), "batch": torch.randn(3, 128)}


@healthy("tkipf/pygcn", "wrong scale")
def bound_from_the_inputs():
    return {"build": lambda: Graph(0), "batch": torch.randn(3, 128)}


class Flat(nn.Module):
    """All experts lie in one matrix, one below the other."""

    def __init__(self, by_expert: bool):
        super().__init__()
        self.num_experts = 4
        self.weight = nn.Parameter(torch.empty(4 * 32, 16))
        for part in self.weight.chunk(4) if by_expert else [self.weight]:
            nn.init.xavier_uniform_(part)

    def forward(self, x):
        return torch.bmm(x.expand(4, -1, -1), self.weight.view(4, 32, 16).transpose(1, 2))


@fault("databricks/megablocks", "wrong scale", "ZI205", "weight", "for part in model.weight.chunk(4)")
def experts_in_one_matrix():
    return {"build": lambda: Flat(False), "batch": torch.randn(1, 3, 16)}


@healthy("databricks/megablocks", "wrong scale")
def experts_in_one_matrix_fixed():
    return {"build": lambda: Flat(True), "batch": torch.randn(1, 3, 16)}


class TensorParallelAdapter(nn.Module):
    """A shard, and an adapter that is whole on every rank; the name of the class says that there are shards."""

    def __init__(self, rank: int, world: int, shard_seed: int, adapter_seed: int):
        super().__init__()
        torch.manual_seed(shard_seed)
        self.weight = nn.Parameter(torch.empty(48 // world, 16))
        nn.init.normal_(self.weight, std=0.02)
        torch.manual_seed(adapter_seed)
        self.adapter = nn.Parameter(0.1 * torch.randn(4, 16))


def on_ranks(shard: bool, adapter: bool, cls: type = TensorParallelAdapter) -> dict:
    ranks = [lambda at=at: cls(at, 2, at if shard else 7, 9 if adapter else 20 + at) for at in range(2)]
    return {"build": lambda: cls(0, 1, 0, 9), "ranks": ranks}


@fault("InfiniTensor/InfiniTrain#150", "replicas differ", "ZI208", "adapter", "all should hold the same")
def adapter_differs_beside_a_shard():
    return on_ranks(True, False)


@healthy("InfiniTensor/InfiniTrain#150", "replicas differ")
def adapter_beside_a_shard():
    return on_ranks(True, True)


@fault("own", "copies (shards)", "ZI207", "weight", "a shard of its own")
def equal_shards_beside_an_adapter():
    return on_ranks(False, True)


def upcycled(how: str) -> nn.Module:
    """Experts that all start as one feed-forward layer, loaded or drawn."""
    layer, model = nn.Linear(8, 16), nn.Module()
    if how != "drawn":
        layer.load_state_dict({key: torch.randn_like(each) for key, each in layer.state_dict().items()})
    model.router = nn.Linear(8, 4)
    if how == "repeat":
        model.experts = nn.Parameter(layer.weight.detach().unsqueeze(0).repeat(4, 1, 1))
    elif how == "stack":
        model.experts = nn.Parameter(torch.stack([layer.weight.detach()] * 4))
    elif how == "expand":
        model.experts = nn.Parameter(layer.weight.detach().expand(4, 16, 8).clone())
    else:
        model.experts = nn.ModuleList(copy.deepcopy(layer) for _ in range(4))
    return model


@healthy("SimiaoZuo/MoEBERT#6", "copies")
def experts_of_a_loaded_layer():
    return {"build": lambda: upcycled("deepcopy")}


@healthy("laekov/fastmoe#179", "copies")
def experts_repeat_a_loaded_layer():
    return {"build": lambda: upcycled("repeat")}


@healthy("own", "copies")
def experts_stack_a_loaded_layer():
    return {"build": lambda: upcycled("stack")}


@healthy("own", "copies")
def experts_expand_a_loaded_layer():
    return {"build": lambda: upcycled("expand")}


EXPERTS = " ".join(f"experts.{at}.{each}" for at in range(4) for each in ("weight", "bias"))


@fault("microsoft/DeepSpeed moe/experts.py", "copies", "ZI206", EXPERTS, "4 experts start as one")
def experts_of_a_drawn_layer():
    return {"build": lambda: upcycled("drawn")}
