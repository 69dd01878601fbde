"""What a user can mend says what, why and how; what cannot be inspected is said and no crash."""

import pytest
import torch
from torch import nn

from zeroinit import InputError
from zeroinit.symmetry import inspect

from .zoo import VECTORS, drawn, mlp


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(12, 5)

    def forward(self, x):
        raise KeyError("no such key")


class Words(nn.Module):
    """An output without anything to minimize."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(12, 5)

    def forward(self, x):
        return {"text": "words", "tokens": self.dense(x).argmax(-1)}


def on_two_devices() -> nn.Module:
    model = mlp()
    model[2].to("meta")
    return model


def refused(*arguments, **settings) -> str:
    with pytest.raises(InputError) as refusal:
        inspect(*arguments, **settings)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda: 3, VECTORS), "model=3: is no nn.Module"),
        ((lambda: nn.Linear, VECTORS), "model=Linear: is a class; make an instance, as Linear(...)"),
        (
            (lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(4, 3)), VECTORS),
            "model: 0.weight is lazy and has no shape yet; run the model forward once, model(inputs), and "
            "inspect it then",
        ),
        (
            (lambda: mlp().requires_grad_(False), VECTORS),
            "model: has no trainable parameter; set requires_grad=True on what is to be trained",
        ),
        ((on_two_devices, VECTORS), "model: its parameters are on cpu, meta; move it to one device with model.to(...)"),
        (
            (lambda: mlp().to("meta"), VECTORS),
            "model: its parameters are on meta and have no values; materialize it with model.to_empty(...)",
        ),
        ((mlp, VECTORS.to("meta")), "inputs: are on meta and the model is on cpu; move them with .to('cpu')"),
        (
            (Fails, VECTORS),
            "inputs=a tensor (16, 12) of float32: the forward pass failed (KeyError: 'no such key'); hand over inputs "
            "for which model(inputs), model(*inputs) or model(**inputs) runs in train mode",
        ),
        (
            (Words, VECTORS),
            "model: its output is a dict with text, tokens, which has no loss; hand over targets, or loss_fn="
            "lambda output: ..., or inputs with which the output has a .loss",
        ),
        (
            (mlp, "images"),
            "inputs=a str: holds no tensor; hand over a tensor, a tuple of positional arguments, a dictionary of named "
            "ones, or a DataLoader",
        ),
    ],
    ids=["no module", "class", "lazy", "frozen", "devices", "meta", "inputs", "forward", "no loss", "words"],
)  # fmt: skip
@pytest.mark.usefixtures("without_type_checks")
def test_a_model_that_cannot_be_inspected(arguments, message):
    make, inputs = arguments
    assert refused(make(), inputs) == message


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ([nn.Linear(12, 5)], "`held` is not registered. Register it: `self.held = nn.ModuleList(...)`"),
        ({"a": nn.Linear(12, 5)}, "`held` is not registered. Register it: `self.held = nn.ModuleDict(...)`"),
        (torch.randn(12, 5, requires_grad=True), "Register it: `self.held = nn.Parameter(...)`"),
    ],
    ids=["list", "dict", "tensor"],
)
def test_a_model_that_registers_nothing(held, told):
    """A student's first network keeps its layers in a Python list."""
    model = nn.Module()
    model.held = held
    message = refused(model, VECTORS)
    assert message.startswith("model: has no trainable parameter. ")
    assert told in message


