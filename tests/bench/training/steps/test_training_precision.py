"""Precisions: what a step computes in, and that the model is given back as it came."""

import pytest
import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.bench.training import PRECISIONS, Observer, fit
from zeroinit.bench.training.steps.precision import AS_IT_IS, choose_precision

SETTINGS = {"epochs": 2, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.01}


class Types(Observer):
    """Keeps the type of everything at the first update."""

    def on_gradients(self, state) -> None:
        model = state.model
        self.parameters = {parameter.dtype for parameter in model.parameters()}
        self.gradients = {parameter.grad.dtype for parameter in model.parameters()}
        self.buffers = {name.split(".")[-1]: buffer.dtype for name, buffer in model.named_buffers()}


def make(dtype=torch.float32) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        # No bias before the norm: its gradient is rounding noise that Adam would blow up.
        model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ELU(), nn.Linear(5, 3))
    return model.to(dtype)


@pytest.fixture
def run(train, validation, generator):
    """Trains a float32 model on float32 images; returns the model, the history and what an observer saw."""

    def run(precision, model=None, **settings):
        model, types, inputs = make() if model is None else model, Types(), set()
        handle = model[0].register_forward_hook(lambda module, images, output: inputs.update({images[0].dtype}))
        data = [(images.float(), labels) for images, labels in (train, validation)]
        history = fit(
            model,
            data[0],
            validation=data[1],
            precision=precision,
            generator=generator(0),
            observers=[types],
            **SETTINGS | settings,
        )
        handle.remove()
        types.inputs = inputs
        return model, history, types

    return run


def tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def state_types(model: nn.Module) -> dict[str, torch.dtype]:
    return {name: tensor.dtype for name, tensor in model.state_dict().items()}


def test_float64_trains_in_double_and_gives_float32_back(run):
    model = make()
    before, types = tensors(model), state_types(model)
    _, history, seen = run("float64", model)
    assert seen.parameters == seen.gradients == seen.inputs == {torch.float64}
    assert seen.buffers == {
        "running_mean": torch.float64,
        "running_var": torch.float64,
        "num_batches_tracked": torch.int64,
    }
    assert all(now is then for now, then in zip(tensors(model), before, strict=True))
    assert state_types(model) == types
    assert model[1].num_batches_tracked == history.num_steps == 6
    assert all(parameter.is_leaf and parameter.grad is None for parameter in model.parameters())


def test_float64_is_what_a_float64_model_does(run, train, validation, generator):
    """Bitwise, up to the rounding of the parameters at the end."""
    model, history, _ = run("float64")
    double = make(torch.float64)
    data = [(images.float().double(), labels) for images, labels in (train, validation)]
    expected = fit(double, data[0], validation=data[1], generator=generator(0), **SETTINGS)
    assert history == expected
    assert all(
        torch.equal(one, other.to(one.dtype)) for one, other in zip(tensors(model), tensors(double), strict=True)
    )


def test_float64_is_close_to_float32_and_not_equal(run):
    (single, rough, seen), (double, fine, _) = run("float32"), run("float64")
    assert seen.parameters == {torch.float32}
    for name in ("train_loss", "validation_loss"):
        one, other = getattr(rough, name), getattr(fine, name)
        assert one == pytest.approx(other, rel=1e-2)
        assert one != other
    assert all(
        torch.allclose(one, other, atol=1e-2) for one, other in zip(tensors(single), tensors(double), strict=True)
    )


def test_float32_is_the_default_of_a_float32_model(run, snapshot):
    (model, history, _), (other, same, _) = run("float32"), run(None)
    assert history == same
    assert snapshot(model) == snapshot(other)
    assert AS_IT_IS.dtype is None


def test_none_leaves_a_float64_model_in_float64(train, generator):
    model, types = make(torch.float64), Types()
    fit(model, train, observers=[types], generator=generator(0), **SETTINGS)
    assert types.parameters == types.gradients == {torch.float64}
    assert state_types(model)["0.weight"] == torch.float64


def test_a_float64_model_may_train_in_float32(train, generator):
    model, types = make(torch.float64), Types()
    fit(model, train, observers=[types], generator=generator(0), precision="float32", **SETTINGS)
    assert types.parameters == {torch.float32}
    assert state_types(model)["0.weight"] == torch.float64
    assert all(torch.equal(value, value.float().double()) for value in model.parameters())


def test_a_transform_need_not_know_the_precision(run):
    """Whatever it returns is converted: float32 here, as the pixel transforms do."""
    _, history, seen = run("float64", transform=lambda images: images.float())
    assert seen.inputs == {torch.float64}
    assert history == run("float64")[1]


