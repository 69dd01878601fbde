"""Layouts: the same numbers within rounding, and parameters that come back as torch makes them."""

import pytest
import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.bench.models import build_model
from zeroinit.bench.training import LAYOUTS, Observer, fit
from zeroinit.bench.training.steps.layout import WIDE, choose_layout

SHAPE = (2, 6, 6)
SETTINGS = {"epochs": 2, "batch_size": 8, "optimizer": "sgd", "momentum": 0.8, "learning_rate": 0.01}


def make(channels: int = 4, dtype=torch.float64) -> nn.Sequential:
    """Kernels of 3x3 and of 1x1, whose layout shows in their strides alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(
            *(nn.Conv2d(2, channels, 3), nn.BatchNorm2d(channels), nn.ELU(), nn.Conv2d(channels, 3, 1), nn.ELU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)),
        )
    return model.to(dtype)


@pytest.fixture
def run(generator):
    def run(layout: str, model=None, **settings):
        model = make() if model is None else model
        images = torch.randn(20, *SHAPE, generator=generator(1), dtype=torch.float64)
        labels = torch.arange(20) % 3
        data = {"validation": (images[:5], labels[:5]), "generator": generator(0), "layout": layout}
        return model, fit(model, (images, labels), **data, **SETTINGS | settings)

    return run


class Watch(Observer):
    """Notes whether parameters, gradients and images lie in channels-last order during the training."""

    def __init__(self, model: nn.Module) -> None:
        self.seen: set[tuple[str, bool]] = set()
        model[0].register_forward_pre_hook(lambda module, inputs: self._note("images", inputs[0]))

    def on_gradients(self, state) -> None:
        self._note("kernel", state.model[0].weight)
        self._note("gradient", state.model[0].weight.grad)

    def _note(self, name: str, tensor: Tensor) -> None:
        self.seen.add((name, tensor.is_contiguous(memory_format=torch.channels_last)))


def close(model: nn.Module, other: nn.Module, **tolerance) -> bool:
    return all(
        torch.allclose(one, two, **tolerance)
        for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_layouts_agree_within_rounding(run):
    (model, history), (other, expected) = run("channels_last"), run("contiguous")
    for name in ("train_loss", "validation_loss"):
        assert getattr(history, name) == pytest.approx(getattr(expected, name), rel=1e-10)
    assert history.validation_accuracy == expected.validation_accuracy
    assert close(model, other, rtol=1e-9, atol=1e-11)
    assert not close(model, make(), rtol=1e-3, atol=1e-4)
    assert not close(model, run("channels_last", learning_rate=0.011)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("transform", [None, lambda images: 2 * images])
def test_images_and_parameters_are_laid_out_while_it_trains(run, layout, transform):
    model = make()
    watch = Watch(model)
    run(layout, model, observers=[watch], transform=transform)
    assert watch.seen == {(name, layout == "channels_last") for name in ("images", "kernel", "gradient")}


@pytest.mark.parametrize("fails", [False, True])
def test_parameters_come_back_as_torch_makes_them(run, fails):
    model, fresh = make(), make()
    parameters = list(model.parameters())

    def fail(images: Tensor) -> Tensor:
        fail.calls += 1
        if fails and fail.calls == 3:
            raise RuntimeError("broken")
        return images

    fail.calls = 0
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            run("channels_last", model, transform=fail)
    else:
        run("channels_last", model, transform=fail)
    assert all(now is then for now, then in zip(model.parameters(), parameters, strict=True))
    assert not close(model, fresh)
    for parameter, other in zip(model.parameters(), fresh.parameters(), strict=True):
        assert parameter.stride() == other.stride()
        assert fails or parameter.grad.stride() == other.stride()
        assert parameter.is_leaf


def test_a_1x1_kernel_that_kept_its_strides_would_be_taken_for_channels_last():
    """Why the parameters are cloned: ``contiguous`` changes nothing where an axis has length 1."""
    kernel = torch.ones(3, 4, 1, 1).clone(memory_format=torch.channels_last)
    assert kernel.contiguous().stride() != torch.ones(3, 4, 1, 1).stride()
    assert kernel.clone(memory_format=torch.contiguous_format).stride() == torch.ones(3, 4, 1, 1).stride()


@pytest.mark.parametrize(
    ("model", "chosen"),
    [
        (nn.Conv2d(WIDE - 1, 8, 3), "contiguous"),
        (nn.Conv2d(WIDE, 8, 3), "channels_last"),
        (nn.Sequential(nn.Conv2d(3, WIDE, 3), nn.ELU(), nn.Conv2d(WIDE, 3, 3)), "channels_last"),
        (nn.Sequential(nn.Conv2d(3, 512, 3), nn.Flatten(), nn.Linear(512, 3)), "contiguous"),
        (nn.Conv1d(64, 64, 3), "contiguous"),
        (nn.Linear(64, 64), "contiguous"),
        (build_model("mnist_cnn", (1, 8, 8)), "contiguous"),
        (build_model("cifar_cnn_quarter", (3, 8, 8)), "channels_last"),
    ],
)
def test_auto_picks_by_input_channels(model, chosen):
    assert choose_layout(model, "auto") == chosen
    for layout in ("contiguous", "channels_last"):
        assert choose_layout(model, layout) == layout


@pytest.mark.parametrize(("channels", "chosen"), [(4, "contiguous"), (WIDE, "channels_last")])
def test_auto_is_what_it_picks(run, snapshot, channels, chosen):
    (model, history), (other, expected) = run("auto", make(channels)), run(chosen, make(channels))
    assert history == expected
    assert snapshot(model) == snapshot(other)


def test_dense_models_and_flat_images_take_any_layout(train, generator, snapshot):
    models = [nn.Linear(6, 3).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, layout in zip(models, ("channels_last", "contiguous"), strict=True):
        fit(model, train, epochs=1, layout=layout, generator=generator(0))
    assert snapshot(models[0]) == snapshot(models[1])


@pytest.mark.parametrize(("name", "meant"), [("channels-last", "channels_last"), ("nhwc", None)])
def test_unknown_layout(run, name, meant):
    hint = rf"did you mean '{meant}'\? It " if meant else ""
    message = f"^layout='{name}': {hint}must be one of {', '.join(sorted(LAYOUTS))}$"
    with pytest.raises(InputError, match=message):
        run(name)
    with pytest.raises(InputError, match=message):
        choose_layout(make(), name)
