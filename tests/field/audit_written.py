"""Public reports on values that nobody wrote, that were written over, or whose ties were lost; each with its repair."""

import math

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, skip_init

from .audit_harness import fault, healthy


class Rope(nn.Module):
    def __init__(self, refill: int = 2):
        super().__init__()
        self.refill = refill
        self.register_buffer("inv_freq", self.frequencies(), persistent=False)
        self.register_buffer("original_inv_freq", self.frequencies(), persistent=False)

    def frequencies(self):
        return 1 / 10000 ** (torch.arange(0, 8, 2) / 8)

    def reset(self):
        for name in ("inv_freq", "original_inv_freq")[: self.refill]:
            getattr(self, name).copy_(self.frequencies())


class Decoder(nn.Module):
    def __init__(self, refill: int = 2):
        super().__init__()
        self.rope, self.proj, self.norm = Rope(refill), nn.Linear(8, 8), nn.LayerNorm(8)

    def init_weights(self):
        self.rope.reset()
        self.proj.reset_parameters()
        self.norm.reset_parameters()


@fault("huggingface/transformers#45902", "never written", "ZI201", "rope.original_inv_freq", "never written after")
def second_rotary_buffer():
    return {"build": lambda: Decoder(1), "init": Decoder.init_weights}


@healthy("huggingface/transformers#45902", "never written")
def second_rotary_buffer_fixed():
    return {"build": lambda: Decoder(2), "init": Decoder.init_weights}


def on_rank(rank: int, sync: bool) -> nn.Module:
    """Rank 0 loads; the others get parameters from it, and buffers only if those are synchronized."""
    whole = Decoder()
    if rank == 0:
        return whole
    with torch.device("meta"):
        model = Decoder()
    model.to_empty(device="cpu")
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), whole.parameters(), strict=True):
            mine.copy_(theirs)
        for mine, theirs in zip(model.buffers(), whole.buffers(), strict=True):
            if sync:
                mine.copy_(theirs)
    return model


@fault("NovaSky-AI/SkyRL#1709", "never written", "ZI201", "rope.inv_freq rope.original_inv_freq", "never written")
def buffers_of_other_ranks():
    return {"build": Decoder, "ranks": [lambda rank=rank: on_rank(rank, False) for rank in range(2)]}


@healthy("NovaSky-AI/SkyRL#1709", "never written")
def buffers_of_other_ranks_fixed():
    return {"build": Decoder, "ranks": [lambda rank=rank: on_rank(rank, True) for rank in range(2)]}


class Background(nn.Module):
    def __init__(self, draw: bool):
        super().__init__()
        self.text, self.bg_embeddings = nn.Linear(8, 8), nn.Parameter(torch.empty(1, 8))
        if draw:
            nn.init.kaiming_uniform_(self.bg_embeddings, nonlinearity="relu")


@fault("sauradip/STALE#16", "never written", "ZI201", "bg_embeddings", "left-over memory of audit_written.py")
def empty_background():
    return {"build": lambda: Background(False)}


@healthy("sauradip/STALE#16", "never written")
def empty_background_fixed():
    return {"build": lambda: Background(True)}


class ConvNd(nn.Module):
    def __init__(self, initialize: bool):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.Tensor(4, 3, 3, 3)), nn.Parameter(torch.Tensor(4))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if initialize:
            nn.init.zeros_(self.bias)


@fault("pvjosue/pytorch_convNd#4", "never written", "ZI201", "bias", "parameter `bias` was never written")
def legacy_tensor():
    return {"build": lambda: ConvNd(False)}


@healthy("pvjosue/pytorch_convNd#4", "never written")
def legacy_tensor_fixed():
    return {"build": lambda: ConvNd(True)}


