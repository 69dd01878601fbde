"""A zero start on models that bring zeros of their own: every weight moves, or a warning names those that do not.

The networks are in ``benchmarks/zero_networks.py``. Sources of the zeros: torchvision's ``zero_init_residual``
(https://github.com/pytorch/vision/pull/6082), ReZero (arXiv:2003.04887), layer scale (arXiv:2103.17239), DiT's gates
(arXiv:2212.09748), LoRA (arXiv:2106.09685). Of two zero factors neither ever moves:
https://github.com/Guitaricet/relora/issues/18, https://github.com/nvidia-cosmos/cosmos-predict2.5/pull/15.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

import zeroinit
from zeroinit import InitWarning, InputError, RemedyWarning, zero_start_
from zeroinit._modules.layers import weights_of
from zeroinit.remedies import ReviveUnits
from zeroinit.remedies.weight_sizes import default_size

FOLDER = Path(__file__).parents[2] / "benchmarks"


def networks() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("zero_networks")
    finally:
        sys.path.remove(str(FOLDER))


def build(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = networks().NETWORKS[name]()
        return networks().adapt(model) if name == "LoRA" else model


def train(model: nn.Module, start, num: int | None = None, optimizer: torch.optim.Optimizer | None = None) -> None:
    draw = torch.Generator().manual_seed(1)
    images, labels = torch.rand(24, 1, 8, 8, generator=draw), torch.randint(10, (24,), generator=draw)
    optimizer = optimizer or Adam([each for each in model.parameters() if each.requires_grad])
    with start:
        for _ in range(start.steps + 1 if num is None else num):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()


def start_of(model: nn.Module, **settings):
    return zero_start_(model, generator=torch.Generator().manual_seed(2), **settings)


DRAWN = {"ReZero, no biases in blocks": 8, "ConvNeXt, layer scale 0, no biases in blocks": 9, "LoRA": 3}


@pytest.mark.parametrize("name", networks().NETWORKS)
def test_every_weight_moves(name):
    model = build(name)
    start = start_of(model)
    train(model, start)
    assert (start.remaining, start.unmoved, len(start.drawn)) == (0, {}, DRAWN.get(name, 0))
    assert all(parameter.any() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", ["ResNet, zero γ", *DRAWN])
def test_without_the_care_for_its_zeros_weights_stay_and_are_named(name, monkeypatch):
    """The negative case: what happened before."""
    monkeypatch.setattr("zeroinit.zero_start.own_zeros.NORMS", ())
    monkeypatch.setattr(importlib.import_module("zeroinit.remedies.draw_stuck"), "PATIENCE", 1000)
    model = build(name)
    start = start_of(model)
    with pytest.warns(
        RemedyWarning, match=r"weights do not move in the first \d+ updates: .*\(has a gradient of zero\)"
    ):
        train(model, start)
    assert len(start.unmoved) >= 6
    assert not any(weight.any() for weight in weights_of(model) if weights_of(model)[weight].name in start.unmoved)


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
def test_a_gamma_of_zero_becomes_one_and_the_record_says_so():
    model = build("ResNet, zero γ")
    start = start_of(model)
    names = [f"{block}.bn2.weight" for block in (3, 4, 5)]
    rules = {entry.name: entry.rule for entry in start.record.parameters}
    assert [rules[name] for name in names] == ["1 (was 0)"] * 3
    assert not {entry.name for entry in start.record.untouched} & set(names)
    assert all(model.get_parameter(name).eq(1).all() for name in names)
    assert "γ = 1" in str(start)
    assert "3.bn2, 4.bn2, 5.bn2" in str(start)


def test_a_frozen_gamma_of_zero_is_let_be_and_what_it_cuts_off_is_named():
    model = build("ResNet, zero γ")
    model[3].bn2.weight.requires_grad_(False)
    start = start_of(model)
    with pytest.warns(RemedyWarning, match=r"^2 weights do not move in .*'3.conv1.weight' .*include='3.conv1'"):
        train(model, start)
    assert list(start.unmoved) == ["3.conv1.weight", "3.conv2.weight"]
    assert not model[3].bn2.weight.any()


def test_lora_keeps_the_network_it_adapts_and_a_small_second_factor():
    model = build("LoRA")
    before = {name: value.clone() for name, value in model.state_dict().items() if "base" in name}
    start = start_of(model)
    train(model, start)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert "kept small" in str(start)
    for layer in (model[1], model[3], model[5]):
        sizes = [
            float(each.weight.detach().square().mean().sqrt()) / default_size(each.weight)
            for each in (layer.lora_A, layer.lora_B)
        ]
        assert sizes[0] == pytest.approx(3**0.5, rel=0.05)  # orthonormal, as with more than four weights
        assert 0 < sizes[1] < 0.1


def test_a_model_that_was_set_to_zero_before_is_started_as_any_other():
    """Its zeros are no design of its own."""
    sizes = []
    for is_zero in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        if is_zero:
            zeroinit.initialize_(model, "zero")
        train(model, start_of(model))
        sizes.append(float(model[1].weight.detach().square().mean().sqrt()) / default_size(model[1].weight))
    assert sizes[0] == pytest.approx(sizes[1])
    assert sizes[0] == pytest.approx(1, rel=0.1)


def test_what_takes_no_part_is_named_with_the_reason():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    model.unused = nn.Linear(4, 4)
    model.forward = lambda images: model[3](model[2](model[1](model[0](images))))
    start = start_of(model)
    with pytest.warns(
        RemedyWarning,
        match=r"^1 weight does not move in .*'unused.weight' \(has no gradient\); check that the loss depends on it",
    ):
        train(model, start)
    assert start.standing().endswith("; weights that did not move: unused.weight")


def test_a_weight_in_no_optimizer_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    start = start_of(model)
    optimizer = Adam(model[3].parameters())
    with pytest.warns(RemedyWarning, match=r"'1.weight' \(is in no optimizer\)"):
        train(model, start, optimizer=optimizer)


class Mixer(nn.Module):
    """Attention between two dense layers."""

    def __init__(self, **settings: int):
        super().__init__()
        self.inlet, self.head = nn.Linear(8, 12), nn.Linear(12, 10)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True, **settings)

    def forward(self, images):
        tokens = self.inlet(images[:, 0])
        other = tokens if self.attention._qkv_same_embed_dim else tokens[..., :6]
        return self.head((tokens + self.attention(tokens, other, other, need_weights=False)[0]).mean(1))


@pytest.mark.parametrize("settings", [{}, {"kdim": 6, "vdim": 6}], ids=["packed", "apart"])
def test_the_projections_of_attention_are_set_and_made_orthogonal(settings):
    model = Mixer(**settings)
    start = start_of(model, steps=12)
    names = [weight.name for weight in weights_of(model).values()]
    assert all(not weight.any() for weight in weights_of(model))
    assert len(names) == (4 if not settings else 6)
    train(model, start, 12)
    for weight in weights_of(model).values():
        for matrix in weight.matrices():
            size = default_size(matrix) * (3**0.5 if settings else 1)  # with six weights they become orthonormal
            assert float(matrix.detach().square().mean().sqrt()) == pytest.approx(size, rel=0.01)


def test_frozen_weights_and_a_tied_embedding_stay_as_they_are():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.mix, self.frozen = nn.Embedding(10, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.head = nn.Linear(8, 10, bias=False)
            self.head.weight = self.table.weight
            self.frozen.requires_grad_(False)

        def forward(self, images):
            hidden = self.table((10 * images[:, 0, 0]).long().clamp(max=9))
            return self.head(hidden + self.frozen(F.relu(self.mix(hidden)))).mean(1)

    model = Tied()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(InitWarning, match="1 parameter keeps its values"):
        start = start_of(model)
    train(model, start)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"table.weight", "head.weight", "mix.weight", "mix.bias"}
    assert float((model.table.weight.detach() - before["table.weight"]).abs().max()) < 0.1


def test_what_is_excluded_stays_as_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    before = model[3].weight.detach().clone()
    start = start_of(model, exclude="3")
    assert torch.equal(model[3].weight, before)
    train(model, start)
    assert 0.5 < float(model[3].weight.detach().norm() / before.norm()) < 1.5
    assert float(model[1].weight.detach().square().mean().sqrt()) == pytest.approx(
        default_size(model[1].weight), rel=0.1
    )
    with pytest.raises(InputError, match="exclude='nothing'"):
        start_of(model, exclude="nothing")


@pytest.mark.parametrize("is_revived", [True, False])
def test_a_narrow_layer_whose_biases_a_rectifier_cuts_off_gets_positive_ones(is_revived):
    """With two units both are negative in one of four draws; with zero weights nothing else reaches them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2), nn.ReLU(), nn.Linear(2, 10))
    start = start_of(model)
    nn.init.constant_(model[3].bias, -0.1)
    if is_revived:
        train(model, start)
        assert start.unmoved == {}
        assert start.revived["3.bias"] == 2
        return
    start._parts = tuple(part for part in start.parts if not isinstance(part, ReviveUnits))
    with pytest.warns(RemedyWarning, match="weights do not move"):
        train(model, start)


