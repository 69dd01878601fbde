"""``ExactBatchNorm2d`` is torch's, but that a constant channel becomes beta exactly and sends nothing down."""

import re

import pytest
import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.bench.models import NORMS, ExactBatchNorm2d, build_model
from zeroinit.bench.models.norms import replace_norms

CHANNELS = 5
SETTINGS = [
    {},
    {"momentum": 0.3, "eps": 0.01},
    {"momentum": None},
    {"affine": False},
    {"track_running_stats": False},
]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def pair(dtype=torch.float64, **settings) -> tuple[ExactBatchNorm2d, nn.BatchNorm2d]:
    """The same gamma, beta and running statistics, none of them trivial."""
    generator = torch.Generator().manual_seed(4)
    norms = ExactBatchNorm2d(CHANNELS, **settings), nn.BatchNorm2d(CHANNELS, **settings)
    for value in norms[1].state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 2.0, generator=generator)
    norms[0].load_state_dict(norms[1].state_dict())
    return norms[0].to(dtype), norms[1].to(dtype)


def draw(seed: int, constant: tuple[int, ...] = (), dtype=torch.float64) -> Tensor:
    """Images of which some channels are constant, at values that binary fractions do not hit."""
    images = torch.randn(3, CHANNELS, 7, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for channel in constant:
        images[:, channel] = 0.1 * (channel + 1)
    return images.to(dtype)


def backward(norm: nn.BatchNorm2d, images: Tensor, seed: int = 9) -> tuple[Tensor, ...]:
    """Output, and gradients of the input, gamma and beta under a gradient from above that is not constant."""
    images = images.clone().requires_grad_()
    output = norm(images)
    above = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wanted = [images, *norm.parameters()]
    return output.detach(), *torch.autograd.grad(output, wanted, above.to(output.dtype))


def assert_same_state(norm: nn.BatchNorm2d, other: nn.BatchNorm2d, **tolerance) -> None:
    assert norm.state_dict().keys() == other.state_dict().keys()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value, **tolerance)


@pytest.mark.parametrize("settings", SETTINGS)
def test_without_constant_channels_it_is_torchs(settings):
    exact, torchs = pair(**settings)
    for seed in range(3):
        for one, other in zip(backward(exact, draw(seed)), backward(torchs, draw(seed)), strict=True):
            assert torch.equal(one, other)
        assert_same_state(exact, torchs, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_channel_becomes_beta_and_sends_nothing_down(dtype):
    """Exactly; torch's norm does neither."""
    exact, torchs = pair(dtype)
    images = draw(0, constant=range(CHANNELS), dtype=dtype)
    output, to_input, to_gamma, to_beta = backward(exact, images)
    assert torch.equal(output, exact.bias.detach()[:, None, None].expand_as(output))
    assert not to_input.any()
    assert not to_gamma.any()
    assert to_beta.all()
    output, to_input, to_gamma, _ = backward(torchs, images)
    assert not torch.equal(output, torchs.bias.detach()[:, None, None].expand_as(output))
    assert to_input.any()
    assert to_gamma.any() or dtype == torch.float32


@pytest.mark.parametrize("settings", SETTINGS)
def test_constant_channels_leave_the_others_alone(settings):
    exact, torchs = pair(**settings)
    constant, others = [1, 4], [0, 2, 3]
    for seed in range(3):
        images = draw(seed, constant=tuple(constant))
        found, expected = backward(exact, images), backward(torchs, images)
        for one, other in zip(found[:2], expected[:2], strict=True):
            assert torch.equal(one[:, others], other[:, others])
        for one, other in zip(found[2:], expected[2:], strict=True):
            assert torch.equal(one[others], other[others])
        beta = 0.0 if exact.bias is None else exact.bias.detach()[constant, None, None]
        assert (found[0][:, constant] == beta).all()
        assert not found[1][:, constant].any()
        assert_same_state(exact, torchs, **CLOSE)


def test_a_channel_may_be_constant_in_one_batch_and_not_in_the_next():
    exact, torchs = pair()
    for seed, constant in enumerate([(0, 1), (), (1, 2, 3, 4), (0,)]):
        images = draw(seed, constant)
        torch.testing.assert_close(exact(images), torchs(images), rtol=1e-6, atol=1e-9)
        assert_same_state(exact, torchs, **CLOSE)
    assert exact.num_batches_tracked == 4


def test_one_value_that_differs_is_enough():
    """The negative case of constant: also where the values of each image, or of each position, are all equal."""
    one, by_image, by_position = (draw(0, constant=range(CHANNELS)) for _ in range(3))
    one[2, :, 6, 6] += 1e-3
    by_image += torch.arange(3)[:, None, None, None]
    by_position += torch.arange(7)
    for images in (one, by_image, by_position):
        exact, torchs = pair()
        for found, expected in zip(backward(exact, images), backward(torchs, images), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("settings", SETTINGS)
def test_eval_mode_is_torchs(settings):
    exact, torchs = pair(**settings)
    for norm in (exact, torchs):
        norm(draw(0, constant=(2,)))
    for norm in (exact, torchs):
        norm.eval()
    assert_same_state(exact, torchs, **CLOSE)
    torchs.load_state_dict(exact.state_dict())
    for constant in ((), (1, 2), range(CHANNELS)):
        for one, other in zip(backward(exact, draw(1, constant)), backward(torchs, draw(1, constant)), strict=True):
            assert torch.equal(one, other)
    assert_same_state(exact, torchs, rtol=0, atol=0)


def test_statistics_that_are_no_longer_tracked_stay():
    exact, torchs = pair()
    for norm in (exact, torchs):
        norm.track_running_stats = False
        norm(draw(0, constant=(0, 1)))
    assert_same_state(exact, torchs, rtol=0, atol=0)
    assert exact.num_batches_tracked == 0


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_is_not_hidden(value):
    """A run that diverged must show."""
    exact, torchs = pair()
    images = draw(0, constant=(1,))
    images[:, 3] = value
    output = exact(images)
    assert output[:, 3].isnan().all()
    assert output[:, [0, 1, 2, 4]].isfinite().all()
    torchs(images)
    assert exact.running_mean.isfinite().tolist() == torchs.running_mean.isfinite().tolist()


def test_bfloat16_images_do_not_round_the_statistics():
    """As under autocast: float32 statistics of bfloat16 values."""
    exact, torchs = pair(torch.float32)
    images = draw(0, constant=(1, 2)).bfloat16()
    assert exact(images).dtype == torchs(images).dtype == torch.bfloat16
    assert_same_state(exact, torchs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, CHANNELS, 7), (CHANNELS, 7, 7), (1, CHANNELS, 1, 1)])
