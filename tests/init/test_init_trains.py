"""Each initializer on each kind of model: three steps lower the loss, or the entry says beforehand why not."""

import copy
import warnings

import pytest
import torch
from torch import nn

from zeroinit.init import INITIALIZERS, InitWarning, SymmetryWarning, initialize_

STEPS = 3


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)
        self.one, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.norm(self.one(torch.relu(x)))).mean((2, 3)))


class Tokens(nn.Module):
    def __init__(self, mixer: nn.Module):
        super().__init__()
        self.table, self.mixer, self.head = nn.Embedding(11, 16), mixer, nn.Linear(16, 4)

    def forward(self, x):
        found = self.mixer(self.table(x))
        return self.head((found[0] if isinstance(found, tuple) else found).mean(1))


IMAGES = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
WORDS = torch.randint(11, (12, 5), generator=torch.Generator().manual_seed(1))
MODELS = {
    "dense": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(108, 32), nn.ReLU(), nn.Linear(32, 4)), IMAGES),
    "convolutional": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.Flatten(), nn.Linear(32, 4)
        ),
        IMAGES,
    ),
    "residual": (Residual, IMAGES),
    "recurrent": (lambda: Tokens(nn.LSTM(16, 16, batch_first=True)), WORDS),
    "attention": (lambda: Tokens(nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)), WORDS),
}
LABELS = torch.arange(12) % 4


def train(model: nn.Module, inputs: torch.Tensor) -> list[float]:
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.01), []
    for _ in range(STEPS + 1):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), LABELS)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
    return losses


def needs_what_is_missing(name: str, kind: str) -> str | None:
    if name in ("fixup", "zero_branch") and kind in ("dense", "convolutional", "recurrent"):
        return "no residual branch"
    return "finds no self-attention" if name == "mimetic" and kind != "attention" else None


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_it_trains_or_says_why_not(name, kind):
    make, inputs = MODELS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = make()
    settings = {"probe": inputs} if INITIALIZERS[name].needs_batch else {}
    ends_without_norm = name == "zero_branch" and kind == "attention"
    rule = INITIALIZERS[name].using(at="weight") if ends_without_norm else name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InitWarning)
        warnings.simplefilter("ignore", SymmetryWarning)
        if (missing := needs_what_is_missing(name, kind)) is not None:
            with pytest.raises(ValueError, match=missing):
                initialize_(model, rule, seed=0, **settings)
            return
        initialize_(model, rule, seed=0, **settings)
    before = copy.deepcopy(model.state_dict())
    losses = train(model, inputs)
    moved = any(not torch.equal(before[key], value) for key, value in model.state_dict().items() if "weight" in key)
    assert all(loss == loss for loss in losses)
    limits = INITIALIZERS[name].limits
    if not limits:
        assert losses[-1] < losses[0], losses
        assert moved