def with_missing_key(initialize: bool) -> nn.Module:
    saved = nn.ModuleDict({"proj": nn.Linear(8, 8)}).state_dict()
    with torch.device("meta"):
        model = nn.ModuleDict({"proj": nn.Linear(8, 8), "new_proj": nn.Linear(8, 4)})
    model.to_empty(device="cpu")
    missing, _ = model.load_state_dict(saved, strict=False)
    if initialize and missing:
        model["new_proj"].reset_parameters()
    return model


@fault("huggingface/transformers#35437", "never written", "ZI201", "new_proj.weight new_proj.bias", "never written")
def missing_key():
    return {"build": lambda: with_missing_key(False)}


@healthy("huggingface/transformers#35437", "never written")
def missing_key_fixed():
    return {"build": lambda: with_missing_key(True)}


def larger_vocabulary(fill: bool) -> nn.Module:
    old, new = nn.Embedding(10, 8), skip_init(nn.Embedding, 16, 8)
    with torch.no_grad():
        new.weight[:10] = old.weight
        if fill:
            new.weight[10:] = old.weight.mean(0)
    return nn.Sequential(new, nn.Linear(8, 16))


@fault("huggingface/transformers#28122", "never written", "ZI201", "0.weight", "48 of 128 values")
def new_rows():
    return {"build": lambda: larger_vocabulary(False)}


@healthy("huggingface/transformers#28122", "never written")
def new_rows_fixed():
    return {"build": lambda: larger_vocabulary(True)}


class Flagged(nn.Module):
    """Initializes itself once; the flag is set on the meta device already."""

    def __init__(self, ask_device: bool):
        super().__init__()
        self.body, self.ask_device, self.done = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), ask_device, False
        self.init_weights()

    def init_weights(self):
        if self.done:
            return
        for layer in self.body:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.done = not (self.ask_device and self.body[0].weight.is_meta)


@fault(
    "ByteDance-Seed/VeOmni#163",
    "never written",
    "ZI201",
    "body.0.weight body.0.bias body.1.weight body.1.bias",
    "sets values on the meta device",
)
def flag_on_meta():
    return {"build": lambda: Flagged(False), "init": Flagged.init_weights}


@healthy("ByteDance-Seed/VeOmni#163", "never written")
def flag_on_meta_fixed():
    return {"build": lambda: Flagged(True), "init": Flagged.init_weights}


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.empty(2, 8, 16)), nn.Parameter(torch.empty(2, 16, 8))
        self.set()

    def set(self):
        for weight in (self.w1, self.w2):
            nn.init.normal_(weight, std=0.02)


class Moe(nn.Module):
    def __init__(self):
        super().__init__()
        self.router, self.experts = nn.Linear(8, 2), Experts()


def reset(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def reset_all(model: nn.Module) -> None:
    reset(model)
    model.experts.set()


@fault("NVIDIA/Megatron-LM#6799", "never written", "ZI201", "experts.w1 experts.w2", "never written")
def experts_without_reset():
    return {"build": Moe, "init": reset}


@healthy("NVIDIA/Megatron-LM#6799", "never written")
def experts_without_reset_fixed():
    return {"build": Moe, "init": reset_all}


class Unregistered(nn.Module):
    def __init__(self):
        super().__init__()
        self.freqs_cis, self.wq = torch.outer(torch.arange(4.0), torch.ones(4)), nn.Linear(8, 8)


def also_frequencies(model: nn.Module) -> None:
    model.wq.reset_parameters()
    model.freqs_cis = torch.outer(torch.arange(4.0), torch.ones(4))


@fault("pytorch/torchtitan#164", "never written", "ZI201", "freqs_cis", "stays on the meta device")
def plain_tensor():
    return {"build": Unregistered, "init": lambda model: model.wq.reset_parameters()}


@healthy("pytorch/torchtitan#164", "never written")
def plain_tensor_fixed():
    return {"build": Unregistered, "init": also_frequencies}


def scaled(draw: bool) -> nn.Module:
    layer = skip_init(nn.Linear, 8, 8)
    with torch.no_grad():
        if draw:
            layer.weight.normal_()
        layer.weight.mul_(0.02)
        layer.bias.zero_()
    return layer


@fault("own", "never written", "ZI201", "weight", "was scaled or shifted")
def scaled_memory():
    return {"build": lambda: scaled(False)}


@healthy("own", "never written")
def scaled_memory_fixed():
    return {"build": lambda: scaled(True)}


class Statistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))