def test_errors_are_torchs(shape):
    messages = []
    for norm in pair():
        with pytest.raises(ValueError, match=r"expected 4D input|Expected more than 1 value") as caught:
            norm(torch.ones(shape, dtype=torch.float64))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_table():
    assert sorted(NORMS.items()) == [("batch", nn.BatchNorm2d), ("exact", ExactBatchNorm2d)]


@pytest.mark.parametrize(("name", "count"), [("cifar_cnn", 3), ("cifar_cnn_quarter", 3), ("resnet18", 20)])
def test_networks_with_the_exact_norm(name, count, generator):
    """The same parameters by name and value, the same outputs where nothing is constant, and all norms replaced."""
    plain, exact = (build_model(name, (3, 8, 8), norm=norm) for norm in ("batch", "exact"))
    found = {
        norm: [type(module) for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm, model in (("batch", plain), ("exact", exact))
    }
    assert found == {"batch": [nn.BatchNorm2d] * count, "exact": [ExactBatchNorm2d] * count}
    assert plain.state_dict().keys() == exact.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(exact.state_dict()[name], value)
    images = torch.randn(4, 3, 8, 8, generator=generator(0))
    assert torch.equal(plain.train()(images), exact.train()(images))
    torch.testing.assert_close(plain.eval()(images), exact.eval()(images))


def test_unknown_norm():
    for call in (
        lambda name: build_model("cifar_cnn", (3, 8, 8), norm=name),
        lambda name: replace_norms(nn.ReLU(), name),
    ):
        with pytest.raises(InputError, match=r"^norm='exakt': did you mean 'exact'\? It must be one of batch, exact$"):
            call("exakt")


@pytest.mark.parametrize("name", ["mnist_fnn", "mnist_cnn", "cifar_fnn", "logistic_regression"])
def test_networks_without_batch_norm(name):
    message = "norm='exact': the model has no batch norm to replace; leave it 'batch'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        build_model(name, (3, 8, 8), norm="exact")
    build_model(name, (3, 8, 8), norm="batch")


def test_a_norm_is_replaced_as_it_was_made():
    """Settings, type and mode of each norm stay; layers of other kinds are the same objects."""
    made = {"eps": 0.1, "momentum": None, "affine": False, "track_running_stats": False}
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, **made), nn.Sequential(nn.BatchNorm2d(4, momentum=0.3)), nn.BatchNorm1d(4)
    ).double()
    model[2][0].eval()
    layers, tensors = list(model.modules()), [*model.parameters(), *model.buffers()]
    replace_norms(model, "batch")
    assert [id(module) for module in model.modules()] == [id(module) for module in layers]
    replace_norms(model, "exact")
    first, second = model[1], model[2][0]
    assert type(first) is type(second) is ExactBatchNorm2d
    assert {name: getattr(first, name) for name in made} == made
    assert (second.momentum, second.eps, second.training) == (0.3, 1e-5, False)
    assert second.running_mean.dtype == second.weight.dtype == torch.float64
    assert (model[0], model[3]) == (layers[1], layers[-1])
    assert all(now is then for now, then in zip([*model.parameters(), *model.buffers()], tensors, strict=True))
