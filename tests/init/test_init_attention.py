"""Attention and GPT's ``Conv1D`` are drawn as the dense layers that they are, each projection with its own fan-in."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from zeroinit._common import InputError
from zeroinit._modules.layers import Slot, fan_in, is_conv1d, num_inputs, slots_of
from zeroinit.init import INITIALIZERS, SymmetryWarning, initialize_
from zeroinit.init.auto_scale import auto_scales
from zeroinit.init.parameters import set_parameter
from zeroinit.init.sources import Stream

EVERY_INITIALIZER = pytest.mark.parametrize(
    "name", sorted(name for name, entry in INITIALIZERS.items() if not entry.others)
)
EMBED, KEYS, VALUES = 12, 5, 7


class Copied(nn.Module):
    """The class as copies of GPT-2 have it, without transformers."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.randn(nf))


Copied.__name__ = "Conv1D"


def dense_twin(fans: list[int], generator: torch.Generator, name: str) -> tuple[list, list]:
    """The slow twin: one dense layer a projection; all weights are drawn first, as attention packs them."""
    layers = [nn.Linear(fan, EMBED) for fan in fans]
    for part in ("weight", "bias"):
        for layer in layers:
            fan, values = layer.in_features, getattr(layer, part)
            slot = Slot(part, part, (fan,), values.dim())
            set_parameter(values, slot, getattr(INITIALIZERS[name], part), 1.0, Stream(generator))
    return [layer.weight for layer in layers], [layer.bias for layer in layers]


@EVERY_INITIALIZER
def test_a_packed_projection_is_three_dense_layers(name, generator):
    attention = nn.MultiheadAttention(EMBED, 3)
    record = initialize_(attention, name, generator=generator(1))
    weights, biases = dense_twin([EMBED] * 3, generator(1), name)
    assert torch.equal(attention.in_proj_weight, torch.cat(weights))
    assert torch.equal(attention.in_proj_bias, torch.cat(biases))
    assert [entry.name for entry in record.parameters] == [
        "in_proj_weight",
        "in_proj_bias",
        "out_proj.weight",
        "out_proj.bias",
    ]
    assert record.untouched == ()


@EVERY_INITIALIZER
def test_separate_projections_are_three_dense_layers_with_their_own_fans(name, generator):
    attention = nn.MultiheadAttention(EMBED, 3, kdim=KEYS, vdim=VALUES, add_bias_kv=True)
    initialize_(attention, name, generator=generator(1))
    weights, biases = dense_twin([EMBED, KEYS, VALUES], generator(1), name)
    for ours, expected in zip("qkv", weights, strict=True):
        assert torch.equal(getattr(attention, f"{ours}_proj_weight"), expected)
    assert torch.equal(attention.in_proj_bias, torch.cat(biases))
    if name == "pytorch":
        for bias, fan in ((attention.bias_k, KEYS), (attention.bias_v, VALUES)):
            assert 0.5 * fan**-0.5 < bias.abs().max() <= fan**-0.5


def test_packed_and_separate_projections_have_one_distribution(generator):
    """Unlike in torch, whose packed projection is smaller by the square root of 2."""
    packed, apart = nn.MultiheadAttention(EMBED, 3), nn.MultiheadAttention(EMBED, 3, kdim=EMBED, vdim=EMBED)
    apart._qkv_same_embed_dim, apart.in_proj_weight = False, None
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        apart.register_parameter(name, nn.Parameter(torch.zeros(EMBED, EMBED)))
    for attention in (packed, apart):
        initialize_(attention, "pytorch", generator=generator(1))
    together = torch.cat([apart.q_proj_weight, apart.k_proj_weight, apart.v_proj_weight])
    assert torch.equal(packed.in_proj_weight, together)
    packed._reset_parameters()
    assert packed.in_proj_weight.std() < 0.8 * nn.init.xavier_uniform_(torch.zeros(EMBED, EMBED)).std()


def test_with_zero_weights_attention_passes_the_bias_of_its_output_on(generator):
    attention = nn.MultiheadAttention(EMBED, 3, batch_first=True)
    initialize_(attention, "normal_bias", generator=generator(1))
    inputs = torch.randn(2, 4, EMBED, generator=generator(2))
    assert torch.equal(attention(inputs, inputs, inputs)[0], attention.out_proj.bias.expand(2, 4, EMBED))