def test_bf16_keeps_parameters_and_updates_in_float32(run):
    model = make()
    outputs = set()
    model[0].register_forward_hook(lambda module, images, output: outputs.update({output.dtype}))
    before = tensors(model)
    _, history, seen = run("bf16", model)
    _, expected, _ = run("float32")
    assert outputs == {torch.bfloat16}
    assert seen.parameters == seen.gradients == seen.inputs == {torch.float32}
    assert set(seen.buffers.values()) == {torch.float32, torch.int64}
    assert all(now is then for now, then in zip(tensors(model), before, strict=True))
    for name in ("train_loss", "validation_loss"):
        one, other = getattr(history, name), getattr(expected, name)
        assert one == pytest.approx(other, rel=0.02)
        assert one != pytest.approx(other, rel=1e-6)


def test_bf16_updates_are_not_lost_in_rounding(train, generator):
    """A negative case: with parameters in bfloat16 steps of 1e-5 would leave all of them where they are."""
    model = make()
    train = (train[0].float(), train[1])
    before = [value.detach().clone() for value in model.parameters()]
    small = {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 1e-5}
    fit(model, train, precision="bf16", generator=generator(0), **small)
    moved = [(now.detach() != then).float().mean() for now, then in zip(model.parameters(), before, strict=True)]
    assert min(moved) > 0.5
    rounded = make().bfloat16()
    kept = rounded[0].weight.detach().clone()
    fit(rounded, (train[0].bfloat16(), train[1]), generator=generator(0), **small)
    assert (rounded[0].weight == kept).float().mean() > 0.9


def test_the_mean_loss_of_an_epoch_is_not_rounded_by_the_sizes_of_batches(generator):
    """Of a model in bfloat16: 259 images are no bfloat16 number."""
    images = torch.ones(259, 1, dtype=torch.bfloat16)
    labels = (torch.arange(259) % 2).long()
    model = nn.Linear(1, 2, dtype=torch.bfloat16)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    history = fit(model, (images, labels), epochs=1, batch_size=1, learning_rate=1e-30, generator=generator(0))
    assert history.train_loss == [pytest.approx(torch.tensor(2.0).log().bfloat16().item(), rel=1e-9)]


@pytest.mark.parametrize("name", PRECISIONS)
def test_every_precision_is_the_same_for_one_model_and_for_several(name, train, generator):
    if name == "tf32":
        pytest.skip("needs a CUDA device")
    train = (train[0].float(), train[1])

    def dense() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return nn.Sequential(nn.Linear(6, 5), nn.ELU(), nn.Linear(5, 3))

    models, single = [dense(), dense()], dense()
    settings = SETTINGS | {"precision": name}
    several = fit(models, train, generator=[generator(0), generator(1)], stacking="stacked", **settings)
    history = fit(single, train, generator=generator(0), **settings)
    assert several[0].train_loss == pytest.approx(history.train_loss, rel=0.01 if name == "bf16" else 1e-5)
    assert several[0] != several[1]
    assert {parameter.dtype for model in models for parameter in model.parameters()} == {torch.float32}


def test_tf32_needs_cuda(run, snapshot):
    model = make()
    before = snapshot(model)
    message = r"^precision='tf32': needs a CUDA device, and the model is on cpu; use 'float32'$"
    with pytest.raises(InputError, match=message):
        run("tf32", model)
    assert snapshot(model) == before
    assert choose_precision("tf32", torch.device("cuda")).products == "tf32"


@pytest.mark.parametrize(("name", "meant"), [("float46", "float64"), ("half", None), ("", None)])
def test_unknown_precision(run, name, meant):
    hint = rf"did you mean '{meant}'\? It " if meant else ""
    with pytest.raises(InputError, match=f"^precision='{name}': {hint}must be one of bf16, float32, float64, tf32$"):
        run(name)


@pytest.mark.parametrize("name", ["float64", "bf16", "float32"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_restores_everything(run, name, error):
    model = make()
    before, types = tensors(model), state_types(model)
    start = [tensor.clone() for tensor in before]

    def fail(images: Tensor) -> Tensor:
        fail.calls += 1
        if fail.calls == 3:
            raise error
        return images

    fail.calls = 0
    with pytest.raises(error):
        run(name, model, transform=fail)
    assert all(now is then for now, then in zip(tensors(model), before, strict=True))
    assert state_types(model) == types
    assert not any(torch.equal(now, then) for now, then in zip(model[1].buffers(), start[-3:], strict=True))
    assert not torch.is_autocast_enabled("cpu")


def test_products_are_left_as_torch_is_set(run):
    """On the CPU nothing global is set; on a CUDA device it is set back."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    run("float32")
    assert [backend.fp32_precision for backend in backends] == before


@pytest.mark.gpu
def test_products_on_cuda(train, generator):
    train, seen = (train[0].float().cuda(), train[1].cuda()), []

    def note(images: Tensor) -> Tensor:
        seen.append((torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision))
        return images

    before = (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)
    for name, expected in (("tf32", "tf32"), ("float32", "ieee"), (None, before[0])):
        seen.clear()
        fit(make().cuda(), train, precision=name, transform=note, generator=generator(0), **SETTINGS)
        assert {pair[0] for pair in seen} == {expected}
        assert before == (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)
