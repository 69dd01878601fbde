"""Models that look like a fault of initialization and have none: constants, buffers, copies and rules on purpose."""

import copy
import math

import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from .audit_harness import healthy


@healthy("own", "copies")
def constants_in_several_layers():
    layers = lambda: [nn.Linear(8, 8) for _ in range(3)]  # noqa: E731

    def build():
        model = nn.Sequential(*layers(), *(nn.LayerNorm(8) for _ in range(3)))
        for layer in model[:3]:
            nn.init.eye_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)
        return model

    return {"build": build}


class Lazily(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.LazyLinear(4)
        self.register_buffer("cache", torch.empty(16, 4), persistent=False)
        self.register_buffer("seen", torch.empty(0))

    def forward(self, x):
        out = self.proj(x)
        self.cache[: len(x)] = out
        self.seen = x.mean(0)
        return out


@healthy("own", "never written")
def lazy_layer_and_cache():
    return {"build": Lazily, "batch": torch.randn(3, 8)}


@healthy("own", "never written")
def lazy_layer_alone():
    return {"build": lambda: nn.LazyLinear(4)}


class ActNorm(nn.Module):
    """Sets its parameters from the first batch."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.empty(8)), nn.Parameter(torch.empty(8))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, x):
        if not self.ready:
            with torch.no_grad():
                self.scale.copy_(1 / x.std(0))
                self.shift.copy_(-x.mean(0))
                self.ready.fill_(True)
        return (x + self.shift) * self.scale


@healthy("own", "never written")
def set_by_the_first_batch():
    return {"build": ActNorm, "batch": torch.randn(16, 8)}


@healthy("own", "lost write")
def spectral_and_weight_norm():
    def build():
        first = parametrizations.spectral_norm(nn.Linear(8, 8))
        second = nn.Linear(8, 8)
        nn.init.orthogonal_(second.weight)
        return nn.Sequential(first, parametrizations.weight_norm(second))

    return {"build": build, "batch": torch.randn(2, 8)}


@healthy("own", "lost write")
def old_norms():
    def build():
        with torch.no_grad():
            return nn.Sequential(nn.utils.spectral_norm(nn.Linear(8, 8)), weight_norm(nn.Linear(8, 8)))

    return {"build": build}


class Averaged(nn.Module):
    def __init__(self, freeze: bool):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        self.mean = copy.deepcopy(self.online).requires_grad_(not freeze)


@healthy("own", "copies")
def frozen_average():
    return {"build": lambda: Averaged(True)}


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.policy, self.goal = nn.Linear(8, 4), nn.Linear(8, 4)
        self.goal.load_state_dict(self.policy.state_dict())


@healthy("own", "copies")
def loaded_from_another_network():
    return {"build": Agent}


@healthy("own", "copies")
def averaged_model_of_torch():
    def build():
        model = nn.Linear(8, 4)
        return nn.ModuleDict({"net": model, "ema": torch.optim.swa_utils.AveragedModel(model)})

    return {"build": build}


@healthy("own", "copies")
def shared_layers():
    def build():
        layer = nn.Linear(8, 8)
        return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), layer)

    return {"build": build}


class Tables(nn.Module):
    def __init__(self):
        super().__init__()
        table = torch.sin(torch.outer(torch.arange(16.0), torch.arange(1.0, 9.0)))
        self.first, self.second = nn.Parameter(table.clone()), nn.Parameter(table.clone())
        self.tower = nn.Linear(8, 8)


@healthy("own", "copies")
def equal_tables():
    return {"build": Tables}


class Small(nn.Module):
    """GPT-2's rules at a small width: 0.02 everywhere, a depth factor last, zeros for the head's bias."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(11, 8), nn.Embedding(4, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"qkv": nn.Linear(8, 24), "proj": nn.Linear(8, 8), "ln": nn.LayerNorm(8)}) for _ in range(2)
        )
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.wte.weight
        self.apply(self._init_weights)
        self.shrink()

    def shrink(self):
        for name, parameter in self.named_parameters():
            if name.endswith("proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(4))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


@healthy("own", "overwritten")
def general_then_special():
    return {"build": Small}


@healthy("own", "tied")
def general_then_special_from_meta():
    def init(model):
        model.apply(model._init_weights)
        model.shrink()
        for block in model.blocks:
            block["ln"].reset_parameters()

    return {"build": Small, "init": init}


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.gates = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(3))
        self.scales = nn.Parameter(torch.full((3, 8), 1e-4))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.layers[-1].weight)


@healthy("own", "overwritten")
def gates_and_place_holders():
    return {"build": Gated}


class OwnLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.empty(outputs))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.uniform_(self.bias, -bound, bound)


class OwnLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.embed = OwnLinear(8, 16), OwnLinear(16, 8), nn.Embedding(5, 8)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)


@healthy("own", "overwritten")
def own_defaults_then_a_rule():
    return {"build": OwnLayers}


class FineTuned(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), nn.Linear(8, 4)


@healthy("own", "overwritten")
def new_head_after_loading():
    def build():
        saved = {key: value.clone() for key, value in FineTuned().state_dict().items()}
        model = FineTuned()
        model.load_state_dict(saved)
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
        return model

    return {"build": build}


@healthy("own", "overwritten")
def another_head_after_loading():
    def build():
        saved = {key: value.clone() for key, value in FineTuned().state_dict().items()}
        model = FineTuned()
        model.load_state_dict(saved)
        model.head = nn.Linear(8, 7)
        nn.init.normal_(model.head.weight, std=0.02)
        return model

    return {"build": build}


