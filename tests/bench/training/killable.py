"""Runs that are killed: all that can be random or remembered is in them. See ``test_training_killed``."""

import torch
from torch import nn

from zeroinit.bench.data.augment import CropFlip
from zeroinit.bench.training import Checkpoint, fit
from zeroinit.remedies import AffineNorms

NUM_IMAGES, SHAPE, NUM_CLASSES = 45, (2, 8, 8), 5


def ready() -> None:
    """Import what torch imports with the first optimizer."""
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


def make_model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ELU(),
            nn.Dropout(0.3),
            nn.Conv2d(8, 32, 3, padding=1),
            nn.ELU(),
            nn.Conv2d(32, 8, 3),  # wide enough for channels-last
            nn.BatchNorm2d(8),
            nn.Flatten(),
            nn.Linear(8 * 36, NUM_CLASSES),
        )


def images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (NUM_IMAGES, *SHAPE), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(NUM_CLASSES, (NUM_IMAGES,), generator=generator)


def train(folder: str | None, result: str, seed: int) -> None:
    """Train with a checkpoint at every step; ``seed`` is that of torch's generator in a fresh run, for the dropout."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = make_model()
    history = fit(
        model,
        images(1),
        validation=images(2),
        epochs=10,
        batch_size=8,
        optimizer="adam",
        learning_rate=3e-3,
        warmup_steps=14,
        evaluation_mode="train",
        transform=lambda pixels: pixels / 255,
        augment=CropFlip(torch.Generator().manual_seed(3), padding=1),
        generator=torch.Generator().manual_seed(4),
        checkpoint=None if folder is None else Checkpoint(folder, every=0),
        observers=[AffineNorms(model, 9)],
    )
    torch.save({"history": history.to_dict(), "model": model.state_dict()}, result)
