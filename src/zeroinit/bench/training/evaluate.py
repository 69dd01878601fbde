"""Loss and accuracy of a model on a set of images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import lookup, whole_number
from zeroinit._modules.arguments import check_function, check_module
from zeroinit._modules.state import modes_kept
from zeroinit.bench.training.member import Transform, check_images
from zeroinit.bench.training.observers import into_train_mode
from zeroinit.bench.training.steps.precision import AS_IT_IS, Precision

__all__ = ["EVALUATION_MODES", "evaluate", "measure"]

EVALUATION_MODES = {"eval": "running statistics", "train": "statistics of the batch, as the paper's code did"}


def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 1000,
    mode: str = "eval",
    transform: Transform | None = None,
) -> tuple[float, float]:
    """Measure mean cross entropy and accuracy; the mode of every module is as before afterwards.

    Args:
        model: Maps a batch of images to logits (batch, num_classes).
        images: Stored images (num_images, ...), on the model's device.
        labels: Classes (num_images,).
        batch_size: Images per forward pass.
        mode: ``"eval"``, or ``"train"`` as in the paper's code. In ``"train"`` batch norm uses the statistics of the
            test batch and leaks them into its running statistics. A norm in eval mode by choice does not.
        transform: From stored images to the model's input; none if ``None``.

    Returns:
        Mean loss per image and share of images classified correctly.

    Raises:
        InputError: An argument cannot be used.
    """
    lookup(EVALUATION_MODES, mode, "mode")
    check_module(model)
    check_images((images, labels), "images, labels")
    batch_size = whole_number(batch_size, "batch_size", 1)
    if transform is not None:
        check_function(transform, "transform", "of images to the model's input", counts=[1])
    batches = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    losses, accuracies = measure(model, batches, mode=mode, transform=transform, precision=AS_IT_IS)
    return losses[0], accuracies[0]


@torch.no_grad()
def measure(
    model: nn.Module, batches, *, mode: str, transform: Transform | None, precision: Precision
) -> tuple[list[float], list[float]]:
    """Measure one model or several stacked ones; waits for the device once, at the end.

    Args:
        model: Maps images (batch, ...) to logits (batch, num_classes), or both with a leading axis of models.
        batches: Images and labels of each batch, (batch,) or (models, batch).
        mode: A key of ``EVALUATION_MODES``.
        transform: From stored images to the model's input; none if ``None``.
        precision: Of the forward pass.

    Returns:
        Mean loss per image and share classified correctly, each (models,), of length 1 without such an axis.
    """
    loss, correct = (torch.zeros((), dtype=dtype, device="cpu") for dtype in (torch.float64, torch.int64))
    num_images = 0
    with modes_kept(model):
        into_train_mode(model) if mode == "train" else model.eval()
        for images, labels in batches:
            inputs = images if transform is None else transform(images)
            with precision.forward(images.device.type):
                logits = model(precision.convert(inputs))
            losses = F.cross_entropy(precision.convert(logits).flatten(0, -2), labels.flatten(), reduction="none")
            loss = loss.to(images.device) + losses.view(labels.shape).sum(-1, dtype=torch.float64)
            correct = correct.to(images.device) + (logits.argmax(-1) == labels).sum(-1)
            num_images += labels.shape[-1]
    return (loss / num_images).reshape(-1).tolist(), (correct.double() / num_images).reshape(-1).tolist()
