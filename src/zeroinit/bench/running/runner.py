"""From settings to a result: one run, or several seeds of it at once."""

import copy
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, jsonable, lookup
from zeroinit.bench.network import stream
from zeroinit.bench.running.device import choose_device, choose_execution, denormals_flushed, environment, origin
from zeroinit.bench.running.recorders import make_recorder
from zeroinit.bench.running.start import Start, load, prepare
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Result
from zeroinit.bench.training import Checkpoint, Observer, TrainState, fit
from zeroinit.remedies import make_remedy
from zeroinit.zero_start import zero_start_

__all__ = ["TRAINED", "ZERO_START", "execute", "execute_seeds", "is_stackable"]

OF_FIT = (
    *("epochs", "max_steps", "batch_size", "optimizer", "learning_rate", "momentum", "warmup_steps", "reduction"),
    *("order", "evaluation_mode", "precision"),
)
"""Fields of a run that are settings of ``fit`` by the same name."""

ZERO_START = "zero_start"
"""A remedy of its own: ``zero_start_`` chooses its parts by the model, and sets the model."""

TRAINED: dict[str, Callable[[nn.Module], nn.Module]] = {"model": lambda model: model, "copy": copy.deepcopy}


class _EpochCallback(Observer):
    def __init__(self, callback: Callable[[int], None]):
        self._callback = callback

    def on_epoch(self, state: TrainState) -> None:
        self._callback(state.epoch)


def execute(
    run: Run,
    seed: int,
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    observers: Sequence[Observer] = (),
    on_epoch: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Carry out one run; the same settings and seed give the same history on the same machine.

    Args:
        run: The settings.
        seed: At least 0; split by purpose (validation split, initialization, batch order, augmentation).
        data_dir: As in ``load_dataset``.
        device: As in ``choose_device``.
        observers: Observers of the training.
        on_epoch: Called after each epoch with its number.
        checkpoint: Where the state is saved and read again; the caller removes it.

    Raises:
        InputError: A setting that is not known, missing data, or a device that is not there.
    """
    place = choose_device(device)
    start = prepare(run, seed, data_dir, place)
    _name_owner(checkpoint, run, [seed], [start], place)
    trained = lookup(TRAINED, run.trained, "trained")(start.model)
    callbacks = [_EpochCallback(on_epoch)] if on_epoch else []
    recorder = make_recorder(run.recorder)
    recorders = [recorder] if recorder else []
    began, made = time.perf_counter(), origin(load(run.dataset, data_dir))
    with denormals_flushed():
        history = fit(
            start.model,
            start.train,
            validation=start.validation,
            test=start.test,
            augment=start.augment,
            generator=start.generator,
            transform=start.transform,
            parameters=trained.parameters(),
            checkpoint=checkpoint,
            execution=choose_execution(run, place),
            observers=[*_remedies(run, start.model, seed), *recorders, *observers, *callbacks],
            **_settings(run),
        )
    seconds = time.perf_counter() - began
    recorded = jsonable(recorder.recorded) if recorder else None  # of a run that diverges not all is finite
    return Result(run, seed, history.to_dict(), start.initial_hash, environment(place), seconds, recorded, made)


def execute_seeds(
    run: Run,
    seeds: Sequence[int],
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    checkpoint: Checkpoint | None = None,
) -> list[Result]:
    """Carry out one run with several seeds at once, stacked; each result is that of its seed alone, within rounding.

    Args:
        run: The settings; see ``is_stackable``.
        seeds: At least one, each at least 0.
        data_dir: As in ``load_dataset``.
        device: As in ``choose_device``.
        checkpoint: As in ``execute``.

    Returns:
        A result for each seed; ``seconds`` is an equal share of the time of all.

    Raises:
        InputError: As in ``execute``, or a run that cannot be stacked.
    """
    if not is_stackable(run):
        raise InputError(
            f"seeds={list(seeds)}: a remedy, a recorder, shifted features or a copy need one seed at a time"
        )
    place = choose_device(device)
    starts = [prepare(run, seed, data_dir, place) for seed in seeds]
    _name_owner(checkpoint, run, seeds, starts, place)
    began, made = time.perf_counter(), origin(load(run.dataset, data_dir))
    with denormals_flushed():
        histories = fit(
            [start.model for start in starts],
            [start.train for start in starts],
            validation=[start.validation for start in starts],
            test=[start.test for start in starts],
            augment=[start.augment for start in starts],
            generator=[start.generator for start in starts],
            transform=_transform_all([start.transform for start in starts]),
            checkpoint=checkpoint,
            stacking="stacked",
            **_settings(run),
        )
    share = (time.perf_counter() - began) / len(starts)
    return [
        Result(run, seed, history.to_dict(), start.initial_hash, environment(place), share, origin=made)
        for seed, start, history in zip(seeds, starts, histories, strict=True)
    ]


def is_stackable(run: Run) -> bool:
    """Whether several seeds of a run can be trained at once: nothing hooks into the model or holds a copy of it."""
    is_plain = run.remedy == "none" and run.recorder == "none" and run.offset_scale is None
    return is_plain and run.trained == "model" and run.optimizer != "muon"


def _name_owner(
    checkpoint: Checkpoint | None, run: Run, seeds: Sequence[int], starts: Sequence[Start], place: torch.device
) -> None:
    """Tell a checkpoint whose states it holds: a state of another run, machine or version is not gone on from."""
    if checkpoint is not None:
        own = {"run": run.settings, "seeds": list(seeds), "initial_hashes": [start.initial_hash for start in starts]}
        checkpoint.identity = own | environment(place)


def _settings(run: Run) -> dict[str, Any]:
    """Return the settings that are those of ``fit``, by the same names."""
    return {name: getattr(run, name) for name in OF_FIT}


def _transform_all(transforms: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """Apply one transform to the images of all seeds if they are the same, else each to its own."""
    if len({pickle.dumps(transform) for transform in transforms}) == 1:
        return transforms[0]
    return lambda images: torch.stack([each(part) for each, part in zip(transforms, images, strict=True)])


def _remedies(run: Run, model: nn.Module, seed: int) -> list:
    if run.remedy == "none":
        if run.remedy_steps:
            raise InputError(
                f"remedy_steps={run.remedy_steps}: there is no remedy to take steps; name one or leave it 0"
            )
        return []
    if run.remedy == ZERO_START:
        return [zero_start_(model, steps=run.remedy_steps or None, generator=stream(seed, "remedy"))]
    return [make_remedy(run.remedy, model, run.remedy_steps, generator=stream(seed, "remedy"))]
