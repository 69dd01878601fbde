"""Twelve public threads on initialization, rebuilt in our own words, each with its repaired form."""

import math

import torch
from torch import nn
from torch.nn.utils import parametrizations

from .audit_harness import fault, healthy


class Router(nn.Module):
    def __init__(self, width: int = 16, experts: int = 4):
        super().__init__()
        self.gate = nn.Linear(width, experts, bias=True)

    def init_weights(self, bias: bool) -> None:
        nn.init.trunc_normal_(self.gate.weight, std=0.02)
        if bias:
            nn.init.zeros_(self.gate.bias)


class Mixture(nn.Module):
    def __init__(self, bias: bool):
        super().__init__()
        self.norm, self.router, self.bias = nn.LayerNorm(16), Router(), bias

    def init_weights(self) -> None:
        self.norm.reset_parameters()
        self.router.init_weights(self.bias)


@fault("pytorch/torchtitan#2450", "never written", "ZI201", "router.gate.bias", "never written after `to_empty`")
def router_bias():
    return {"build": lambda: Mixture(False), "init": lambda model: model.init_weights()}


@healthy("pytorch/torchtitan#2450", "never written")
def router_bias_fixed():
    return {"build": lambda: Mixture(True), "init": lambda model: model.init_weights()}


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.scale = nn.Parameter(0.1 * torch.ones(16))
        self.proj = nn.Linear(16, 16)


class Vision(nn.Module):
    def __init__(self, bare: bool):
        super().__init__()
        self.tokens, self.bare = Tokens(), bare

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Tokens) and self.bare:
            nn.init.zeros_(module.cls_token)
            nn.init.constant_(module.scale, 0.1)


@fault(
    "huggingface/transformers#44575", "never written", "ZI201", "tokens.cls_token tokens.scale", "never written after"
)
def bare_parameters():
    return {"build": lambda: Vision(False), "init": lambda model: model.apply(model._init_weights)}


@healthy("huggingface/transformers#44575", "never written")
def bare_parameters_fixed():
    return {"build": lambda: Vision(True), "init": lambda model: model.apply(model._init_weights)}


class Rotary(nn.Module):
    def __init__(self, width: int = 16):
        super().__init__()
        self.width = width
        self.register_buffer("inv_freq", self.frequencies(), persistent=False)

    def frequencies(self) -> torch.Tensor:
        return 1.0 / 10000 ** (torch.arange(0, self.width, 2).float() / self.width)


class Folding(nn.Module):
    def __init__(self):
        super().__init__()
        self.rotary, self.proj = Rotary(), nn.Linear(16, 16)


def loaded_folding(refill: bool) -> nn.Module:
    saved = {key: value.clone() for key, value in Folding().state_dict().items()}
    with torch.device("meta"):
        model = Folding()
    model.to_empty(device="cpu")
    model.load_state_dict(saved)
    if refill:
        model.rotary.inv_freq.copy_(model.rotary.frequencies())
    return model


@fault(
    "Synthyra/FastPLMs#47", "never written", "ZI201", "rotary.inv_freq", "buffer `rotary.inv_freq` was never written"
)
def rotary_buffer():
    return {"build": lambda: loaded_folding(False)}


@healthy("Synthyra/FastPLMs#47", "never written")
def rotary_buffer_fixed():
    return {"build": lambda: loaded_folding(True)}


def normed(assign: bool) -> nn.Module:
    layer = parametrizations.weight_norm(nn.Linear(16, 8))
    if assign:
        with torch.no_grad():
            layer.weight = nn.init.orthogonal_(torch.empty(8, 16))
    else:
        nn.init.orthogonal_(layer.weight)
    return nn.Sequential(layer, nn.Linear(8, 2))


@fault(
    "pytorch/pytorch#180968",
    "lost write",
    "ZI202",
    "0.parametrizations.weight.original0 0.parametrizations.weight.original1",
    "`orthogonal_` (audit_threads.py",
)
def parametrized_weight():
    return {"build": lambda: normed(False)}


@healthy("pytorch/pytorch#180968", "lost write")
def parametrized_weight_fixed():
    return {"build": lambda: normed(True)}


class Pretrained(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)

    def _init_weights(self, module: nn.Module) -> None:
        if hasattr(module, "weight"):
            nn.init.normal_(module.weight, std=0.02)


def pretrained(first: bool) -> nn.Module:
    saved = {key: torch.randn_like(value) for key, value in Pretrained().state_dict().items()}
    model = Pretrained()
    if first:
        model.apply(model._init_weights)
    model.load_state_dict(saved)
    if not first:
        model.apply(model._init_weights)
    return model


@fault(
    "huggingface/transformers#46620", "overwritten", "ZI204", "embed.weight head.weight", "the checkpoint's values are"
)
def drawn_after_loading():
    return {"build": lambda: pretrained(False)}


@healthy("huggingface/transformers#46620", "overwritten")
def drawn_after_loading_fixed():
    return {"build": lambda: pretrained(True)}


