"""``fit`` does what the loop written out plainly does: every optimizer, reduction and order, fused or not."""

import pytest
import torch

from zeroinit.bench.data import load_dataset, pixel_transform
from zeroinit.bench.models import build_model
from zeroinit.bench.training import OPTIMIZERS, build_optimizers, fit

# The losses of a float64 model may be kept in float32; everything else is compared at float64's rounding.
LOSS = {"rtol": 1e-6, "atol": 1e-7}
EXACT = {"rtol": 1e-9, "atol": 1e-11}
WITH_MOMENTUM = ("sgd", "rmsprop", "muon")


def settings_for(optimizer: str) -> dict:
    return {
        "epochs": 3,
        "batch_size": 8,
        "optimizer": optimizer,
        "learning_rate": 0.02,
        "warmup_steps": 5,
        "momentum": 0.8 if optimizer in WITH_MOMENTUM else 0.0,
    }


def close(tensors, others, **tolerance) -> bool:
    pairs = list(zip(tensors, others, strict=True))
    return all(torch.allclose(torch.as_tensor(one), torch.as_tensor(other), **tolerance) for one, other in pairs)


def same_history(history, expected) -> bool:
    measured, right = history.to_dict(), expected.to_dict()
    assert measured.keys() == right.keys()
    for name in ("outcome", "num_steps", "diverged_at_step", "validation_accuracy", "test_accuracy"):
        if measured[name] != right[name]:
            return False
    losses = [name for name in right if name.endswith("loss")]
    return all(
        len(measured[name]) == len(right[name])
        and close([torch.tensor(measured[name]).double()], [torch.tensor(right[name]).double()], **LOSS)
        for name in losses
    )


@pytest.mark.parametrize("kind", ["dense", "batch_norm", "conv"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fit_is_the_plain_loop(
    make_model, train, validation, test_data, plain_fit, generator, optimizer, reduction, kind
):
    settings = settings_for(optimizer) | {"reduction": reduction, "validation": validation, "test": test_data}
    model, twin = make_model(kind), make_model(kind)
    history = fit(model, train, generator=generator(4), **settings)
    expected = plain_fit(twin, train, generator=generator(4), **settings)
    assert same_history(history, expected)
    assert close(model.state_dict().values(), twin.state_dict().values(), **EXACT)
    assert history.num_steps == 9
    assert history.train_loss[-1] < history.train_loss[0]


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.021},
        {"momentum": 0.79},
        {"warmup_steps": 4},
        {"warmup_steps": 0},
        {"reduction": "mean"},
        {"order": "fixed"},
        {"batch_size": 23},
        {"optimizer": "rmsprop"},
        {"epochs": 2},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_another_setting_is_another_run(make_model, train, plain_fit, generator, change):
    settings = settings_for("sgd")
    model, twin = make_model(), make_model()
    history = fit(model, train, generator=generator(4), **(settings | change))
    expected = plain_fit(twin, train, generator=generator(4), **settings)
    assert not same_history(history, expected)
    assert not close(model.parameters(), twin.parameters(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 24, 1000])
@pytest.mark.parametrize("order", ["fresh", "fixed"])
def test_every_batch_size_and_order(make_model, train, plain_fit, generator, batch_size, order):
    settings = settings_for("adam") | {"batch_size": batch_size, "order": order}
    model, twin = make_model(), make_model()
    history = fit(model, train, generator=generator(4), **settings)
    assert same_history(history, plain_fit(twin, train, generator=generator(4), **settings))
    assert close(model.parameters(), twin.parameters(), **EXACT)
    assert history.num_steps == 3 * -(-23 // batch_size)


def test_fit_is_the_plain_loop_on_digits(plain_fit, generator):
    digits = load_dataset("digits")
    settings = {
        "epochs": 2,
        "test": (digits.test_images, digits.test_labels),
        "transform": pixel_transform("unit", digits.train_images, digits.peak),
    }
    train = (digits.train_images, digits.train_labels)
    model, twin = (build_model("mnist_fnn", (1, 8, 8)) for _ in range(2))
    history = fit(model, train, generator=generator(4), **settings)
    expected = plain_fit(twin, train, generator=generator(4), **settings)
    assert close(history.train_loss + history.test_loss, expected.train_loss + expected.test_loss, rtol=1e-4)
    assert close(history.test_accuracy, expected.test_accuracy, atol=1 / 450)
    assert history.test_accuracy[-1] > 0.8
    assert close(model.parameters(), twin.parameters(), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fused_is_plain(plain_optimizers, generator, optimizer, dtype):
    """Gradients of all sizes, some exactly zero, as zero weights have them; one tensor never gets any."""
    draws = generator(5)
    values = [torch.randn(shape, generator=draws, dtype=dtype) for shape in [(4, 3), (4,), (2, 1, 3, 3), (3, 4)]]
    one, other = ([torch.nn.Parameter(value.clone()) for value in values] for _ in range(2))
    momentum = 0.9 if optimizer in WITH_MOMENTUM else 0.0
    fused = build_optimizers(one, optimizer, learning_rate=1e-3, momentum=momentum)
    plain = plain_optimizers(optimizer, other, 1e-3, momentum)
    for size in (1.0, 0.0, 1e-7, 1e2, 1e-3, 1.0):
        for left, right in zip(one[:-1], other[:-1], strict=True):
            left.grad = torch.randn(left.shape, generator=draws, dtype=dtype) * size
            right.grad = left.grad.clone()
        for each in fused + plain:
            each.step()
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else EXACT
    assert close(one, other, **tolerance)
    assert torch.equal(one[-1], values[-1])
    assert not any(torch.equal(left, value) for left, value in zip(one[:-1], values[:-1], strict=True))
