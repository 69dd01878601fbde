"""What training changes and what it leaves alone; the same seed is bitwise the same run."""

import copy
import gc
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit.bench.models import MODELS, build_model
from zeroinit.bench.training import OPTIMIZERS, History, Observer, fit

SHORT = {"epochs": 2, "batch_size": 8}
# They stack more of the blocks that ResNet-18 and 50 have.
DEEP = {"resnet34", "resnet34_standard", "resnet101", "resnet101_standard"}
LARGE = {"resnet18", "resnet18_standard", "resnet50", "resnet50_standard"}
"""A quarter of the third is tried with every optimizer, these with Adam."""


def networks(optimizer: str) -> list:
    """Those that take a second, or whose blocks are tried elsewhere, are slow."""
    are_slow = DEEP | (LARGE if optimizer != "adam" else set())
    return [pytest.param(optimizer, name, marks=[pytest.mark.slow] * (name in are_slow)) for name in MODELS]


def random_states() -> list:
    """Torch's and NumPy's global states; Python's own is left out, as the type checks of the tests draw from it."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), name, keys.tolist(), rest]


def biases_before_a_norm(model: nn.Module) -> set[str]:
    """The norm takes such a bias out again: its gradient is zero but for rounding, which may be zero, too."""
    return {
        f"{name}.bias"
        for (name, layer), (_, after) in pairwise(model.named_modules())
        if isinstance(layer, nn.Conv2d) and layer.bias is not None and isinstance(after, nn.BatchNorm2d)
    }


def biases_of_keys(model: nn.Module) -> set[str]:
    """A softmax over keys takes what all of them share out again."""
    return {name for name, _ in model.named_parameters() if name.endswith("k_proj.bias")}


def test_zero_epochs_change_nothing(model, train, validation, snapshot, generator):
    before = snapshot(model)
    history = fit(model, train, epochs=0, validation=validation, generator=generator(0))
    assert snapshot(model) == before
    assert history == History()
    assert history.num_epochs == 0


@pytest.mark.parametrize(("optimizer", "name"), [case for optimizer in OPTIMIZERS for case in networks(optimizer)])
def test_two_steps_change_every_tensor(snapshot, generator, optimizer, name):
    model = build_model(name, (1, 8, 8), 3)
    images = torch.randn(8, 1, 8, 8, generator=generator(1))
    parameters = list(model.parameters())
    before = snapshot(model)
    history = fit(
        model, (images, torch.arange(8) % 3), epochs=1, batch_size=4, optimizer=optimizer, generator=generator(0)
    )
    assert history.num_steps == 2
    still = {key for key, value in snapshot(model).items() if value == before[key]}
    assert still <= biases_before_a_norm(model) | biases_of_keys(model)
    assert all(now is then for now, then in zip(model.parameters(), parameters, strict=True))


@pytest.mark.parametrize(
    ("name", "count"),
    [("mnist_cnn", 0), ("cifar_cnn", 0), ("resnet18", 20), ("resnet50", 37), ("resnet50_standard", 0)],
)
def test_only_biases_before_a_norm_may_stay(name, count):
    """ResNet-18 has 20 convolutions, each with a norm; 16 of ResNet-50's 53 have none."""
    assert len(biases_before_a_norm(build_model(name, (1, 8, 8), 3))) == count


def test_data_are_left_alone(model, train, generator):
    images, labels = (tensor.clone() for tensor in train)
    fit(model, train, generator=generator(0), **SHORT)
    assert torch.equal(train[0], images)
    assert torch.equal(train[1], labels)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_frozen_and_unused_parameters_stay(make_model, train, snapshot, generator, optimizer):
    model = make_model()
    model[0].weight.requires_grad_(False)
    model[1].register_parameter("unused", nn.Parameter(torch.ones(3)))
    before = snapshot(model)
    fit(model, train, optimizer=optimizer, generator=generator(0), **SHORT)
    same = {name for name, value in snapshot(model).items() if value == before[name]}
    assert same == {"0.weight", "1.unused"}


def test_only_the_parameters_given_learn(model, train, snapshot, generator):
    before = snapshot(model)
    fit(model, train, parameters=(each for each in model[2].parameters()), generator=generator(0), **SHORT)
    changed = {name for name, value in snapshot(model).items() if value != before[name]}
    assert changed == {"2.weight", "2.bias"}


