"""Networks without a random parameter, as of Seo 2026: CNNs of one or three channels, and an MLP-Mixer.

    python benchmarks/all_zero.py --data-dir DATA

Written down before the runs. The CNNs have three 3x3 convolutions with leaky ReLU, each beside a path that adds its
input, and one dense layer: one channel on MNIST, three on CIFAR-10. Logistic regression has the dense layer alone. The
Mixer has patches of 8x8 pixels of CIFAR-10, width 64 and two blocks. Each trains on 4,000 images in 5 epochs, with Adam
and batch size 64. Each entry has the best of five learning rates, by validation accuracy on 2,000 images and two seeds
that no final run has. Then ten paired seeds are tested. The margin is one point.

* ``all zero``: each weight and bias is zero. With one channel no two units of a layer exist that could be identical.
  With three, the shortcuts keep the channels of the image apart.
* ``hidden biases``: all are zero, too. But while the weight of a layer is zero, each call adds new values from
  U(±1/√fan_in) to its outputs, one a unit. So the Mixer has random biases that are no parameters.
* ``default``, ``normal_bias`` and ``zero start``: PyTorch's default, zero weights with random biases, ``zero_start_``.

Before the runs we looked at one other seed of each for one epoch, to see that it runs.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import zeroinit
from trials import BETTER, NOT_WORSE, Statement, Trials, chosen_images, options
from zeroinit.bench import fit
from zeroinit.bench.data.pixels import UnitPixels

RATES = (0.0001, 0.000316, 0.001, 0.00316, 0.01)
WIDTH, PATCH, BLOCKS = 64, 8, 2
EPOCHS, BATCH = 5, 64
SOURCE = "Seo 2026, doi 10.1007/s11063-026-11846-1"
OURS = f"our check of {SOURCE}"
STATEMENTS = (
    Statement(
        "A CNN with one channel trains from zeros as well as from random weights",
        SOURCE,
        *("one channel, all zero", "one channel, default", NOT_WORSE),
    ),
    Statement(
        "A CNN with three channels trains from zeros as well as from random weights",
        SOURCE,
        *("three channels, all zero", "three channels, default", NOT_WORSE),
    ),
    Statement(
        "The CNN with one channel, from zeros, is better than logistic regression on MNIST",
        OURS,
        *("one channel, all zero", "logistic regression on mnist, default", BETTER),
    ),
    Statement(
        "The CNN with three channels, from zeros, is better than logistic regression on CIFAR-10",
        OURS,
        *("three channels, all zero", "logistic regression on cifar10, default", BETTER),
    ),
    Statement(
        "An MLP-Mixer without a random parameter trains as well as from random weights",
        SOURCE,
        *("mixer, hidden biases", "mixer, default", NOT_WORSE),
    ),
    Statement(
        "Zero weights with random biases, drawn once, train this Mixer as well as its hidden ones",
        OURS,
        *("mixer, normal_bias", "mixer, hidden biases", NOT_WORSE),
    ),
    Statement(
        "The zero start trains this Mixer better than hidden random biases",
        OURS,
        *("mixer, zero start", "mixer, hidden biases", BETTER),
    ),
)


class Beside(nn.Module):
    """A branch and a path that adds its input; with ``turned``, the branch sees the last two axes exchanged."""

    def __init__(self, *branch: nn.Module, turned: bool = False) -> None:
        super().__init__()
        self.branch, self.turned = nn.Sequential(*branch), turned

    def forward(self, inputs: Tensor) -> Tensor:
        """Add the branch's result to the input."""
        if not self.turned:
            return inputs + self.branch(inputs)
        normed = self.branch[0](inputs).transpose(1, 2)
        return inputs + self.branch[1:](normed).transpose(1, 2)


class Patches(nn.Module):
    """Images (batch, channels, height, width) to patches (batch, patches, values)."""

    def forward(self, images: Tensor) -> Tensor:
        """Cut the images."""
        return nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2)


class MeanOverPatches(nn.Module):
    """Patches (batch, patches, values) to their mean."""

    def forward(self, patches: Tensor) -> Tensor:
        """Take the mean."""
        return patches.mean(1)


def thin_cnn(channels: int, size: int) -> nn.Sequential:
    layers = [Beside(nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU()) for _ in range(3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**2, 10))


def mixer() -> nn.Sequential:
    tokens = (32 // PATCH) ** 2
    blocks = [
        part
        for _ in range(BLOCKS)
        for part in (
            Beside(*dense_pair(tokens, nn.LayerNorm(WIDTH)), turned=True),
            Beside(*dense_pair(WIDTH, nn.LayerNorm(WIDTH))),
        )
    ]
    embedding = nn.Linear(3 * PATCH**2, WIDTH)
    return nn.Sequential(Patches(), embedding, *blocks, nn.LayerNorm(WIDTH), MeanOverPatches(), nn.Linear(WIDTH, 10))


def dense_pair(width: int, norm: nn.Module) -> tuple[nn.Module, ...]:
    return norm, nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)


NETWORKS: dict[str, tuple[str, Callable[[], nn.Sequential]]] = {
    "one channel": ("mnist", lambda: thin_cnn(1, 28)),
    "three channels": ("cifar10", lambda: thin_cnn(3, 32)),
    "logistic regression on mnist": ("mnist", lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10))),
    "logistic regression on cifar10": ("cifar10", lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))),
    "mixer": ("cifar10", mixer),
}


def all_zero(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)


def hide_biases(model: nn.Module, generator: torch.Generator) -> None:
    """Add new random values to the outputs of each dense layer whose weight is zero, at each call."""

    def add(layer: nn.Linear, inputs: tuple, outputs: Tensor) -> Tensor:
        if layer.weight.any():
            return outputs
        bound = layer.in_features**-0.5
        return outputs + torch.empty(outputs.shape[-1]).uniform_(-bound, bound, generator=generator)

    for part in model.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(add)


def start(model: nn.Module, name: str, generator: torch.Generator) -> list:
    """Set a network; return what watches its training."""
    zeroinit.initialize_(model, name if name == "normal_bias" else "pytorch", generator=generator)
    if name in ("all zero", "hidden biases"):
        all_zero(model)
    if name == "hidden biases":
        hide_biases(model, generator)
    return [zeroinit.zero_start_(model, generator=generator)] if name == "zero start" else []


def train(entry: str, rate: float, seed: int, is_final: bool, data_dir: Path | None) -> dict:
    network, name = entry.split(", ")
    dataset, build = NETWORKS[network]
    images = chosen_images(dataset, data_dir, (4_000, 2_000), range(10), seed)
    model = build()
    hooks = start(model, name, torch.Generator().manual_seed(seed + 1))
    history = fit(
        model,
        images["train"],
        test=images["test" if is_final else "validation"],
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=rate,
        reduction="mean",
        transform=UnitPixels(255),
        generator=torch.Generator().manual_seed(seed + 2),
        observers=hooks,
    )
    return {"accuracy": history.test_accuracy[-1], "outcome": history.outcome}


def main() -> None:
    arguments = options(__doc__)
    trials = Trials("all_zero", lambda *run: train(*run, data_dir=arguments.data_dir), arguments.results)
    for statement in STATEMENTS:
        pair = [trials.final(entry, trials.best(entry, RATES)) for entry in (statement.entry, statement.reference)]
        trials.decide(statement, (pair[0], pair[1]), 10_000)


if __name__ == "__main__":
    main()
