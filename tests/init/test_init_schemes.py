"""What each initializer of the literature promises, against its equation; what needs a batch or a graph says so."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from zeroinit import inspect
from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, initialize_, make_initializer


class Block(nn.Module):
    """x + norm(down(relu(up(x)))), or without the norm."""

    def __init__(self, width: int, norm: bool = False, drop: float = 0.0):
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        return x + self.norm(self.down(self.drop(torch.relu(self.up(x)))))


def residual(blocks: int = 3, norm: bool = False, drop: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), *(Block(8, norm, drop) for _ in range(blocks)), nn.Linear(8, 3))


BATCH = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("scale", "factor"), [("paper", 2**-1.5), ("code", 2**-2)])
def test_zer_o_is_an_identity_or_a_hadamard_matrix(scale, factor):
    rule = make_initializer("zer_o", scale=scale)
    square, wide, tall, conv = nn.Linear(5, 5), nn.Linear(7, 3), nn.Linear(4, 16), nn.Conv2d(2, 4, 3)
    for layer in (square, wide, tall, conv):
        initialize_(layer, rule)
    assert torch.equal(square.weight, torch.eye(5))
    assert torch.equal(wide.weight, torch.eye(3, 7))
    hadamard = tall.weight / factor
    assert set(hadamard.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(hadamard.t() @ hadamard, 16 * torch.eye(4))
    assert not conv.weight[:, :, 0].any()
    assert conv.weight[:, :, 1, 1].abs().unique().tolist() == pytest.approx([2 ** (-(2 - (scale == "paper")) / 2)])


def test_idinit_repeats_the_identity():
    layer = nn.Linear(7, 3)
    initialize_(layer, "idinit")
    assert torch.equal(layer.weight, torch.cat([torch.eye(3), torch.eye(3), torch.eye(3, 1)], dim=1))
    conv = nn.Conv1d(2, 4, 3)
    initialize_(conv, make_initializer("idinit", tau=0.5))
    assert torch.equal(conv.weight.flatten(1), 0.5 * torch.cat([torch.eye(4), torch.eye(4, 2)], dim=1))


@pytest.mark.parametrize("shape", [(3, 7), (3, 4), (7, 3), (4, 4), (2, 1)])
def test_idinit_preserves_zero_by_differences_of_two_inputs(shape):
    units, inputs = shape
    layer = nn.Linear(inputs, units)
    initialize_(layer, make_initializer("idinit", preserves="zero", tau=1e-6))
    expected = torch.zeros(units, inputs)
    for i in range(units):
        expected[i, i % inputs] += 1e-6 * (1 if inputs > 1 or i % 2 == 0 else -1)
        if inputs > 1:
            expected[i, units + i % (inputs - units) if units < inputs else (i + 1) % inputs] -= 1e-6
    assert torch.equal(layer.weight, expected)
    assert inputs == 1 or not layer(torch.ones(1, inputs)).any()
    initialize_(layer, make_initializer("idinit", tau=1e-6))
    assert layer(torch.ones(1, inputs)).any()  # the identity itself does not


@pytest.mark.parametrize("shape", [(6, 10), (12, 4), (7, 7), (3, 2)])
def test_sinusoidal_follows_its_equation(shape):
    units, inputs = shape
    layer = nn.Linear(inputs, units)
    initialize_(layer, "sinusoidal")
    i, j = torch.arange(1.0, units + 1)[:, None], torch.arange(1.0, inputs + 1)
    waves = torch.sin(2 * math.pi * i * (j / inputs + 1 / units))
    expected = waves * ((2 / (units + inputs)) / waves.var(correction=0)).sqrt()
    torch.testing.assert_close(layer.weight.detach(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [nn.Linear(10, 6), nn.Linear(4, 12), nn.Conv2d(2, 5, 3), nn.Conv1d(8, 4, 1)])
def test_sinusoidal_gives_the_values_of_the_published_code(layer):
    units, inputs = len(layer.weight), layer.weight[0].numel()
    position = torch.arange(inputs) * (2 * math.pi / inputs) + 2 * math.pi / units
    waves = torch.sin(position[None] * torch.arange(1, units + 1)[:, None])
    expected = waves * math.sqrt(2.0 / (waves.var(correction=1).item() * (inputs + units)))
    initialize_(layer, make_initializer("sinusoidal", normalize="code"))
    torch.testing.assert_close(layer.weight.detach().flatten(1), expected, atol=2e-5, rtol=1e-4)
    initialize_(layer, "sinusoidal")
    assert not torch.allclose(layer.weight.detach().flatten(1), expected, atol=1e-3)


def test_delta_orthogonal_keeps_norms_and_sparse_keeps_its_share(generator):
    conv = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    initialize_(conv, "delta_orthogonal", generator=generator(0))
    images = torch.randn(2, 4, 5, 5, generator=generator(1))
    torch.testing.assert_close(conv(images).square().sum(), images.square().sum())
    layer = nn.Linear(40, 30)
    initialize_(layer, make_initializer("sparse", sparsity=0.9), generator=generator(0))
    assert (layer.weight == 0).sum(dim=1).tolist() == [36] * 30
    assert float(layer.weight.detach().square().sum(dim=1).mean()) == pytest.approx(1.0, rel=0.3)


def test_fixup_scales_the_branches_and_zeroes_their_ends():
    model, plain = residual(4), residual(4)
    record = initialize_(model, "fixup", seed=0, probe=BATCH)
    initialize_(plain, "kaiming_normal", seed=0)
    for number in range(1, 5):
        torch.testing.assert_close(model[number].up.weight, plain[number].up.weight * 4**-0.5)
        assert not model[number].down.weight.any()
    assert torch.equal(model[0].weight, plain[0].weight)
    assert not model[5].weight.any()
    assert "residual branches: 4" in str(record)
    initialize_(model, make_initializer("fixup", read_out="drawn"), seed=0, probe=BATCH)
    assert torch.equal(model[5].weight, plain[5].weight)


def test_branches_start_at_zero_by_norm_or_by_weight():
    model = residual(2, norm=True)
    initialize_(model, "zero_branch", seed=0, probe=BATCH)
    assert not any(model[number].norm.weight.any() for number in (1, 2))
    assert all(model[number].down.weight.any() for number in (1, 2))
    before = model[1].norm.running_mean.clone()
    assert torch.equal(model[1](BATCH @ torch.ones(6, 8)), BATCH @ torch.ones(6, 8))
    assert not torch.equal(before, model[1].norm.running_mean)  # it was in train mode, and the probe left it alone
    initialize_(model, make_initializer("zero_branch", at="weight"), seed=0, probe=BATCH)
    assert not any(model[number].down.weight.any() for number in (1, 2))
    with pytest.raises(InputError, match="shows no residual branch that it could start at zero"):
        initialize_(residual(2), "zero_branch", seed=0, probe=BATCH)


@pytest.mark.parametrize("name", [name for name, entry in INITIALIZERS.items() if entry.needs_batch])
def test_what_needs_a_batch_says_so_and_changes_nothing(name, snapshot):
    model = residual(2, norm=True)
    before = snapshot(model)
    with pytest.raises(InputError, match=f"initializer='{name}': needs probe="):
        initialize_(model, name, seed=0)
    with pytest.raises(InputError, match="the forward pass failed"):
        initialize_(model, name, seed=0, probe=torch.ones(4, 7))
    assert snapshot(model) == before
    initialize_(model, name, seed=0, probe=BATCH)
    assert snapshot(model) != before


def test_a_chain_has_no_branch_for_fixup():
    with pytest.raises(InputError, match="initializer='fixup': the forward pass shows no residual branch"):
        initialize_(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)), "fixup", probe=BATCH)


def test_lsuv_gives_every_output_variance_1_on_real_digits():
    digits = torch.from_numpy(load_digits().images).float()[:256, None] / 16
    convolution = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(*convolution, nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 10))
    seen = {}
    for number, layer in enumerate(model):
        layer.register_forward_hook(
            lambda _, __, output, number=number: seen.update({number: float(output.detach().var())})
        )
    layers = [number for number, layer in enumerate(model) if hasattr(layer, "weight")]
    initialize_(model, "orthogonal", seed=0)
    model(digits)
    assert any(abs(seen[number] - 1) > 0.1 for number in layers)  # the negative case
    record = initialize_(model, "lsuv", seed=0, probe=digits)
    model(digits)
    assert {number: seen[number] for number in layers} == pytest.approx(dict.fromkeys(layers, 1.0), abs=0.1)
    assert "not scaled" not in str(record)


def test_mimetic_products_are_near_the_identity():
    model = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0)
    record = initialize_(model, "mimetic", seed=0)
    query, key, value = model.self_attn.in_proj_weight.detach().chunk(3)
    product = model.self_attn.out_proj.weight.detach() @ value
    assert float(product.diagonal().mean()) == pytest.approx(-0.4, abs=0.1)
    assert float((product - product.diagonal().diag()).std()) == pytest.approx(0.4 / 32**0.5, rel=0.2)
    head = query[:8].t() @ key[:8]
    assert float(head.diagonal().mean()) > 0.2
    assert "self-attentions: 1" in str(record)
    initialize_(model, "xavier_uniform", seed=0)
    value = model.self_attn.in_proj_weight.detach().chunk(3)[2]
    assert abs(float((model.self_attn.out_proj.weight.detach() @ value).diagonal().mean())) < 0.15
    with pytest.raises(InputError, match="finds no self-attention"):
        initialize_(nn.Linear(2, 2), "mimetic")


@pytest.mark.parametrize(("drop", "one_group"), [(0.0, True), (0.01, False)])
def test_constnet_has_one_group_per_layer_until_dropout_breaks_it(drop, one_group):
    model = residual(2, drop=drop)
    initialize_(model, "constnet", probe=BATCH)
    labels = torch.arange(16) % 3
    report = inspect(model, BATCH.repeat(8, 1), labels.repeat(8), steps=12)
    distinct = {row.path: row.num_distinct_units for row in report.layers if row.path.endswith(("up", "0"))}
    assert distinct
    assert all(count == 1 for count in distinct.values()) == one_group
