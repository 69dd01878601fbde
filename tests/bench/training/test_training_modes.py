"""Modules that the user put into eval mode stay so, during training, evaluation and after it."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.training import evaluate, fit

SHORT = {"epochs": 2, "batch_size": 8}


def modes_of(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


class FreezesItsNorm(nn.Module):
    """As detectors do: ``train`` leaves the norm in eval mode, although it was built in train mode."""

    def __init__(self, make_model) -> None:
        super().__init__()
        self.body = make_model("batch_norm")

    def forward(self, images):
        return self.body(images)

    def train(self, mode: bool = True):
        super().train(mode)
        self.body[1].training = False
        return self


@pytest.mark.parametrize("evaluation_mode", ["eval", "train"])
def test_a_frozen_norm_stays_frozen(make_model, train, validation, generator, evaluation_mode):
    """Its running statistics are neither updated nor replaced by those of a batch."""
    model = make_model("batch_norm").train()
    model[1].eval()
    modes, seen = modes_of(model), []
    statistics = [buffer.clone() for buffer in model[1].buffers()]
    model[1].register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    settings = {"validation": validation, "evaluation_mode": evaluation_mode, "generator": generator(0)}
    fit(model, train, **SHORT, **settings)
    assert seen
    assert not any(seen)
    assert modes_of(model) == modes
    assert all(map(torch.equal, model[1].buffers(), statistics))


@pytest.mark.parametrize("evaluation_mode", ["eval", "train"])
def test_a_norm_that_is_not_frozen_trains(make_model, train, validation, generator, evaluation_mode):
    """The negative case, also for a model that comes in eval mode as a whole."""
    for model in (make_model("batch_norm"), make_model("batch_norm").eval()):
        statistics = [buffer.clone() for buffer in model[1].buffers()]
        fit(model, train, validation=validation, evaluation_mode=evaluation_mode, generator=generator(0), **SHORT)
        assert all(modes_of(model))
        assert not any(map(torch.equal, model[1].buffers(), statistics))


def test_a_head_alone_in_train_mode(make_model, train, generator):
    model = make_model("dropout").eval()
    model[3].train()
    fit(model, train, generator=generator(0), **SHORT)
    assert modes_of(model) == [False, False, False, False, True]


def test_a_model_that_chooses_its_modes_itself(make_model, train, generator):
    model = FreezesItsNorm(make_model)
    statistics = [buffer.clone() for buffer in model.body[1].buffers()]
    fit(model, train, generator=generator(0), **SHORT)
    assert not model.body[1].training
    assert all(map(torch.equal, model.body[1].buffers(), statistics))


def test_evaluation_in_train_mode_leaves_a_frozen_norm_alone(make_model, validation):
    model = make_model("batch_norm").train()
    model[1].eval()
    in_train, in_eval = (evaluate(model, *validation, mode=mode) for mode in ("train", "eval"))
    assert in_train == in_eval
    model[1].train()
    assert evaluate(model, *validation, mode="train") != in_eval


def small_stackable() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 2, bias=False), nn.BatchNorm2d(4), nn.ELU(), nn.Flatten(), nn.Linear(8, 3))


def stack_of(modes: list[str], generator) -> tuple[list[nn.Module], tuple]:
    models = [small_stackable() for _ in modes]
    for number, (model, mode) in enumerate(zip(models, modes, strict=True)):
        draws = generator(number)
        for parameter in model.parameters():
            parameter.data.normal_(generator=draws)
        if mode == "frozen":
            model[1].eval()
        elif mode == "eval":
            model.eval()
    images = torch.randn(20, 1, 2, 3, generator=generator(9))
    return models, (images, images[:, 0, 0].argmax(1))


@pytest.mark.parametrize("modes", [["frozen", "frozen"], ["eval", "eval"], ["train", "eval"]])
def test_a_stack_has_the_modes_of_its_models(generator, modes):
    results = []
    for stacking in ("stacked", "in_turn"):
        models, data = stack_of(modes, generator)
        fit(models, data, stacking=stacking, generator=[generator(0), generator(1)], **SHORT)
        results.append(
            [(modes_of(model), [value.numpy() for value in model.state_dict().values()]) for model in models]
        )
    for (now, values), (then, expected) in zip(*results, strict=True):
        assert now == then
        assert all(abs(one - other).max() < 1e-5 for one, other in zip(values, expected, strict=True))


def test_models_with_other_modes_do_not_stack(generator):
    models, data = stack_of(["frozen", "train"], generator)
    with pytest.raises(InputError, match="modules of some are in eval mode and those of others are not; use 'auto'"):
        fit(models, data, stacking="stacked", generator=[generator(0), generator(1)], **SHORT)
    before = [modes_of(model) for model in models]
    fit(models, data, generator=[generator(0), generator(1)], **SHORT)
    assert [modes_of(model) for model in models] == before
