"""A zero start leaves no unit behind a rectifier dead, on networks of public reports of dead units.

Sources: biases that no ReLU survives (https://github.com/facebookresearch/dlrm/pull/358); ReLU units that never fire in
an epoch, and a wish to be told (https://github.com/keras-team/keras/issues/7057); a ReLU at the output that predicts
zeros from the start (https://github.com/jvargasmu/population_estimation/issues/68); deep narrow ReLU networks that are
born dead (Lu et al. 2020, arXiv:1903.06733; https://stats.stackexchange.com/questions/450100); a zero weight without a
bias in front of a ReLU (https://github.com/lucidrains/deep-cross-attention/issues/2).
"""

import importlib
import itertools
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
from zeroinit import zero_start_
from zeroinit.remedies import ReviveUnits
from zeroinit.remedies.units import units_of

FOLDER = Path(__file__).parents[2] / "benchmarks"
DRAW = torch.Generator().manual_seed(5)
IMAGES, LABELS = torch.rand(48, 1, 8, 8, generator=DRAW), torch.randint(4, (48,), generator=DRAW)


def script(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


def dense(*widths: int, act=nn.ReLU) -> nn.Module:
    layers = [each for pair in itertools.pairwise((64, *widths)) for each in (nn.Linear(*pair), act())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], 4))


class Recommender(nn.Module):
    """Two dense networks and dot products of embeddings in between, all with ReLU, as in DLRM."""

    def __init__(self):
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())
        self.table, self.top = nn.Embedding(10, 8), nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, images):
        bottom = self.bottom(images.flatten(1))
        chosen = self.table((images[:, 0, 0, 0] * 9).long())
        return self.top(torch.cat([bottom, (bottom * chosen).sum(1, keepdim=True)], dim=1))


class ReadOut(nn.Module):
    """A bias-free zero weight and a ReLU choose how much of each branch goes on."""

    def __init__(self):
        super().__init__()
        self.branches, self.choice = nn.ModuleList(nn.Linear(64, 16) for _ in range(3)), nn.Linear(64, 3, bias=False)
        self.head = nn.Linear(16, 4)

    def forward(self, images):
        flat = images.flatten(1) - 0.5
        shares = F.relu(self.choice(flat))
        return self.head(sum(shares[:, [number]] * F.relu(each(flat)) for number, each in enumerate(self.branches)))


class Residual(nn.Module):
    """Functional rectifiers around a sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)) for _ in range(3))
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        features = F.relu(self.norm(self.stem(images)))
        for block in self.blocks:
            features = F.relu(features + block(features))
        return self.head(features.mean((2, 3)))


def convolutional() -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))


MODELS = {
    "dense": lambda: dense(16, 16),
    "deep and narrow": lambda: dense(*[8] * 7),
    "DLRM": Recommender,
    "convolutions, a batch norm": convolutional,
    "residual": Residual,
    "ReLU at the output": lambda: nn.Sequential(*dense(16, 16), nn.ReLU()),
}
SMOOTH = {"ELU": lambda: dense(16, 16, act=nn.ELU), "GELU": lambda: dense(16, 16, act=nn.GELU)}


def build(make, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def train(model: nn.Module, start, num: int) -> None:
    optimizer = Adam(model.parameters(), lr=1e-3)
    with start:
        for _ in range(num):
            optimizer.zero_grad()
            F.cross_entropy(model(IMAGES), LABELS).backward()
            optimizer.step()


def still(model: nn.Module) -> list[int]:
    return [int((~units.have_moved()).sum()) for units in units_of(model)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_no_unit_stays_dead(name, seed):
    model = build(MODELS[name], seed)
    start = zero_start_(model, generator=torch.Generator().manual_seed(seed))
    train(model, start, 30)
    assert (start.remaining, start.unmoved, start.unmoved_units) == (0, {}, {})
    assert not any(still(model))
    assert sum(start.revived.values()) >= 4
    assert "these biases got no gradient (behind a rectifier), so they became positive" in str(start)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("ReLU at the output", "deep and narrow")])
def test_without_it_units_are_dead_after_three_hundred_updates(name):
    """The negative case: what happened before."""
    model = build(MODELS[name], 0)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    start._parts = tuple(part for part in start.parts if not isinstance(part, ReviveUnits))
    train(model, start, 300)
    assert max(still(model)) >= (2 if name == "residual" else 3)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_networks_are_let_be(name):
    model = build(SMOOTH[name], 0)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    train(model, start, 12)
    assert (start.steps, start.revived, any(still(model))) == (10, {}, False)
    assert "rectifier" not in str(start)


@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_nine_layers_lose_no_gradient(activation):
    """Without help half-way the first layer does not move, and its dead units could not be told."""
    model = zeroinit.bench.build_model("cifar_cnn_quarter", (1, 8, 8), activation=activation)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    optimizer = Adam(model.parameters(), lr=3e-4)
    with start:
        for _ in range(start.steps):
            optimizer.zero_grad()
            F.cross_entropy(model(IMAGES), LABELS).backward()
            optimizer.step()
    assert (start.steps, start.remaining, start.unmoved, still(model)) == (20, 0, {}, [0] * 9)
    assert "weights became orthogonal also half-way, because gradients did not reach all weights" in str(start)


def test_a_zero_weight_without_a_bias_is_drawn():
    model = build(ReadOut, 0)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    train(model, start, 30)
    assert "choice.weight" in start.drawn
    assert start.unmoved == {}


def test_units_that_cannot_move_are_named():
    """Outputs of a head that the loss leaves out, and a rectifier whose biases another optimizer holds back."""
    model = build(MODELS["dense"], 0)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    for part in start.parts:
        if isinstance(part, ReviveUnits):
            part.only = set()
    with pytest.warns(
        zeroinit.RemedyWarning, match=r"units do not move in the first 10 updates: \d+ of 16 of '1.weight'"
    ):
        train(model, start, 30)
    assert re_units(start.standing()) == list(start.unmoved_units)


def re_units(text: str) -> list[str]:
    return [part.rpartition(" in ")[2] for part in text.partition("units that did not move: ")[2].split(", ")]


def test_transformers_with_rectifiers_lose_none():
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    configuration = transformers.BertConfig(
        vocab_size=20, max_position_embeddings=16, hidden_act="relu", num_labels=4, **settings
    )
    model = build(lambda: transformers.BertForSequenceClassification(configuration), 0)
    start = zero_start_(model, generator=torch.Generator().manual_seed(0))
    tokens = (IMAGES[:, 0, 0] * 20).long()
    optimizer = Adam(model.parameters(), lr=1e-3)
    with start:
        for _ in range(start.steps + 5):
            optimizer.zero_grad()
            model(input_ids=tokens, labels=LABELS).loss.backward()
            optimizer.step()
    up = [name for name in start.revived if "intermediate" in name]
    assert len(up) == 2
    assert set(start.revived) == set(up)
    assert not any(still(model))


def test_the_page_shows_the_stored_results():
    module = script("dead_units")
    rows = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    page = (FOLDER.parent / "docs" / "reference" / "zero_start.md").read_text(encoding="utf-8")
    assert module.table(rows) in page
    assert module.rank_table(rows) in page
    rows[0]["accuracy"] -= 5
    assert module.table(rows) not in page