@healthy("own", "wrong scale")
def usual_convolutions():
    def build():
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3), nn.Linear(16, 4))
        for module in model:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.xavier_uniform_(model[3].weight)
        nn.init.xavier_uniform_(nn.Embedding(100, 8).weight)
        return model

    return {"build": build}


@healthy("own", "wrong scale")
def xavier_on_recurrent_and_embedding():
    def build():
        model = nn.ModuleDict(
            {"embed": nn.Embedding(50, 8), "rnn": nn.GRU(8, 8), "up": nn.ConvTranspose2d(16, 8, 4, 2)}
        )
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        return model

    return {"build": build}


@healthy("own", "never written")
def temporary_then_copied():
    def build():
        layer = nn.utils.skip_init(nn.Linear, 8, 8)
        values = torch.empty_like(layer.weight)
        nn.init.orthogonal_(values)
        with torch.no_grad():
            layer.weight.copy_(values)
            layer.bias.data = torch.zeros(8)
        return layer

    return {"build": build}


@healthy("own", "never written")
def values_from_numpy():
    def build():
        layer = nn.utils.skip_init(nn.Linear, 4, 4)
        layer.weight.data.copy_(torch.from_numpy(__import__("numpy").eye(4, dtype="float32")))
        layer.bias.detach().numpy()[:] = 0
        return layer

    return {"build": build}


@healthy("own", "never written")
def infinite_and_integer_buffers():
    def build():
        model = nn.Linear(4, 4)
        model.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))
        model.register_buffer("missing", torch.full((4,), float("nan")))
        model.register_buffer("index", torch.arange(4))
        model.register_buffer("on", torch.zeros(4, dtype=torch.bool))
        return model

    return {"build": build}


@healthy("own", "replicas differ")
def replicas_by_default():
    return {"build": lambda: nn.Linear(4, 4), "ranks": [lambda: nn.Linear(4, 4) for _ in range(3)]}


class Sliced(nn.Module):
    """Draws the whole with one seed, and keeps the rows of its rank."""

    def __init__(self, rank, world):
        super().__init__()
        whole = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)) * 0.02
        self.weight = nn.Parameter(whole.chunk(world)[rank].clone())
        self.register_buffer("first_row", torch.tensor(rank * 16 // world))


@healthy("own", "copies on ranks")
def drawn_whole_and_sliced():
    return {"build": lambda: Sliced(0, 1), "ranks": [lambda rank=rank: Sliced(rank, 4) for rank in range(4)]}


@healthy("own", "copies")
def slices_of_one_flat_tensor():
    def build():
        flat = torch.randn(64 + 32)
        model = nn.Module()
        model.a, model.b = nn.Parameter(flat[:64].view(8, 8)), nn.Parameter(flat[64:].view(4, 8))
        return model

    return {"build": build}


@healthy("own", "copies")
def kernels_repeated_for_pixel_shuffle():
    def build():
        layer = nn.Conv2d(4, 16, 3)
        kernels = nn.init.kaiming_normal_(torch.empty(4, 4, 3, 3))
        with torch.no_grad():
            layer.weight.copy_(kernels.repeat_interleave(4, 0))
        return layer

    return {"build": build}


@healthy("own", "overwritten")
def scaled_until_the_variance_is_one():
    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        inputs = torch.randn(64, 8)
        with torch.no_grad():
            for layer in model:
                if isinstance(layer, nn.Linear):
                    nn.init.orthogonal_(layer.weight)
                    for _ in range(3):
                        layer.weight.div_(layer(inputs).std())
                inputs = layer(inputs)
        return model

    return {"build": build}


@healthy("own", "never written")
def half_precision():
    return {"build": lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).to(torch.bfloat16)}


@healthy("own", "tied")
def untied_on_purpose():
    def build():
        model = nn.ModuleDict({"embed": nn.Embedding(8, 8), "head": nn.Linear(8, 8, bias=False)})
        model["head"].weight = model["embed"].weight
        model["head"].weight = nn.Parameter(torch.randn(8, 8) * 0.02)
        return model

    return {"build": build}


@healthy("own", "tied")
def columns_of_one_tensor():
    def build():
        whole = torch.randn(8, 8)
        model = nn.Module()
        model.left, model.right = nn.Parameter(whole[:, :4]), nn.Parameter(whole[:, 4:])
        return model

    return {"build": build}


class Part(nn.Module):
    """Draws all its weights by its own rule; the whole model has another one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.constant_(parameter, 0)


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.part, self.embed, self.heads = Part(), nn.Embedding(5, 8), nn.ModuleList(nn.Linear(8, 4) for _ in range(3))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)


@healthy("own", "overwritten")
def rule_of_a_part_then_of_the_whole():
    return {"build": Whole}


class Mixer(nn.Module):
    """Projects to twice the width, as state-space layers do; knows how many ranks there are, and is on all of them."""

    def __init__(self):
        super().__init__()
        self.dim, self.hidden, self.world_size = 8, 16, 2
        torch.manual_seed(0)
        self.in_proj = nn.Linear(8, 16)
        self.mix = nn.Parameter(torch.randn(8, 4))
        nn.init.xavier_uniform_(self.in_proj.weight)


@healthy("own", "copies on ranks")
def replicas_that_know_the_number_of_ranks():
    return {"build": Mixer, "ranks": [Mixer, Mixer]}
