"""The paper's networks: sizes, parameter counts, and where the activations stand."""

import pytest
import torch
from torch import nn

from zeroinit.bench.models import ACTIVATIONS, MODELS, build_model, make_activation
from zeroinit.bench.models.fnn import dense_network

PARAMETER_COUNTS = {
    ("logistic_regression", (1, 28, 28)): 7_850,
    ("logistic_regression", (3, 32, 32)): 30_730,
    ("mnist_fnn", (1, 28, 28)): 397_510,
    ("mnist_cnn", (1, 28, 28)): 416 + 12_832 + 250_890,
    ("mnist_cnn_quarter", (1, 28, 28)): 104 + 808 + 62_730,
    ("cifar_fnn", (3, 32, 32)): 3073 * 512 + 513 * 256 + 257 * 128 + 129 * 10,
    ("cifar_fnn", (1, 8, 8)): 65 * 512 + 513 * 256 + 257 * 128 + 129 * 10,
}
ANY_SIZE = ["logistic_regression", "mnist_fnn", "mnist_cnn", "mnist_cnn_quarter", "cifar_fnn"]


def parametrized_layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(("name", "input_shape"), PARAMETER_COUNTS)
def test_parameter_counts(name, input_shape):
    model = build_model(name, input_shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETER_COUNTS[name, input_shape]


def test_parameter_counts_by_layer_of_the_mnist_cnn():
    model = build_model("mnist_cnn", (1, 28, 28))
    counts = [sum(parameter.numel() for parameter in layer.parameters()) for layer in parametrized_layers(model)]
    assert counts == [416, 12_832, 250_890]
    assert model.dense_1.in_features == 25_088


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize(
    ("input_shape", "num_classes"), [((1, 28, 28), 10), ((3, 32, 32), 10), ((2, 5, 3), 7), ((1, 1, 1), 2)]
)
def test_images_of_any_shape_become_logits(name, input_shape, num_classes, generator):
    model = build_model(name, input_shape, num_classes)
    logits = model(torch.randn(2, *input_shape, generator=generator(0)))
    assert logits.shape == (2, num_classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ANY_SIZE)
def test_every_image_of_a_batch_is_mapped_alone(name, generator):
    model = build_model(name, (1, 6, 6))
    images = torch.randn(4, 1, 6, 6, generator=generator(0))
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(
    ("name", "num_layers"), [("logistic_regression", 1), ("mnist_fnn", 2), ("mnist_cnn", 3), ("cifar_fnn", 4)]
)
def test_the_activation_stands_after_every_layer_but_the_last(name, num_layers, activation):
    kind = type(make_activation(activation))
    model = build_model(name, (1, 4, 4), activation=activation)
    order = [
        "activation" if isinstance(module, kind) else "layer" for module in model if not isinstance(module, nn.Flatten)
    ]
    assert order == ["layer", "activation"] * (num_layers - 1) + ["layer"]
    assert len(parametrized_layers(model)) == num_layers
    assert model(torch.ones(2, 1, 4, 4)).isfinite().all()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_are_fresh_and_without_parameters(activation):
    assert make_activation(activation) is not make_activation(activation)
    assert not list(make_activation(activation).parameters())


def test_names_of_the_layers_count_from_one():
    assert [name for name, _ in build_model("mnist_cnn", (1, 4, 4)).named_children()] == [
        "conv_1",
        "activation_1",
        "conv_2",
        "activation_2",
        "flatten",
        "dense_1",
    ]
    assert [name for name, _ in dense_network((1, 2, 2), (3, 3), 2, "relu").named_children()] == [
        "flatten",
        "dense_1",
        "activation_1",
        "dense_2",
        "activation_2",
        "dense_3",
    ]


def test_widths_of_a_dense_network():
    model = build_model("cifar_fnn", (3, 32, 32))
    sizes = [(layer.in_features, layer.out_features) for layer in parametrized_layers(model)]
    assert sizes == [(3072, 512), (512, 256), (256, 128), (128, 10)]


def test_logistic_regression_is_linear(generator):
    model = build_model("logistic_regression", (1, 3, 3)).double()
    first, second = torch.randn(2, 4, 1, 3, 3, generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(model(first) + model(second), model(first + second) + model(torch.zeros_like(first)))


def test_a_hidden_layer_is_not_linear(generator):
    """The negative case of the test above."""
    model = build_model("mnist_fnn", (1, 3, 3)).double()
    first, second = torch.randn(2, 4, 1, 3, 3, generator=generator(0), dtype=torch.float64)
    difference = model(first) + model(second) - model(first + second) - model(torch.zeros_like(first))
    assert difference.abs().max() > 1e-3


def test_the_table_holds_what_was_tested():
    """The others: ``test_model_cifar_cnn.py``, ``test_model_resnet.py`` and ``test_model_small_residual.py``."""
    resnets = {f"resnet{depth}{form}" for depth in (18, 34, 50, 101) for form in ("", "_standard")}
    small = {"resnet8", "residual_fnn", "row_transformer", "small_vit"}
    assert {*ANY_SIZE, "cifar_cnn", "cifar_cnn_quarter", "resnet50_quarter", *resnets, *small} == set(MODELS)
