"""A calibration: what is timed, what is extrapolated, and that it goes through ``fit`` as the runs do."""

import itertools
import time
from dataclasses import replace

import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.running import calibrate as module
from zeroinit.bench.running.calibrate import calibrate, full_batch, kind_of, measure_speed
from zeroinit.bench.spec import Run

CPU = torch.device("cpu")
DIGITS = kind_of(Run(dataset="digits", batch_size=32))


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where a test says so."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def pretend(clock, update: float, per_image: float, timed: list):
    """Return a stand-in for ``_time`` in a world where a step takes ``update`` and ``per_image`` for each image."""

    def time_(kind, models, batch, num_steps, num_evaluated):
        timed.append((batch, num_steps))
        step, evaluated = update + batch * per_image, per_image / 3
        clock[0] += num_steps * step + num_evaluated * evaluated
        return step, evaluated

    return time_


@pytest.mark.parametrize(
    ("update", "per_image", "is_whole"), [(0.0, 1e-5, True), (0.001, 1e-4, True), (0.1, 0.05, False), (0.1, 5.0, False)]
)
def test_a_step_that_is_too_long_is_extrapolated(monkeypatch, clock, update, per_image, is_whole):
    timed = []
    monkeypatch.setattr(module, "time_steps", pretend(clock, update, per_image, timed))
    monkeypatch.setattr(module, "_time_update", lambda *_: update)
    kind = kind_of(Run(dataset="cifar10", model="cifar_cnn"))
    speed = measure_speed(kind, CPU, 1.0)
    assert speed.step == pytest.approx(update + 128 * per_image)
    assert speed.evaluated == pytest.approx(per_image / 3)
    assert (speed.batch == 128) == is_whole
    assert timed[0] == (2, 2)
    if per_image < 1:  # where two images take longer than all the time there is, nothing can be done
        assert clock[0] < 1.2


def test_images_that_cost_nothing_do_not_break_it(monkeypatch, clock):
    monkeypatch.setattr(module, "time_steps", lambda *_: (0.5, 0.0))
    monkeypatch.setattr(module, "_time_update", lambda *_: 0.7)
    assert measure_speed(kind_of(Run(model="mnist_cnn")), CPU, 1.0).step > 0


@pytest.mark.parametrize("num_models", [1, 3])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_what_is_timed_are_the_steps_and_the_evaluation_of_fit(monkeypatch, clock, mode, num_models):
    """Each training batch takes 1 s, but the first 50 s; each image that is only measured takes 2 s."""
    calls = itertools.count()
    transform_of = module.pixel_transform

    def slow(*arguments):
        transform = transform_of(*arguments)

        def wrapped(images):
            number = next(calls)
            clock[0] += 50.0 if number == 0 else 1.0 if number < 6 else 2.0 * images.shape[-4]
            return transform(images)

        return wrapped

    monkeypatch.setattr(module, "pixel_transform", slow)
    kind = replace(DIGITS, evaluation_mode=mode)
    models = [module.network(kind) for _ in range(num_models)]
    assert module.time_steps(kind, models, 32, 6, 80) == (1.0, 2.0)
    assert next(calls) == 6 + 2 * (1 if mode == "eval" else 3)


def test_a_real_calibration_restores_the_threads_and_keeps_to_its_time():
    kinds = {(kind, 1) for kind in (DIGITS, replace(DIGITS, model="mnist_cnn"))} | {(DIGITS, 2)}
    threads, begin = torch.get_num_threads(), time.perf_counter()
    speeds = calibrate(kinds, CPU, threads=1, budget=0.2)
    assert time.perf_counter() - begin < 5
    assert torch.get_num_threads() == threads
    assert speeds.keys() == kinds
    assert all(speed.step > 0 and speed.evaluated > 0 and speed.batch == 32 for speed in speeds.values())


def test_the_optimizers_part_is_measured_without_a_step_of_training(monkeypatch, clock):
    """The second update of all optimizers over all models; the first one makes their state."""
    updated = []

    class Slow:
        def __init__(self) -> None:
            self.seconds = iter([50.0, 3.0])

        def step(self) -> None:
            clock[0] += next(self.seconds)

    def build(parameters, name, *, learning_rate):
        assert name == "muon"
        updated.extend(parameters)
        assert all(not parameter.grad.any() for parameter in parameters)
        return [Slow(), Slow()]

    monkeypatch.setattr(module, "build_optimizers", build)
    kind = replace(DIGITS, optimizer="muon")
    models = [module.network(kind) for _ in range(2)]
    for model in models:
        model.register_forward_pre_hook(lambda *_: pytest.fail("it was called"))
    assert module._time_update(kind, models) == 6.0
    assert len(updated) == 2 * len(list(models[0].parameters()))


def test_runs_that_take_equally_long_are_of_one_kind():
    run = Run(dataset="digits", initializer="zero", scale=100.0, epochs=7, learning_rate=0.1, order="fixed")
    assert kind_of(run) == kind_of(Run(dataset="digits"))
    for changes in ({"batch_size": 16}, {"optimizer": "sgd"}, {"model": "mnist_cnn"}, {"precision": "bf16"}):
        assert kind_of(replace(run, **changes)) != kind_of(run)


def test_a_batch_is_never_larger_than_the_data_set():
    assert full_batch(replace(DIGITS, batch_size=5000)) == 1347
    assert full_batch(DIGITS) == 32


def test_settings_that_no_run_could_have_are_refused():
    with pytest.raises(InputError, match=r"^optimizer='adan': .*must be one of"):
        measure_speed(replace(DIGITS, optimizer="adan"), CPU, 0.1)
