"""Several models at once are one by one within rounding, in every network that can be stacked, and they never mix."""

import math

import pytest
import torch
from torch import Tensor, nn

from zeroinit.bench.models import MODELS, build_model
from zeroinit.bench.models.resnet import BasicBlock, Bottleneck, _resnet
from zeroinit.bench.training import fit
from zeroinit.init import initialize_

NUM_MODELS, NUM_CLASSES, SHAPE = 3, 4, (2, 8, 8)
NETWORKS = (
    *(
        "logistic_regression",
        "mnist_fnn",
        "mnist_cnn",
        "cifar_fnn",
        "cifar_cnn",
        "cifar_cnn_quarter",
        "mnist_cnn_quarter",
    ),
    *("residual_fnn", "resnet18", "resnet18_standard"),
)
"""The others are more of the same blocks, and ``test_training_stackable`` says that they can be stacked."""
SLOW = {"cifar_cnn", "resnet18", "resnet18_standard"}
MOMENTUM = {"sgd": 0.8, "rmsprop": 0.5}
TIGHT = {"rtol": 1e-7, "atol": 1e-8}


class Jitter:
    """An augmentation with a generator of its own."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> Tensor:
        return images + 0.1 * torch.randn(images.shape, generator=self.generator, dtype=images.dtype)


def small(norm=nn.BatchNorm2d) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ELU(), nn.MaxPool2d(2), norm(4), nn.Flatten(), nn.Linear(36, NUM_CLASSES)
    )


def draw(count: int, seed: int, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, *SHAPE, generator=generator, dtype=dtype)
    return images, images[:, 0].flatten(1)[:, :NUM_CLASSES].argmax(dim=1)


def seeded(make, dtype=torch.float64) -> list[nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        models = [make().to(dtype) for _ in range(NUM_MODELS)]
        for model in models:
            for module in (each for each in model.modules() if hasattr(each, "reset_parameters")):
                module.reset_parameters()
    return models


def everything_of_its_own(dtype=torch.float64) -> dict:
    """Data, generator and augmentation differ from model to model; 19 images leave a last batch of 3."""
    numbers = range(NUM_MODELS)
    return {
        "train": [draw(19, 10 + number, dtype) for number in numbers],
        "validation": [draw(5, 20 + number, dtype) for number in numbers],
        "test": [draw(9, 30 + number, dtype) for number in numbers],
        "generator": [torch.Generator().manual_seed(40 + number) for number in numbers],
        "augment": [Jitter(50), None, lambda images: 1.5 * images],
    }


def train(models: list[nn.Module], stacking: str, dtype=torch.float64, **settings):
    return fit(models, stacking=stacking, **everything_of_its_own(dtype) | {"epochs": 2, "batch_size": 8} | settings)


def assert_same_history(found, expected, rel: float = 1e-8) -> None:
    for one, other in zip(found, expected, strict=True):
        one, other = one.to_dict(), other.to_dict()
        for name, value in other.items():
            if name.endswith("loss"):
                assert one[name] == pytest.approx(value, rel=rel, abs=1e-12, nan_ok=True)
            else:
                assert one[name] == value


def assert_same_values(models, others, **tolerance) -> None:
    for model, other in zip(models, others, strict=True):
        states = model.state_dict(), other.state_dict()
        assert states[0].keys() == states[1].keys()
        for name in states[0]:
            torch.testing.assert_close(states[0][name], states[1][name], **tolerance, msg=lambda text, n=name: n + text)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETWORKS])
@pytest.mark.usefixtures("without_type_checks")  # residual blocks are traced with what is no tensor
def test_stacked_is_one_by_one_in_every_network(name):
    def make() -> nn.Module:
        return build_model(name, SHAPE, NUM_CLASSES)

    together, alone = seeded(make), seeded(make)
    histories = train(together, "stacked", warmup_steps=4)
    assert_same_history(histories, train(alone, "in_turn", warmup_steps=4))
    assert_same_values(together, alone, **TIGHT)
    assert len({history.train_loss[-1] for history in histories}) == NUM_MODELS
    counts = [buffer for key, buffer in together[0].state_dict().items() if key.endswith("num_batches_tracked")]
    assert all(count == 6 for count in counts)
    assert bool(counts) == (("cnn" in name and "mnist" not in name) or "resnet" in name)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_stacked_is_one_by_one_in_residual_networks(block, standard):
    """Two stages of one block each: a shortcut without and, with the stride, one with a convolution."""

    def make() -> nn.Module:
        return _resnet(block, (1, 1), SHAPE, NUM_CLASSES, "elu", standard)

    together, alone = seeded(make)[:2], seeded(make)[:2]
    settings = {
        "epochs": 1,
        "batch_size": 4,
        "train": [(images[:6, :, :4, :4], labels[:6]) for images, labels in (draw(6, 1), draw(6, 2))],
        "test": [(images[:, :, :4, :4], labels) for images, labels in (draw(3, 3), draw(3, 4))],
    }
    histories = {
        stacking: fit(
            models, stacking=stacking, generator=[torch.Generator().manual_seed(n) for n in range(2)], **settings
        )
        for models, stacking in ((together, "stacked"), (alone, "in_turn"))
    }
    assert_same_history(histories["stacked"], histories["in_turn"])
    assert_same_values(together, alone, **TIGHT)
    assert together[0].stages[1][0].shortcut.norm.num_batches_tracked == 2


def test_the_networks_left_out_are_deeper_ones_and_those_that_cannot_be_stacked():
    assert set(NETWORKS) <= set(MODELS)
    assert all(name.startswith("resnet") for name in set(MODELS) - set(NETWORKS) - {"row_transformer", "small_vit"})


@pytest.mark.parametrize("evaluation_mode", ["eval", "train"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_stacked_is_one_by_one_with_every_setting(optimizer, reduction, evaluation_mode):
    settings = {
        "optimizer": optimizer,
        "momentum": MOMENTUM.get(optimizer, 0.0),
        "learning_rate": 0.01,
        "reduction": reduction,
        "evaluation_mode": evaluation_mode,
        "order": "fixed" if reduction == "mean" else "fresh",
    }
    together, alone, other = (seeded(small) for _ in range(3))
    assert_same_history(train(together, "stacked", **settings), train(alone, "in_turn", **settings))
    assert_same_values(together, alone, **TIGHT)
    train(other, "in_turn", **settings | {"learning_rate": 0.0101})
    with pytest.raises(AssertionError):
        assert_same_values(together, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "norm",
    [
        lambda count: nn.BatchNorm2d(count, momentum=None),
        lambda count: nn.BatchNorm2d(count, affine=False, momentum=0.3, eps=0.1),
        lambda count: nn.BatchNorm2d(count, track_running_stats=False),
        lambda count: nn.Identity(),
    ],
)
def test_norms_of_every_kind(norm):
    together, alone = seeded(lambda: small(norm)), seeded(lambda: small(norm))
    assert_same_history(train(together, "stacked"), train(alone, "in_turn"))
    assert_same_values(together, alone, **TIGHT)


LAYERS = {
    "activation_first": lambda: nn.Sequential(
        nn.Tanh(), nn.Flatten(), nn.Identity(), nn.Linear(128, 6, bias=False), nn.GELU(), nn.Linear(6, NUM_CLASSES)
    ),
    "activation_before_a_convolution": lambda: nn.Sequential(
        nn.Identity(), nn.Conv2d(2, 2, 3, groups=2, stride=2, bias=False), nn.Flatten(), nn.Linear(18, NUM_CLASSES)
    ),
    "pools_and_padding": lambda: nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, NUM_CLASSES),
    ),
    "one_module_at_two_places": lambda: at_two_places(),
}


def at_two_places() -> nn.Module:
    flatten, activation = nn.Flatten(), nn.ELU()
    return nn.Sequential(flatten, nn.Linear(128, 5), activation, flatten, nn.Linear(5, NUM_CLASSES), activation)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_of_every_kind(kind):
    together, alone = seeded(LAYERS[kind]), seeded(LAYERS[kind])
    assert_same_history(train(together, "stacked"), train(alone, "in_turn"))
    assert_same_values(together, alone, **TIGHT)


def test_single_layer_and_images_without_channels():
    """As many images in a batch as models: axes that were taken for each other would fit."""

    def data() -> dict:
        images = [torch.randn(2 * NUM_MODELS, 3, 5, generator=torch.Generator().manual_seed(n)) for n in range(3)]
        return {"train": [(each, torch.arange(2 * NUM_MODELS) % 4) for each in images], "validation": None}

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(15, NUM_CLASSES))

    together, alone = seeded(make, torch.float32), seeded(make, torch.float32)
    settings = data() | {"test": None, "augment": None, "batch_size": NUM_MODELS}
    assert_same_history(train(together, "stacked", **settings), train(alone, "in_turn", **settings), rel=1e-5)
    assert_same_values(together, alone, rtol=1e-5, atol=1e-6)
    flat = [(images.flatten(1), labels) for images, labels in settings["train"]]
    single, lone = ([nn.Linear(15, NUM_CLASSES) for _ in range(NUM_MODELS)] for _ in range(2))
    for one, other in zip(single, lone, strict=True):
        other.load_state_dict(one.state_dict())
    train(single, "stacked", **settings | {"train": flat})
    train(lone, "in_turn", **settings | {"train": flat})
    assert_same_values(single, lone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("max_steps", [1, 3, 4, 5, 6, 100])
def test_a_bound_on_steps(max_steps):
    together, alone = seeded(small), seeded(small)
    histories = train(together, "stacked", max_steps=max_steps)
    assert_same_history(histories, train(alone, "in_turn", max_steps=max_steps))
    assert_same_values(together, alone, **TIGHT)
    assert [history.num_steps for history in histories] == [min(max_steps, 6)] * NUM_MODELS


def test_what_is_no_sequence_is_shared():
    """Images, transform and an augmentation without randomness; the order stays each model's own."""
    shared = {"train": draw(19, 1), "validation": draw(5, 2), "test": None, "augment": lambda images: images * 2}
    together, alone = seeded(small), seeded(small)
    seen = []

    def transform(images: Tensor) -> Tensor:
        seen.append(images.dim())
        return images - 1

    histories = train(together, "stacked", transform=transform, **shared)
    assert set(seen) == {5}
    expected = [
        fit(model, transform=transform, epochs=2, batch_size=8, generator=generator, **shared)
        for model, generator in zip(alone, everything_of_its_own()["generator"], strict=True)
    ]
    assert_same_history(histories, expected)
    assert_same_values(together, alone, **TIGHT)