def parameters_alone(model: nn.Module) -> None:
    model.body[0].reset_parameters()
    nn.init.ones_(model.body[1].weight)
    nn.init.zeros_(model.body[1].bias)


@fault(
    "mlfoundations/open_lm#165",
    "never written",
    "ZI201",
    "body.1.running_mean body.1.running_var body.1.num_batches_tracked",
    "buffer `body.1.running_var` was never written",
)
def running_statistics():
    return {"build": Statistics, "init": parameters_alone}


@healthy("mlfoundations/open_lm#165", "never written")
def running_statistics_fixed():
    return {"build": Statistics, "init": reset}


def converted(lost: bool) -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)).to(torch.bfloat16)
    for layer in model:
        nn.init.orthogonal_(values := layer.weight.detach().float())
        if not lost:
            layer.weight.data.copy_(values)
    return model


@fault("deepspeedai/DeepSpeed#2650", "lost write", "ZI202", "0.weight 1.weight", "the written values go nowhere")
def drawn_in_a_copy():
    return {"build": lambda: converted(True), "batch": torch.ones(2, 8, dtype=torch.bfloat16)}


@healthy("deepspeedai/DeepSpeed#2650", "lost write")
def drawn_in_a_copy_fixed():
    return {"build": lambda: converted(False)}


def rows_by_list(lost: bool) -> nn.Module:
    layer = nn.Embedding(10, 4)
    with torch.no_grad():
        if lost:
            nn.init.zeros_(layer.weight[[1, 3]])
        else:
            layer.weight[[1, 3]] = 0
    return layer


@fault("own", "lost write", "ZI202", "weight", "an index, a conversion or `clone` made it")
def rows_of_a_list():
    return {"build": lambda: rows_by_list(True), "batch": torch.tensor([1, 3])}


@healthy("own", "lost write")
def rows_of_a_list_fixed():
    return {"build": lambda: rows_by_list(False)}


def pruned(first: bool) -> nn.Module:
    layer = nn.Linear(8, 8)
    if first:
        nn.init.xavier_uniform_(layer.weight)
    prune.random_unstructured(layer, "weight", amount=0.5)
    if not first:
        nn.init.xavier_uniform_(layer.weight)
    return layer


@fault("own", "lost write", "ZI202", "weight_orig", "is computed anew")
def pruned_weight():
    return {"build": lambda: pruned(False), "batch": torch.ones(2, 8)}


@healthy("own", "lost write")
def pruned_weight_fixed():
    return {"build": lambda: pruned(True)}


class Segmenter(nn.Module):
    """The gate's last layer starts at zero; a general rule of the parent draws it."""

    def __init__(self, keep: bool):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.gate = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        nn.init.zeros_(self.gate[0].weight)
        for module in self.modules():
            if isinstance(module, nn.Linear) and not (keep and module is self.gate[0]):
                nn.init.trunc_normal_(module.weight, std=0.02)


@fault("yz93/LAVT-RIS#25", "overwritten", "ZI203", "gate.0.weight", "was set by `zeros_`")
def zero_gate_drawn():
    return {"build": lambda: Segmenter(False)}


@healthy("yz93/LAVT-RIS#25", "overwritten")
def zero_gate_drawn_fixed():
    return {"build": lambda: Segmenter(True)}


