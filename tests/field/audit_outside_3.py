"""Cases of a third engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import copy
import math
import threading

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import zeroinit

from .audit_harness import fault, healthy


class Vocoder(nn.Module):
    """Convolutions under weight norm, and a dense head under it."""

    def __init__(self):
        super().__init__()
        self.up, self.out = weight_norm(nn.Conv1d(6, 6, 3)), weight_norm(nn.Conv1d(6, 6, 3))
        self.head = weight_norm(nn.Linear(6, 2))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)

    def assign(self, first: nn.Module) -> None:
        with torch.no_grad():
            for layer in (self.up, self.out) if first is self.up else (self.out,):
                layer.weight = nn.init.normal_(torch.empty(6, 6, 3), std=0.01)


SAVED = Vocoder().state_dict()
OF_CONVOLUTIONS = {key: each for key, each in SAVED.items() if not key.startswith("head")}


def loaded(values: dict, *, apply_first: bool = False, apply: bool = False) -> Vocoder:
    model = Vocoder()
    if apply_first:
        model.apply(model._init_weights)
    model.load_state_dict(values, strict=False)
    if apply:
        model.apply(model._init_weights)
    return model


@healthy("huggingface/transformers Wav2Vec2, Hubert, WavLM, SEW, Encodec, Vits", "lost write")
def a_rule_without_effect_on_a_loaded_model():
    return {"build": lambda: loaded(SAVED, apply=True)}


@healthy("huggingface/transformers Vits", "lost write")
def a_rule_without_effect_before_all_is_loaded():
    return {"build": lambda: loaded(SAVED, apply_first=True)}


@healthy("own", "lost write")
def a_head_drawn_by_name_before_all_is_loaded():
    def build() -> nn.Module:
        model = Vocoder()
        nn.init.zeros_(model.head.weight)
        model.load_state_dict(SAVED)
        return model

    return {"build": build}


@healthy("huggingface/transformers: threads read the file", "lost write")
def a_rule_without_effect_on_what_another_thread_has_read():
    def build() -> nn.Module:
        model, read = Vocoder(), {}
        thread = threading.Thread(target=lambda: read.update({key: each.clone() for key, each in SAVED.items()}))
        thread.start()
        thread.join()
        for key, parameter in model.named_parameters():
            parameter.data = read[key]
        return model.apply(model._init_weights)

    return {"build": build}


@healthy("jik876/hifi-gan#145", "lost write")
def weights_assigned_in_vain_to_a_loaded_model():
    layers = [nn.utils.weight_norm(nn.Linear(4, 4)) for _ in range(2)]
    saved = nn.Sequential(*layers).state_dict()

    def build() -> nn.Module:
        model = nn.Sequential(*(nn.utils.weight_norm(nn.Linear(4, 4)) for _ in range(2)))
        model.load_state_dict(saved)
        for layer in model:
            layer.weight = nn.init.normal_(torch.empty(4, 4))
        return model

    return {"build": build}


NEW_HEAD = "head.parametrizations.weight.original1 head.parametrizations.weight.original0"


@fault("huggingface/transformers Wav2Vec2", "lost write", "ZI202", NEW_HEAD, "`normal_` (audit_outside_3.py")
def a_rule_without_effect_on_a_head_that_is_not_loaded():
    return {"build": lambda: loaded(OF_CONVOLUTIONS, apply=True)}


@fault("own", "lost write", "ZI202", NEW_HEAD, "-> Assign: `model.head.weight = nn.init.zeros_(torch.empty(2, 6))`")
def a_loaded_head_is_to_start_anew_and_does_not():
    def build() -> nn.Module:
        model = loaded(SAVED)
        nn.init.zeros_(model.head.weight)
        return model

    return {"build": build}


@fault("own", "lost write", "ZI202", "weight", "an index, a conversion or `clone` made it")
def rows_of_a_loaded_table_are_to_start_anew_and_do_not():
    def build() -> nn.Module:
        table = nn.Embedding(9, 8)
        table.load_state_dict({"weight": torch.randn(9, 8)})
        for rows in ([2, 5], [1, 7]):
            nn.init.normal_(table.weight[rows], std=0.02)
        return table

    return {"build": build}


def assigned(when: str) -> nn.Module:
    """Draw weights by assignment through weight norm, before or after loading, of both layers or of one."""
    model = Vocoder()
    if when == "before":
        model.assign(model.up)
    model.load_state_dict(SAVED)
    if when == "after":
        model.assign(model.up)
    elif when == "scaled":
        with torch.no_grad():
            for layer in (model.up, model.out):
                layer.weight = layer.weight * 0.5 + 0.01 * torch.randn_like(layer.weight)
    return model


ORIGINALS = " ".join(f"{at}.parametrizations.weight.original{number}" for at in ("up", "out") for number in (0, 1))


@fault("jik876/hifi-gan#145", "overwritten", "ZI204", ORIGINALS, "the checkpoint's values are lost")
def assigned_through_weight_norm_after_loading():
    return {"build": lambda: assigned("after")}


@healthy("jik876/hifi-gan#145", "overwritten")
def assigned_through_weight_norm_before_loading():
    return {"build": lambda: assigned("before")}


@healthy("own", "overwritten")
def loaded_weights_are_changed_through_weight_norm():
    return {"build": lambda: assigned("scaled")}


def chrono(lost: bool = False, copied: bool = False) -> nn.Module:
    """Forget gates get log U(1, T - 1), input gates its negative; their place is scratch space."""
    model = nn.LSTM(4, 8)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            size = len(parameter) // 4
            parameter.data.fill_(0)
            if copied:
                parameter.data[size : 2 * size] = nn.init.uniform_(parameter.data[:size], 1, 3)
                parameter.data[:size] = 0.0
                continue
            parameter.data[size : 2 * size] = torch.log(nn.init.uniform_(parameter.data[:size], 1, 19))
            parameter.data[:size] = -parameter.data[size : 2 * size]
    for parameter in model.parameters() if lost else ():
        nn.init.normal_(parameter, std=0.1)
    return model


@healthy("0h-n0/chrono_initialization", "overwritten")
def chrono_gates():
    return {"build": chrono}


@healthy("own", "overwritten")
def scratch_space_is_copied_as_it_is():
    return {"build": lambda: chrono(copied=True)}


@fault("own", "overwritten", "ZI203", "bias_ih_l0 bias_hh_l0", "wrote over it, as over")
def chrono_gates_overwritten():
    return {"build": lambda: chrono(lost=True)}


class Gated(nn.Module):
    """The gate starts nearly closed, which the constructor or the initializing function sees to."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))
        self.gate = nn.Linear(8, 8)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, -4.0)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