def test_attention_without_biases_is_warned_of(generator):
    attention = nn.MultiheadAttention(EMBED, 3, bias=False)
    with pytest.warns(SymmetryWarning, match="2 of 2 layers have no bias"):
        record = initialize_(attention, "normal_bias", generator=generator(1))
    assert record.without_bias == ("", "out_proj")
    assert not attention.in_proj_weight.any()


def test_a_packed_projection_of_another_shape_is_refused(snapshot):
    attention = nn.MultiheadAttention(EMBED, 3)
    attention.in_proj_weight = nn.Parameter(torch.randn(EMBED + 1, EMBED))
    before = snapshot(attention)
    with pytest.raises(InputError, match=r"in_proj_weight: Parameter of shape \(13, 12\) is not a whole weight"):
        initialize_(attention, "pytorch")
    assert snapshot(attention) == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"exclude": "attn"}, {"head.weight", "head.bias"}),
        (
            {"include": "attn"},
            {"attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight", "attn.out_proj.bias"},
        ),
        ({"include": "attn.out_proj"}, {"attn.out_proj.weight", "attn.out_proj.bias"}),
        ({"exclude": ["attn.out_proj", "head"]}, {"attn.in_proj_weight", "attn.in_proj_bias"}),
    ],
)
def test_patterns_take_attention_as_a_whole_or_in_part(settings, expected, generator):
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 2)})
    record = initialize_(model, "zero", generator=generator(0), **settings)
    assert {entry.name for entry in record.parameters} == expected


@EVERY_INITIALIZER
@pytest.mark.parametrize("kind", [Conv1D, Copied], ids=["transformers", "copied"])
def test_conv1d_gets_the_values_of_a_dense_layer_transposed(kind, name, generator):
    layer, dense = kind(8, 32), nn.Linear(32, 8)
    record = initialize_(layer, name, generator=generator(1))
    initialize_(dense, name, generator=generator(1))
    assert torch.equal(layer.weight, dense.weight.t())
    assert torch.equal(layer.bias, dense.bias)
    assert [(entry.name, entry.shape) for entry in record.parameters] == [("weight", (32, 8)), ("bias", (8,))]


def test_the_fan_in_of_conv1d_is_the_first_axis(generator):
    layer = Conv1D(400, 25)
    assert fan_in(layer) == num_inputs(layer) == 25
    initialize_(layer, "pytorch", generator=generator(0))
    assert 0.19 < layer.weight.abs().max() <= 0.2  # by the wrong axis .05


class Lookalike(nn.Module):
    def __init__(self, **fields):
        super().__init__()
        for name, value in fields.items():
            setattr(self, name, value)


def test_what_is_only_called_conv1d_has_no_rule():
    kind = type("Conv1D", (Lookalike,), {})
    assert not is_conv1d(kind(weight=nn.Parameter(torch.zeros(3, 2))))
    assert not is_conv1d(kind(nf=3, weight=nn.Parameter(torch.zeros(3, 2))))
    assert not is_conv1d(kind(nf=2, weight=nn.Parameter(torch.zeros(3, 2, 2))))
    assert is_conv1d(kind(nf=2, weight=nn.Parameter(torch.zeros(3, 2)), bias=None))
    assert slots_of(Lookalike(nf=2, weight=nn.Parameter(torch.zeros(3, 2)), bias=None)) == ()


def test_factors_count_the_true_inputs_of_each_kind():
    model = nn.Sequential(
        nn.Linear(4, 100), nn.MultiheadAttention(100, 2), Conv1D(400, 100), nn.ConvTranspose2d(400, 3, 4, stride=2)
    )
    layers = {path: module for path, module in model.named_modules() if slots_of(module)}
    factors = auto_scales(model, layers)
    assert factors == pytest.approx({"0": 0.3, "1": 0.3, "1.out_proj": 0.3, "2": 3 / 1600**0.5, "3": 0.01})


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (nn.ConvTranspose1d(6, 4, 8, stride=2), 6 * 4),
        (nn.ConvTranspose1d(6, 4, 1, stride=3), 6),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, groups=2), 3 * 4),
        (nn.Conv2d(6, 4, 3, stride=2, groups=2), 3 * 9),
    ],
)
def test_inputs_are_counted_as_they_arrive(layer, count):
    """With ones everywhere a unit's output is the number of its inputs: the mean over a period, where there are any."""
    assert num_inputs(layer) == count
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    axes = layer.weight.dim() - 2
    output = layer(torch.ones(1, 6, *[24] * axes))[0, 0]
    inner = output[(slice(8, 8 + 2 * 3),) * axes].detach()
    assert inner[inner > 0].mean().item() == pytest.approx(count)
