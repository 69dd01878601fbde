"""Fans are those that signals see, for every kind of module, and gains are those of the activation."""

import math

import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn
from transformers.pytorch_utils import Conv1D

from zeroinit._common import InputError
from zeroinit._modules.kinds import every_slot
from zeroinit.init import gain, initialize_, make_initializer

CLOSED_FORMS = {
    "linear": 1.0,
    "relu": 1 / 2,
    "leaky_relu": (1 + 0.01**2) / 2,
    "relu_squared": 3 / 2,
    "sin": (1 - math.exp(-2)) / 2,
    # E[z^2 Phi(z)^2] for GELU, by Stein's lemma
    "gelu": 1 / 3 + 1 / (2 * math.sqrt(3) * math.pi),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_gains_have_their_closed_form(name):
    assert gain(name) == pytest.approx(CLOSED_FORMS[name] ** -0.5, rel=1e-9)


def test_gains_of_modules_functions_and_rules_of_thumb():
    assert gain(nn.SELU()) == pytest.approx(1.0, abs=1e-6)  # its fixed point
    assert gain(nn.LeakyReLU(0.2)) == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.2), rel=1e-9)
    assert gain(torch.tanh) == pytest.approx(1.592537, abs=1e-5)
    assert abs(gain("tanh") - nn.init.calculate_gain("tanh")) > 0.05  # torch's 5/3 is a rule of thumb
    draws = torch.randn(10**6, generator=torch.Generator().manual_seed(0))
    for name, module in {"silu": nn.SiLU(), "mish": nn.Mish(), "elu": nn.ELU()}.items():
        assert gain(name) == pytest.approx(float(module(draws).square().mean() ** -0.5), rel=5e-3)
    assert gain(nn.Hardswish()) == pytest.approx(float(nn.Hardswish()(draws).square().mean() ** -0.5), rel=5e-3)


@pytest.mark.parametrize("broken", ["rulu", lambda x: 0 * x, lambda x: x.sum(), lambda x: x / 0])
def test_what_has_no_gain_is_refused(broken):
    with pytest.raises(InputError, match="activation="):
        gain(broken)


class Mixtral(nn.Module):
    """Stacked experts as ``transformers`` has them; its class name says what it is."""

    def __init__(self, swapped: bool):
        super().__init__()
        self.hidden_size = 6
        up, down = ((4, 6, 20), (4, 10, 6)) if swapped else ((4, 20, 6), (4, 6, 10))
        self.gate_up_proj, self.down_proj = nn.Parameter(torch.empty(up)), nn.Parameter(torch.empty(down))


class OurExperts(Mixtral):
    pass