class Former(nn.Module):
    def __init__(self, mark: bool):
        super().__init__()
        self.mark = mark
        self.query_proj = nn.Conv2d(8, 8, 1)
        nn.init.xavier_uniform_(self.query_proj.weight, gain=0.1)
        self.query_proj.done = mark
        self.layers = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d) and not getattr(module, "done", False):
            nn.init.normal_(module.weight, std=0.02)


@fault("huggingface/transformers#21431", "overwritten", "ZI203", "query_proj.weight", "was set by `xavier_uniform_`")
def second_pass():
    return {"build": lambda: Former(False)}


@healthy("huggingface/transformers#21431", "overwritten")
def second_pass_fixed():
    return {"build": lambda: Former(True)}


class Recurrent(nn.Module):
    def __init__(self, last: bool):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8), nn.Linear(8, 2)
        if not last:
            self.open_forget_gate()
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
        if last:
            self.open_forget_gate()

    def open_forget_gate(self):
        nn.init.ones_(self.lstm.bias_ih_l0.data[8:16])


@fault("own", "overwritten", "ZI203", "lstm.bias_ih_l0", "was set by `ones_`")
def forget_gate():
    return {"build": lambda: Recurrent(False)}


@healthy("own", "overwritten")
def forget_gate_fixed():
    return {"build": lambda: Recurrent(True)}


class Residual(nn.Module):
    """Depth factors before, or after, the general rule."""

    def __init__(self, before: bool):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"up": nn.Linear(8, 8), "down": nn.Linear(8, 8)}) for _ in range(3))
        if before:
            self.shrink()
        self.apply(lambda module: nn.init.normal_(module.weight, std=0.02) if isinstance(module, nn.Linear) else None)
        if not before:
            self.shrink()

    def shrink(self):
        for block in self.blocks:
            block["down"].weight.data.mul_(1 / math.sqrt(6))


@fault("own", "overwritten", "ZI203", "blocks.0.down.weight blocks.1.down.weight blocks.2.down.weight", "was scaled by")
def depth_factor():
    return {"build": lambda: Residual(True)}


@healthy("own", "overwritten")
def depth_factor_fixed():
    return {"build": lambda: Residual(False)}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.body, self.lm_head = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, 12, bias=False)
        self.lm_head.weight = self.wte.weight


def materialized(tie: bool) -> nn.Module:
    with torch.device("meta"):
        model = Tied()
    model.to_empty(device="cpu")
    model.apply(lambda module: hasattr(module, "reset_parameters") and module.reset_parameters())
    if tie:
        model.lm_head.weight = model.wte.weight
    return model


@fault("Modalities/modalities#357", "tied", "ZI209", "wte.weight lm_head.weight", "are two now")
def tied_and_to_empty():
    return {"build": lambda: materialized(False)}


@healthy("Modalities/modalities#357", "tied")
def tied_and_to_empty_fixed():
    return {"build": lambda: materialized(True)}


@healthy("Modalities/modalities#357", "tied")
def tied_and_to_empty_by_the_audit():
    return {"build": Tied, "init": lambda model: model.apply(lambda m: hasattr(m, "weight") and m.reset_parameters())}


def assigned(tie: bool) -> nn.Module:
    saved = {key: value.clone() for key, value in Tied().state_dict().items()}
    model = Tied()
    model.load_state_dict(saved, assign=True)
    if tie:
        model.lm_head.weight = model.wte.weight
    return model


@fault("TransformerLensOrg/TransformerLens#1725", "tied", "ZI209", "wte.weight lm_head.weight", "are two now")
def tied_and_assigned():
    return {"build": lambda: assigned(False)}


@healthy("TransformerLensOrg/TransformerLens#1725", "tied")
def tied_and_assigned_fixed():
    return {"build": lambda: assigned(True)}


class ByPointer(nn.Module):
    """Ties what has one address; on the meta device all have the address 0."""

    def __init__(self, careful: bool):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        if self.a.weight.data_ptr() == self.b.weight.data_ptr() and not (careful and self.a.weight.is_meta):
            self.b.weight = self.a.weight


