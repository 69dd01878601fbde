"""From settings to a result: data, model, initialization, training."""

import copy
import hashlib
import pickle
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit._common import InputError, __version__, derive_seed, lookup
from zeroinit.bench.data import DATASETS, Dataset, augmentation, load_dataset, pixel_transform, split_validation
from zeroinit.bench.experiments.interventions import scale_output_bias, shift_features, spoil_weights
from zeroinit.bench.experiments.recorders import make_recorder
from zeroinit.bench.experiments.spec import Run
from zeroinit.bench.experiments.store import Result
from zeroinit.bench.experiments.work import flops
from zeroinit.bench.models import build_model
from zeroinit.bench.training import Checkpoint, Observer, TrainState, fit
from zeroinit.init import hash_tensor, initialize_
from zeroinit.remedies import make_remedy

__all__ = ["TRAINED", "choose_device", "execute", "execute_seeds", "is_stackable", "start_model"]

OF_FIT = (
    *("epochs", "max_steps", "batch_size", "optimizer", "learning_rate", "momentum", "warmup_steps", "reduction"),
    *("order", "evaluation_mode", "precision"),
)
"""Fields of a run that are settings of ``fit`` by the same name."""

TRAINED: dict[str, Callable[[nn.Module], nn.Module]] = {"model": lambda model: model, "copy": copy.deepcopy}

COMPILED_FROM = 3e15
"""Operations of a run from which compiling its network pays on a CUDA device."""

load = lru_cache(maxsize=2)(load_dataset)


