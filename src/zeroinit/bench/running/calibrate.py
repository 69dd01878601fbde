"""Time this machine: each kind of run trains for a moment, on noise, through ``fit``."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeroinit.bench.data import DATASETS, augmentation, pixel_transform
from zeroinit.bench.network import network, sizes_of
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.device import denormals_flushed
from zeroinit.bench.spec import Run
from zeroinit.bench.training import fit
from zeroinit.bench.training.fit import EVALUATION_BATCH
from zeroinit.bench.training.optimizers import build_optimizers
from zeroinit.bench.work import TRAINING, flops_per_image

__all__ = ["BUDGET", "Speed", "calibrate", "full_batch", "kind_of", "measure_speed", "time_steps"]

BUDGET = 2.0
"""Approximate seconds of a calibration. A longer step is timed with fewer images."""

FIRST = 1e9
"""Operations of the first step, which shows how long a step is."""

MOST_STEPS = 40
SETTLED = 8
"""Updates after which a CUDA device replays what it recorded."""


@dataclass(frozen=True)
class Speed:
    """How fast one kind of run is, alone in its process.

    Attributes:
        step: Seconds per update.
        evaluated: Seconds per evaluated image.
        batch: Images per timed step; fewer than the run's if its step is too long for a calibration.
    """

    step: float
    evaluated: float
    batch: int


def kind_of(run: Run) -> Run:
    """Return only the settings that change a step's time: runs of one kind are timed once.

    Example:
        >>> kind_of(Run(initializer="zero", epochs=3)) == kind_of(Run())
        True
    """
    return Run(
        dataset=run.dataset,
        model=run.model,
        activation=run.activation,
        norm=run.norm,
        batch_size=run.batch_size,
        optimizer=run.optimizer,
        pixels=run.pixels,
        augmentation=run.augmentation,
        evaluation_mode=run.evaluation_mode,
        precision=run.precision,
    )


def full_batch(kind: Run) -> int:
    """Return the images of a training step."""
    return min(kind.batch_size, sizes_of(kind.dataset).num_train)


def calibrate(
    kinds: Iterable[tuple[Run, int]], place: torch.device, threads: int, budget: float = BUDGET
) -> dict[tuple[Run, int], Speed]:
    """Time each kind of run, the cheap ones first. They leave the time that they do not need to the others.

    Args:
        kinds: As in ``kind_of``, each with the number of seeds that are stacked.
        place: Where.
        threads: Of torch, while timing.
        budget: Seconds in all, about.
    """
    ordered = sorted(kinds, key=lambda entry: flops_per_image(entry[0]) * full_batch(entry[0]) * entry[1])
    speeds, before, end = {}, torch.get_num_threads(), time.perf_counter() + budget
    keep_freed_memory()
    torch.set_num_threads(threads)
    try:
        for number, (kind, num_models) in enumerate(ordered):
            share = max(0.0, end - time.perf_counter()) / (len(ordered) - number)
            with denormals_flushed():
                speeds[kind, num_models] = measure_speed(kind, place, share, num_models)
    finally:
        torch.set_num_threads(before)
    return speeds


def measure_speed(kind: Run, place: torch.device, seconds: float, num_models: int = 1) -> Speed:
    """Time training steps and evaluation of one kind of run.

    If a step with all its images would take too long, it is timed with fewer. The optimizer's time does not depend on
    the images, so it is measured separately. A step takes this time and a fixed time for each image.

    Args:
        kind: As in ``kind_of``.
        place: Where.
        seconds: How long to try, about; two short steps are the least.
        num_models: How many are stacked.

    Returns:
        The speed of all of them together.
    """
    begin, batch = time.perf_counter(), full_batch(kind)
    models = [network(kind).to(place) for _ in range(num_models)]
    cost = TRAINING * flops_per_image(kind) * num_models
    first = min(batch, max(2, int(FIRST / cost)))
    timed = first
    step, evaluated = time_steps(kind, models, first, 2, first)
    update = 0.0 if first == batch else _time_update(kind, models)
    per_image = max(step - update, 0.1 * step) / first
    left = seconds - (time.perf_counter() - begin)
    affordable = [size for size in (batch, *(2**power for power in range(12, 0, -1))) if first <= size <= batch]
    largest = next((size for size in affordable if 5 * (update + size * per_image) <= left), 0)
    if largest:
        timed = largest
        num_steps = int(0.7 * left / (update + timed * per_image))
        more = min(EVALUATION_BATCH, max(timed, int(0.1 * left * TRAINING / per_image)))
        fewest = 3 if place.type == "cpu" else SETTLED + 3
        step, evaluated = time_steps(kind, models, timed, max(fewest, min(num_steps, MOST_STEPS)), more)
    if timed < batch:
        step = update + batch * max(step - update, 0.1 * step) / timed
    return Speed(step, evaluated, timed)


class _Clock:
    """A part of the transform that notes when each batch begins, after the device has finished earlier work."""

    def __init__(self, place: torch.device, waits: Iterable[int]):
        self._place, self._waits = place, set(waits)
        self.begins: list[float] = []

    def __call__(self, images: Tensor) -> Tensor:
        if self._place.type == "cuda" and len(self.begins) in self._waits:
            torch.cuda.synchronize(self._place)
        self.begins.append(time.perf_counter())
        return images


def time_steps(
    kind: Run, models: Sequence[nn.Module], batch: int, num_steps: int, num_evaluated: int, *, execution: str = "auto"
) -> tuple[float, float]:
    """Train on noise and time it.

    Args:
        kind: As in ``kind_of``.
        models: One, or several that are stacked; changed in place.
        batch: Images of a step.
        num_steps: At least 2. The first one is not timed, on a CUDA device the first ``SETTLED`` if there are more.
        num_evaluated: Images of the evaluation.
        execution: As in ``fit``.

    Returns:
        Seconds per step and per evaluated image.
    """
    place = next(models[0].parameters()).device
    num_batches = -(-num_evaluated // (EVALUATION_BATCH if kind.evaluation_mode == "eval" else batch))
    first = SETTLED if place.type == "cuda" and num_steps > SETTLED else 1
    clock = _Clock(place, (first, num_steps, num_steps + num_batches))
    train, held_out = _noise(kind, batch * num_steps, place), _noise(kind, num_evaluated, place)
    transform = pixel_transform(kind.pixels, train[0].cpu(), DATASETS[kind.dataset].peak)
    generators = [torch.Generator().manual_seed(number) for number in range(len(models))]
    augments = [augmentation(kind.augmentation, generator) for generator in generators]
    is_alone = len(models) == 1
    fit(
        models[0] if is_alone else models,
        train,
        epochs=1,
        batch_size=batch,
        validation=held_out,  # timed from its first batch to the test images' first
        test=held_out,
        transform=lambda images: transform(clock(images)),
        augment=augments[0] if is_alone else augments,
        generator=generators[0] if is_alone else generators,
        optimizer=kind.optimizer,
        evaluation_mode=kind.evaluation_mode,
        precision=kind.precision,
        stacking="auto" if is_alone else "stacked",
        execution=execution,
    )
    begins = clock.begins
    step = (begins[num_steps] - begins[first]) / (num_steps - first)
    return step, (begins[num_steps + num_batches] - begins[num_steps]) / num_evaluated


def _noise(kind: Run, count: int, place: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    spec, shape = DATASETS[kind.dataset], sizes_of(kind.dataset).input_shape
    images = torch.randint(spec.peak + 1, (count, *shape), dtype=torch.uint8, generator=generator)
    return images.to(place), torch.randint(spec.num_classes, (count,), generator=generator).to(place)


def _time_update(kind: Run, models: list[nn.Module]) -> float:
    """Return the seconds of the optimizer's part of a step."""
    parameters = [parameter for model in models for parameter in model.parameters()]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizers = build_optimizers(parameters, kind.optimizer, learning_rate=1e-3)
    clock = _Clock(parameters[0].device, (1, 2))
    for _ in range(2):  # the first step makes the optimizer's state
        clock(parameters[0])
        for optimizer in optimizers:
            optimizer.step()
    clock(parameters[0])
    return clock.begins[2] - clock.begins[1]