def test_float32_and_a_precision():
    together, alone = seeded(small, torch.float32), seeded(small, torch.float32)
    assert_same_history(train(together, "stacked", torch.float32), train(alone, "in_turn", torch.float32), rel=1e-4)
    assert_same_values(together, alone, rtol=1e-4, atol=1e-5)
    double, other = seeded(small, torch.float32), seeded(small, torch.float32)
    found = train(double, "stacked", torch.float32, precision="float64")
    assert_same_history(found, train(other, "in_turn", torch.float32, precision="float64"))
    assert_same_values(double, other, rtol=1e-6, atol=1e-7)
    assert all(tensor.dtype == torch.float32 for tensor in double[0].parameters())


def test_in_turn_is_the_loop_over_single_fits(snapshot):
    models, singles = seeded(small), seeded(small)
    histories = train(models, "in_turn", warmup_steps=2, max_steps=5)
    own = everything_of_its_own()
    for number, single in enumerate(singles):
        settings = {name: values[number] for name, values in own.items()}
        assert fit(single, epochs=2, batch_size=8, warmup_steps=2, max_steps=5, **settings) == histories[number]
        assert snapshot(single) == snapshot(models[number])
    assert snapshot(singles[0]) != snapshot(singles[1])


def test_a_model_alone_in_its_sequence_is_stacked_too(snapshot):
    together, alone = seeded(small)[:1], seeded(small)[:1]
    settings = {"epochs": 2, "batch_size": 8, "train": draw(19, 1)}
    (history,) = fit(together, generator=[torch.Generator().manual_seed(1)], stacking="stacked", **settings)
    assert_same_history([history], [fit(alone[0], generator=torch.Generator().manual_seed(1), **settings)])
    assert_same_values(together, alone, **TIGHT)