def choose_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` into a device that is there.

    Raises:
        InputError: Another word, or CUDA where there is none.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    kind, colon, index = device.partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (colon and not (kind == "cuda" and index.isdecimal())):
        raise InputError(f"device={device!r}: must be one of auto, cpu, cuda, cuda:N")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device={device!r}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu or auto"
        )
    return torch.device(device)


def choose_execution(run: Run, place: torch.device) -> str:
    """Return a key of ``EXECUTIONS``: long runs on a CUDA device are compiled.

    Example:
        >>> choose_execution(Run(), torch.device("cpu"))
        'auto'
    """
    if place.type != "cuda" or run.precision == "float64" or run.batch_size < 1:
        return "auto"
    return "compiled" if flops(run) >= COMPILED_FROM else "auto"


class _EpochCallback(Observer):
    def __init__(self, callback: Callable[[int], None]):
        self._callback = callback

    def on_epoch(self, state: TrainState) -> None:
        self._callback(state.epoch)


def stream(seed: int, purpose: str) -> torch.Generator:
    """Return the generator of one purpose of one run, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


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
        data_dir: As of ``load_dataset``.
        device: As of ``choose_device``.
        observers: What watches the training.
        on_epoch: Called after each epoch with its number.
        checkpoint: Where the state is saved and taken up again; the caller removes it.

    Raises:
        InputError: A setting that is not known, missing data, or a device that is not there.
    """
    place = choose_device(device)
    start = _prepare(run, seed, data_dir, place)
    trained = lookup(TRAINED, run.trained, "trained")(start.model)
    callbacks = [_EpochCallback(on_epoch)] if on_epoch else []
    recorder = make_recorder(run.recorder)
    recorders = [recorder] if recorder else []
    began = time.perf_counter()
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
    recorded = recorder.recorded if recorder else None
    return Result(run, seed, history.to_dict(), start.initial_hash, environment(place), seconds, recorded)


def execute_seeds(
    run: Run,
    seeds: Sequence[int],
    *,
    data_dir: Path | str | None = None,
    device: str = "auto",
    checkpoint: Checkpoint | None = None,
) -> list[Result]:
    """Carry out one run with several seeds at once, stacked; each as alone within rounding.

    Args:
        run: The settings; see ``is_stackable``.
        seeds: At least one, each at least 0.
        data_dir: As of ``load_dataset``.
        device: As of ``choose_device``.
        checkpoint: As of ``execute``.

    Returns:
        A result for each seed; ``seconds`` is an equal share of the time of all.

    Raises:
        InputError: As of ``execute``, or a run that cannot be stacked.
    """
    if not is_stackable(run):
        raise InputError(
            f"seeds={list(seeds)}: a remedy, a recorder, shifted features or a copy need one seed at a time"
        )
    place = choose_device(device)
    starts = [_prepare(run, seed, data_dir, place) for seed in seeds]
    began = time.perf_counter()
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
        Result(run, seed, history.to_dict(), start.initial_hash, environment(place), share)
        for seed, start, history in zip(seeds, starts, histories, strict=True)
    ]


def is_stackable(run: Run) -> bool:
    """Whether several seeds of a run can be trained at once: nothing hooks into its model or holds a copy of it."""
    is_plain = run.remedy == "none" and run.recorder == "none" and run.offset_scale is None
    return is_plain and run.trained == "model" and run.optimizer != "muon"


@dataclass(frozen=True)
class _Start:
    """What one seed of a run begins with."""

    model: nn.Module
    initial_hash: str
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    transform: Callable[[Tensor], Tensor]
    augment: Callable[[Tensor], Tensor] | None
    generator: torch.Generator


def _prepare(run: Run, seed: int, data_dir: Path | str | None, place: torch.device) -> _Start:
    dataset = load(run.dataset, data_dir)
    model, initial_hash = _prepare_model(run, dataset.input_shape, dataset.num_classes, seed)
    train, validation = _split(run, dataset, seed)
    test = _test(run, dataset)
    return _Start(
        model.to(place),
        initial_hash,
        train=(train[0].to(place), train[1].to(place)),
        validation=(validation[0].to(place), validation[1].to(place)),
        test=(test[0].to(place), test[1].to(place)),
        transform=pixel_transform(run.pixels, train[0], dataset.peak),
        augment=augmentation(run.augmentation, stream(seed, "augment")),
        generator=stream(seed, "order"),
    )


def _settings(run: Run) -> dict[str, Any]:
    """Return the settings that are those of ``fit``, by the same names."""
    return {name: getattr(run, name) for name in OF_FIT}


def _transform_all(transforms: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """Apply one transform to the images of all seeds if they are the same, else each to its own."""
    if len({pickle.dumps(transform) for transform in transforms}) == 1:
        return transforms[0]
    return lambda images: torch.stack([each(part) for each, part in zip(transforms, images, strict=True)])


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Round numbers below 1e-38 to zero, as processors are many times slower with them.

    A unit with a bias of -100 has an ELU gradient of exp(-100), about 4e-44: the MNIST CNN with biases x100 took eleven
    times as long on digits.
    """
    was_on = bool((torch.tensor(1e-40) * 1.0 == 0).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def _prepare_model(run: Run, input_shape: tuple[int, int, int], num_classes: int, seed: int) -> tuple[nn.Module, str]:
    if run.auto_scale and (run.scale != 1.0 or run.output_scale is not None or run.offset_scale is not None):
        raise InputError("auto_scale=True: chooses the scale of every layer; leave the other scales at their defaults")
    model = _initialized(run, input_shape, num_classes, seed)
    if run.offset_scale is not None:
        reference = _initialized(replace(run, scale=run.offset_scale), input_shape, num_classes, seed)
        shift_features(model, reference, input_shape)
    if run.output_scale is not None:
        scale_output_bias(model, run.scale, run.output_scale)
    if run.spoiler != "none":
        spoil_weights(model, run.spoiler)
    hashes = "".join(hash_tensor(parameter) for parameter in model.parameters())
    return model, hashlib.sha256(hashes.encode()).hexdigest()[:16]


def start_model(run: Run, seed: int) -> nn.Module:
    """Return a run's network as it is before training, without its data.

    Raises:
        InputError: A setting that is not known.
    """
    return _prepare_model(run, DATASETS[run.dataset].sizes.input_shape, DATASETS[run.dataset].num_classes, seed)[0]


def _initialized(run: Run, input_shape: tuple[int, int, int], num_classes: int, seed: int) -> nn.Module:
    model = build_model(
        run.model,
        input_shape,
        num_classes,
        activation=run.activation,
        norm=run.norm,
        hidden=run.hidden_units,
    )
    included = [pattern.strip() for pattern in run.include.split(",")] if run.include else None
    if included is not None:  # the other layers differ by seed, too
        initialize_(model, "pytorch", generator=stream(seed, "init/others"))
    initialize_(
        model,
        run.initializer,
        scale="auto" if run.auto_scale else run.scale,
        generator=stream(seed, "init"),
        include=included,
        norm_aware=run.norm_aware,
    )
    return model


def _remedies(run: Run, model: nn.Module, seed: int) -> list:
    if run.remedy == "none":
        if run.remedy_steps:
            raise InputError(
                f"remedy_steps={run.remedy_steps}: there is no remedy to take steps; name one or leave it 0"
            )
        return []
    return [make_remedy(run.remedy, model, run.remedy_steps, generator=stream(seed, "remedy"))]


def _split(run: Run, dataset: Dataset, seed: int):
    count = dataset.num_validation if run.num_validation is None else run.num_validation
    train, validation = split_validation(dataset.train_images, dataset.train_labels, count, stream(seed, "split"))
    if run.num_train is not None:
        num_left_out = len(train[1]) - run.num_train
        if not 0 < run.num_train <= len(train[1]):
            raise InputError(f"num_train={run.num_train}: must be from 1 to {len(train[1])}, the images not held out")
        train, _ = split_validation(*train, num_left_out, stream(seed, "subset"))
    return train, validation


def _test(run: Run, dataset: Dataset) -> tuple[Tensor, Tensor]:
    if run.num_test is not None and not 0 < run.num_test <= len(dataset.test_labels):
        raise InputError(f"num_test={run.num_test}: must be from 1 to {len(dataset.test_labels)}, the test images")
    return dataset.test_images[: run.num_test], dataset.test_labels[: run.num_test]


def environment(device: torch.device) -> dict:
    """Return versions, device and threads: what a number may depend on."""
    return {
        "zeroinit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