class RowParallelAdapter(nn.Module):
    def __init__(self, in_features: int, rank: int, shards: int, full: bool):
        super().__init__()
        self.in_features, self.num_shards = in_features, shards
        self.lora_A = nn.Parameter(torch.empty(rank, in_features // shards))
        if full:
            nn.init.normal_(self.lora_A, std=math.sqrt(2 / (in_features + rank)))
        else:
            nn.init.xavier_normal_(self.lora_A)
        self.lora_B = nn.Parameter(torch.zeros(in_features, rank))


@fault("NVIDIA-NeMo/Megatron-Bridge#5840", "wrong scale", "ZI205", "lora_A", "holds a shard of a parameter of (4, 64)")
def adapter_per_shard():
    return {"build": lambda: RowParallelAdapter(64, 4, 4, False)}


@healthy("NVIDIA-NeMo/Megatron-Bridge#5840", "wrong scale")
def adapter_per_shard_fixed():
    return {"build": lambda: RowParallelAdapter(64, 4, 4, True)}


class Packed(nn.Module):
    def __init__(self, parts: bool):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(48, 16))
        self.out_proj = nn.Linear(16, 16)
        for part in self.in_proj_weight.chunk(3) if parts else [self.in_proj_weight]:
            nn.init.xavier_uniform_(part)


@fault("pytorch/pytorch#166378", "wrong scale", "ZI205", "in_proj_weight", "packs 3 projections")
def packed_projection():
    return {"build": lambda: Packed(False)}


@healthy("pytorch/pytorch#166378", "wrong scale")
def packed_projection_fixed():
    return {"build": lambda: Packed(True)}


def depthwise(right: bool) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16))
    for layer in (model[0], model[2]):
        if right:
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.out_channels / layer.groups * 9)))
        else:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


@fault("pytorch/pytorch#23854", "wrong scale", "ZI205", "2.weight", "16 groups with 1 inputs and 1 outputs each")
def depthwise_fan():
    return {"build": lambda: depthwise(False)}


@healthy("pytorch/pytorch#23854", "wrong scale")
def depthwise_fan_fixed():
    return {"build": lambda: depthwise(True)}


def stacked(restore: bool) -> nn.Module:
    layers = nn.Sequential(*(nn.Linear(16, 16) for _ in range(3)), nn.Linear(16, 4))
    generator = torch.Generator().manual_seed(1)
    for layer in layers:
        state = generator.get_state()
        nn.init.trunc_normal_(layer.weight, std=0.02, generator=generator)
        nn.init.zeros_(layer.bias)
        if restore:
            generator.set_state(state)
    return layers


@fault("pytorch/torchtitan#3106", "copies", "ZI206", "0.weight 1.weight 2.weight", "have the same random values")
def restored_generator():
    return {"build": lambda: stacked(True)}


@healthy("pytorch/torchtitan#3106", "copies")
def restored_generator_fixed():
    return {"build": lambda: stacked(False)}


class RowParallelLora(nn.Module):
    """Holds ``in_features / world`` rows of A; B is the same on all ranks."""

    def __init__(self, rank: int, world: int, own: bool):
        super().__init__()
        self.in_features, self.world_size = 32, world
        generator = torch.Generator().manual_seed(7 + (rank if own else 0))
        self.lora_A = nn.Parameter(torch.randn(32 // world, 4, generator=generator) * 0.02)
        self.lora_B = nn.Parameter(torch.zeros(4, 32))
        self.norm = nn.LayerNorm(32)


def lora_ranks(own: bool):
    return {
        "build": lambda: RowParallelLora(0, 1, own),
        "ranks": [lambda rank=rank: RowParallelLora(rank, 4, own) for rank in range(4)],
    }


@fault("PaddlePaddle/PaddleNLP#9427", "copies on ranks", "ZI207", "lora_A", "several ranks hold the same random values")
def adapter_equal_on_ranks():
    return lora_ranks(False)


@healthy("PaddlePaddle/PaddleNLP#9427", "copies on ranks")
def adapter_equal_on_ranks_fixed():
    return lora_ranks(True)


def replica(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 2, bias=False))


@fault(
    "allenai/OLMo-core#319", "replicas differ", "ZI208", "0.weight 0.bias 2.weight", "ranks start with different values"
)
def seed_of_the_rank():
    return {"build": lambda: replica(0), "ranks": [lambda rank=rank: replica(rank) for rank in range(2)]}


@healthy("allenai/OLMo-core#319", "replicas differ")
def seed_of_the_rank_fixed():
    return {"build": lambda: replica(0), "ranks": [lambda: replica(0) for _ in range(2)]}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight


def on_meta_by_assignment(tie: bool) -> nn.Module:
    """Each registration makes a new parameter on the meta device, as some context managers do."""
    before = nn.Module.register_parameter

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        before(module, name, parameter)
        if parameter is not None:
            module._parameters[name] = nn.Parameter(module._parameters[name].to("meta"))

    nn.Module.register_parameter = register
    try:
        model = Tied()
    finally:
        nn.Module.register_parameter = before
    model.to_empty(device="cpu")
    if tie:
        model.head.weight = model.embed.weight
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    return model


@fault("huggingface/accelerate#3668", "tied", "ZI209", "embed.weight head.weight", "were one parameter while")
def tied_on_meta():
    return {"build": lambda: on_meta_by_assignment(False)}


@healthy("huggingface/accelerate#3668", "tied")
def tied_on_meta_fixed():
    return {"build": lambda: on_meta_by_assignment(True)}
