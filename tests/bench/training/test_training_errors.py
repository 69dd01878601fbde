"""Every error names the argument, the value and the way out, and comes before anything was changed."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.data import load_dataset
from zeroinit.bench.models import build_model
from zeroinit.bench.training import Observer, build_optimizers, fit


@pytest.fixture
def assert_refused(model, train, generator, snapshot, recorder):
    def refuse(message: str, data=None, **settings) -> None:
        draws, before = generator(0), snapshot(model)
        state = draws.get_state()
        settings = {"epochs": 1, "batch_size": 8} | settings
        with pytest.raises(InputError, match=message):
            fit(model, train if data is None else data, generator=draws, observers=[recorder], **settings)
        assert snapshot(model) == before
        assert all(parameter.grad is None for parameter in model.parameters())
        assert torch.equal(draws.get_state(), state)
        assert recorder.calls == []

    return refuse


@pytest.mark.parametrize(
    ("argument", "value", "choices", "meant"),
    [
        ("optimizer", "adm", "adam, adamw, muon, rmsprop, sgd", "adam"),
        ("optimizer", "SGD", "adam, adamw, muon, rmsprop, sgd", "sgd"),
        ("optimizer", "", "adam, adamw, muon, rmsprop, sgd", ""),
        ("order", "fesh", "fixed, fresh", "fresh"),
        ("order", "random", "fixed, fresh", ""),
        ("reduction", "summ", "mean, sum", "sum"),
        ("reduction", "none", "mean, sum", ""),
        ("evaluation_mode", "trian", "eval, train", "train"),
        ("evaluation_mode", "test", "eval, train", None),
    ],
)
def test_unknown_name(assert_refused, argument, value, choices, meant):
    hint = r"(did you mean '\w+'\? It )?" if meant is None else rf"did you mean '{meant}'\? It " if meant else ""
    assert_refused(rf"^{argument}={value!r}: {hint}must be one of {choices}$", **{argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "least"),
    [
        ("epochs", -1, 0),
        ("batch_size", 0, 1),
        ("batch_size", -5, 1),
        ("warmup_steps", -1, 0),
        ("max_steps", 0, 1),
    ],
)
def test_count_out_of_range(assert_refused, argument, value, least):
    assert_refused(rf"^{argument}={value}: must be at least {least}$", **{argument: value})


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("argument", ["epochs", "batch_size", "warmup_steps", "max_steps"])
@pytest.mark.parametrize("value", [1.5, 2.0, True, "3", float("nan"), np.float64(2), np.True_])
def test_a_count_that_is_no_whole_number(assert_refused, argument, value):
    assert_refused(rf"^{argument}={re.escape(repr(value))}: must be a whole number, such as 1$", **{argument: value})


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("argument", ["epochs", "batch_size", "warmup_steps"])
def test_a_count_that_is_missing(assert_refused, argument):
    assert_refused(rf"^{argument}=None: must be a whole number", **{argument: None})


@pytest.mark.usefixtures("without_type_checks")
def test_whole_numbers_of_other_libraries(model, train, generator):
    """The negative case."""
    settings = {"epochs": np.int64(2), "batch_size": torch.tensor(8), "max_steps": np.uint8(4)}
    assert fit(model, train, generator=generator(0), **settings).num_steps == 4


@pytest.mark.parametrize("value", [0.0, -1e-3, float("nan"), float("-inf")])
def test_learning_rate_out_of_range(assert_refused, value):
    assert_refused(rf"^learning_rate={value}: must be (a finite number above 0|positive)", learning_rate=value)


def test_learning_rate_without_end(assert_refused):
    assert_refused("^learning_rate=inf: must be", learning_rate=float("inf"))


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "muon"])
@pytest.mark.parametrize("value", [1.0, 1.5, -0.1, float("nan"), float("inf")])
def test_momentum_out_of_range(assert_refused, optimizer, value):
    assert_refused(rf"^momentum={value}: must be a finite number of at least 0", optimizer=optimizer, momentum=value)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_momentum_without_effect(assert_refused, optimizer):
    message = rf"^momentum=0.9: optimizer '{optimizer}' has none; use one of .*'muon', 'rmsprop', 'sgd'"
    assert_refused(message, optimizer=optimizer, momentum=0.9)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_nothing_to_train(assert_refused, name):
    frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    for parameters in ([], [frozen]):
        message = "^parameters: none requires a gradient, so nothing can be trained"
        assert_refused(message, parameters=parameters, optimizer=name)


@pytest.mark.parametrize(("num_images", "num_labels"), [(5, 4), (4, 5), (0, 0), (0, 3), (3, 0)])
def test_training_data_that_do_not_match(assert_refused, train, num_images, num_labels):
    data = (train[0][:num_images], train[1][:num_labels])
    message = f"^train: has {num_images} images and {num_labels} labels; needs as many, at least one$"
    assert_refused(message, data=data)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(("num_images", "num_labels"), [(5, 4), (4, 5), (0, 3), (3, 0)])
def test_held_out_data_that_do_not_match(assert_refused, train, split, num_images, num_labels):
    """Before the first epoch, not after it."""
    data = (train[0][:num_images], train[1][:num_labels])
    assert_refused(f"^{split}: has {num_images} images and {num_labels} labels", **{split: data})


def test_the_least_that_is_accepted(model, train, generator):
    """The negative case: the values next to those refused are good."""
    settings = {"epochs": 1, "batch_size": 1, "learning_rate": 1e-300, "momentum": 0.0, "warmup_steps": 0}
    data = (train[0][:1], train[1][:1])
    history = fit(model, data, validation=data, generator=generator(0), observers=[Observer()], **settings)
    assert history.num_steps == 1
    settings |= {"optimizer": "sgd", "momentum": 0.999, "learning_rate": 1e-3, "epochs": 0, "warmup_steps": 1}
    assert fit(model, data, generator=generator(0), **settings).num_steps == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "adan"}, r"^optimizer='adan': did you mean 'adam'\? It must be one of .*$"),
        ({"learning_rate": 0.0}, "^learning_rate=0.0: must be"),
        ({"name": "sgd", "momentum": 1.0}, "^momentum=1.0: must be a finite number of at least 0 and below 1"),
        ({"momentum": 0.5}, "^momentum=0.5: optimizer 'adam' has none"),
        ({"parameters": []}, "^parameters: none requires a gradient"),
    ],
)
def test_build_optimizers_refuses_the_same(settings, message):
    settings = {"parameters": [nn.Parameter(torch.zeros(2))], "name": "adam", "learning_rate": 0.1} | settings
    with pytest.raises(InputError, match=message):
        build_optimizers(settings.pop("parameters"), settings.pop("name"), **settings)


def test_messages_are_one_line(model, train):
    with pytest.raises(InputError) as caught:
        fit(model, train, epochs=1, optimizer="adm")
    assert re.fullmatch(r"[^\n]+", str(caught.value))
    assert isinstance(caught.value, ValueError)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("observer", [print, 3, Observer])
def test_an_observer_without_a_method_to_call(model, train, observer):
    message = r"observers: .* has none of the methods on_start, on_gradients, on_epoch, on_end"
    with pytest.raises(InputError, match=message):
        fit(model, train, epochs=1, observers=[observer])


def of_the_digits(**settings):
    return fit(build_model("mnist_fnn", (1, 8, 8)), batch_size=256, epochs=1, **settings)


def test_a_data_set_is_taken_as_it_was_loaded():
    digits = load_dataset("digits")
    history = of_the_digits(train=digits)
    assert (history.num_steps, len(history.test_accuracy)) == (6, 1)
    same = fit([build_model("mnist_fnn", (1, 8, 8))], digits, epochs=1, batch_size=256)
    assert len(same) == 1
    alone = of_the_digits(
        train=digits, test=(digits.test_images[:9], digits.test_labels[:9]), transform=lambda x: x / 32
    )
    assert alone.test_accuracy[0] * 9 == pytest.approx(round(alone.test_accuracy[0] * 9))


def test_bytes_without_a_transform_say_what_to_pass_unless_the_model_takes_them():
    digits = load_dataset("digits")
    pair = digits.train_images, digits.train_labels
    with pytest.raises(
        InputError, match=r"^train: the first pass failed on images of torch\.uint8 .* pass a Dataset, or"
    ):
        of_the_digits(train=pair)
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):  # a transform of the user's own is not the cause
        of_the_digits(train=pair, transform=lambda images: images.double())

    class TakesBytes(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1) / 16)

    assert fit(TakesBytes(64, 10), pair, epochs=1).num_steps > 0


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": [1, 2]}, "^train=a list: must be a pair of tensors, images and classes; train may be a Dataset"),
        ({"train": "digits"}, "^train=a str: must be a pair of tensors"),
        ({"train": (torch.ones(2, 64), torch.ones(2, dtype=torch.long)), "test": 3}, "^test=a int: must be a pair"),
    ],
)
def test_what_is_no_pair_of_images_and_classes(settings, message):
    with pytest.raises(InputError, match=message):
        of_the_digits(**settings)
