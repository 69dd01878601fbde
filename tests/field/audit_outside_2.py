"""Cases of a second engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import io
import math

import torch
from torch import nn

from .audit_harness import fault, healthy


class Small(nn.Module):
    """Draws its layers through `.data`, as models of transformers do."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def draw(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.data.normal_(mean=0.0, std=0.02)
                module.bias.data.zero_()


def saved(model: nn.Module) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return file


def filled(how: str, draw: str = "") -> nn.Module:
    """Put the tensors of a file into the places of parameters, and draw before it or afterwards."""
    model = Small()
    values = {key: torch.randn_like(each) for key, each in model.state_dict().items()}
    if draw == "first":
        model.draw()
    if how == "pickle":
        model.load_state_dict(values)
        model = torch.load(saved(model), weights_only=False)
    else:
        file = io.BytesIO()
        torch.save(values, file)
        file.seek(0)
        for key, tensor in torch.load(file).items():
            path, _, attribute = key.rpartition(".")
            if how == "parameter":
                setattr(model.get_submodule(path), attribute, nn.Parameter(tensor))
            else:
                model.get_parameter(key).data = tensor
    if draw == "last":
        model.draw()
    return model


ALL = "body.weight body.bias head.weight head.bias"


@fault("huggingface/transformers#46620", "overwritten", "ZI204", ALL, "was loaded, and a write")
def new_parameters_and_then_a_rule():
    return {"build": lambda: filled("parameter", "last")}


@fault("own", "overwritten", "ZI204", ALL, "was loaded, and a write")
def given_data_and_then_a_rule():
    return {"build": lambda: filled("data", "last")}


@fault("own", "overwritten", "ZI204", ALL, "was loaded, and a write")
def pickled_model_and_then_a_rule():
    return {"build": lambda: filled("pickle", "last")}


@healthy("huggingface/transformers#46620", "overwritten")
def rule_and_then_new_parameters():
    return {"build": lambda: filled("parameter", "first")}


@healthy("own", "overwritten")
def rule_and_then_given_data():
    return {"build": lambda: filled("data", "first")}


def replaced(how: str, last: str = "") -> nn.Module:
    """Load, and then give parameters other memory."""
    model = Small()
    values = {key: torch.randn_like(each) for key, each in model.state_dict().items()}
    model.load_state_dict(values)
    if how == "one layer":
        model.head.weight = nn.Parameter(0.02 * torch.randn(2, 8))
        model.head.bias.data = torch.zeros(2)
    for layer in (model.body, model.head):
        if how == "data":
            layer.weight.data = 0.02 * torch.randn_like(layer.weight)
            layer.bias.data = torch.zeros_like(layer.bias)
        elif how == "parameter":
            layer.weight = nn.Parameter(torch.empty_like(layer.weight).normal_(0, 0.02))
            layer.bias = nn.Parameter(torch.zeros_like(layer.bias))
        elif how == "formula":
            layer.weight.data = torch.linspace(-1, 1, layer.weight.numel()).view_as(layer.weight).sin()
        elif how == "rounded":
            layer.weight = nn.Parameter((layer.weight.data + 0.01 * torch.randn_like(layer.weight)).round(decimals=2))
            layer.bias.data = layer.bias.data.clamp(-1, 1)
    if last == "type":
        model.bfloat16()
    elif last == "load":
        model.load_state_dict(values)
    return model


@fault("own", "overwritten", "ZI204", ALL, "was loaded, and a write")
def loaded_and_then_other_data():
    return {"build": lambda: replaced("data")}


@fault("own", "overwritten", "ZI204", ALL, "was loaded, and a write")
def loaded_and_then_other_parameters():
    return {"build": lambda: replaced("parameter")}


@fault("own", "overwritten", "ZI204", ALL, "the checkpoint's values are lost")
def loaded_and_then_other_data_of_another_type():
    return {"build": lambda: replaced("data", "type")}


@healthy("own", "overwritten")
def other_parameters_and_then_loaded():
    return {"build": lambda: replaced("parameter", "load")}


@healthy("own", "overwritten")
def parameters_computed_from_loaded_ones():
    return {"build": lambda: replaced("rounded", "type")}


@healthy("own", "overwritten")
def loaded_and_then_a_formula():
    return {"build": lambda: replaced("formula")}


@healthy("own", "overwritten")
def one_layer_gets_other_parameters():
    return {"build": lambda: replaced("one layer")}


class OpenLstm(nn.LSTM):
    """Opens its forget gates itself."""

    def reset_parameters(self) -> None:
        for name, parameter in self.named_parameters():
            if "bias" not in name:
                for gate in parameter.data.chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                parameter.data.zero_()
                if "bias_ih" in name:
                    parameter.data[self.hidden_size : 2 * self.hidden_size] = 1.0


