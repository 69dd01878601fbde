"""Randomness comes from the generator that was given, and from nowhere else."""

import pytest
import torch
from torch import nn

from zeroinit.init import INITIALIZERS, initialize_

RANDOM = sorted(name for name, entry in INITIALIZERS.items() if entry.is_random and not entry.finish)
EVERY_INITIALIZER = pytest.mark.parametrize(
    "name", sorted(name for name, entry in INITIALIZERS.items() if not entry.finish)
)


@EVERY_INITIALIZER
def test_same_seed_same_values(layer, name, generator, snapshot):
    initialize_(layer, name, generator=generator(5))
    first = snapshot(layer)
    initialize_(layer, name, generator=generator(5))
    assert snapshot(layer) == first


@pytest.mark.parametrize("name", RANDOM)
def test_other_seed_other_values(layer, name, generator, snapshot):
    initialize_(layer, name, generator=generator(5))
    first = snapshot(layer)
    initialize_(layer, name, generator=generator(6))
    assert snapshot(layer) != first


@pytest.mark.parametrize("name", RANDOM)
def test_the_generator_moves_on(layer, name, generator, snapshot):
    source = generator(5)
    initialize_(layer, name, generator=source)
    first = snapshot(layer)
    initialize_(layer, name, generator=source)
    assert snapshot(layer) != first


@EVERY_INITIALIZER
def test_global_seed_has_no_effect_and_is_untouched(layer, name, generator, snapshot):
    found = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.default_generator.manual_seed(seed)
            before = torch.get_rng_state()
            initialize_(layer, name, generator=generator(5))
            assert torch.equal(torch.get_rng_state(), before)
            found.append(snapshot(layer))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_generator_the_global_seed_decides(layer, name, snapshot):
    found = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 1, 2):
            torch.default_generator.manual_seed(seed)
            initialize_(layer, name)
            found.append(snapshot(layer))
    assert found[0] == found[1] != found[2]


def test_values_before_have_no_effect(generator, snapshot):
    model, other = nn.Linear(3, 4), nn.Linear(3, 4)
    nn.init.constant_(other.weight, float("nan"))
    initialize_(model, "normal_bias", generator=generator(0))
    initialize_(other, "normal_bias", generator=generator(0))
    assert snapshot(model) == snapshot(other)