@fault("own", "tied", "ZI210", "a.weight b.weight", "are one parameter from the meta device")
def joined_by_pointer():
    return {"build": lambda: ByPointer(False), "init": reset}


@healthy("own", "tied")
def joined_by_pointer_fixed():
    return {"build": lambda: ByPointer(True), "init": reset}


class Shared(nn.Module):
    def __init__(self, clone: bool):
        super().__init__()
        start = torch.randn(8, 8)
        self.q, self.k = nn.Parameter(start), nn.Parameter(torch.randn(8, 8) if clone else start)


@fault("own", "tied", "ZI210", "q k", "different parameters in the same memory")
def one_tensor_in_two_parameters():
    return {"build": lambda: Shared(False)}


@healthy("own", "tied")
def one_tensor_in_two_parameters_fixed():
    return {"build": lambda: Shared(True)}


def partly_loaded(redraw: bool) -> nn.Module:
    saved = {key: value.clone() for key, value in Segmenter(True).state_dict().items()}
    model = Segmenter(True)
    model.load_state_dict(saved)
    if redraw:
        reset(model)
    return model


@fault(
    "own",
    "overwritten",
    "ZI204",
    "backbone.0.weight backbone.0.bias backbone.2.weight backbone.2.bias gate.0.weight gate.0.bias",
    "was loaded, and `Linear.reset_parameters`",
)
def reset_after_loading():
    return {"build": lambda: partly_loaded(True)}


@healthy("own", "overwritten")
def reset_after_loading_fixed():
    return {"build": lambda: partly_loaded(False)}


@healthy("own", "lost write")
def spectral_norm():
    return {"build": lambda: parametrizations.spectral_norm(nn.Linear(8, 8)), "batch": torch.ones(2, 8)}


class Scan(nn.Module):
    """A state-space layer: a table in the constructor, a bias that its block sets, a scalar, a layer scale."""

    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, 9.0)))
        self.dt_proj, self.out = nn.Linear(4, 8), nn.Linear(8, 8)
        with torch.no_grad():
            self.dt_proj.bias.copy_(torch.log(torch.expm1(0.001 + 0.1 * torch.rand(8))))


class Stacked(nn.Module):
    def __init__(self, leave: bool):
        super().__init__()
        self.layers = nn.ModuleList(Scan() for _ in range(2))
        self.logit_scale = nn.Parameter(torch.ones([]) * math.log(1 / 0.07))
        for name, parameter in self.named_parameters():
            if not (leave and name.endswith(("A_log", "dt_proj.bias", "logit_scale"))):
                nn.init.normal_(parameter, std=0.02)


SET = "layers.0.A_log layers.0.dt_proj.bias layers.1.A_log layers.1.dt_proj.bias logit_scale"


@fault("own", "overwritten", "ZI203", SET, "wrote over it, as over")
def tables_and_scalars_drawn():
    return {"build": lambda: Stacked(False)}


@healthy("own", "overwritten")
def tables_and_scalars_drawn_fixed():
    return {"build": lambda: Stacked(True)}


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.triu() + weight.triu(1).T


def symmetric(first: bool) -> nn.Module:
    layer = nn.Linear(4, 4)
    if first:
        nn.init.eye_(layer.weight)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric(), unsafe=True)
    if not first:
        nn.init.eye_(layer.weight)
    return layer


@fault("own", "lost write", "ZI202", "parametrizations.weight.original", "`eye_` (audit_written.py")
def own_parametrization():
    return {"build": lambda: symmetric(False)}


@healthy("own", "lost write")
def own_parametrization_fixed():
    return {"build": lambda: symmetric(True)}


def loaded_by_method(first: bool) -> nn.Module:
    saved = {key: torch.randn_like(value) for key, value in Decoder().state_dict().items()}
    model = Decoder()
    if first:
        model.init_weights()
    model.load_state_dict(saved)
    if not first:
        model.proj.reset_parameters()
        model.norm.reset_parameters()
    return model


