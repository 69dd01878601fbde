"""Zero start with other optimizers than Adam at 1e-3, against PyTorch's default, on the 8x8 digits.

A stranger found that a shallow network lost with plain SGD. Decided before the first run: after 400 updates the mean
accuracy is at most 2 points below that of the default, for each optimizer and network. The cure and its one number were
chosen with seeds 0-4 on 300 images of the training part; this table uses the test images and seeds 5-9. "Before" is a
zero start that does not open all directions half-way. Every run is reported.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn, optim

import zeroinit
from zero_start import spread
from zeroinit.remedies import WeightRescale

RESULTS = Path(__file__).parent / "results" / "zero_optimizers.json"
MARGIN = 2.0
UPDATES = 400
SEEDS = range(5, 10)


class Lion(optim.Optimizer):
    """Signs of a moving average; Chen et al. 2023, "Symbolic discovery of optimization algorithms"."""

    def __init__(self, parameters, lr: float):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Make one step."""
        for group in self.param_groups:
            for each in [each for each in group["params"] if each.grad is not None]:
                average = self.state[each].setdefault("average", torch.zeros_like(each))
                each.sub_(group["lr"] * (0.9 * average + 0.1 * each.grad).sign())
                average.lerp_(each.grad, 0.01)


OPTIMIZERS: dict[str, Callable] = {
    "SGD 0.1": lambda own: optim.SGD(own, 0.1),
    "SGD 0.3": lambda own: optim.SGD(own, 0.3),
    "SGD 0.1, momentum": lambda own: optim.SGD(own, 0.1, momentum=0.9),
    "SGD 0.01, momentum": lambda own: optim.SGD(own, 0.01, momentum=0.9),
    "Adafactor 0.01": lambda own: optim.Adafactor(own, 0.01),
    "Lion 0.001": lambda own: Lion(own, 1e-3),
    "Lion 0.0003": lambda own: Lion(own, 3e-4),
    "Adam 0.005": lambda own: optim.Adam(own, 5e-3),
    "Adam 0.001": lambda own: optim.Adam(own, 1e-3),
    "Adam 0.0001": lambda own: optim.Adam(own, 1e-4),
}


def dense() -> nn.Module:
    """Return a network with three dense layers."""
    layers = (nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10))
    return nn.Sequential(nn.Flatten(), *layers)


def convolutional() -> nn.Module:
    """Return a network with two bias-free convolutions, each before a norm, and a dense layer."""
    blocks = [(nn.Conv2d(of, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)) for of in (1, 8)]
    return nn.Sequential(*blocks[0], *blocks[1], nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"dense": dense, "CNN": convolutional}
STARTS = ("default", "before", "zero start")


def run(network: str, optimizer: str, start: str, seed: int) -> float:
    """Train one network; return the accuracy in percent."""
    digits = zeroinit.bench.load_dataset("digits")
    images, labels = digits.train_images.float() / digits.peak, digits.train_labels
    torch.manual_seed(seed)
    model = NETWORKS[network]()
    acting = zeroinit.zero_start_(model, generator=torch.Generator().manual_seed(seed)) if start != "default" else None
    for part in acting.parts if acting is not None and start == "before" else ():
        if isinstance(part, WeightRescale):
            part._is_judged = True
    order = torch.Generator().manual_seed(100 + seed)
    updating = OPTIMIZERS[optimizer](model.parameters())
    if acting is not None:
        acting.attach()
    for _ in range(UPDATES):
        chosen = torch.randint(len(images), (64,), generator=order)
        updating.zero_grad()
        F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        updating.step()
    if acting is not None:
        acting.detach()
    model.eval()
    with torch.no_grad():
        found = model(digits.test_images.float() / digits.peak).argmax(1)
    return 100 * float((found == digits.test_labels).float().mean())


def table(rows: list[dict]) -> str:
    """Return the results as a table of Markdown."""
    lines = [
        "| network | optimizer | default | before | zero start | against default, points |",
        "|---|---|---|---|---|---|",
    ]
    for network in NETWORKS:
        for optimizer in OPTIMIZERS:
            own = [row for row in rows if (row["network"], row["optimizer"]) == (network, optimizer)]
            found = {start: [row["accuracy"] for row in own if row["start"] == start] for start in STARTS}
            gaps = [ours - theirs for ours, theirs in zip(found["zero start"], found["default"], strict=True)]
            cells = [spread(found[start]) for start in STARTS]
            lines.append(f"| {network} | {optimizer} | {' | '.join(cells)} | {spread(gaps, '+')} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for network in NETWORKS:
        for optimizer in OPTIMIZERS:
            for start in STARTS:
                for seed in SEEDS:
                    row = {"network": network, "optimizer": optimizer, "start": start, "seed": seed}
                    rows.append(row | {"accuracy": run(network, optimizer, start, seed)})
            print(network, optimizer, [round(row["accuracy"], 1) for row in rows[-15:]], flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
