"""Numbers too small for a normal float are rounded to zero while a run trains, and only then."""

import pytest
import torch

from zeroinit.bench.running import runner
from zeroinit.bench.running.device import denormals_flushed
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run


def tiny_survives() -> bool:
    return bool((torch.tensor(1e-40) * 1.0 != 0).item())


@pytest.fixture(autouse=True)
def _as_before():
    assert tiny_survives()
    yield
    torch.set_flush_denormal(False)


def test_flushed_inside_alone():
    with denormals_flushed():
        assert not tiny_survives()
        with denormals_flushed():
            pass
        assert not tiny_survives()
    assert tiny_survives()


def test_restored_after_an_error():
    with pytest.raises(KeyError), denormals_flushed():
        raise KeyError
    assert tiny_survives()


def test_every_run_trains_with_it(monkeypatch):
    seen = []
    fit = runner.fit
    monkeypatch.setattr(
        runner, "fit", lambda *args, **settings: (seen.append(tiny_survives()), fit(*args, **settings))[1]
    )
    execute(Run(dataset="digits", epochs=1, batch_size=128, initializer="normal_bias", scale=100.0), 0)
    assert seen == [False]
    assert tiny_survives()
