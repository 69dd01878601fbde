"""Several seeds of a run at once: as one by one within rounding, and refused where something hooks into the model."""

from dataclasses import replace

import pytest

from zeroinit._common import InputError
from zeroinit.bench.running.runner import execute, execute_seeds, is_stackable
from zeroinit.bench.spec import Run

RUN = Run(dataset="digits", initializer="normal_bias", epochs=2, batch_size=64)
HOOKED = {
    "remedy": {"remedy": "early_dropout:3"},
    "recorder": {"recorder": "ranks"},
    "shifted features": {"offset_scale": 10.0},
    "copy": {"trained": "copy"},
    "muon": {"optimizer": "muon"},
}


def test_seeds_at_once_are_as_one_by_one():
    together = execute_seeds(RUN, [0, 3], device="cpu")
    for result, seed in zip(together, (0, 3), strict=True):
        alone = execute(RUN, seed, device="cpu")
        assert (result.seed, result.initial_hash) == (seed, alone.initial_hash)
        assert result.history["train_loss"] == pytest.approx(alone.history["train_loss"], rel=1e-4)
    assert together[0].history["train_loss"] != pytest.approx(together[1].history["train_loss"], rel=1e-4)


@pytest.mark.parametrize("name", HOOKED)
def test_what_hooks_into_one_model_is_not_stacked(name):
    run = replace(RUN, **HOOKED[name])
    assert is_stackable(RUN)
    assert not is_stackable(run)
    with pytest.raises(InputError, match=r"^seeds=\[0, 1\]: a remedy, a recorder, shifted features or a copy need one"):
        execute_seeds(run, [0, 1], device="cpu")
