"""One MNIST FNN epoch: 53,000 training images, batch 128, then 7,000 validation and 10,000 test images.

Four ways in one run, in turn, so that the machine's mood hits all alike; read the ratios, not the seconds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from measure import dense_products, measure_in_turn, middle, ratios, report, summarize
from zeroinit.bench.data import load_dataset, pixel_transform, split_validation
from zeroinit.bench.models import build_model
from zeroinit.bench.training import fit
from zeroinit.init import initialize_

BATCH = 128
Labeled = tuple[Tensor, Tensor]


def fresh_model() -> nn.Module:
    """Return the MNIST FNN with zero weights and normal biases, always the same."""
    model = build_model("mnist_fnn", (1, 28, 28))
    initialize_(model, "normal_bias", generator=torch.Generator().manual_seed(0))
    return model


def ours(train: Labeled, validation: Labeled, test: Labeled) -> None:
    """Run the library's ``fit``."""
    fit(
        fresh_model(),
        train,
        validation=validation,
        test=test,
        epochs=1,
        batch_size=BATCH,
        transform=pixel_transform("unit", train[0], 255),
        generator=torch.Generator().manual_seed(0),
    )


def conventional(train: Dataset, validation: Dataset, test: Dataset) -> None:
    """Run the loop that most scripts have: ``DataLoader``, Adam as it comes, the loss read at every step."""
    model = fresh_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    total = 0.0
    for images, labels in DataLoader(train, batch_size=BATCH, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels, reduction="sum")
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        for data in (validation, test):
            correct = 0
            for images, labels in DataLoader(data, batch_size=BATCH):
                correct += (model(images).argmax(dim=1) == labels).sum().item()


class PngFolder(Dataset):
    """Decodes one PNG file per image, each time it is asked for."""

    def __init__(self, folder: Path, images: Tensor, labels: Tensor):
        self.folder, self.labels = folder, labels.tolist()
        folder.mkdir()
        for index, image in enumerate(images.numpy()):
            Image.fromarray(image[0]).save(folder / f"{index}.png")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = np.array(Image.open(self.folder / f"{index}.png"))
        return torch.from_numpy(pixels)[None].float() / 255, self.labels[index]


def floor(num_train: int, num_evaluated: int) -> None:
    """Do the bare matrix products of the epoch at its shapes and nothing else; 1,000 images at a time in evaluation."""
    step = dense_products((784, 500, 10), BATCH, torch.device("cpu"), torch.float32)
    weight_1, weight_2, many = torch.rand(500, 784), torch.rand(10, 500), torch.rand(1000, 784)
    for _ in range(-(-num_train // BATCH)):
        step()
    for _ in range(num_evaluated // 1000):
        (many @ weight_1.t()) @ weight_2.t()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-dir", type=Path, default=None)
    arguments = parser.parse_args()
    mnist = load_dataset("mnist", arguments.data_dir)
    train, validation = split_validation(mnist.train_images, mnist.train_labels, 7000, torch.Generator().manual_seed(0))
    stored = (train, validation, (mnist.test_images, mnist.test_labels))
    in_memory = [TensorDataset(images.float() / 255, labels) for images, labels in stored]
    with tempfile.TemporaryDirectory() as folder:
        names = ("train", "validation", "test")
        files = [PngFolder(Path(folder) / name, *data) for name, data in zip(names, stored, strict=True)]
        contestants = {
            "floor": lambda: floor(len(train[0]), 17000),
            "zeroinit fit": lambda: ours(*stored),
            "TensorDataset + DataLoader": lambda: conventional(*in_memory),
        }
        seconds = measure_in_turn(contestants, arguments.rounds)
        slow = measure_in_turn({**contestants, "PNG files + DataLoader": lambda: conventional(*files)}, 1, warmups=0)
    rows = summarize(seconds, "floor")
    png = {"PNG files + DataLoader": slow["PNG files + DataLoader"], "floor": slow["floor"]}
    rows.append(summarize(png, "floor")[0])
    by_name = {row["name"]: row for row in rows}
    notes = ["the floor counts the epoch's matrix products alone: no bias, activation, loss, optimizer, data"]
    for name, times in (("TensorDataset + DataLoader", seconds), ("PNG files + DataLoader", slow)):
        factor = middle(ratios(times, name, "zeroinit fit"))["median"]
        by_name[name]["fit_is_faster_by"] = factor
        notes.append(f"fit is {factor:.1f} times as fast as {name}")
    report("One MNIST FNN epoch, evaluation included", rows, "floor", notes, "mnist_epoch")


if __name__ == "__main__":
    main()