@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_a_model_that_diverges_leaves_the_others_as_they_were(snapshot, where, dtype, kind):
    def make() -> nn.Module:
        return small() if kind == "conv" else nn.Sequential(nn.Flatten(), nn.Linear(128, NUM_CLASSES))

    def run(models, poisoned: bool, stacking: str = "stacked"):
        own = everything_of_its_own(dtype)
        if poisoned:
            own["train" if where == "training" else "validation"][1][0][3] = math.nan
        return fit(models, epochs=3, batch_size=8, stacking=stacking, **own)

    healthy, spoiled, alone = (seeded(make, dtype) for _ in range(3))
    expected, found, by_itself = run(healthy, False), run(spoiled, True), run(alone, True, "in_turn")
    for number in (0, 2):
        assert snapshot(spoiled[number]) == snapshot(healthy[number])
        assert found[number] == expected[number]
    assert found[1].outcome == "diverged"
    assert (found[1].num_epochs, found[1].num_steps) == (1, 3)
    assert_same_history(found, by_itself, rel=1e-4 if dtype == torch.float32 else 1e-8)


def test_when_all_have_diverged_training_ends():
    models, calls = seeded(small), []
    own = everything_of_its_own()
    own["train"] = [(images * math.nan, labels) for images, labels in own["train"]]
    own["augment"] = lambda images: calls.append(1) or images
    histories = fit(models, epochs=5, batch_size=8, stacking="stacked", **own)
    assert [history.num_epochs for history in histories] == [1] * NUM_MODELS
    assert len(calls) == 3 * NUM_MODELS


