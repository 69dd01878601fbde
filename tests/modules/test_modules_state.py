"""Random state and modes are as before; without the context managers they are not."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit._modules.state import modes_kept, random_state_kept

DRAWS = {"torch": lambda: torch.rand(3), "python": random.random, "numpy": lambda: np.random.rand(3)}  # noqa: NPY002


def states() -> list:
    return [torch.get_rng_state().tolist(), random.getstate(), [*map(str, np.random.get_state())]]  # noqa: NPY002


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("seed", [None, 0, 2**40])
def test_every_random_state_is_as_before(name, seed):
    before = states()
    with random_state_kept(nn.Identity(), seed):
        DRAWS[name]()
    assert states() == before
    with torch.random.fork_rng(devices=[]), random_state_kept(nn.Identity()):
        DRAWS[name]()
        assert states() != before


def test_every_random_state_is_as_before_after_an_error():
    def fail() -> None:
        with random_state_kept(nn.Identity(), 3):
            assert all(draw() is not None for draw in DRAWS.values())
            raise KeyError

    before = states()
    with pytest.raises(KeyError):
        fail()
    assert states() == before


def test_a_seed_makes_python_and_numpy_draw_the_same():
    def drawn(seed: int | None) -> list:
        with random_state_kept(nn.Identity(), seed):
            return [random.random(), *np.random.rand(2)]  # noqa: NPY002

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_the_mode_of_every_module_is_as_before():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval(), nn.Dropout())
    with modes_kept(model):
        model.eval()
        model[1].train()
    assert [each.training for each in model.modules()] == [True, True, False, True]