def test_targets_that_do_not_fit():
    assert refused(mlp(), VECTORS, drawn(16, 4)).startswith(
        "targets=a tensor (16, 4) of float32: do not fit the output a tensor (16, 5) of float32 "
        "(the output has shape (16, 5))"
    )
    assert "hand over classes for cross entropy" in refused(mlp(), VECTORS, torch.zeros(3, dtype=torch.long))
    assert (
        refused(mlp(), VECTORS, "classes")
        == "targets=a str: must be a tensor, as torch.as_tensor(targets), or hand over a loss_fn"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"steps": 2.0}, "steps=2.0: must be a whole number, such as 1"),
        *(
            ({"learning_rate": rate}, f"learning_rate={rate!r}: must be a finite number above 0")
            for rate in (0.0, -1, True, "1e-3", float("nan"), float("inf"))
        ),
        ({"loss_fn": nn.MSELoss}, "loss_fn=MSELoss: is a class; make an instance, as MSELoss()"),
        ({"loss_fn": "mse"}, "loss_fn='mse': must be a function of an output, or of an output and targets, to a loss"),
        ({"optimizer": "adan"}, "optimizer='adan': did you mean 'adam'? It must be one of adam, sgd"),
        (
            {"loss_fn": lambda output: output},
            "loss_fn: the loss is a tensor (16, 5) of float32; it must be a tensor with one float",
        ),
        (
            {"loss_fn": lambda output: output.nothing},
            "loss_fn(output): failed on a tensor (16, 5) of float32 (AttributeError: 'Tensor' object has no "
            "attribute 'nothing')",
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("without_type_checks")
def test_settings(settings, message):
    assert refused(mlp(), VECTORS, **settings) == message


def test_an_optimizer_that_cannot_step():
    assert "a torch optimizer, or a function from a list of parameters to one" in refused(
        mlp(), VECTORS, optimizer=lambda of: 3
    )
    failed = refused(mlp(), VECTORS, optimizer=nn.Linear)
    assert failed.startswith("optimizer=Linear: failed (TypeError: ")
    report = inspect(mlp(), VECTORS, optimizer=lambda of: torch.optim.RMSprop(of, lr=1e-3))
    assert report.warnings == ()


def test_weights_that_cannot_be_inspected_are_named():
    parts = nn.Sequential(mlp(), nn.Identity())
    parts[1].table = nn.Parameter(torch.eye(3).to_sparse(), requires_grad=False)
    parts[1].codes = nn.Parameter(torch.zeros(4, dtype=torch.int8), requires_grad=False)
    report = inspect(parts, VECTORS)
    assert report.not_inspected == {
        "1.table": "sparse weights (sparse_coo)",
        "1.codes": "quantized weights (int8)",
    }
    assert "not inspected: 1.table: sparse weights (sparse_coo)" in str(report)
    assert report.warnings == ()


@pytest.mark.filterwarnings("ignore")  # torch moves its quantization elsewhere
def test_a_quantized_layer_is_named_and_the_others_are_inspected():
    quantized = torch.ao.nn.quantized.dynamic.Linear(12, 12)
    report = inspect(nn.Sequential(quantized, nn.ReLU(), nn.Linear(12, 5)), VECTORS)
    assert report.not_inspected == {"0": "quantized module (Linear)"}
    assert "not inspected: 0: quantized module (Linear)" in str(report)
    assert report.first_gradient_steps == {"2.weight": 1, "2.bias": 1}
    assert report.warnings == ()


def test_a_sparse_gradient_is_no_obstacle():
    model = nn.Sequential(nn.Embedding(11, 6, sparse=True), nn.Flatten(), nn.Linear(18, 5))
    report = inspect(model, torch.arange(12).reshape(4, 3) % 11)
    assert report.warnings == ()
    assert report.first_gradient_steps["0.weight"] == 1


def test_a_loss_that_is_not_finite():
    report = inspect(mlp(), VECTORS, loss_fn=lambda output: output.sum() * float("nan"))
    assert [finding.code for finding in report.warnings][:1] == ["ZI013"]
    assert report.warnings[0].message.startswith(
        "The loss is NaN from the first step on: the product in the loss works with"
    )
    assert "learning rate" not in str(report)
    assert report.verdict.startswith("Will not learn as it is: the loss is NaN")


class Single(nn.Module):
    """Refuses any other type than float32."""

    def __init__(self):
        super().__init__()
        self.below, self.above = nn.Linear(12, 16), nn.Linear(16, 5)

    def forward(self, x):
        if x.dtype != torch.float32:
            raise TypeError("float32 alone")
        return self.above(torch.tanh(self.below(x)))


def test_a_model_without_float64_is_inspected_in_float32():
    report = inspect(Single(), VECTORS)
    assert (report.first_gradient_steps["below.weight"], report.notes) == (1, ())  # float64 was not needed
    model = Single()
    model.below.weight.data[1], model.below.bias.data[1] = model.below.weight.data[0], model.below.bias.data[0]
    model.above.weight.data[:, 1] = model.above.weight.data[:, 0]
    report = inspect(model, VECTORS)
    assert report.first_gradient_steps["below.weight"] == 1
    assert "no float64 shadow" in report.notes[0]


class Ahead(torch.optim.SGD):
    """Its step needs what a copy of it does not have."""

    def step(self, closure=None):
        raise AttributeError("no such hook")


def test_an_optimizer_whose_step_fails_is_told_with_the_way_out():
    model = mlp()
    optimizer = Ahead(model.parameters(), lr=0.1)
    text = "optimizer=Ahead: its step failed on a copy of the model (AttributeError: no such hook); "
    assert refused(model, VECTORS, optimizer=optimizer) == f"{text}optimizer.step() must run, or leave optimizer= out"
    optimizer.optimizer = torch.optim.Adam(model.parameters())
    assert refused(model, VECTORS, optimizer=optimizer) == f"{text}pass the Adam that it wraps, or leave optimizer= out"
