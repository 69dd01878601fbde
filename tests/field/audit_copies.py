"""Public reports on wrong scales, on copies, and on ranks that agree or differ where they should not; with repairs."""

import copy
import math

import torch
from torch import nn

from .audit_harness import fault, healthy


class Stack(nn.Module):
    """Experts in one parameter of three axes, used as ``x @ weight``."""

    def __init__(self, each: bool, experts: int = 4):
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(experts, 16, 32))
        self.w2 = nn.Parameter(torch.empty(experts, 32, 16))
        for weight in (self.w1, self.w2):
            for part in weight if each else [weight]:
                nn.init.xavier_uniform_(part)


@fault("hpcaitech/ColossalAI#251", "wrong scale", "ZI205", "w1 w2", "stacks 4 matrices")
def experts_as_a_kernel():
    return {"build": lambda: Stack(False)}


@healthy("hpcaitech/ColossalAI#251", "wrong scale")
def experts_as_a_kernel_fixed():
    return {"build": lambda: Stack(True)}


class Transposed(nn.Module):
    """Computes ``x @ weight``, so inputs come first."""

    def __init__(self, turn: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 8))
        nn.init.kaiming_normal_(self.weight.T if turn else self.weight, nonlinearity="relu")

    def forward(self, x):
        return torch.relu(x @ self.weight)


@fault("pytorch/pytorch#129834", "wrong scale", "ZI205", "weight", "the forward pass sums over 64 values")
def inputs_first():
    return {"build": lambda: Transposed(False), "batch": torch.randn(3, 64)}


@healthy("pytorch/pytorch#129834", "wrong scale")
def inputs_first_fixed():
    return {"build": lambda: Transposed(True), "batch": torch.randn(3, 64)}


class Conv1D(nn.Module):
    """As in GPT-2: the weight is stored (inputs, units)."""

    def __init__(self, nf: int, nx: int, right: bool):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.empty(nx, nf)), nn.Parameter(torch.zeros(nf))
        if right:
            nn.init.normal_(self.weight, std=math.sqrt(1 / nx))
        else:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))


@fault("own", "wrong scale", "ZI205", "0.weight", "stores its 16 inputs first")
def conv1d_of_gpt2():
    return {"build": lambda: nn.Sequential(Conv1D(64, 16, False))}


@healthy("own", "wrong scale")
def conv1d_of_gpt2_fixed():
    return {"build": lambda: nn.Sequential(Conv1D(64, 16, True))}


def grouped(right: bool) -> nn.Module:
    layer = nn.Conv1d(16, 32, 3, groups=4)
    if right:
        for group in layer.weight.chunk(4):
            nn.init.xavier_normal_(group)
    else:
        nn.init.xavier_normal_(layer.weight)
    return layer


@fault("keras-team/keras#11773", "wrong scale", "ZI205", "weight", "4 groups with 4 inputs and 8 outputs each")
def grouped_convolution():
    return {"build": lambda: grouped(False)}


@healthy("keras-team/keras#11773", "wrong scale")
def grouped_convolution_fixed():
    return {"build": lambda: grouped(True)}


def upsampling(right: bool) -> nn.Module:
    layer = nn.ConvTranspose2d(8, 64, 3)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out" if right else "fan_in", nonlinearity="relu")
    return layer


@fault("tensorflow/tensorflow#31192", "wrong scale", "ZI205", "weight", "8 inputs, 64 outputs, a kernel of 9")
def transposed_convolution():
    return {"build": lambda: upsampling(False)}


@healthy("tensorflow/tensorflow#31192", "wrong scale")
def transposed_convolution_fixed():
    return {"build": lambda: nn.Sequential(nn.ConvTranspose2d(8, 8, 3), nn.ReLU())}


def projected(parts: bool) -> nn.Module:
    model = nn.ModuleDict({"attn": nn.ModuleDict({"qkv": nn.Linear(16, 48), "proj": nn.Linear(16, 16)})})
    for part in model["attn"]["qkv"].weight.chunk(3) if parts else [model["attn"]["qkv"].weight]:
        nn.init.xavier_uniform_(part)
    return model


@fault("own", "wrong scale", "ZI205", "attn.qkv.weight", "packs 3 projections")
def packed_linear():
    return {"build": lambda: projected(False)}


@healthy("own", "wrong scale")
def packed_linear_fixed():
    return {"build": lambda: projected(True)}