def test_parameters_of_a_copy_train_nothing(make_model, train, validation, snapshot, generator):
    """The paper's SGD runs (section 6, defect 5): the optimizer was built on the model that was then copied."""
    settings = {"epochs": 3, "batch_size": 8, "order": "fixed", "validation": validation, "optimizer": "sgd"}
    model = make_model()
    stale, before = copy.deepcopy(model), snapshot(model)
    history = fit(model, train, parameters=stale.parameters(), generator=generator(0), **settings)
    assert snapshot(model) == snapshot(stale) == before
    measures = history.to_dict()
    for name in ("train_loss", "validation_loss", "validation_accuracy"):
        assert len(measures[name]) == 3
        assert len(set(measures[name])) == 1
    trained = fit(model, train, parameters=model.parameters(), generator=generator(0), **settings)
    assert len(set(trained.train_loss)) == len(set(trained.validation_loss)) == 3
    assert snapshot(model) != before


@pytest.mark.parametrize("kind", ["dense", "batch_norm", "conv"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_seed_same_bits(make_model, train, validation, snapshot, generator, optimizer, kind):
    train, validation = ((images.float(), labels) for images, labels in (train, validation))
    models = [make_model(kind, torch.float32) for _ in range(3)]
    histories = [
        fit(model, train, validation=validation, optimizer=optimizer, generator=generator(seed), **SHORT)
        for model, seed in zip(models, (7, 7, 8), strict=True)
    ]
    assert histories[0] == histories[1]
    assert snapshot(models[0]) == snapshot(models[1])
    assert histories[0] != histories[2]
    assert snapshot(models[0]) != snapshot(models[2])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_global_random_state_neither_matters_nor_moves(make_model, train, snapshot, generator, optimizer):
    results = []
    for seed in (1, 2):
        model = make_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            before = random_states()
            history = fit(model, train, optimizer=optimizer, generator=generator(7), **SHORT)
            assert random_states() == before
        results.append((history, snapshot(model)))
    assert results[0] == results[1]


def test_without_generator_the_global_seed_counts(make_model, train, snapshot):
    results = []
    for seed in (1, 1, 2):
        model = make_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            before = random_states()
            fit(model, train, **SHORT)
            assert random_states() != before
        results.append(snapshot(model))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("empty", [None, 0])
def test_no_held_out_data_no_measures(model, train, generator, empty):
    held_out = None if empty is None else (train[0][:0], train[1][:0])
    history = fit(model, train, validation=held_out, test=held_out, generator=generator(0), **SHORT)
    assert len(history.train_loss) == history.num_epochs == 2
    assert history.validation_loss == history.validation_accuracy == history.test_loss == history.test_accuracy == []


def test_measuring_changes_no_training(make_model, train, validation, test_data, snapshot, generator):
    """Held-out data are looked at and nothing else, batch norm and dropout included."""
    for kind in ("batch_norm", "dropout"):
        results = []
        for held_out in ({}, {"validation": validation, "test": test_data}):
            model = make_model(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(3)
                history = fit(model, train, generator=generator(0), **SHORT, **held_out)
            results.append((snapshot(model), history.train_loss))
        assert results[0] == results[1]


def test_model_trains_in_train_mode(make_model, train, generator):
    """Whatever mode it comes in, and although evaluation switches it off in between."""
    model, modes = make_model("dropout").eval(), []
    model[2].register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    with torch.random.fork_rng(devices=[]):
        fit(model, train, validation=train, generator=generator(0), **SHORT)
    assert modes == [True, True, True, False] * 2


def test_transform_is_applied_to_training_images(make_model, train, snapshot, generator):
    plain, transformed, other = make_model(), make_model(), make_model()
    fit(plain, (train[0] * 2, train[1]), generator=generator(0), **SHORT)
    fit(transformed, train, transform=lambda images: images * 2, generator=generator(0), **SHORT)
    fit(other, train, generator=generator(0), **SHORT)
    assert snapshot(plain) == snapshot(transformed) != snapshot(other)


def test_history_becomes_plain_values(model, train, validation, generator):
    measures = fit(model, train, validation=validation, generator=generator(0), **SHORT).to_dict()
    assert History(**measures).to_dict() == measures
    for name, value in measures.items():
        if name.endswith(("loss", "accuracy")):
            assert all(type(each) is float for each in value)
    assert (measures["outcome"], measures["num_steps"], measures["diverged_at_step"]) == ("completed", 6, None)


def test_augment_changes_stored_training_images_before_the_transform_and_nothing_else(train, validation, generator):
    """The same as a transform of both in turn, which evaluation would see as well."""
    seen = {"augment": 0, "transform": 0}

    def augment(images):
        seen["augment"] += len(images)
        return images + 1.0

    def transform(images):
        seen["transform"] += len(images)
        return 2.0 * images

    def history(**settings) -> History:
        model = nn.Sequential(nn.Flatten(), nn.Linear(train[0][0].numel(), 3, dtype=train[0].dtype))
        nn.init.zeros_(model[1].weight)
        nn.init.zeros_(model[1].bias)
        return fit(model, train, validation=validation, generator=generator(0), **SHORT, **settings)

    both = history(augment=augment, transform=transform)
    assert seen == {"augment": 2 * len(train[0]), "transform": 2 * (len(train[0]) + len(validation[0]))}
    in_one = history(transform=lambda images: 2.0 * (images + 1.0))
    assert both.train_loss == in_one.train_loss
    assert both.validation_loss != in_one.validation_loss
    assert history(augment=augment).train_loss == history(transform=augment).train_loss
    assert history(transform=transform).train_loss != both.train_loss


def test_gradients_of_other_parameters_do_not_add_up(make_model, train, generator, recorder):
    """An optimizer over a copy moves the copy; the model's own gradients are those of each step alone."""
    model, copy = make_model(), make_model()
    fit(model, train, parameters=copy.parameters(), generator=generator(0), observers=[recorder], **SHORT)
    orders = generator(0)
    indices = [index for _ in range(2) for index in torch.randperm(len(train[1]), generator=orders).split(8)]
    assert len(indices) == len(recorder.gradients) == 6
    for chosen, seen in zip(indices, recorder.gradients, strict=True):
        plain = make_model()  # as the model is, for nothing moves it
        nn.functional.cross_entropy(plain(train[0][chosen]), train[1][chosen], reduction="sum").backward()
        assert all(torch.allclose(seen[name], each.grad) for name, each in plain.named_parameters())


def test_gradients_of_a_body_that_is_not_updated_do_not_add_up(make_model, train, generator, recorder):
    model = make_model()
    fit(model, train, parameters=model[2].parameters(), generator=generator(0), observers=[recorder], **SHORT)
    last, images = recorder.parameters[-1], train[0]
    orders = generator(0)
    chosen = [torch.randperm(len(images), generator=orders) for _ in range(2)][-1].split(8)[-1]
    plain = make_model()
    plain.load_state_dict(last)
    nn.functional.cross_entropy(plain(images[chosen]), train[1][chosen], reduction="sum").backward()
    assert torch.allclose(recorder.gradients[-1]["0.weight"], plain[0].weight.grad)


class FreezeCount(Observer):
    """How many objects garbage collection leaves alone, at the first update: it takes long to count them."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_gradients(self, state) -> None:
        if not self.counts:
            self.counts.append(gc.get_freeze_count())


@pytest.mark.parametrize("by_caller", [True, False])
def test_what_the_caller_froze_stays_frozen(model, train, generator, by_caller):
    """And what ``fit`` set aside itself is given back."""
    counter = FreezeCount()
    if by_caller:
        gc.freeze()
    try:
        before = gc.get_freeze_count()
        assert (before > 0) == by_caller
        fit(model, train, generator=generator(0), observers=[counter], **SHORT)
        after = gc.get_freeze_count()
        assert (after > 0) == by_caller
        assert after <= before  # a frozen object may have ended meanwhile
        assert min(counter.counts) > 0
    finally:
        gc.unfreeze()


def test_what_was_set_aside_is_given_back_after_an_error(model, train, generator):
    assert gc.get_freeze_count() == 0
    with pytest.raises(RuntimeError):
        fit(model, (train[0][:, 1:], train[1]), generator=generator(0), **SHORT)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_default_device_changes_nothing(make_model, train, validation, snapshot, generator, optimizer):
    """Model and data say where the run is; ``meta`` holds no numbers, and stands for a GPU here."""
    results = []
    for device in ("cpu", "meta"):
        model = make_model("batch_norm")
        with torch.device(device):
            settings = {"validation": validation, "test": validation, "optimizer": optimizer}
            history = fit(model, train, generator=generator(0), **settings, **SHORT)
        results.append((snapshot(model), history))
    assert results[0] == results[1]
