"""Faults planted into healthy models: each is found, and named at the module that has it."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from .hub import HUB, LANGUAGE, PICTURES, adapted, bert, gpt2, llama, vit
from .zoo import (
    HEALTHY,
    IMAGES,
    TOKENS,
    VECTORS,
    Case,
    ControlNet,
    DiffusionTransformer,
    Encoder,
    LayerScaleBlock,
    LowRank,
    Recurrent,
    SoftMixture,
    classes,
    cnn,
    drawn,
    mlp,
    rezero,
    vgg_with_batch_norm,
)

pytestmark = pytest.mark.usefixtures("without_type_checks")  # four times as fast; the other files keep them

Fault = tuple[Callable[[], Case], dict[str, str]]


def with_values(model: nn.Module, **values: float) -> nn.Module:
    """Fill parameters, dots written as two underscores, with one value each."""
    for name, value in values.items():
        model.get_parameter(name.replace("__", ".").removeprefix("_")).data.fill_(value)
    return model


def copied_rows(model: nn.Module, path: str, source: int, target: int, above: str) -> nn.Module:
    """Make one unit the copy of another, outgoing weights included."""
    layer, next_layer = model.get_submodule(path), model.get_submodule(above)
    for parameter in layer.parameters():
        parameter.data[target] = parameter.data[source]
    next_layer.weight.data[:, target] = next_layer.weight.data[:, source]
    return model


def constant(*layers: str) -> nn.Sequential:
    model = mlp(nn.Tanh)
    for path in layers:
        for parameter in model.get_submodule(path).parameters():
            parameter.data.fill_(0.1)
    return model


class Detached(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        self.below, self.above, self.how = nn.Linear(12, 8), nn.Linear(8, 5), how

    def forward(self, x):
        hidden = self.below(x)
        if self.how == "detach":
            hidden = hidden.detach()
        elif self.how == "round":
            hidden = hidden + (hidden.round() - hidden).detach() - hidden
        elif self.how == "argmax":
            hidden = F.one_hot(hidden.argmax(-1), 8).to(x.dtype)
        elif self.how == "no_grad":
            with torch.no_grad():
                hidden = self.below(x).relu()
        return self.above(hidden)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(12, 12) for _ in range(3)])
        self.extra = nn.Parameter(torch.zeros(12))
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.head(x)


class TwoBranches(nn.Module):
    """Two branches that are added; copies of each other where ``equal``."""

    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5))
        self.right = copy.deepcopy(self.left)

    def forward(self, x):
        return self.left(x) + self.right(x)


class LastState(Recurrent):
    """Reads the reverse direction at its first step, where nothing has come back yet."""

    def forward(self, tokens):
        return self.head(self.core(self.embed(tokens))[0][:, -1])


class Gated(nn.Module):
    """``gate * branch``, both zero at the start."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch, self.head = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.gate = nn.Parameter(torch.zeros(8))
        nn.init.zeros_(self.branch.weight)
        nn.init.zeros_(self.branch.bias)

    def forward(self, x):
        hidden = torch.tanh(self.stem(x))
        return self.head(hidden + self.gate * self.branch(hidden))


def rezero_with_zero_branch() -> nn.Sequential:
    return with_values(rezero(), _1__branch__2__weight=0.0, _1__branch__2__bias=0.0)


def copied_heads() -> nn.Module:
    model = Encoder(0.0)
    attention = model.encoder.layers[0].self_attn
    for third in attention.in_proj_weight.data.split(8):
        third[4:] = third[:4]
    attention.out_proj.weight.data[:, 4:] = attention.out_proj.weight.data[:, :4]
    return model


def copied_heads_of_bert() -> nn.Module:
    model = bert()
    attention = model.bert.encoder.layer[0].attention
    for layer in (attention.self.query, attention.self.key, attention.self.value):
        layer.weight.data[8:], layer.bias.data[8:] = layer.weight.data[:8], layer.bias.data[:8]
    attention.output.dense.weight.data[:, 8:] = attention.output.dense.weight.data[:, :8]
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def constant_core(kind=nn.LSTM) -> nn.Module:
    model = Recurrent(kind)
    for parameter in model.core.parameters():
        parameter.data.fill_(0.1)
    model.head.weight.data.copy_(model.head.weight.data[:, :1].expand(-1, 8))
    return model


def identity_recurrence() -> nn.Module:
    """Identical units whose recurrent matrix is the identity: rows differ, units do not."""
    model = constant_core(nn.RNN)
    model.core.weight_hh_l0.data.copy_(torch.eye(8))
    return model


def copied_channel(groups: int = 1) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    return copied_rows(model, "0", 1, 4, "2")


