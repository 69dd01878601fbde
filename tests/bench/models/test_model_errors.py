"""Errors of ``build_model`` name the argument, the value and the rule."""

import re

import pytest

from zeroinit._common import InputError
from zeroinit.bench.models import ACTIVATIONS, MODELS, build_model, make_activation


def test_unknown_model():
    choices = ", ".join(sorted(MODELS))
    message = f"model='mnist_fn': did you mean 'mnist_fnn'? It must be one of {choices}"
    with pytest.raises(InputError, match=re.escape(message)):
        build_model("mnist_fn", (1, 28, 28))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_unknown_activation_even_where_none_is_used(name):
    choices = ", ".join(sorted(ACTIVATIONS))
    message = f"activation='reluu': did you mean 'relu'? It must be one of {choices}"
    with pytest.raises(InputError, match=re.escape(message)):
        build_model(name, (1, 28, 28), activation="reluu")
    with pytest.raises(InputError, match=re.escape(message)):
        make_activation("reluu")


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("input_shape", [(), (28, 28), (1, 1, 28, 28), (0, 28, 28), (1, -28, 28)])
def test_input_shape_that_is_not_three_positive_counts(input_shape):
    message = f"input_shape={input_shape}: must be three positive counts (channels, height, width)"
    with pytest.raises(InputError, match=re.escape(message)):
        build_model("mnist_fnn", input_shape)


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_fewer_than_two_classes(num_classes):
    with pytest.raises(InputError, match=f"num_classes={num_classes}: must be at least 2"):
        build_model("mnist_fnn", (1, 28, 28), num_classes)


@pytest.mark.parametrize("input_shape", [(1, 7, 8), (3, 32, 7), (3, 4, 4)])
def test_images_too_small_for_three_poolings(input_shape):
    message = (
        f"input_shape={input_shape}: cifar_cnn halves height and width three times, so both must be at least 8; "
        "enlarge the images or choose another model"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        build_model("cifar_cnn", input_shape)


@pytest.mark.parametrize(
    ("name", "hidden"), [("mnist_cnn", (50,)), ("mnist_fnn", (50, 0)), ("logistic_regression", (5,))]
)
def test_hidden_layers_that_cannot_be(name, hidden):
    with pytest.raises(InputError, match=r"^hidden=\(.*\): must be positive counts, for mnist_fnn or cifar_fnn alone"):
        build_model(name, (1, 28, 28), hidden=hidden)


def test_hidden_layers_of_a_dense_network():
    model = build_model("cifar_fnn", (1, 8, 8), hidden=(7, 5, 3))
    assert [tuple(weight.shape) for weight in model.parameters() if weight.ndim == 2] == [
        (7, 64),
        (5, 7),
        (3, 5),
        (10, 3),
    ]
    assert build_model("mnist_fnn", (1, 8, 8)).dense_1.weight.shape == (500, 64)