class ColumnParallel(nn.Module):
    def __init__(self, in_features: int, out_features: int, tp_size: int, right: bool):
        super().__init__()
        self.in_features, self.out_features, self.tp_size = in_features, out_features, tp_size
        self.weight = nn.Parameter(torch.empty(out_features // tp_size, in_features))
        if right:
            bound = math.sqrt(6 / (in_features + out_features))
            nn.init.uniform_(self.weight, -bound, bound)
        else:
            nn.init.xavier_uniform_(self.weight)


@fault("own", "wrong scale", "ZI205", "weight", "holds a shard of a parameter of (64, 16)")
def column_shard():
    return {"build": lambda: ColumnParallel(16, 64, 8, False)}


@healthy("own", "wrong scale")
def column_shard_fixed():
    return {"build": lambda: ColumnParallel(16, 64, 8, True)}


def encoder(redraw: bool) -> nn.Module:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    if redraw:
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
    return model


CLONED = " ".join(
    f"layers.{at}.{name}"
    for at in range(2)
    for name in (
        *("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear1.bias"),
        *("linear2.weight", "linear2.bias"),
    )
)


@fault("pytorch/pytorch#86274", "copies", "ZI206", CLONED, "have the same random values")
def cloned_layers():
    return {"build": lambda: encoder(False)}


class Redrawn(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = encoder(False).layers
        for layer in self.layers:
            for module in layer.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
            layer.self_attn._reset_parameters()


@healthy("pytorch/pytorch#120396", "copies")
def cloned_layers_fixed():
    return {"build": Redrawn}


class Seeded(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)


BOTH = "0.up.weight 0.up.bias 0.down.weight 0.down.bias 1.up.weight 1.up.bias 1.down.weight 1.down.bias"


@fault("netket/netket#241", "copies", "ZI206", BOTH, "2 layers start as one")
def one_seed_for_each_layer():
    return {"build": lambda: nn.Sequential(Seeded(3), Seeded(3))}


@healthy("netket/netket#241", "copies")
def one_seed_for_each_layer_fixed():
    return {"build": lambda: nn.Sequential(Seeded(3), Seeded(4))}


class Bank(nn.Module):
    def __init__(self, repeat: bool):
        super().__init__()
        self.experts = nn.Parameter(torch.randn(8, 4).repeat(4, 1, 1) if repeat else torch.randn(4, 8, 4))


@fault("laekov/fastmoe#4", "copies", "ZI206", "experts", "4 of 4 slices")
def repeated_experts():
    return {"build": lambda: Bank(True)}


@healthy("laekov/fastmoe#4", "copies")
def repeated_experts_fixed():
    return {"build": lambda: Bank(False)}


def gathered(own: bool) -> nn.Module:
    layer, parts = nn.Linear(8, 32, bias=False), []
    for rank in range(4):
        generator = torch.Generator().manual_seed(rank if own else 0)
        parts.append(torch.randn(8, 8, generator=generator) * 0.02)
    with torch.no_grad():
        layer.weight.copy_(torch.cat(parts))
    return layer


@fault("allenai/OLMo-core#307", "copies", "ZI206", "weight", "4 blocks of rows")
def gathered_shards():
    return {"build": lambda: gathered(False)}


@healthy("allenai/OLMo-core#307", "copies")
def gathered_shards_fixed():
    return {"build": lambda: gathered(True)}


class Scaled(nn.Module):
    """Each layer is drawn with the same seed, and then scaled by its depth."""

    def __init__(self, same: bool):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(3))
        for at, layer in enumerate(self.layers):
            generator = torch.Generator().manual_seed(0 if same else at)
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(at + 1), generator=generator)


@fault(
    "nntile/nntile#21", "copies", "ZI206", "layers.0.weight layers.1.weight layers.2.weight", "multiples of each other"
)
def scaled_copies():
    return {"build": lambda: Scaled(True)}


@healthy("nntile/nntile#21", "copies")
def scaled_copies_fixed():
    return {"build": lambda: Scaled(False)}


class Vocabulary(nn.Module):
    """Rows of a vocabulary on this rank, a replicated norm, a replicated router."""

    def __init__(self, rank: int, world: int, shard_seed: int, router_seed: int = 9):
        super().__init__()
        generator = torch.Generator().manual_seed(shard_seed)
        self.embed = nn.Parameter(torch.randn(32 // world, 8, generator=generator))
        self.norm, self.router = nn.LayerNorm(8), nn.Linear(8, 4, bias=False)
        nn.init.normal_(self.router.weight, std=0.02, generator=torch.Generator().manual_seed(router_seed))


def vocabulary(shard_seeds: list[int], router_seeds: tuple[int, ...] = (9, 9)):
    ranks = [
        lambda rank=rank, shard=shard, router=router: Vocabulary(rank, 2, shard, router)
        for rank, (shard, router) in enumerate(zip(shard_seeds, router_seeds, strict=True))
    ]
    return {"build": lambda: Vocabulary(0, 1, 0), "ranks": ranks}


@fault("modelscope/ms-swift#7944", "copies on ranks", "ZI207", "embed", "several ranks hold the same random values")
def one_seed_for_shards():
    return vocabulary([0, 0])


@healthy("modelscope/ms-swift#7944", "copies on ranks")
def one_seed_for_shards_fixed():
    return vocabulary([0, 1])


@fault("NVIDIA/Megatron-LM#619", "replicas differ", "ZI208", "router.weight", "ranks start with different values")
def router_with_the_seed_of_shards():
    return vocabulary([0, 1], (0, 1))


def hybrid(seeds: list[int]):
    """Four ranks hold two shards, each twice."""
    return {
        "build": lambda: Vocabulary(0, 1, 0),
        "ranks": [lambda seed=seed: Vocabulary(0, 2, seed) for seed in seeds],
    }


@fault("allenai/OLMo-core#319", "replicas differ", "ZI208", "embed", "ranks start with different values")
def hybrid_shards():
    return hybrid([0, 1, 2, 3])


@healthy("allenai/OLMo-core#319", "replicas differ")
def hybrid_shards_fixed():
    return hybrid([0, 1, 0, 1])


@healthy("allenai/OLMo-core#319", "replicas differ")
def hybrid_shards_side_by_side():
    return hybrid([0, 0, 1, 1])


@fault("allenai/OLMo-core#319", "copies on ranks", "ZI207", "embed", "several ranks hold the same random values")
def hybrid_shards_all_equal():
    return hybrid([0, 0, 0, 0])


class SharedExpert(nn.Module):
    def __init__(self, rank: int, expert_generator: bool):
        super().__init__()
        self.shared_lora_A, self.shared_lora_B = nn.Parameter(torch.empty(4, 8)), nn.Parameter(torch.zeros(8, 4))
        generator = torch.Generator().manual_seed(100 + rank if expert_generator else 1)
        nn.init.normal_(self.shared_lora_A, std=0.02, generator=generator)


@fault("NVIDIA-NeMo/Megatron-Bridge#5396", "replicas differ", "ZI208", "shared_lora_A", "ranks start with different")
def shared_expert():
    return {"build": lambda: SharedExpert(0, True), "ranks": [lambda r=r: SharedExpert(r, True) for r in range(2)]}


@healthy("NVIDIA-NeMo/Megatron-Bridge#5396", "replicas differ")
def shared_expert_fixed():
    return {"build": lambda: SharedExpert(0, False), "ranks": [lambda r=r: SharedExpert(r, False) for r in range(2)]}


class Stage(nn.Module):
    """A stage of a pipeline: it holds some of the layers, under their names in the whole model."""

    def __init__(self, stage: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleDict({str(at): nn.Linear(8, 8) for at in range(2 * stage, 2 * stage + 2)})


STAGES = " ".join(f"layers.{at}.{part}" for at in range(4) for part in ("weight", "bias"))


@fault("Modalities/modalities#426", "copies on ranks", "ZI207", STAGES, "layers on different ranks hold the same")
def stages_of_one_seed():
    return {"build": lambda: Stage(0, 0), "ranks": [lambda stage=stage: Stage(stage, 0) for stage in range(2)]}


@healthy("Modalities/modalities#426", "copies on ranks")
def stages_of_one_seed_fixed():
    return {"build": lambda: Stage(0, 0), "ranks": [lambda stage=stage: Stage(stage, stage) for stage in range(2)]}


def template(redraw: bool) -> nn.Module:
    layer = nn.Linear(8, 8)
    model = nn.ModuleList([copy.deepcopy(layer) for _ in range(3)])
    for parameter in model.parameters() if redraw else ():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return model


@fault("huggingface/transformers#742", "copies", "ZI206", "0.weight 0.bias 1.weight 1.bias 2.weight 2.bias", "3 layers")
def one_template():
    return {"build": lambda: template(False)}


@healthy("harvardnlp/annotated-transformer#9", "copies")
def one_template_fixed():
    return {"build": lambda: template(True)}


class Feedforward(nn.Module):
    """Knows nothing of the whole but its source: the hidden units are divided by the number of ranks."""

    def __init__(self, width: int, hidden: int, rank: int, world: int, own: bool):
        super().__init__()
        local = hidden // world
        torch.manual_seed(rank if own else 0)
        self.up, self.down = nn.Linear(width, local), nn.Linear(local, width, bias=False)
        torch.manual_seed(0)
        self.norm_scale = nn.Parameter(torch.rand(width))


def feedforward(own: bool):
    ranks = [lambda rank=rank: Feedforward(8, 32, rank, 2, own) for rank in range(2)]
    return {"build": ranks[0], "ranks": ranks}


@fault("own", "copies on ranks", "ZI207", "up.weight up.bias down.weight", "several ranks hold the same random values")
def divided_in_the_source():
    return feedforward(False)


@healthy("own", "copies on ranks")
def divided_in_the_source_fixed():
    return feedforward(True)


class LocalExperts(nn.Module):
    def __init__(self, rank: int, world: int, own: bool):
        super().__init__()
        self.num_experts = 4
        self.router = nn.Linear(8, 4)
        torch.manual_seed(rank if own else 0)
        self.experts = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4 // world))


def local_experts(own: bool):
    ranks = [lambda rank=rank: LocalExperts(rank, 2, own) for rank in range(2)]
    return {"build": lambda: LocalExperts(0, 1, own), "ranks": ranks}


@fault("laekov/fastmoe#4", "copies on ranks", "ZI207", "experts.0.weight experts.1.weight", "several ranks hold")
def experts_of_all_ranks():
    return local_experts(False)


@healthy("laekov/fastmoe#4", "copies on ranks")
def experts_of_all_ranks_fixed():
    return local_experts(True)


class StackByHand(nn.Module):
    def __init__(self, right: bool):
        super().__init__()
        fan = 32 if right else 16 * 32
        self.experts = nn.Parameter(torch.randn(8, 16, 32) / math.sqrt(fan))


@fault("own", "wrong scale", "ZI205", "experts", "stacks 8 matrices")
def fan_by_hand():
    return {"build": lambda: StackByHand(False)}


@healthy("own", "wrong scale")
def fan_by_hand_fixed():
    return {"build": lambda: StackByHand(True)}


def compensated():
    layer = nn.ModuleDict({"qkv": nn.Linear(16, 48)})
    nn.init.xavier_uniform_(layer["qkv"].weight, gain=math.sqrt(2))
    return layer


@healthy("own", "wrong scale")
def fan_mended_by_a_gain():
    return {"build": compensated}


class Orthogonal(nn.Module):
    def __init__(self, each: bool):
        super().__init__()
        self.heads = nn.Parameter(torch.empty(4, 16, 16))
        for part in self.heads if each else [self.heads]:
            nn.init.orthogonal_(part)


@fault("own", "wrong scale", "ZI205", "heads", "the longer side is taken as 256")
def orthogonal_on_a_stack():
    return {"build": lambda: Orthogonal(False)}


@healthy("own", "wrong scale")
def orthogonal_on_a_stack_fixed():
    return {"build": lambda: Orthogonal(True)}


class Rescaled(nn.Module):
    """Two names share one parameter, and a loop over modules meets it twice."""

    def __init__(self, once: bool):
        super().__init__()
        self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        for tensor in self.parameters() if once else (module.weight for module in self.children()):
            tensor.data.mul_(0.1)


@fault("fastai/fastai#2090", "wrong scale", "ZI205", "embed.weight", "is multiplied by 0.1 twice")
def tied_and_scaled_twice():
    return {"build": lambda: Rescaled(False)}


@healthy("fastai/fastai#2090", "wrong scale")
def tied_and_scaled_twice_fixed():
    return {"build": lambda: Rescaled(True)}


class Features(nn.Module):
    def __init__(self, rank: int):
        super().__init__()
        torch.manual_seed(0)
        self.proj = nn.Linear(8, 4)
        torch.manual_seed(rank)
        self.register_buffer("frequencies", torch.randn(8))
        self.register_buffer("rank", torch.tensor(rank))


@fault("own", "replicas differ", "ZI208", "frequencies", "ranks start with different values")
def drawn_buffer():
    return {"build": lambda: Features(0), "ranks": [lambda rank=rank: Features(rank) for rank in range(2)]}


@healthy("own", "replicas differ")
def drawn_buffer_fixed():
    return {"build": lambda: Features(0), "ranks": [lambda: Features(0) for _ in range(2)]}


def forked(fork: bool) -> nn.Module:
    model = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
    for layer in model:
        with torch.random.fork_rng(enabled=fork):
            nn.init.normal_(layer.weight, std=0.02)
    return model


@fault("pytorch/torchtitan#3106", "copies", "ZI206", "0.weight 1.weight", "have the same random values")
def forked_generator():
    return {"build": lambda: forked(True)}


@healthy("pytorch/torchtitan#3106", "copies")
def forked_generator_fixed():
    return {"build": lambda: forked(False)}


def projections(copy_them: bool) -> nn.Module:
    layer, part = nn.Linear(8, 24), nn.init.orthogonal_(torch.empty(8, 8))
    with torch.no_grad():
        parts = [part if copy_them else nn.init.orthogonal_(torch.empty(8, 8)) for _ in range(3)]
        layer.weight.copy_(torch.cat(parts))
    return layer


@fault("own", "copies", "ZI206", "weight", "3 blocks of rows")
def equal_projections():
    return {"build": lambda: projections(True)}


@healthy("own", "copies")
def equal_projections_fixed():
    return {"build": lambda: projections(False)}
