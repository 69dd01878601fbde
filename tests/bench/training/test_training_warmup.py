"""The learning rate of each step, read off what SGD does: change = -rate · gradient."""

import pytest
import torch

from zeroinit.bench.training import OPTIMIZERS, fit


@pytest.fixture
def rates(make_model, train, generator, recorder):
    """Trains with SGD for twelve steps; returns the learning rate that each update shows."""

    def run(**settings) -> list[float]:
        model = make_model()
        settings = {"epochs": 4, "batch_size": 8, "optimizer": "sgd", "observers": [recorder]} | settings
        fit(model, train, generator=generator(0), **settings)
        values = [torch.cat([value.flatten() for value in each.values()]) for each in recorder.parameters]
        values.append(torch.cat([value.detach().flatten() for value in model.parameters()]))
        gradients = [torch.cat([value.flatten() for value in each.values()]) for each in recorder.gradients]
        return [
            float((before - after) @ gradient / (gradient @ gradient))
            for before, after, gradient in zip(values[:-1], values[1:], gradients, strict=True)
        ]

    return run


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("warmup_steps", [0, 1, 2, 5, 11, 12, 13, 100])
def test_rises_linearly_then_stays(rates, warmup_steps, reduction):
    measured = rates(learning_rate=0.01, warmup_steps=warmup_steps, reduction=reduction)
    expected = [0.01 * (min(step / warmup_steps, 1) if warmup_steps else 1) for step in range(1, 13)]
    assert measured == pytest.approx(expected, rel=1e-9)


def test_is_off_by_default(rates):
    assert rates(learning_rate=0.01) == pytest.approx([0.01] * 12, rel=1e-9)


def test_measure_tells_rates_apart(rates):
    """The negative case: neighbouring warm-ups and rates do not pass for each other."""
    measured = rates(learning_rate=0.01, warmup_steps=5)
    assert measured[0] == pytest.approx(0.002, rel=1e-9)
    assert measured[:5] != pytest.approx([0.01 * step / 5 for step in range(5)], rel=1e-2)
    assert measured[:5] != pytest.approx([0.01 * step / 6 for step in range(1, 6)], rel=1e-2)
    assert measured[3] != pytest.approx(0.01, rel=1e-2)
    assert measured[4] == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_step_of_warm_up_is_none(make_model, train, generator, snapshot, optimizer):
    models = [make_model() for _ in range(3)]
    for model, warmup_steps in zip(models, (0, 1, 2), strict=True):
        settings = {"epochs": 2, "batch_size": 8, "optimizer": optimizer, "warmup_steps": warmup_steps}
        fit(model, train, generator=generator(0), **settings)
    assert snapshot(models[0]) == snapshot(models[1]) != snapshot(models[2])


def test_every_optimizer_of_a_group_warms_up(make_model, train, generator):
    """Muon brings AdamW beside it; a long warm-up holds both back by the same share."""
    moves = []
    for warmup_steps in (0, 1000):
        model = make_model()
        before = [value.detach().clone() for value in model.parameters()]
        settings = {"epochs": 1, "batch_size": 23, "optimizer": "muon", "warmup_steps": warmup_steps}
        fit(model, train, generator=generator(0), **settings)
        moves.append(
            [float((now.detach() - then).norm()) for now, then in zip(model.parameters(), before, strict=True)]
        )
    assert [slow / full for full, slow in zip(*moves, strict=True)] == pytest.approx([1e-3] * 4, rel=1e-6)