OF_BODY = {key: torch.randn_like(each) for key, each in Gated().body.state_dict().items()}


def from_meta(how: str, again: bool = False) -> nn.Module:
    """Build on meta, and give memory to all layers; then a rule for all, each layer's own, or a checkpoint first."""
    with torch.device("meta"):
        model = Gated()
    model.to_empty(device="cpu")
    if how == "loaded":
        model.body.load_state_dict(OF_BODY)
    for module in model.modules():
        if how == "reset" and isinstance(module, nn.Linear):
            module.reset_parameters()
        elif how == "general" or (how == "loaded" and not any(module is each for each in model.body)):
            model._init_weights(module)
    if again:
        nn.init.zeros_(model.gate.weight)
        nn.init.constant_(model.gate.bias, -4.0)
    return model


GATE = "gate.weight gate.bias"


@fault("huggingface/transformers#42418", "overwritten", "ZI203", GATE, "on the meta device its values were lost")
def closed_gate_lost_on_meta_and_drawn_by_a_rule_for_all():
    return {"build": lambda: from_meta("general")}


@healthy("huggingface/transformers#42418", "overwritten")
def closed_gate_lost_on_meta_and_drawn_by_a_rule_for_all_fixed():
    return {"build": lambda: from_meta("general", again=True)}


@fault("SWivid/F5-TTS#793", "overwritten", "ZI203", GATE, "`gate.bias` was set by `constant_`")
def closed_gate_lost_on_meta_and_reset():
    return {"build": lambda: from_meta("reset")}


