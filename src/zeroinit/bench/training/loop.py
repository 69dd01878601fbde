"""The training loop. It knows only tensors, a module, its observers and the place where its state is saved.

It trains one model, or several stacked ones. Stacked images, labels, losses and logits have a leading axis of models.
"""

import copy
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit._common import InputError
from zeroinit.bench.training.checkpoint import Checkpoint, random_state, restore_random_state
from zeroinit.bench.training.evaluate import measure
from zeroinit.bench.training.member import Labeled, Member, Transform
from zeroinit.bench.training.observers import Observers, TrainState, into_train_mode
from zeroinit.bench.training.saved import PROGRESS, check_state
from zeroinit.bench.training.steps.execution import (
    Forward,
    Updates,
    choose_execution,
    fastest_convolutions,
    record_cuda_graph,
)
from zeroinit.bench.training.steps.precision import Precision

__all__ = ["Loop"]


@dataclass
class Loop:
    """A run: its settings, and where it stands."""

    model: nn.Module
    members: list[Member]
    parameters: list[nn.Parameter]
    optimizers: list[Optimizer]
    observers: Observers
    precision: Precision
    transform: Transform | None
    learning_rate: float
    warmup_steps: int
    batch_size: int
    reduction: str
    order: str
    evaluation_mode: str
    evaluation_batch: int
    max_steps: int | None
    checkpoint: Checkpoint | None
    execution: str = "eager"
    stacked: bool = False
    num_steps: int = 0
    epoch: int = 0
    position: int = 0
    orders: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    settings: list = field(default_factory=list)
    with_gradients: list[nn.Parameter] = field(default_factory=list)

    def __post_init__(self) -> None:
        device = self.parameters[0].device
        is_recorded, is_compiled = choose_execution(self.execution, self.model, self.optimizers, device)
        self._forward: Callable[[Tensor], Tensor] = self.model
        self._do_update: Callable[[Tensor, Tensor], Tensor] = self._update
        if is_compiled:
            self._forward = Forward(self.model, self.batch_size)
        if is_recorded and not self.observers.listens("on_gradients"):
            self._do_update = Updates(
                self._update,
                self.model,
                self.optimizers,
                record_cuda_graph,
                may_record=lambda: self.num_steps > self.warmup_steps,
            )

    def run(self, epochs: int) -> None:
        """Train for so many epochs in total, including those before a checkpoint."""
        try:
            with fastest_convolutions(isinstance(self._do_update, Updates)):
                self._run(epochs)
        except BaseException:
            self.observers.notify("on_error", self._train_state(self.epoch))
            raise

    def _run(self, epochs: int) -> None:
        self.observers.notify("on_start", self._train_state(0))
        self.with_gradients = list(dict.fromkeys([*self.parameters, *self.model.parameters()]))
        self._resume()
        while not self._is_over(epochs):
            if self.position == 0:
                self._begin_epoch()
            with _old_objects_set_aside():
                losses = self._run_epoch()
            for name in self.members[0].held_out:
                self._measure(name)
            self.position = 0
            self.observers.notify("on_epoch", self._train_state(self.epoch, losses))
        self.observers.notify("on_end", self._train_state(self.epoch))

    def _is_over(self, epochs: int) -> bool:
        have_diverged = all(member.history.outcome == "diverged" for member in self.members)
        return self.position == 0 and (self.epoch >= epochs or self._out_of_steps() or have_diverged)

    def _out_of_steps(self) -> bool:
        return self.max_steps is not None and self.num_steps >= self.max_steps

    def _train_state(self, epoch: int, losses: Tensor | None = None) -> TrainState:
        history = self.members[0].history
        return TrainState(self.model, history, self.num_steps, epoch, torch.empty(0) if losses is None else losses)

    def _begin_epoch(self) -> None:
        if self.epoch == 0 or self.order == "fresh":
            sizes = [(len(member.train[1]), member.generator) for member in self.members]
            self.orders = [torch.randperm(size, generator=generator, device="cpu") for size, generator in sizes]
        self.epoch += 1
        self.losses = []

    def _training_batches(self) -> Iterator[Labeled]:
        """Yield the batches that are left of this epoch, in its order, augmented."""
        begin, data = self.position * self.batch_size, []
        if begin >= len(self.orders[0]):  # resumed between the last update and the evaluation
            return
        for member, order in zip(self.members, self.orders, strict=True):
            images, labels = member.train
            place = order[begin:].to(labels.device)
            data.append((images.index_select(0, place), labels.index_select(0, place)))
        if self.stacked and all(member.augment is None for member in self.members):
            images, labels = self._joined(data)  # once, not batch by batch
            yield from zip(images.split(self.batch_size, 1), labels.split(self.batch_size, 1), strict=True)
            return
        yield from map(self._augmented, _batches(data, self.batch_size))

    def _joined(self, batch: Sequence[Labeled]) -> Labeled:
        """Return the batches of all models as one, with a leading axis of models if they are stacked."""
        if not self.stacked:
            return batch[0]
        images, labels = zip(*batch, strict=True)
        return torch.stack(images), torch.stack(labels)

    def _augmented(self, batch: Sequence[Labeled]) -> Labeled:
        return self._joined(
            [
                (images if member.augment is None else member.augment(images), labels)
                for member, (images, labels) in zip(self.members, batch, strict=True)
            ]
        )

    def _run_epoch(self) -> Tensor:
        """Go through what is left of the epoch; return each batch's mean loss (steps,) or (steps, models).

        The losses are read from the device once, not at each step.
        """
        into_train_mode(self.model)
        for batch in self._training_batches():
            if self._out_of_steps():
                break
            self.losses.append(self._step(*batch))
            self.position += 1
            if self.checkpoint is not None and self.checkpoint.is_due():
                self.checkpoint.save(self.num_steps, self._state())
        return self._record_training()

    def _record_training(self) -> Tensor:
        losses = torch.stack(self.losses)
        num_images = len(self.members[0].train[1])
        sizes = torch.full((len(losses),), self.batch_size, dtype=torch.float64, device=losses.device)
        sizes[-1] = min(self.batch_size, num_images - self.batch_size * (len(losses) - 1))
        if self.reduction == "sum":
            losses = losses / (sizes[:, None] if self.stacked else sizes).to(losses.dtype)
        for member, column in zip(self.members, losses.T if self.stacked else [losses], strict=True):
            if member.history.outcome == "completed":
                member.history.record_training(column, sizes)
        return losses

    def _measure(self, name: str) -> None:
        """Measure on held-out data. A model whose loss was not finite is recorded one last time."""
        data = [member.held_out[name] for member in self.members]
        batches = map(self._joined, _batches(data, self.evaluation_batch))
        measured = measure(
            self.model, batches, mode=self.evaluation_mode, transform=self.transform, precision=self.precision
        )
        for member, loss, accuracy in zip(self.members, *measured, strict=True):
            if member.history.num_epochs == self.epoch:
                member.history.record(name, loss, accuracy)

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Do one update; return the loss before it, () or (models,)."""
        inputs = images if self.transform is None else self.transform(images)
        self._count_step()
        return self._do_update(inputs, labels)

    def _update(self, inputs: Tensor, labels: Tensor) -> Tensor:
        for parameter in self.with_gradients:  # as zero_grad does, without its cost at each step
            parameter.grad = None
        loss = self._loss(inputs, labels)
        loss.sum().backward() if self.stacked else loss.backward()
        if self.observers.listens("on_gradients"):
            self.observers.notify("on_gradients", self._train_state(self.epoch))
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with self.precision.forward(inputs.device.type):
            logits = self._forward(self.precision.convert(inputs))
        logits = self.precision.convert(logits)
        if not self.stacked:
            return F.cross_entropy(logits, labels, reduction=self.reduction)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        return losses.sum(1) if self.reduction == "sum" else losses.mean(1)

    def _count_step(self) -> None:
        self.num_steps += 1
        for member in self.members:
            if member.history.outcome == "completed":
                member.history.num_steps = self.num_steps
        if self.num_steps <= self.warmup_steps:
            for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
                group["lr"] = self.learning_rate * self.num_steps / self.warmup_steps

    def _state(self) -> dict:
        return {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "parameters": [parameter.detach() for parameter in self._parameters_elsewhere()],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "histories": [member.history.to_dict() for member in self.members],
            "generators": [generator.get_state() for generator in self._generators()],
            "observers": self.observers.state_dict(),
            "random": random_state(self.parameters[0].device),
            "progress": {name: getattr(self, name) for name in PROGRESS},
        }

    def _settings(self) -> list:
        """List the settings that must be unchanged when a run resumes; the numbers of epochs and steps may change."""
        names = ("learning_rate", "warmup_steps", "batch_size", "reduction", "order", "evaluation_mode", "stacked")
        splits = [
            [len(member.train[1]), *(len(labels) for _, labels in member.held_out.values())] for member in self.members
        ]
        optimizers = [[type(optimizer).__name__, dict(optimizer.defaults)] for optimizer in self.optimizers]
        shapes = [[name, list(value.shape), str(value.dtype)] for name, value in self.model.state_dict().items()]
        numbers = [len(self._parameters_elsewhere()), len(self._generators()), len(self.observers.state_dict())]
        return [{name: getattr(self, name) for name in names}, splits, optimizers, shapes, numbers]

    def _parameters_elsewhere(self) -> list[nn.Parameter]:
        """List the updated parameters that are no part of the model."""
        own = set(self.model.parameters())
        return [parameter for parameter in self.parameters if parameter not in own]

    def _generators(self) -> list[torch.Generator]:
        """List the generators of this run, including those of augmentations."""
        sources = [member.generator for member in self.members]
        sources += [getattr(member.augment, "generator", None) for member in self.members]
        return [source for source in sources if source is not None]

    def _resume(self) -> None:
        """Resume from the newest saved state that this run can have, if there is one.

        Raises:
            InputError: The state is that of another run, and the checkpoint does not know whose it is.
        """
        if self.checkpoint is None:
            return
        self.settings = self._settings()
        self.checkpoint.start()
        before = None
        for path, state in self.checkpoint.states():
            if state.get("settings") != self.settings and self.checkpoint.identity is None:
                raise InputError(
                    f"checkpoint: {self.checkpoint.folder} holds the state of a run with another model or other "
                    "settings; remove it or choose another folder"
                )
            before = before or copy.deepcopy(self._state())
            try:
                check_state(state, self.settings, [len(member.train[1]) for member in self.members], self.batch_size)
                self._load(state)
                return
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
                self._load(before)
                self.checkpoint.set_aside(path, f"is no state that this run can have ({error})".splitlines()[0])

    def _load(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for parameter, saved in zip(self._parameters_elsewhere(), state["parameters"], strict=True):
            parameter.data.copy_(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for member, history in zip(self.members, state["histories"], strict=True):
            vars(member.history).update(history)
        for generator, saved in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(saved)
        self.observers.load_state_dict(state["observers"])
        restore_random_state(state["random"], self.parameters[0].device)
        for name in PROGRESS:
            setattr(self, name, state["progress"][name])


def _batches(data: Sequence[Labeled], batch_size: int) -> Iterator[Sequence[Labeled]]:
    """Yield images and labels batch by batch, those of all models together."""
    split = (zip(images.split(batch_size), labels.split(batch_size), strict=True) for images, labels in data)
    return zip(*split, strict=True)


@contextmanager
def _old_objects_set_aside() -> Iterator[None]:
    """Keep imported modules out of garbage collection, which would take 6 % of an MNIST epoch.

    If the caller has frozen objects, nothing more is frozen, because the caller's objects must stay frozen afterwards.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