def test_parameters_keep_their_identity_and_models_their_modes(snapshot):
    together, alone = ([model.eval() for model in seeded(small)] for _ in range(2))
    tensors = [[*model.parameters(), *model.buffers()] for model in together]
    train(together, "stacked")
    train(alone, "in_turn")
    for model, other, kept in zip(together, alone, tensors, strict=True):
        assert all(now is then for now, then in zip([*model.parameters(), *model.buffers()], kept, strict=True))
        assert [module.training for module in model.modules()] == [module.training for module in other.modules()]
        assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())
    untouched = snapshot(together[0])
    train(together, "stacked", epochs=0)
    assert snapshot(together[0]) == untouched


def test_a_frozen_layer_stays(snapshot):
    models = seeded(small)
    for model in models:
        model[0].weight.requires_grad_(False)
    before = [snapshot(model) for model in models]
    train(models, "stacked")
    for model, then in zip(models, before, strict=True):
        assert {name for name, value in snapshot(model).items() if value == then[name]} == {"0.weight"}
        assert not model[0].weight.requires_grad


def test_the_exact_norm_stays_exact_in_a_stack():
    """Six zero convolutions stay exactly zero, as alone; torch's norm lets rounding in."""
    ever_moved = {}
    for norm in ("exact", "batch"):
        models = seeded(lambda norm=norm: build_model("cifar_cnn_quarter", SHAPE, NUM_CLASSES, norm=norm))
        for number, model in enumerate(models):
            initialize_(model, "normal_bias", generator=torch.Generator().manual_seed(number))
        train(models, "stacked", epochs=3)
        ever_moved[norm] = any(model.get_submodule("dense_1").weight.any() for model in models)
        assert all(model.get_submodule("dense_3").weight.any() for model in models)
    assert ever_moved == {"exact": False, "batch": True}
