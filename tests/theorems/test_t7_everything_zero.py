"""T7: with zero weights and zero biases only the output bias moves, and the accuracy is that of one class."""

import pytest
import torch

from zeroinit.bench.models import build_model
from zeroinit.bench.training import fit
from zeroinit.init import initialize_

ZERO_AT_ZERO = ["elu", "relu", "tanh"]
MAJORITY = 2


@pytest.fixture
def images(generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes that are easy to tell apart; the third is half of all, the others a quarter each."""
    labels = torch.tensor([0, 1, MAJORITY, MAJORITY]).repeat(40)
    noise = torch.randn(len(labels), 1, 4, 4, generator=generator(0))
    return noise + 3 * torch.nn.functional.one_hot(labels, 4)[:, None, :, None], labels


def trained(name: str, initializer: str, activation: str, images, generator, optimizer: str = "adam"):
    """The model, its history, and the names of the parameters that moved."""
    model = build_model(name, (1, 4, 4), 3, activation=activation)
    initialize_(model, initializer, generator=generator(0))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    history = fit(
        model,
        images,
        test=images,
        epochs=4,
        batch_size=32,
        optimizer=optimizer,
        learning_rate=1e-2,
        reduction="mean",
        generator=generator(1),
    )
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    return model, history, moved


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ZERO_AT_ZERO)
@pytest.mark.parametrize(("name", "output"), [("mnist_fnn", "dense_2"), ("mnist_cnn", "dense_1")])
def test_only_the_output_bias_moves(name, output, activation, images, generator, optimizer):
    model, history, moved = trained(name, "zero", activation, images, generator, optimizer)
    assert moved == [f"{output}.bias"]
    assert model.get_submodule(output).bias.argmax() == MAJORITY
    assert history.test_accuracy[-1] == 0.5


@pytest.mark.parametrize("initializer", ["normal_bias", "pytorch"])
def test_other_initializers_tell_the_classes_apart(images, generator, initializer):
    """A negative case."""
    _, history, moved = trained("mnist_fnn", initializer, "elu", images, generator)
    assert len(moved) == 4
    assert history.test_accuracy[-1] > 0.9


def test_an_activation_that_is_not_zero_at_zero_moves_more(images, generator):
    """A negative case: sigmoid(0) is one half, so weights get a gradient, though all units stay the same."""
    model, _, moved = trained("mnist_fnn", "zero", "sigmoid", images, generator)
    assert set(moved) == {name for name, _ in model.named_parameters()}
    assert (model.dense_1.weight - model.dense_1.weight[0]).abs().max() < 1e-5


def test_logistic_regression_learns_from_zero(images, generator):
    """A negative case: one layer has no symmetry to break."""
    _, history, moved = trained("logistic_regression", "zero", "elu", images, generator)
    assert moved == ["dense_1.weight", "dense_1.bias"]
    assert history.test_accuracy[-1] > 0.9