# name: module, {parameter: fan-in of each part}, {parameter: torch's own count, where it differs}
KINDS = {
    "linear": (nn.Linear(8, 32), {"weight": [(8, 32)]}, {}),
    "conv": (nn.Conv2d(8, 32, 3, dilation=2), {"weight": [(72, 288)]}, {}),
    "grouped": (nn.Conv2d(8, 32, 3, groups=2), {"weight": [(36, 144)]}, {"weight": (36, 288)}),
    "depthwise": (nn.Conv1d(4, 4, 3, groups=4), {"weight": [(3, 3)]}, {"weight": (3, 12)}),
    "transposed": (nn.ConvTranspose2d(8, 32, 3), {"weight": [(72, 288)]}, {"weight": (288, 72)}),
    "strided": (nn.ConvTranspose2d(8, 32, 4, stride=2), {"weight": [(32, 512)]}, {"weight": (512, 128)}),
    "embedding": (nn.Embedding(50, 8), {"weight": [(1, 8)]}, {"weight": (8, 50)}),
    "bilinear": (nn.Bilinear(3, 5, 7), {"weight": [(15, 28)]}, {"weight": (15, 35)}),
    "lstm": (nn.LSTM(8, 4), {"weight_ih_l0": [(8, 4)] * 4, "weight_hh_l0": [(4, 4)] * 4}, {"weight_ih_l0": (8, 16)}),
    "gru cell": (nn.GRUCell(8, 4), {"weight_ih": [(8, 4)] * 3}, {"weight_ih": (8, 12)}),
    "projected": (nn.LSTM(8, 4, proj_size=2), {"weight_hr_l0": [(4, 2)], "weight_hh_l0": [(2, 4)] * 4}, {}),
    "attention": (nn.MultiheadAttention(8, 2), {"in_proj_weight": [(8, 8)] * 3}, {"in_proj_weight": (8, 24)}),
    "Conv1D": (Conv1D(32, 8), {"weight": [(8, 32)]}, {"weight": (32, 8)}),
    "experts": (OurExperts(False), {"gate_up_proj": [(6, 10)] * 2, "down_proj": [(10, 6)]}, {"down_proj": (60, 40)}),
    "swapped experts": (OurExperts(True), {"gate_up_proj": [(6, 20)], "down_proj": [(10, 6)]}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fans_of_every_kind(kind):
    module, expected, torch_count = KINDS[kind]
    fans = {slot.name: list(slot.true_fans) for slot in every_slot(module)}
    assert {name: fans[name] for name in expected} == expected
    for name, count in torch_count.items():
        assert nn.init._calculate_fan_in_and_fan_out(module.get_parameter(name)) == count
        assert [count] != expected[name]


def test_grouped_queries_are_set_by_their_parts(generator):
    around = nn.Module()
    around.num_heads, around.num_key_value_heads = 4, 1
    around.qkv_proj = nn.Linear(64, 96).requires_grad_(False)
    initialize_(around, make_initializer("xavier_normal"), frozen="set", generator=generator(0))
    query, key, value = around.qkv_proj.weight.split([64, 16, 16])
    assert float(query.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    for part in (key, value):
        assert float(part.std()) == pytest.approx((2 / 80) ** 0.5, rel=0.1)
    nn.init.xavier_normal_(around.qkv_proj.weight, generator=generator(0))
    assert (
        float(around.qkv_proj.weight.split([64, 16, 16])[0].std()) < 0.95 * (2 / 128) ** 0.5
    )  # torch takes it for one


TORCH = {
    "xavier_uniform": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    "xavier_normal": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "kaiming_uniform": lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
    "kaiming_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g),
    "lecun_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g),
    "lecun_uniform": lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="linear", generator=g),
    "lecun_truncated": lambda w, g: nn.init.trunc_normal_(
        w, 0, s := (w[0].numel() ** -0.5 / 0.8796256610342398), -2 * s, 2 * s, generator=g
    ),
}


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_equal_in_distribution_to_torch_where_torch_is_right(kind, name, seeded, generator):
    module = {"linear": lambda: nn.Linear(64, 256), "conv": lambda: nn.Conv2d(32, 64, 3)}[kind]()
    initialize_(module, name, **({"seed": 5} if seeded else {"generator": generator(1)}))
    ours = module.weight.detach().flatten().numpy()
    theirs = TORCH[name](torch.empty(module.weight.shape), generator(1006)).flatten().numpy()
    assert ks_2samp(ours, theirs).pvalue > 1e-3
    assert ks_2samp(1.15 * ours, theirs).pvalue < 1e-3
    assert not module.bias.any()


def test_the_padding_row_is_zero_and_the_others_have_variance_1():
    table = nn.Embedding(500, 64, padding_idx=3)
    initialize_(table, "kaiming_normal", seed=0)
    assert not table.weight[3].any()
    assert float(table.weight[4:].detach().std()) == pytest.approx(1.0, rel=0.02)


def test_the_forget_gate_alone_gets_its_bias():
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    initialize_(lstm, make_initializer("xavier_uniform", forget_bias=1.0), seed=0)
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias"):
            expected = [0.0, 1.0, 0.0, 0.0] if name.startswith("bias_ih") else [0.0] * 4
            assert parameter.reshape(4, 4).unique(dim=1).flatten().tolist() == expected
    with pytest.raises(InputError, match="forget_bias"):
        make_initializer("normal_bias", forget_bias=1.0)


def test_each_group_expert_and_gate_is_orthogonal_of_its_own():
    grouped, experts, cell = nn.Conv2d(8, 8, 1, groups=2), OurExperts(False), nn.GRUCell(6, 4)
    for module in (grouped, experts, cell):
        initialize_(module, "orthogonal", seed=0)
    matrices = [*grouped.weight.flatten(1).chunk(2), *experts.down_proj, *cell.weight_hh.chunk(3)]
    for matrix in matrices:
        small = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
        torch.testing.assert_close(small @ small.t(), torch.eye(len(small)), atol=1e-5, rtol=0)
    assert len({tuple(each.flatten().tolist()) for each in experts.down_proj}) == 4


def test_a_tied_table_follows_the_read_out(generator):
    model = nn.ModuleDict({"table": nn.Embedding(100, 64), "head": nn.Linear(64, 100, bias=False)})
    model["head"].weight = model["table"].weight
    record = initialize_(model, "lecun_normal", generator=generator(0), strict=True)
    assert [(entry.name, entry.aliases) for entry in record.parameters] == [("table.weight", ("head.weight",))]
    assert float(model["head"].weight.detach().std()) == pytest.approx(1 / 8, rel=0.05)


@pytest.mark.parametrize(
    "activation",
    [nn.Softmax(-1), nn.LayerNorm(4), lambda z: z - z.mean(), lambda z: z.cumsum(0)],
    ids=["softmax", "norm", "mean", "sum"],
)
def test_a_function_of_all_values_has_no_gain(activation):
    with pytest.raises(InputError, match=r"^activation="):
        gain(activation)


def test_a_module_with_parameters_and_one_that_draws():
    assert gain(nn.PReLU()) == pytest.approx((2 / (1 + 0.25**2)) ** 0.5)
    assert gain(nn.Dropout(0.5)) == pytest.approx(1.0)
