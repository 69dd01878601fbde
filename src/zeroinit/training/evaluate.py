"""Loss and accuracy of a model on a set of images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["evaluate"]


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
    """Measure mean cross entropy and accuracy; the model's mode is as before afterwards.

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
    """
    was_training = model.training
    model.train(mode == "train")
    loss = torch.zeros((), dtype=torch.float64, device=images.device)
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        targets = labels[start : start + batch_size]
        logits = model(batch if transform is None else transform(batch))
        loss += F.cross_entropy(logits, targets, reduction="sum")
        correct += (logits.argmax(dim=1) == targets).sum()
    model.train(was_training)
    return float(loss) / len(images), int(correct) / len(images)
