"""The training loop. It knows nothing but tensors, a module and its observers."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit._common import InputError, lookup
from zeroinit.training.evaluate import EVALUATION_MODES, evaluate
from zeroinit.training.history import History
from zeroinit.training.layout import laid_out
from zeroinit.training.observers import Moment, Observers
from zeroinit.training.optimizers import build_optimizers

__all__ = ["ORDERS", "REDUCTIONS", "fit"]

REDUCTIONS = {"sum": "sum", "mean": "mean"}
ORDERS = {"fresh": "a new random order in every epoch", "fixed": "one random order for all epochs"}
EVALUATION_BATCH = 1000

Labeled = tuple[Tensor, Tensor]


def fit(
    model: nn.Module,
    train: Labeled,
    *,
    epochs: int,
    validation: Labeled | None = None,
    test: Labeled | None = None,
    batch_size: int = 128,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    momentum: float = 0.0,
    warmup_steps: int = 0,
    reduction: str = "sum",
    order: str = "fresh",
    evaluation_mode: str = "eval",
    transform: Callable[[Tensor], Tensor] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
    generator: torch.Generator | None = None,
    observers: Sequence[object] = (),
) -> History:
    """Train ``model`` in place and measure it after every epoch.

    The same model, data, settings and generator state give bitwise the same history on the same machine and number
    of threads.

    Args:
        model: Maps a batch of images to logits (batch, num_classes).
        train: Stored images (num_images, ...) and classes (num_images,), on the model's device.
        epochs: Passes over the training images, at least 0.
        validation: Images and classes that are only measured; skipped if ``None`` or empty, likewise ``test``.
        test: Images and classes that are only measured.
        batch_size: Images per update; the last batch of an epoch may be smaller.
        optimizer: A key of ``OPTIMIZERS``.
        learning_rate: Constant after the warm-up.
        momentum: Of SGD, RMSprop and Muon.
        warmup_steps: Updates over which the learning rate rises linearly from ``learning_rate / warmup_steps``.
        reduction: ``"sum"`` (the paper) or ``"mean"`` of the cross entropy over the batch.
        order: ``"fresh"`` for a new random order in every epoch, ``"fixed"`` for one order throughout.
        evaluation_mode: ``"eval"`` or ``"train"``; see ``evaluate``. In ``"train"`` mode the evaluation batches have
            the size of the training batches.
        transform: From stored images to the model's input, batch by batch.
        augment: From stored images to stored images, batch by batch, for training alone and before ``transform``.
        parameters: What the optimizer updates; the model's own if ``None``. An optimizer over the parameters of a copy
            trains nothing, which is what happened to the paper's SGD runs.
        generator: Source of the batch order (a CPU generator); torch's global one if ``None``.
        observers: What watches the run, ``Observer`` or whatever has one of its methods; none can disturb it but by
            hooks on the model, as remedies do.

    Returns:
        The history; a loss that is not finite ends the run and is recorded there, not raised.

    Raises:
        InputError: A setting out of range, an unknown name, or an observer without a method to call.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> images, labels = torch.randn(64, 2), torch.randint(2, (64,))
        >>> fit(model, (images, labels), epochs=3, batch_size=16).num_steps
        12
    """
    _check({"train": train, "validation": validation, "test": test}, epochs, batch_size, warmup_steps)
    lookup(ORDERS, order, "order")
    lookup(EVALUATION_MODES, evaluation_mode, "evaluation_mode")
    with laid_out(model, "auto", transform) as transform:
        chosen = list(model.parameters() if parameters is None else parameters)
        loop = _Loop(
            model=model,
            parameters=chosen,
            optimizers=build_optimizers(chosen, optimizer, learning_rate=learning_rate, momentum=momentum),
            learning_rate=learning_rate,
            warmup_steps=warmup_steps,
            batch_size=batch_size,
            reduction=lookup(REDUCTIONS, reduction, "reduction"),
            transform=_in_turn(augment, transform),
            observers=Observers(tuple(observers)),
        )
        evaluation_batch = batch_size if evaluation_mode == "train" else EVALUATION_BATCH
        loop.notify("on_start", 0)
        permutation = torch.randperm(len(train[0]), generator=generator)
        for epoch in range(1, epochs + 1):
            if epoch > 1 and order == "fresh":
                permutation = torch.randperm(len(train[0]), generator=generator)
            with _old_objects_set_aside():
                losses = loop.run_epoch(train, permutation.to(train[0].device), epoch)
            for name, data in (("validation", validation), ("test", test)):
                if data is not None and len(data[0]):
                    measured = evaluate(
                        model, *data, batch_size=evaluation_batch, mode=evaluation_mode, transform=transform
                    )
                    loop.history.record(name, *measured)
            loop.notify("on_epoch", epoch, losses)
            if loop.history.outcome == "diverged":
                break
        loop.notify("on_end", loop.history.num_epochs)
    return loop.history


def _in_turn(
    first: Callable[[Tensor], Tensor] | None, second: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor] | None:
    if first is None or second is None:
        return first or second
    return lambda images: second(first(images))


@contextmanager
def _old_objects_set_aside() -> Iterator[None]:
    """Keep garbage collection from going through every imported module again and again: 6 % of an MNIST epoch."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _check(data: dict[str, Labeled | None], epochs: int, batch_size: int, warmup_steps: int) -> None:
    for name, pair in data.items():
        if pair is None:
            continue
        images, labels = pair
        if len(images) != len(labels) or (name == "train" and not len(images)):
            needed = "as many, at least one" if name == "train" else "as many"
            raise InputError(f"{name}: has {len(images)} images and {len(labels)} labels; needs {needed}")
    for name, value, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1), ("warmup_steps", warmup_steps, 0)):
        if value < least:
            raise InputError(f"{name}={value}: must be at least {least}")


@dataclass
class _Loop:
    """What stays the same from step to step."""

    model: nn.Module
    parameters: list[nn.Parameter]
    optimizers: list[Optimizer]
    learning_rate: float
    warmup_steps: int
    batch_size: int
    reduction: str
    transform: Callable[[Tensor], Tensor] | None
    observers: Observers
    history: History = field(default_factory=History)

    def notify(self, name: str, epoch: int, losses: Tensor | None = None) -> None:
        """Tell the observers where the run stands."""
        if self.observers.listens(name):
            losses = torch.empty(0) if losses is None else losses
            self.observers.notify(name, Moment(self.model, self.history, self.history.num_steps, epoch, losses))

    def run_epoch(self, train: Labeled, permutation: Tensor, epoch: int) -> Tensor:
        """Go through the images once; return each batch's mean loss (steps,), read back once and not at each step."""
        self.model.train()
        images, labels = (data.index_select(0, permutation) for data in train)
        batches = zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)
        losses = torch.stack([self.step(*batch, epoch) for batch in batches])
        sizes = torch.full_like(losses, self.batch_size)
        sizes[-1] = len(images) - self.batch_size * (len(losses) - 1)
        if self.reduction == "sum":
            losses = losses / sizes
        self.history.record_training(losses, sizes)
        return losses

    def step(self, images: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """Do one update; return the loss before it."""
        for parameter in self.parameters:  # what zero_grad does, without its cost at each step
            parameter.grad = None
        inputs = images if self.transform is None else self.transform(images)
        loss = F.cross_entropy(self.model(inputs), labels, reduction=self.reduction)
        loss.backward()
        self.history.num_steps += 1
        if self.history.num_steps <= self.warmup_steps:
            self._warm_up()
        self.notify("on_gradients", epoch)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _warm_up(self) -> None:
        share = self.history.num_steps / self.warmup_steps
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * share