@healthy("SWivid/F5-TTS#793", "overwritten")
def closed_gate_lost_on_meta_and_reset_fixed():
    return {"build": lambda: from_meta("reset", again=True)}


@fault("huggingface/transformers#42418", "overwritten", "ZI203", GATE, "Gated._init_weights) wrote over it. -> Let")
def closed_gate_is_not_in_the_checkpoint():
    return {"build": lambda: from_meta("loaded")}


@healthy("huggingface/transformers#42418", "overwritten")
def closed_gate_is_not_in_the_checkpoint_fixed():
    return {"build": lambda: from_meta("loaded", again=True)}


class Block(nn.Module):
    """Its constructor draws; its own function draws again, as after `to_empty`, with another size."""

    def __init__(self):
        super().__init__()
        self.up, self.scale = nn.Linear(8, 8), nn.Parameter(torch.zeros(1))
        nn.init.trunc_normal_(self.up.weight, std=0.02)
        nn.init.constant_(self.up.bias, 0.5)

    def init_weights(self) -> None:
        nn.init.trunc_normal_(self.up.weight, std=0.01)
        nn.init.zeros_(self.up.bias)
        nn.init.normal_(self.scale)


class Drawn(nn.Module):
    """No kind of a torch layer: its constructor draws, which is its default."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4) * 0.1)


@healthy("own", "overwritten")
def own_default_is_drawn_on_meta_and_replaced():
    def build() -> nn.Module:
        with torch.device("meta"):
            model = nn.Sequential(Drawn(), *(nn.Linear(4, 4) for _ in range(3)))
        model.to_empty(device="cpu")
        for module in model:
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        return model

    return {"build": build}


@healthy("own: torchtitan", "overwritten")
def blocks_from_meta_draw_themselves_again():
    def build() -> nn.Module:
        with torch.device("meta"):
            model = nn.Sequential(Block(), Block())
        model.to_empty(device="cpu")
        for block in model:
            block.init_weights()
        return model

    return {"build": build}


class Stage(nn.Module):
    """A stage of a pipeline: the first one has the embedding, the last one the head."""

    def __init__(self, *layers: str, seed: int = 0):
        super().__init__()
        self.body = nn.ModuleDict({"_".join(layers): nn.Linear(8, 8)})
        for at, each in enumerate(layers):
            self.add_module(each, nn.Embedding(9, 8) if each == "embed" else nn.Linear(8, 9, bias=False))
            torch.manual_seed(seed + at)
            nn.init.normal_(self.get_submodule(each).weight, std=0.02)


def tied_stage() -> nn.Module:
    whole = Stage("embed", "head")
    whole.head.weight = whole.embed.weight
    return whole


def stages(seed: int) -> dict:
    torch.manual_seed(100)  # of the bodies, which differ
    first = Stage("embed", seed=3)
    torch.manual_seed(101)
    return {"build": tied_stage, "ranks": [first, Stage("head", seed=seed)]}


@fault(
    "pytorch/PiPPy#779", "replicas differ", "ZI208", "embed.weight head.weight", "ties `embed.weight` and `head.weight`"
)
def tied_matrix_differs_between_stages():
    return stages(4)


@healthy("Megatron-LM, initialize_word_embeddings", "replicas differ")
def tied_matrix_is_equal_on_both_stages():
    return stages(3)


@healthy("own", "replicas differ")
def ranks_tie_later():
    return stages(3) | {"ranks": [lambda: Stage("embed", "head", seed=5)] * 2}


@fault("own", "copies (shards)", "ZI207", "embed.weight head.weight", "layers on different ranks hold the same")
def matrices_that_are_not_tied_are_equal_on_both_stages():
    return stages(3) | {"build": lambda: Stage("embed", "head")}


def recurrent(kind: type, rule, parts: int = 1) -> nn.Module:
    """Draw the matrices of all gates at once, or one gate after the other."""
    model = nn.ModuleDict({"rnn": kind(16, 16), "head": nn.Linear(16, 2)})
    for name, parameter in model.rnn.named_parameters():
        for part in parameter.data.chunk(parts):
            if "weight" in name:
                rule(part)
            else:
                nn.init.zeros_(part)
    return model


def fan_out(tensor: torch.Tensor) -> None:
    nn.init.kaiming_normal_(tensor, mode="fan_out", nonlinearity="tanh")


BOTH = "rnn.weight_ih_l0 rnn.weight_hh_l0"


@fault("google-research/flood-forecasting#59", "wrong scale", "ZI251", BOTH, "(the parameter packs 4 projections)")
def xavier_over_the_gates_of_an_lstm():
    return {"build": lambda: recurrent(nn.LSTM, nn.init.xavier_uniform_)}


@fault("vwxyzjn/cleanrl#358", "wrong scale", "ZI251", BOTH, "(the parameter packs 4 projections)")
def orthogonal_over_the_gates_of_an_lstm():
    return {"build": lambda: recurrent(nn.LSTM, nn.init.orthogonal_)}


@fault("clab/dynet#348", "wrong scale", "ZI251", BOTH, "(the parameter packs 3 projections)")
def fan_out_over_the_gates_of_a_gru():
    return {"build": lambda: recurrent(nn.GRU, fan_out)}


@fault("own", "wrong scale", "ZI251", "rnn.weight_ih rnn.weight_hh", "(the parameter packs 4 projections)")
def xavier_over_the_gates_of_a_cell():
    return {"build": lambda: recurrent(nn.LSTMCell, nn.init.xavier_normal_)}


@healthy("google-research/flood-forecasting#59", "wrong scale")
def xavier_for_each_gate_of_an_lstm():
    return {"build": lambda: recurrent(nn.LSTM, nn.init.xavier_uniform_, parts=4)}


@healthy("vwxyzjn/cleanrl#358", "wrong scale")
def orthogonal_for_each_gate_of_an_lstm():
    return {"build": lambda: recurrent(nn.LSTM, nn.init.orthogonal_, parts=4)}


@healthy("clab/dynet#348", "wrong scale")
def fan_out_for_each_gate_of_a_gru():
    return {"build": lambda: recurrent(nn.GRU, fan_out, parts=3)}


@healthy("own", "wrong scale")
def recurrent_layers_that_pack_no_gates_or_keep_their_fan_in():
    def build() -> nn.Module:
        simple, deep = nn.RNN(16, 16), nn.LSTM(16, 16, num_layers=2, proj_size=4)
        for parameter in (*simple.parameters(), deep.weight_hr_l0):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for name, parameter in deep.named_parameters():
            if "weight_ih" in name:
                nn.init.kaiming_normal_(parameter)
            elif "weight_hh" in name:
                nn.init.uniform_(parameter, -0.25, 0.25)
        again = nn.GRU(16, 16)
        again.reset_parameters()
        return nn.ModuleList([simple, deep, again])

    return {"build": build}


@healthy("own", "wrong scale")
def gates_drawn_by_our_own_initializers():
    def build() -> nn.Module:
        model = nn.ModuleList([nn.LSTM(16, 16), nn.GRUCell(16, 16)])
        zeroinit.initialize_(model[0], "xavier_uniform", seed=0)
        zeroinit.initialize_(model[1], "orthogonal", seed=0)
        return model

    return {"build": build}


@healthy("nlp.seas.harvard.edu/annotated-transformer", "wrong scale")
def one_rule_for_all_matrices_of_a_model_with_an_lstm():
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(16, 16), nn.LSTM(16, 16))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        return model

    return {"build": build}


class Functional(nn.Module):
    """Hands a kernel of its own to a function."""

    def __init__(self, shape: tuple[int, ...], call, **rule):
        super().__init__()
        self.call, self.w = call, nn.Parameter(torch.empty(shape))
        if "std" in rule:
            nn.init.normal_(self.w, std=rule["std"])
        else:
            nn.init.kaiming_normal_(self.w, **rule)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(x, self.w)


def depthwise(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, w, padding=1, groups=32)


IMAGES, SOUND = torch.randn(2, 32, 5, 5), torch.randn(2, 4, 9)


@fault("pytorch/pytorch#23854", "wrong scale", "ZI205", "w", "and is 9 (32 groups with 1 inputs and 1 outputs each)")
def grouped_convolution_by_a_function():
    return {"build": lambda: Functional((32, 1, 3, 3), depthwise, mode="fan_out"), "batch": IMAGES}


@healthy("pytorch/pytorch#23854", "wrong scale")
def grouped_convolution_by_a_function_fixed():
    return {"build": lambda: Functional((32, 1, 3, 3), depthwise), "batch": IMAGES}


@fault("Lasagne/Lasagne#858", "wrong scale", "ZI205", "w", "and is 12 (4 inputs, 64 outputs, a kernel of 3)")
def transposed_convolution_by_a_function():
    return {"build": lambda: Functional((4, 64, 3), F.conv_transpose1d), "batch": SOUND}


@healthy("Lasagne/Lasagne#858", "wrong scale")
def transposed_convolution_by_a_function_fixed():
    return {"build": lambda: Functional((4, 64, 3), F.conv_transpose1d, std=math.sqrt(2 / 12)), "batch": SOUND}


@healthy("own: once for all", "wrong scale")
def a_part_of_a_kernel_is_used():
    def call(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x, w[:8, :4])

    return {"build": lambda: Functional((64, 32, 3), call), "batch": SOUND}


def heads(how: str) -> nn.Module:
    """Give four heads one memory, copies of one draw, or draws of their own."""
    model = nn.Module()
    if how == "vmap":
        values = torch.vmap(lambda _: torch.randn(8, 6) / 3, randomness="same")(torch.arange(4.0))
    elif how == "different":
        values = torch.vmap(lambda _: torch.randn(8, 6) / 3, randomness="different")(torch.arange(4.0))
    else:
        values = torch.randn(8, 6).expand(4, 8, 6)
    model.w = nn.Parameter(values)
    return model


@fault("lucidrains/titans-pytorch#64", "copies", "ZI206", "w", "4 of 4 slices of `w` are one memory")
def heads_are_an_expanded_view():
    return {"build": lambda: heads("expand")}


@fault("pytorch/functorch#996", "copies", "ZI206", "w", 'and no `expand` or `vmap` with `randomness="same"`')
def heads_of_vmap_with_one_randomness():
    return {"build": lambda: heads("vmap")}


@healthy("pytorch/functorch#996", "copies")
def heads_of_vmap_with_one_randomness_fixed():
    return {"build": lambda: heads("different")}


class Tied(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
        if how == "copied":
            self.head.weight = copy.deepcopy(self.embed.weight)
        else:
            self.head.weight = self.embed.weight


@fault(
    "dhansmair/flamingo-mini#4",
    "copies",
    "ZI206",
    "embed.weight head.weight",
    "`model.head.weight = model.embed.weight`",
)
def head_is_a_copy_of_the_embedding():
    return {"build": lambda: Tied("copied")}


@healthy("dhansmair/flamingo-mini#4", "copies")
def head_is_a_copy_of_the_embedding_fixed():
    return {"build": lambda: Tied("tied")}


class RowParallel(nn.Module):
    """Holds the columns of one rank."""

    def __init__(self, inputs: int, outputs: int, world: int):
        super().__init__()
        self.weight, self.input_size = nn.Parameter(torch.empty(outputs, inputs // world)), inputs


def lora(rank: int, world: int, rule=nn.init.xavier_normal_) -> nn.Module:
    layer, generator = RowParallel(64, 8, world), torch.Generator().manual_seed(10 + rank)
    rule(layer.weight, generator=generator)
    return layer


def of_whole_fan(tensor: torch.Tensor, generator: torch.Generator) -> None:
    nn.init.normal_(tensor, std=math.sqrt(2 / 72), generator=generator)


@fault("NVIDIA-NeMo/Megatron-Bridge#5843", "wrong scale", "ZI205", "weight", "std=0.167, generator=generator)`")
def shard_with_a_generator_of_its_own():
    return {"build": lambda: lora(0, 1), "ranks": [lambda rank=rank: lora(rank, 4) for rank in range(4)]}


@healthy("NVIDIA-NeMo/Megatron-Bridge#5843", "wrong scale")
def shard_with_a_generator_of_its_own_fixed():
    return {"build": lambda: lora(0, 1), "ranks": [lambda rank=rank: lora(rank, 4, of_whole_fan) for rank in range(4)]}


@fault("own", "wrong scale", "ZI205", "weight", "std=0.125, generator=generator)`")
def orthogonal_shard_with_a_generator_of_its_own():
    ranks = [lambda rank=rank: lora(rank, 4, nn.init.orthogonal_) for rank in range(4)]
    return {"build": lambda: lora(0, 1, nn.init.orthogonal_), "ranks": ranks}


@fault("own", "wrong scale", "ZI205", "weight", "std=0.471, generator=generator)`")
def depthwise_by_hand_with_a_generator():
    def build() -> nn.Module:
        layer = nn.Conv2d(32, 32, 3, groups=32, bias=False)
        layer.weight.data.normal_(0, math.sqrt(2 / (32 * 9)), generator=torch.Generator().manual_seed(1))
        return layer

    return {"build": build}


@fault("own", "wrong scale", "ZI205", "gates", "nn.init.xavier_uniform_(part, generator=generator)`")
def gates_with_a_generator():
    generator = torch.Generator().manual_seed(1)

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gates = nn.Parameter(torch.empty(64, 16))
            nn.init.xavier_uniform_(self.gates, generator=generator)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            opened, closed, new, out = (x @ self.gates.T).chunk(4, -1)
            return opened.sigmoid() * closed.sigmoid() + new.tanh() * out.sigmoid()

    return {"build": Cell, "batch": torch.randn(4, 16)}


class Mixer(nn.Module):
    """A table by a formula, and memory that the initializing function has to fill."""

    def __init__(self, formula: bool):
        super().__init__()
        rates = torch.log(torch.arange(1.0, 9.0)) if formula else torch.empty(8)
        self.proj, self.rates = nn.Linear(8, 8), nn.Parameter(rates)

    def draw(self, rates: bool = False) -> "Mixer":
        self.proj.reset_parameters()
        if rates:
            with torch.no_grad():
                self.rates.copy_(torch.log(torch.arange(1.0, 9.0)))
        return self


def mixer_from_meta(rates: bool) -> nn.Module:
    with torch.device("meta"):
        model = Mixer(formula=True)
    return model.to_empty(device="cpu").draw(rates)


@fault("fla-org/flash-linear-attention#156", "never written", "ZI201", "rates", "-> Compute `model.rates` again")
def formula_lost_on_meta():
    return {"build": lambda: mixer_from_meta(False)}


@healthy("fla-org/flash-linear-attention#156", "never written")
def formula_lost_on_meta_fixed():
    return {"build": lambda: mixer_from_meta(True)}


@fault("NVIDIA-NeMo/Automodel#2991", "never written", "ZI201", "rates", "makes it without values, and `init` does not")
def empty_memory_that_no_function_fills():
    return {"build": lambda: Mixer(formula=False), "init": Mixer.draw}


@healthy("NVIDIA-NeMo/Automodel#2991", "never written")
def empty_memory_that_no_function_fills_fixed():
    return {"build": lambda: Mixer(formula=False), "init": lambda model: model.draw(rates=True)}


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.scale = nn.Linear(8, 8), nn.Parameter(torch.tensor(2.66))


@fault("huggingface/transformers CLIP", "never written", "ZI201", "scale", "sets values on the meta device, where they")
def number_of_the_constructor_lost_on_meta():
    return {"build": Scaled, "init": lambda model: model.proj.reset_parameters()}


@healthy("huggingface/transformers CLIP", "never written")
def number_of_the_constructor_set_again():
    return {
        "build": Scaled,
        "init": lambda model: (model.proj.reset_parameters(), nn.init.constant_(model.scale, 2.66)),
    }
