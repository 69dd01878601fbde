"""The paper's CIFAR CNN: its order, its sizes, its parameters counted by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zeroinit.bench.models import build_model

BLOCKS = [
    ["conv_1", "activation_1", "conv_2", "activation_2", "pool_1", "norm_1"],
    ["conv_3", "activation_3", "conv_4", "activation_4", "pool_2", "norm_2"],
    ["conv_5", "activation_5", "conv_6", "activation_6", "pool_3", "norm_3"],
]
DENSE = ["flatten", "dense_1", "activation_7", "dense_2", "activation_8", "dense_3"]
CHANNELS = (32, 64, 128, 128, 256, 256)


def parameters_by_hand(input_shape: tuple[int, int, int], num_classes: int) -> int:
    """A convolution has 9 weights per pair of channels and a bias per output; a norm has two values per channel."""
    convolutions = sum(
        (9 * inputs + 1) * outputs for inputs, outputs in zip((input_shape[0], *CHANNELS), CHANNELS, strict=False)
    )
    pixels = (input_shape[1] // 2 // 2 // 2) * (input_shape[2] // 2 // 2 // 2)
    dense = (256 * pixels + 1) * 1024 + 1025 * 512 + 513 * num_classes
    return convolutions + 2 * (64 + 128 + 256) + dense


@pytest.mark.parametrize(
    ("input_shape", "num_classes"), [((3, 32, 32), 10), ((1, 8, 8), 10), ((1, 28, 28), 10), ((2, 17, 9), 4)]
)
def test_parameters_and_logits(input_shape, num_classes, generator):
    model = build_model("cifar_cnn", input_shape, num_classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters_by_hand(input_shape, num_classes)
    logits = model(torch.randn(2, *input_shape, generator=generator(0)))
    assert logits.shape == (2, num_classes)
    assert logits.isfinite().all()


def test_order_of_the_layers():
    assert [name for name, _ in build_model("cifar_cnn", (3, 32, 32)).named_children()] == [
        *BLOCKS[0],
        *BLOCKS[1],
        *BLOCKS[2],
        *DENSE,
    ]


def test_kinds_of_the_layers():
    kinds = {
        "conv": nn.Conv2d,
        "activation": nn.Tanh,
        "pool": nn.MaxPool2d,
        "norm": nn.BatchNorm2d,
        "flatten": nn.Flatten,
        "dense": nn.Linear,
    }
    for name, module in build_model("cifar_cnn", (3, 32, 32), activation="tanh").named_children():
        assert type(module) is kinds[name.split("_")[0]]


@pytest.mark.parametrize(("input_shape", "inputs"), [((3, 32, 32), 4096), ((1, 8, 8), 256), ((1, 28, 28), 2304)])
def test_inputs_of_the_first_dense_layer(input_shape, inputs):
    assert build_model("cifar_cnn", input_shape).dense_1.in_features == inputs


def test_sizes_after_each_norm():
    model, sizes = build_model("cifar_cnn", (3, 32, 32)), {}
    for name in ("norm_1", "norm_2", "norm_3"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: sizes.update({name: tuple(output.shape[1:])})
        )
    model(torch.zeros(2, 3, 32, 32))
    assert sizes == {"norm_1": (64, 16, 16), "norm_2": (128, 8, 8), "norm_3": (256, 4, 4)}


def test_forward_equals_the_layers_written_out(generator):
    model = build_model("cifar_cnn", (3, 16, 16), activation="elu").double()
    images = torch.randn(3, 3, 16, 16, generator=generator(0), dtype=torch.float64)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    hidden = images
    for block in (1, 2, 3):
        for number in (2 * block - 1, 2 * block):
            hidden = F.elu(F.conv2d(hidden, state[f"conv_{number}.weight"], state[f"conv_{number}.bias"], padding=1))
        hidden = F.max_pool2d(hidden, 2)
        mean, variance = hidden.mean((0, 2, 3), keepdim=True), hidden.var((0, 2, 3), keepdim=True, correction=0)
        hidden = (hidden - mean) / (variance + 1e-5).sqrt()
    hidden = hidden.reshape(3, -1)
    for number in (1, 2):
        hidden = F.elu(hidden @ state[f"dense_{number}.weight"].T + state[f"dense_{number}.bias"])
    torch.testing.assert_close(model(images), hidden @ state["dense_3.weight"].T + state["dense_3.bias"])
