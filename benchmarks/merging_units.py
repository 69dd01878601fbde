"""Units that differ a little and become identical again under weight decay, on MNIST.

    python benchmarks/merging_units.py --data-dir DATA

Written down before the runs. A dense net 784-64-10 with tanh learns from 4,000 images in 20 epochs, with SGD at .1,
momentum .9 and batch size 64. Its hidden units start in 32 pairs. One of a pair has PyTorch's default. The other is a
copy whose weights, in and out, differ from it by 10 % of their own size, at random. Four networks are compared:

* ``no decay``.
* ``small decay``: weight decay of .0005 on all weights and biases, as SGD has it. Many people train with it.
* ``large decay``: .03.
* ``random decay``: .03 towards fixed values from N(0, .01²) instead of zero, so that no units can be exchanged. This is
  the idea of syre (arXiv 2408.15495), which has factors of its own for each weight as well.

There are ten paired seeds, and two measures: merged pairs, and accuracy on all test images. A pair has merged if the
distance of its units, as a share of their size, is below a tenth of what it was at the start. Weights in and out count
together. A unit smaller than a hundredth of its start has died. A pair of which one has died has not merged; a pair of
two dead units has. The margin is one point of pairs or of test images. Nothing is tuned.

Before the runs we looked at one other seed. No pair had merged at decays of 0, .003 and .01, and a quarter at .03.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zeroinit
from trials import Statement, Trials, chosen_images, options

PAIRS, EPOCHS, BATCH, RATE, MOMENTUM = 32, 20, 64, 0.1, 0.9
DIFFERENCE, MERGED, DEAD = 0.1, 0.1, 0.01
OFFSET = 0.01
DECAYS = {"no decay": 0.0, "small decay": 0.0005, "large decay": 0.03, "random decay": 0.03}
SOURCE = "Ziyin et al. 2024, arXiv 2408.15495"
NUM_ITEMS = {"merged": PAIRS, "accuracy": 10_000}
"""By measure: of how many items a share is a multiple."""

STATEMENTS = (
    (
        "merged",
        "Units that differ a little become identical under a weight decay of .03",
        "large decay",
        "no decay",
        "better",
    ),
    ("merged", "They do so under a weight decay of .0005", "small decay", "no decay", "better"),
    ("merged", "Decay towards fixed random values keeps units different", "random decay", "large decay", "worse"),
    (
        "accuracy",
        "Decay towards fixed random values is better than towards zero",
        "random decay",
        "large decay",
        "better",
    ),
)
"""A share of merged pairs that is larger is called better, whatever it is good for."""


def start_model(seed: int) -> nn.Sequential:
    """Return a dense net whose units 2k and 2k + 1 differ a little."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2 * PAIRS), nn.Tanh(), nn.Linear(2 * PAIRS, 10))
    zeroinit.initialize_(model, "pytorch", generator=generator)
    with torch.no_grad():
        for weights in (model[1].weight, model[1].bias[:, None], model[3].weight.T):  # rows are units
            first = weights[::2]
            noise = torch.randn(first.shape, generator=generator)
            weights[1::2] = first + DIFFERENCE * first.norm(dim=1, keepdim=True) * noise / noise.norm(
                dim=1, keepdim=True
            )
    return model


def units_of(model: nn.Sequential) -> Tensor:
    """Return the weights in and out of each unit (units, weights)."""
    return torch.cat([model[1].weight, model[1].bias[:, None], model[3].weight.T], 1).detach().clone()


def share_merged(start: Tensor, end: Tensor) -> float:
    """Return the share of pairs whose distance, relative to their size, is a tenth of what it was."""

    def distances(units: Tensor) -> Tensor:
        sizes = units.norm(dim=1)
        return (units[::2] - units[1::2]).norm(dim=1) / (sizes[::2] + sizes[1::2])

    alive = (end.norm(dim=1) >= DEAD * start.norm(dim=1)).unflatten(0, (-1, 2))
    close = distances(end) < MERGED * distances(start)
    return float(((close & alive.all(1)) | ~alive.any(1)).float().mean())


def pull(model: nn.Module, values: list[Tensor], decay: float) -> None:
    """Add the gradient of the decay towards some values."""
    for parameter, value in zip(model.parameters(), values, strict=True):
        assert parameter.grad is not None
        parameter.grad.add_(parameter.detach() - value, alpha=decay)


def train(network: str, seed: int, data_dir: Path | None) -> dict:
    images = chosen_images("mnist", data_dir, (4000, 0), range(10), seed)
    model, order = start_model(seed + 1), torch.Generator().manual_seed(seed + 2)
    start, factor = units_of(model), OFFSET * (network == "random decay")
    values = [factor * torch.randn(each.shape, generator=order) for each in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    inputs, classes = images["train"][0].float() / 255, images["train"][1]
    for _ in range(EPOCHS):
        for part in torch.randperm(len(classes), generator=order).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[part]), classes[part]).backward()
            pull(model, values, DECAYS[network])
            optimizer.step()
    with torch.no_grad():
        right = model(images["test"][0].float() / 255).argmax(1) == images["test"][1]
    report = zeroinit.inspect(model, inputs[:64], classes[:64])
    distinct = report.layers[0].num_distinct_units
    return {
        "merged": share_merged(start, units_of(model)),
        "accuracy": float(right.float().mean()),
        "distinct": distinct,
    }


def main() -> None:
    arguments = options(__doc__)
    trials = Trials(
        "merging_units", lambda network, _, seed, __: train(network, seed, arguments.data_dir), arguments.results
    )
    for measure, text, entry, reference, holds in STATEMENTS:
        pair = (trials.final(name, DECAYS[name], measure) for name in (entry, reference))
        trials.decide(Statement(text, SOURCE, entry, reference, (holds,)), tuple(pair), NUM_ITEMS[measure])


if __name__ == "__main__":
    main()
