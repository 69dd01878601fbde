"""Loss and accuracy of a model on a set of images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import lookup
from zeroinit.training.observers import modes_kept

__all__ = ["EVALUATION_MODES", "evaluate"]

EVALUATION_MODES = {"eval": "running statistics", "train": "statistics of the batch, as the paper's code did"}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 1000,
    mode: str = "eval",
    transform: Callable[[Tensor], Tensor] | None = None,
) -> tuple[float, float]:
    """Measure mean cross entropy and accuracy; the mode of every module is as before afterwards.

    Args:
        model: Maps a batch of images to logits (batch, num_classes).
        images: Stored images (num_images, ...), on the model's device.
        labels: Classes (num_images,).
        batch_size: Images per forward pass.
        mode: ``"eval"``, or ``"train"`` as the paper's code did: batch norm then uses the statistics of the test
            batch and leaks them into its running ones.
        transform: From stored images to the model's input; none if ``None``.

    Returns:
        Mean loss per image and share of images classified correctly.

    Raises:
        InputError: An unknown mode.
    """
    lookup(EVALUATION_MODES, mode, "mode")
    loss = torch.zeros((), dtype=torch.float64, device=images.device)
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    with modes_kept(model):
        model.train(mode == "train")
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            targets = labels[start : start + batch_size]
            logits = model(batch if transform is None else transform(batch))
            loss += F.cross_entropy(logits, targets, reduction="sum")
            correct += (logits.argmax(dim=1) == targets).sum()
    return float(loss) / len(images), int(correct) / len(images)