def test_peft_models_train_and_keep_their_base():
    peft = pytest.importorskip("peft")
    base = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["1", "3"]))
    before = {name: value.clone() for name, value in model.state_dict().items() if "base_layer" in name}
    start = start_of(model)
    train(model, start)
    assert before
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert (start.remaining, start.unmoved) == (0, {})


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
def test_a_state_goes_on_with_what_was_drawn():
    model = build("ReZero, no biases in blocks")
    start = start_of(model)
    part = start.parts[-1]
    train(model, start, 14)
    again = start_of(build("ReZero, no biases in blocks"))
    again.load_state_dict(start.state_dict())
    assert (again.drawn, again.remaining) == (start.drawn, 0)
    assert part.state_dict()["zero"] == []


def test_the_page_shows_the_stored_results():
    sys.path.insert(0, str(FOLDER))
    try:
        script = importlib.import_module("zero_start")
    finally:
        sys.path.remove(str(FOLDER))
    rows = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    table = script.table(rows)
    assert table in (FOLDER.parent / "docs" / "reference" / "zero_start.md").read_text(encoding="utf-8")
    for name in networks().NETWORKS:
        gaps = [
            sum(
                row["accuracy"] * (1 if row["start"] == "zero start" else -1)
                for row in rows
                if row["seed"] == seed and row["network"] == name
            )
            for seed in range(5)
        ]
        assert sum(gaps) / 5 > -script.MARGIN
    assert not any(row.get("unmoved") for row in rows)
    rows[0]["accuracy"] -= 5
    assert script.table(rows) != table
