"""``evaluate`` is a sum over single images; it leaves the mode, the gradients and, in eval mode, the model as found."""

import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.training import evaluate, fit

KINDS = ("dense", "batch_norm", "dropout", "conv")


@pytest.fixture
def lived_in(make_model, train, generator):
    """Makes models after an epoch of training, so that running statistics are no longer 0 and 1."""

    def make(kind):
        model = make_model(kind)
        with torch.random.fork_rng(devices=[]):
            fit(model, train, epochs=1, batch_size=8, generator=generator(0))
        return model

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_loop_over_images(lived_in, validation, plain_evaluate, kind):
    model = lived_in(kind)
    loss, accuracy = evaluate(model, *validation)
    expected_loss, expected_accuracy = plain_evaluate(model, *validation)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert accuracy == expected_accuracy


@pytest.mark.parametrize("batch_size", [1, 3, 10, 11, 12, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_batch_size_has_no_effect_in_eval_mode(lived_in, validation, kind, batch_size):
    model = lived_in(kind)
    whole_loss, whole_accuracy = evaluate(model, *validation)
    loss, accuracy = evaluate(model, *validation, batch_size=batch_size)
    assert loss == pytest.approx(whole_loss, rel=1e-12)
    assert accuracy == whole_accuracy


def test_batch_size_has_an_effect_in_train_mode(lived_in, validation):
    small, large = (evaluate(lived_in("batch_norm"), *validation, mode="train", batch_size=size) for size in (4, 11))
    assert small[0] != pytest.approx(large[0], rel=1e-3)


def test_train_mode_uses_the_statistics_of_the_batch(lived_in, validation, snapshot):
    model = lived_in("batch_norm")
    before, (in_eval, _) = snapshot(model), evaluate(model, *validation)
    assert snapshot(model) == before
    in_train, _ = evaluate(model, *validation, mode="train")
    changed = {name for name, value in snapshot(model).items() if value != before[name]}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert in_train != pytest.approx(in_eval, rel=1e-3)
    logits = lived_in("batch_norm").train()(validation[0])
    assert in_train == pytest.approx(torch.nn.functional.cross_entropy(logits, validation[1]).item(), rel=1e-12)


def test_train_mode_changes_nothing_without_batch_norm(model, validation):
    in_eval, in_train = (evaluate(model, *validation, mode=mode) for mode in ("eval", "train"))
    assert in_eval == in_train


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_mode(make_model, validation, training, mode):
    model = make_model("dropout").train(training)
    evaluate(model, *validation, mode=mode)
    assert {module.training for module in model.modules()} == {training}


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_leaves_the_mode_of_every_module(make_model, validation, mode):
    """A norm layer whose statistics the user froze stays frozen."""
    model = make_model("batch_norm").train()
    model[1].eval()
    evaluate(model, *validation, mode=mode)
    assert [module.training for module in model] == [True, False, True, True]


def test_leaves_the_mode_when_the_model_fails(model, validation):
    with pytest.raises(RuntimeError):
        evaluate(model, validation[0][:, :-1], validation[1])
    assert model.training


def test_leaves_gradients_and_builds_no_graph(model, validation):
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    kept = torch.ones_like(model[0].weight)
    model[0].weight.grad = kept
    evaluate(model, *validation)
    assert seen == [False]
    assert torch.is_grad_enabled()
    assert model[0].weight.grad is kept
    assert torch.equal(kept, torch.ones_like(kept))
    assert model[2].weight.grad is None


def test_transform_sees_every_stored_image_once(model, validation):
    seen = []

    def halve(images):
        seen.append(images)
        return images / 2

    halved = evaluate(model, *validation, batch_size=4, transform=halve)
    assert torch.equal(torch.cat(seen), validation[0])
    assert halved == pytest.approx(evaluate(model, validation[0] / 2, validation[1]), rel=1e-12)
    assert halved[0] != pytest.approx(evaluate(model, *validation)[0], rel=1e-3)


def test_accuracy_is_the_share_of_right_answers():
    images, labels = torch.eye(3).double()[[0, 1, 2, 0]], torch.tensor([0, 1, 2, 2])
    assert evaluate(torch.nn.Identity(), images, labels)[1] == 0.75
    assert evaluate(torch.nn.Identity(), images, labels[[0, 1, 2, 0]])[1] == 1
    assert evaluate(torch.nn.Identity(), images, torch.tensor([1, 2, 0, 1]))[1] == 0


def test_fit_measures_in_the_mode_asked_for(make_model, train, validation, generator):
    """With batches of the training's size in train mode, as the paper's code did."""
    expected = make_model("batch_norm")
    fit(expected, train, epochs=1, batch_size=8, generator=generator(0))
    for mode, batch_size in (("eval", 1000), ("train", 8)):
        model = make_model("batch_norm")
        settings = {"epochs": 1, "batch_size": 8, "validation": validation, "evaluation_mode": mode}
        history = fit(model, train, generator=generator(0), **settings)
        loss, accuracy = evaluate(expected, *validation, mode=mode, batch_size=batch_size)
        assert (history.validation_loss, history.validation_accuracy) == ([loss], [accuracy])
        assert torch.equal(model[1].running_mean, expected[1].running_mean)


def test_leak_into_the_running_statistics_shows_in_the_next_measure(
    make_model, train, validation, test_data, generator
):
    """In train mode the validation images move what the test images are measured with later, in eval mode not."""
    for mode in ("eval", "train"):
        alone, after = make_model("batch_norm"), make_model("batch_norm")
        settings = {"epochs": 2, "batch_size": 8, "evaluation_mode": mode}
        fit(alone, train, generator=generator(0), **settings)
        fit(after, train, generator=generator(0), validation=validation, **settings)
        same = evaluate(alone, *test_data) == evaluate(after, *test_data)
        assert same == (mode == "eval")


def test_unknown_mode(model, validation):
    with pytest.raises(InputError, match=r"mode='trian': did you mean 'train'\? It must be one of eval, train"):
        evaluate(model, *validation, mode="trian")