def copied_transposed_channel() -> nn.Sequential:
    model = nn.Sequential(
        nn.ConvTranspose2d(3, 6, 2, groups=3), nn.SiLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(196, 5)
    )
    model[0].weight.data[1, 1] = model[0].weight.data[1, 0]
    model[0].bias.data[3] = model[0].bias.data[2]
    model[2].weight.data[:, 3] = model[2].weight.data[:, 2]
    return model


def constant_embedding() -> nn.Module:
    model = Recurrent()
    model.embed.weight.data.copy_(drawn(11, 1).expand(-1, 6))
    model.core.weight_ih_l0.data.copy_(model.core.weight_ih_l0.data[:, :1].expand(-1, 6))
    return model


def mirrored() -> nn.Sequential:
    model = mlp(nn.Tanh, widths=(16,))
    model[0].weight.data[8:], model[0].bias.data[8:] = -model[0].weight.data[:8], -model[0].bias.data[:8]
    model[2].weight.data[:, 8:] = -model[2].weight.data[:, :8]
    return model


def nearly_copied() -> nn.Sequential:
    model = copied_rows(mlp(nn.Tanh), "0", 2, 3, "2")
    model[0].weight.data[3] *= 1 + 2**-22
    return model


def zero_before_norm(beta: float = 0.0) -> nn.Sequential:
    """T8: a zero convolution in front of a batch norm."""
    model = vgg_with_batch_norm()
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
        if isinstance(layer, nn.BatchNorm2d):
            layer.bias.data = beta * drawn(8)
    return model


def equal_kernels_before_norm() -> nn.Sequential:
    """Channels that differ by their biases alone, which the norm removes."""
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten(), nn.Linear(216, 5))
    model[0].weight.data.copy_(model[0].weight.data[:1].expand(6, -1, -1, -1))
    model[4].weight.data.copy_(model[4].weight.data[:, :36].repeat(1, 6))
    return model


def biased(value: float, path: str = "2", activation=nn.ReLU) -> nn.Sequential:
    model = mlp(activation, widths=(16, 16, 16))
    model.get_submodule(path).bias.data.fill_(value)
    return model


def half_dead() -> nn.Sequential:
    """T5: zero weights, and biases of which half are negative."""
    model = mlp(nn.ReLU, widths=(16,))
    for layer in (model[0], model[2]):
        nn.init.zeros_(layer.weight)
    model[0].bias.data = torch.linspace(-1, 1, 16)
    return model


def equal_experts() -> nn.Module:
    model = SoftMixture()
    model.weight.data.copy_(model.weight.data[:1].expand(3, -1, -1))
    model.router.weight.data.zero_()
    model.router.bias.data.zero_()
    return model


