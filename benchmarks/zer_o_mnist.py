"""ZerO on MNIST: accuracy of a 784-784-n-n-10 network, and the rank of W - I in its square hidden layer.

    python benchmarks/zer_o_mnist.py zer_o --width 1024 --data-dir data

The protocol is that of the authors' notebook: no biases, pixels in [0, 1], SGD with rate 0.1, batches of 64, 20 epochs,
rate times 0.7 after 12 epochs.
"""

import argparse
import json
import time
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from zeroinit import initialize_
from zeroinit.bench.data import Dataset, load_dataset

TOLERANCE = 1e-4
"""Singular values below it count as 0, as in the notebook."""


def network(width: int) -> nn.Sequential:
    sizes = (784, 784, width, width, 10)
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    return nn.Sequential(*[each for layer in layers[:-1] for each in (layer, nn.ReLU())], layers[-1])


def rank(weight: torch.Tensor) -> int:
    residual = weight.detach() - torch.eye(len(weight))
    return int((torch.linalg.svdvals(residual) > TOLERANCE).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("initializer")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data-dir", default=None)
    options = parser.parse_args()
    data = load_dataset("mnist", data_dir=options.data_dir)
    images, labels, test_images, test_labels = tensors(data)
    model, order = network(options.width), torch.Generator().manual_seed(1)
    initialize_(model, options.initializer, seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=12, gamma=0.7)
    found = {"initializer": options.initializer, "width": options.width, "epochs": []}
    began, square = time.monotonic(), model[4].weight
    for epoch in range(1, options.epochs + 1):
        for batch in torch.randperm(len(images), generator=order).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            accuracy = float((model(test_images).argmax(1) == test_labels).float().mean())
        row = {"epoch": epoch, "accuracy": round(accuracy, 4), "rank": rank(square)}
        found["epochs"].append({**row, "seconds": round(time.monotonic() - began)})
        print(json.dumps(found), flush=True)


def tensors(data: Dataset) -> tuple[torch.Tensor, ...]:
    """Return pixels in [0, 1] and labels, of training (all 60,000) and test."""
    images = [each.flatten(1).float() / data.peak for each in (data.train_images, data.test_images)]
    return images[0], data.train_labels, images[1], data.test_labels


if __name__ == "__main__":
    main()