class Tagger(nn.Module):
    def __init__(self, leave_out: bool):
        super().__init__()
        self.lstm, self.middle, self.out = OpenLstm(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        for name, parameter in self.named_parameters():
            if "bias" in name and not (leave_out and name.startswith("lstm")):
                nn.init.constant_(parameter, 0.0)


@fault("allenai/allennlp#247", "overwritten", "ZI203", "lstm.bias_ih_l0", "in OpenLstm.reset_parameters")
def forget_gate_of_an_own_lstm():
    return {"build": lambda: Tagger(False)}


@healthy("allenai/allennlp#247", "overwritten")
def forget_gate_of_an_own_lstm_fixed():
    return {"build": lambda: Tagger(True)}


class ZeroConv(nn.Conv2d):
    """Starts at zero: by its own `reset_parameters`, or by its constructor."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ZeroLinear(nn.Linear):
    def __init__(self, *sizes: int):
        super().__init__(*sizes)
        nn.init.zeros_(self.weight)


class Flow(nn.Module):
    def __init__(self, last: bool):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)), nn.Linear(3, 3), nn.Linear(3, 3))
        self.out, self.gate = ZeroConv(3, 3, 1), ZeroLinear(3, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and not (last and module in (self.out, self.gate)):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)


@fault("rosinality/glow-pytorch", "overwritten", "ZI203", "out.weight gate.weight", "was set by `zeros_`")
def zeros_of_own_layers():
    return {"build": lambda: Flow(False)}


@healthy("rosinality/glow-pytorch", "overwritten")
def zeros_of_own_layers_fixed():
    return {"build": lambda: Flow(True)}


class DrawnLinear(nn.Linear):
    """Has a distribution of its own, and biases at zero: a default, which the model may replace."""

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


@healthy("own", "overwritten")
def default_of_an_own_layer_replaced():
    def build() -> nn.Module:
        model = nn.Sequential(DrawnLinear(4, 4), *(nn.Linear(4, 4) for _ in range(3)))
        for module in model:
            nn.init.normal_(module.weight, std=0.02)
            nn.init.uniform_(module.bias, -0.1, 0.1)
        return model

    return {"build": build}


class Scores(nn.Module):
    """No kind of a torch layer: its constructor leaves a place holder."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))


@healthy("own", "overwritten")
def place_holder_of_an_own_module():
    def build() -> nn.Module:
        model = nn.Sequential(Scores(), *(nn.Linear(4, 4) for _ in range(3)))
        for module in model:
            nn.init.normal_(module.weight, std=0.02)
        return model

    return {"build": build}


class Members(nn.Module):
    """k members share a matrix, and have signs of their own; they start with one bias."""

    def __init__(self, signs: str, bias: str = "bias", members: int = 4):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, 6).uniform_(-0.4, 0.4))
        count = 1 if signs == "equal" else members
        self.r = nn.Parameter((torch.randint(0, 2, (count, 6)) * 2.0 - 1).expand(members, 6).clone())
        self.register_parameter(bias, nn.Parameter(torch.empty(8).uniform_(-0.4, 0.4).expand(members, 8).clone()))


@healthy("yandex-research/tabm", "copies")
def one_bias_for_members():
    return {"build": lambda: Members("drawn")}


@fault("own", "copies", "ZI206", "r bias", "4 blocks of rows of `bias` have the same random values")
def one_bias_for_equal_members():
    return {"build": lambda: Members("equal")}


@fault("own", "copies", "ZI206", "scale", "4 blocks of rows of `scale` have the same random values")
def one_scale_for_members():
    return {"build": lambda: Members("drawn", "scale")}


@healthy("own", "copies")
def one_bias_for_stacked_experts():
    def build() -> nn.Module:
        model = nn.Module()
        model.weight = nn.Parameter(torch.stack([nn.init.xavier_uniform_(torch.empty(6, 8)) for _ in range(4)]))
        model.bias = nn.Parameter(torch.rand(8).expand(4, 1, 8).clone())
        return model

    return {"build": build}


WHOLE = torch.randn(4, 6, 6)


def experts(count: int, start: int = 0, values: torch.Tensor = WHOLE) -> nn.Module:
    """A rank loads some of the experts that lie in one tensor of a checkpoint."""
    model = nn.Module()
    model.register_parameter("w", nn.Parameter(torch.zeros(count, 6, 6)))
    model.load_state_dict({"w": values[start : start + count]})
    return model


@fault("deepspeedai/DeepSpeed#6589", "copies (shards)", "ZI207", "w", "hold the same part of it")
def first_half_on_both_ranks():
    return {"build": lambda: experts(4), "ranks": [lambda: experts(2), lambda: experts(2)]}


@healthy("deepspeedai/DeepSpeed#6589", "copies (shards)")
def first_half_on_both_ranks_fixed():
    return {"build": lambda: experts(4), "ranks": [lambda: experts(2), lambda: experts(2, 2)]}


@healthy("own: sparse upcycling", "copies (shards)")
def all_experts_are_one_dense_layer():
    values = WHOLE[:1].expand(4, 6, 6)
    ranks = [lambda start=start: experts(2, start, values) for start in (0, 2)]
    return {"build": lambda: experts(4, 0, values), "ranks": ranks}