def all_zero(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def zero_gates_and_final() -> nn.Module:
    """A gate whose modulation is frozen at zero never opens."""
    model = DiffusionTransformer()
    for block in model.blocks:
        block.modulation.requires_grad_(False)
    return model


def lora(zero: str, base: Callable[[], nn.Module], modules: list[str], **settings) -> nn.Module:
    model = adapted(base(), modules, **settings)
    for name, parameter in model.named_parameters():
        if zero in name:
            parameter.data.zero_()
    return model


def constant_a() -> nn.Sequential:
    model = nn.Sequential(LowRank(), nn.ReLU(), nn.Linear(8, 5).requires_grad_(False))
    model[0].dropout.p = 0.0
    return with_values(model, _0__a__weight=0.1)


def zero_lora() -> nn.Sequential:
    return with_values(nn.Sequential(LowRank(), nn.Linear(8, 5)), _0__a__weight=0.0)


def zero_controlnet() -> nn.Module:
    """Two zero convolutions, one after the other, on the way back."""
    model = ControlNet()
    return with_values(model, copy__0__weight=0.0, copy__0__bias=0.0)


def frozen_zero_head() -> nn.Sequential:
    model = mlp(nn.Tanh)
    nn.init.zeros_(model[4].weight)
    model[4].weight.requires_grad_(False)
    return model


def collapsed_features() -> Case:
    """A projection whose features are all the same, under a loss that compares features."""
    model = mlp(nn.Tanh, outputs=4)
    model[4].weight.data.copy_(model[4].weight.data[:1].expand(4, -1))
    model[4].bias.data.fill_(0.1)
    return Case(
        model, VECTORS, None, {"loss_fn": lambda out: (out.sum(1) - VECTORS[:, 0].to(out.dtype)).square().mean()}
    )


HEAD0 = "encoder.layers.0.self_attn"
LLAMA = "base_model.model.model.layers.0.self_attn.q_proj"

PLANTED: dict[str, Fault] = {
    # identical units
    "constant_hidden_layers": (lambda: Case(constant("0", "2", "4"), VECTORS), {"0": "ZI001", "2": "ZI001"}),
    "constant_first_layer": (lambda: Case(constant("0", "2"), VECTORS), {"0": "ZI001"}),
    "one_copied_unit": (lambda: Case(copied_rows(mlp(), "0", 2, 3, "2"), VECTORS), {"0": "ZI001"}),
    "one_copied_unit_sgd": (
        lambda: Case(copied_rows(mlp(), "2", 0, 9, "4"), VECTORS, None, {"optimizer": "sgd"}),
        {"2": "ZI001"},
    ),
    "zero_weights_constant_biases": (
        lambda: Case(with_values(all_zero(mlp(nn.ELU)), _0__bias=0.5, _2__bias=0.5), VECTORS),
        {"0": "ZI001", "2": "ZI001"},
    ),
    "copied_channel": (lambda: Case(copied_channel(), IMAGES), {"0": "ZI001"}),
    "copied_transposed_channel": (lambda: Case(copied_transposed_channel(), drawn(8, 3, 8, 8)), {"0": "ZI001"}),
    "copied_heads": (lambda: Case(copied_heads(), TOKENS), {HEAD0: "ZI001"}),
    "copied_heads_of_bert": (
        lambda: Case(copied_heads_of_bert(), {"input_ids": classes(40, 3, 9), "labels": classes(2, 3)}),
        {"bert.encoder.layer.0.attention.self.value": "ZI001"},
    ),
    "constant_lstm": (lambda: Case(constant_core(), TOKENS), {"core": "ZI001"}),
    "constant_gru": (lambda: Case(constant_core(nn.GRU), TOKENS), {"core": "ZI001"}),
    "identity_recurrence": (lambda: Case(identity_recurrence(), TOKENS), {"core": "ZI001"}),
    "equal_features_of_an_embedding": (lambda: Case(constant_embedding(), TOKENS), {"embed": "ZI001"}),
    "equal_experts": (lambda: Case(equal_experts(), VECTORS), {"": "ZI001"}),
    "equal_branches": (lambda: Case(TwoBranches(), VECTORS), {"left.0": "ZI004", "left.2": "ZI004"}),
    "mirrored_units": (lambda: Case(mirrored(), VECTORS), {"0": "ZI003"}),
    "nearly_copied_unit": (lambda: Case(nearly_copied(), VECTORS), {"0": "ZI002"}),
    "equal_kernels_before_norm": (lambda: Case(equal_kernels_before_norm(), IMAGES), {"0": "ZI001"}),
    "constant_low_rank": (lambda: Case(constant_a(), VECTORS), {"0.a": "ZI001"}),
    "collapsed_features": (collapsed_features, {"4": "ZI001"}),
    # two zeros
    "all_zero_mlp": (lambda: Case(all_zero(mlp(nn.Tanh)), VECTORS), {"0": "ZI006", "2": "ZI006", "4": "ZI006"}),
    "all_zero_cnn": (lambda: Case(all_zero(cnn()), IMAGES), {"0": "ZI006", "3": "ZI006", "6": "ZI006"}),
    "two_zero_layers": (
        lambda: Case(with_values(mlp(nn.Tanh), _2__weight=0.0, _2__bias=0.0, _4__weight=0.0), VECTORS),
        {"2": "ZI006", "4": "ZI006"},
    ),
    "zero_low_rank_pair": (lambda: Case(zero_lora(), VECTORS), {"0.a": "ZI006", "0.b": "ZI006"}),
    "zero_lora_pair_on_llama": (
        lambda: Case(lora("lora_A", llama, ["q_proj"]), LANGUAGE),
        {f"{LLAMA}.lora_A.default": "ZI006", f"{LLAMA}.lora_B.default": "ZI006"},
    ),
    "zero_lora_pair_on_gpt2": (
        lambda: Case(lora("lora_A", gpt2, ["c_attn"], fan_in_fan_out=True), LANGUAGE),
        {"base_model.model.transformer.h.0.attn.c_attn.lora_A.default": "ZI006"},
    ),
    "zero_alpha_and_branch": (lambda: Case(rezero_with_zero_branch(), VECTORS), {"1": "ZI006", "1.branch.2": "ZI006"}),
    "zero_gate_and_branch": (lambda: Case(Gated(), VECTORS), {"": "ZI006", "branch": "ZI006"}),
    "zero_queries_and_keys_of_vit": (
        lambda: Case(_zero_attention(vit()), PICTURES),
        {"vit.layers.0.attention.q_proj": "ZI006", "vit.layers.0.attention.k_proj": "ZI006"},
    ),
    "zero_controlnet": (
        lambda: Case(zero_controlnet(), (IMAGES, drawn(8, 3, 8, 8, seed=3))),
        {"copy.0": "ZI006", "zero_out": "ZI006"},
    ),
    "layer_scale_zero_and_frozen": (
        lambda: Case(_frozen_scale(), VECTORS),
        {"1.dense": "ZI007"},
    ),
    "gates_frozen_at_zero": (
        lambda: Case(zero_gates_and_final(), (drawn(8, 6, 4), classes(5, 8)), drawn(8, 6, 4, seed=4)),
        {"blocks.0.dense": "ZI007", "condition": "ZI007"},
    ),
    "head_frozen_at_zero": (lambda: Case(frozen_zero_head(), VECTORS), {"0": "ZI007", "2": "ZI007"}),
    # dead, detached, unused, cancelled
    "dead_relu_layer": (lambda: Case(biased(-100.0), VECTORS), {"2": "ZI008", "0": "ZI008"}),
    "dead_relu_convolution": (lambda: Case(with_values(cnn(), _0__bias=-50.0), IMAGES), {"0": "ZI008"}),
    "half_dead": (lambda: Case(half_dead(), VECTORS), {"0": "ZI005"}),
    "saturated_hardtanh": (lambda: Case(biased(50.0, activation=nn.Hardtanh), VECTORS), {"2": "ZI008"}),
    "detached": (lambda: Case(Detached("detach"), VECTORS), {"below": "ZI009"}),
    "under_no_grad": (lambda: Case(Detached("no_grad"), VECTORS), {"below": "ZI009"}),
    "argmax": (lambda: Case(Detached("argmax"), VECTORS), {"below": "ZI009"}),
    "unused_layer": (lambda: Case(Unused(), VECTORS), {"layers.2": "ZI010", "": "ZI010"}),
    "reverse_state_of_the_last_step": (lambda: Case(LastState(bidirectional=True), TOKENS), {"core": "ZI007"}),
    "zero_before_batch_norm": (lambda: Case(zero_before_norm(), IMAGES), {"0": "ZI006", "3": "ZI006"}),
    "zero_before_batch_norm_random_beta": (lambda: Case(zero_before_norm(0.5), IMAGES), {"0": "ZI006", "3": "ZI011"}),
    "blank_images": (lambda: Case(cnn(), torch.zeros(8, 3, 8, 8)), {"0": "ZI007"}),
    "nothing_but_negative_inputs": (
        lambda: Case(nn.Sequential(nn.ReLU(), nn.Linear(12, 5)), -VECTORS.abs()),
        {"1": "ZI007"},
    ),
    "softmax_over_one": (
        lambda: Case(nn.Sequential(mlp(outputs=1), nn.Softmax(-1), nn.Linear(1, 5)), VECTORS),
        {"0.4": "ZI008", "0.0": "ZI008"},
    ),
}  # fmt: skip
"""What is built, and which code is expected at which module."""


def _zero_attention(model: nn.Module) -> nn.Module:
    for name, parameter in model.named_parameters():
        if "q_proj" in name or "k_proj" in name:
            parameter.data.zero_()
    return model


def _frozen_scale() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(12, 8), LayerScaleBlock(8, 0.0), nn.Linear(8, 5))
    model[1].gamma.requires_grad_(False)
    return model


@pytest.mark.parametrize("name", PLANTED)
def test_it_is_found_and_named(name, report_on):
    make, expected = PLANTED[name]
    report = report_on(name, make)
    warnings = {(finding.path, finding.code) for finding in report.warnings}
    assert set(expected.items()) <= warnings, sorted(warnings)
    assert all(len(line) <= 100 for line in str(report).splitlines())


def test_precision_and_recall(report_on, capsys):
    """Over models: a healthy one with a warning is a false alarm, a planted one without its warnings is missed."""
    healthy = HEALTHY | HUB
    false = sum(bool(report_on(name, make).warnings) for name, make in healthy.items())
    hits = 0
    for name, (make, expected) in PLANTED.items():
        warnings = {(finding.path, finding.code) for finding in report_on(name, make).warnings}
        hits += set(expected.items()) <= warnings
    precision, recall = hits / (hits + false), hits / len(PLANTED)
    with capsys.disabled():
        print(
            f"\n{len(healthy)} healthy and {len(PLANTED)} planted models: "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
    assert (precision, recall) == (1.0, 1.0)
    assert (len(healthy) >= 20, len(PLANTED) >= 40) == (True, True)
