"""The observer records layers while a model trains."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import zeroinit
from zeroinit import InputError
from zeroinit.symmetry import SymmetryObserver

from .zoo import Case, drawn, mlp, seeded


def test_the_observer_records_while_fit_runs():
    model = seeded(lambda: Case(mlp(nn.ELU), None)).model
    zeroinit.initialize_(model, "normal_bias", generator=torch.Generator().manual_seed(0))
    watch = SymmetryObserver(every=4)
    labels = torch.arange(64) % 5
    alone = zeroinit.bench.fit(
        mlp(nn.Tanh), (drawn(64, 12), labels), epochs=2, batch_size=16, generator=torch.Generator().manual_seed(0)
    )
    history = zeroinit.bench.fit(
        model,
        (drawn(64, 12), labels),
        epochs=4,
        batch_size=16,
        observers=[watch],
        generator=torch.Generator().manual_seed(0),
    )
    assert history.num_steps == 16
    assert alone.num_steps == 8
    assert sorted({each.step for each in watch.records}) == [*range(1, 11), 12, 16]
    by_step = {each.step: each for each in watch.records if each.path == "0"}
    assert [by_step[step].gradient > 0 for step in (1, 2, 3)] == [False, False, True]
    assert by_step[16].num_distinct == 16
    assert 1 <= by_step[4].diversity["effective_rank_weights"] < 1.5
    assert by_step[1].diversity["effective_rank_weights"] == 0
    assert by_step[1].diversity["effective_rank_activations"] > 0
    assert by_step[1].num_silent == 16
    assert by_step[16].num_silent == 0
    assert set(by_step[16].distinct_in) == {"bfloat16", "float16"}
    assert not any(module._forward_hooks for module in model.modules())
    frame = watch.to_frame()
    assert len(frame) == len(watch.records)
    assert (frame.loc[frame["step"] == 1, "effective_rank_updates"] == 0).all()
    assert (frame.loc[frame["step"] == 16, "effective_rank_updates"] >= 1).all()


def test_the_observer_sees_the_training_pass_not_the_evaluation_between():
    """Activations are those of the step's own batch: 16 examples, where the evaluation has 64."""
    data = drawn(64, 12), torch.arange(64) % 5

    def frame(**more):
        watch, model = SymmetryObserver(every=1), seeded(lambda: Case(mlp(), None)).model
        order = torch.Generator().manual_seed(0)
        zeroinit.bench.fit(model, data, epochs=2, batch_size=16, observers=[watch], generator=order, **more)
        return watch.to_frame()

    assert frame(test=data).equals(frame())
    assert frame()["effective_rank_activations"].nunique() == len(frame())  # every step has a batch of its own


def test_the_observer_counts_units_that_the_next_update_parts():
    """Twins with the same values but other gradients are driven apart; twins with equal ones are not."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for layer in (model[0], model[1]):
        nn.init.constant_(layer.weight, 0.5)
        nn.init.zeros_(layer.bias)
    watch = SymmetryObserver()
    watch.on_start(SimpleNamespace(model=model))
    model(drawn(5, 3)).square().sum().backward()
    watch.on_gradients(SimpleNamespace(model=model, step=1))
    assert [(each.num_distinct, each.num_driven_apart) for each in watch.records] == [(1, 1), (1, 1)]
    model[0].weight.grad[1] += 1
    watch.on_gradients(SimpleNamespace(model=model, step=2))
    assert [(each.num_distinct, each.num_driven_apart) for each in watch.records[2:]] == [(1, 2), (1, 1)]
    watch.on_end(SimpleNamespace(model=model))


def test_the_observer_says_what_every_must_be():
    with pytest.raises(InputError, match="every=0: must be at least 1"):
        SymmetryObserver(every=0)