@healthy("own", "copies (shards)")
def loaded_constants_on_both_ranks():
    values = torch.arange(4.0).view(4, 1, 1).expand(4, 6, 6)
    return {"build": lambda: experts(4, 0, values), "ranks": [lambda: experts(1, 0, values) for _ in range(4)]}


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.register_buffer("state", torch.randn(4))

    def forward(self, x):
        return self.second(self.first(self.conv(x)))


def with_statistics(*steps: str) -> nn.Module:
    values = {key: torch.rand(each.shape) for key, each in Normed().state_dict().items()}
    values |= {f"{name}.num_batches_tracked": torch.tensor(3) for name in ("first", "second")}
    model = Normed()
    for step in steps:
        if step == "load":
            model.load_state_dict(values)
        elif step == "pass":
            model(torch.randn(5, 3, 2, 2))
        else:
            for norm in (model.first, model.second):
                norm.reset_running_stats()
    return model


STATISTICS = "first.running_mean first.running_var second.running_mean second.running_var"


@fault("cleinc/bts#90", "overwritten", "ZI204", STATISTICS, "was loaded, and `BatchNorm2d.reset_running_stats`")
def loaded_statistics_reset():
    return {"build": lambda: with_statistics("load", "reset")}


@healthy("cleinc/bts#90", "overwritten")
def statistics_loaded_last():
    return {"build": lambda: with_statistics("reset", "load")}


@healthy("torch.optim.swa_utils.update_bn", "overwritten")
def statistics_are_measured_anew():
    return {"build": lambda: with_statistics("load", "reset", "pass")}


@healthy("own", "overwritten")
def statistics_of_one_layer_and_a_state():
    def build() -> nn.Module:
        model = with_statistics("load")
        model.second.reset_running_stats()
        for state in (model.state,):
            state.zero_()
        return model

    return {"build": build}


class Deep(nn.Module):
    """The initializer divides the last layer of each block by its depth; the constructor calls it, too."""

    def __init__(self, first: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"up": nn.Linear(8, 8), "down": nn.Linear(8, 8)}) for _ in range(3))
        self.steps = (self.shrink, self.draw) if first else (self.draw, self.shrink)
        self.fix()

    def fix(self) -> None:
        for step in self.steps:
            step()

    def draw(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def shrink(self) -> None:
        for depth, block in enumerate(self.blocks):
            block["down"].weight.data.div_(math.sqrt(2.0 * (depth + 1)))


@healthy("microsoft/unilm BEiT", "overwritten")
def scaling_at_the_end_and_again():
    return {"build": Deep, "init": Deep.fix}


DOWN = "blocks.0.down.weight blocks.1.down.weight blocks.2.down.weight"


@fault("own", "overwritten", "ZI203", DOWN, "was scaled by a write")
def scaling_first_and_again():
    return {"build": lambda: Deep(first=True), "init": Deep.fix}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
        self.head.weight = self.embed.weight


def without_the_tied_key(tie: bool) -> nn.Module:
    with torch.device("meta"):
        model = Tied()
    model.to_empty(device="cpu")
    model.load_state_dict({"embed.weight": WHOLE.flatten()[:72].view(9, 8)}, strict=False)
    if tie:
        model.head.weight = model.embed.weight
    return model


@healthy("vec2text/vec2text#94", "tied")
def tied_key_is_not_in_the_checkpoint_fixed():
    return {"build": lambda: without_the_tied_key(True)}


class Marked(nn.Module):
    """The standard deviation of the head stands on its parameter, or on the layer."""

    def __init__(self, on_layer: bool):
        super().__init__()
        self.body, self.head = nn.Linear(24, 24), nn.Linear(24, 40)
        (self.head if on_layer else self.head.weight).init_std = 0.002

    def draw(self) -> None:
        for layer in self.children():
            std = getattr(layer, "init_std", getattr(layer.weight, "init_std", 0.02))
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


@fault(
    "state-spaces/mamba", "depends on the device", "ZI211", "head.weight", "Keep `init_std` on the module, and not on"
)
def mark_on_the_parameter():
    return {"build": lambda: Marked(False), "init": Marked.draw}


@healthy("state-spaces/mamba", "depends on the device")
def mark_on_the_layer():
    return {"build": lambda: Marked(True), "init": Marked.draw}


def replica(rank: int, adjust: bool) -> nn.Module:
    torch.manual_seed(7)
    layer = nn.Linear(8, 8)
    nn.init.normal_(layer.weight, std=0.02 / math.sqrt(24) if adjust and rank == 0 else 0.02)
    return layer


@fault("deepspeedai/DeepSpeed#253", "replicas differ", "ZI208", "weight", "-> Draw them by one rule on all ranks")
def adjusted_on_one_rank():
    return {"build": lambda: replica(0, True), "ranks": [lambda rank=rank: replica(rank, True) for rank in range(2)]}


@healthy("deepspeedai/DeepSpeed#253", "replicas differ")
def adjusted_on_one_rank_fixed():
    return {"build": lambda: replica(0, False), "ranks": [lambda rank=rank: replica(rank, False) for rank in range(2)]}