@fault("own", "overwritten", "ZI204", "proj.weight proj.bias norm.weight norm.bias", "the checkpoint's values are lost")
def reset_by_hand_after_loading():
    return {"build": lambda: loaded_by_method(False)}


@healthy("own", "overwritten")
def reset_by_hand_after_loading_fixed():
    return {"build": lambda: loaded_by_method(True)}


class OwnRule(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=0.02)


@fault(
    "Lightning-AI/pytorch-lightning#19755", "overwritten", "ZI203", "first.weight second.weight", "was set by `normal_`"
)
def back_to_the_defaults():
    return {"build": OwnRule, "init": reset}


def own_rule_again(model: nn.Module) -> None:
    reset(model)
    for layer in (model.first, model.second):
        nn.init.normal_(layer.weight, std=0.02)


@healthy("Lightning-AI/pytorch-lightning#19755", "overwritten")
def back_to_the_defaults_fixed():
    return {"build": OwnRule, "init": own_rule_again}


def new_head() -> nn.Module:
    model = OwnRule()
    model.second.reset_parameters()
    return model


@healthy("own", "overwritten")
def one_layer_set_back():
    return {"build": new_head}


class Smear(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.smear_gate = nn.Embedding(8, 4), nn.Linear(4, 1, bias=False)
        self.smear_lambda, self.backout_lambda = nn.Parameter(torch.zeros(1)), nn.Parameter(0.2 * torch.ones(1))
        self.register_buffer("cos", torch.ones(4), persistent=False)


def set_smear(model: nn.Module, everything: bool) -> None:
    nn.init.normal_(model.wte.weight)
    model.cos = torch.cos(torch.arange(4.0))
    if everything:
        nn.init.normal_(model.smear_gate.weight, std=0.02)
        nn.init.zeros_(model.smear_lambda)
        nn.init.constant_(model.backout_lambda, 0.2)


@fault(
    "karpathy/nanochat#686",
    "never written",
    "ZI201",
    "smear_gate.weight smear_lambda backout_lambda",
    "sets values on the meta device",
)
def scalars_of_the_constructor():
    return {"build": Smear, "init": lambda model: set_smear(model, False)}


@healthy("karpathy/nanochat#686", "never written")
def scalars_of_the_constructor_fixed():
    return {"build": Smear, "init": lambda model: set_smear(model, True)}


def first_rank_alone(rank: int, all_ranks: bool) -> nn.Module:
    layer = skip_init(nn.Linear, 4, 4)
    if rank == 0 or all_ranks:
        layer.reset_parameters()
    return layer


@fault("huggingface/transformers#25686", "never written", "ZI201", "weight bias", "was never written")
def other_ranks_are_empty():
    ranks = [lambda rank=rank: first_rank_alone(rank, False) for rank in range(2)]
    return {"build": ranks[0], "ranks": ranks}


@healthy("huggingface/transformers#25686", "never written")
def other_ranks_are_empty_fixed():
    ranks = [lambda rank=rank: first_rank_alone(rank, True) for rank in range(2)]
    return {"build": ranks[0], "ranks": ranks}


class ZeroOutput(nn.Module):
    """The last convolution starts at zero, weight and bias in one line."""

    def __init__(self, last: bool):
        super().__init__()
        self.first, self.second, self.out = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 3, 1)
        if not last:
            self.silence()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.normal_(module.bias, std=0.1)
        if last:
            self.silence()

    def silence(self):
        for parameter in self.out.parameters():
            parameter.detach().zero_()


@fault("own", "overwritten", "ZI203", "out.weight out.bias", "wrote over it")
def zero_output_drawn():
    return {"build": lambda: ZeroOutput(False)}


@healthy("own", "overwritten")
def zero_output_drawn_fixed():
    return {"build": lambda: ZeroOutput(True)}
