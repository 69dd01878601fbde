"""A model without anything to train: the message names why, and what to type."""

import copy

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry import inspect
from zeroinit.symmetry.verdict.symptoms.nothing_trains import why_nothing_trains

X = torch.randn(8, 4)


class MadeAnew(nn.Module):
    def forward(self, x):
        return nn.Linear(4, 3)(x)


class Pair(nn.Module):
    """A policy and its reference, which are one module or two."""

    def __init__(self, shared):
        super().__init__()
        self.policy = nn.Linear(4, 3)
        self.reference = self.policy if shared else nn.Linear(4, 3)
        self.reference.requires_grad_(False)

    def forward(self, x):
        return self.policy(x) - self.reference(x)


class Reservoir(nn.Module):
    """Holds all of its matrices as buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w_in", torch.ones(4, 2))
        self.register_buffer("w_out", torch.zeros(1, 4))


class Adapted(nn.Module):
    """The names and attributes of a model with two adapters, of which one is active."""

    def __init__(self, active):
        super().__init__()
        self.lora_A = nn.ModuleDict({"first": nn.Linear(4, 2), "second": nn.Linear(4, 2)}).requires_grad_(False)
        self.peft_config, self.active_adapter = {"first": None, "second": None}, active
        self.disable_adapters = active == "off"


class Linear(nn.Module):
    """Stands for a module of torch.ao.nn.quantized, which not every machine can make."""

    __module__ = "torch.ao.nn.quantized.dynamic.modules.linear"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (MadeAnew(), "has no parameter; MadeAnew.forward makes layers anew in each pass, as nn.Linear(...): make them"),
        (nn.Module(), "has no parameter; give it layers in __init__"),
        (Reservoir(), "`w_in` and `w_out` are buffers: register what is to be trained as a parameter in __init__, as"),
        (nn.BatchNorm1d(3, affine=False), "has no parameter; give it layers in __init__"),
        (Pair(True), "policy and reference are one module, so freezing one froze the other: make a copy"),
        (Adapted("first"), 'active is first, and `model.set_adapter("second")` trains another'),
        (Adapted("off"), "its adapters are switched off, as inside `with model.disable_adapter():`; inspect outside"),
        (nn.Sequential(Linear()), "has no parameter; 0 is quantized and cannot be trained: inspect the model before"),
        (nn.Linear(4, 3).requires_grad_(False), "has no trainable parameter; set requires_grad=True"),
        (Pair(False), ""),
    ],
    ids=[
        *("made in forward", "empty", "buffers", "norm", "shared", "adapters", "switched off", "quantized"),
        *("frozen", "trained"),
    ],
)
def test_why(model, told):
    assert told in why_nothing_trains(model)
    assert told or not why_nothing_trains(model)


def test_a_copy_of_what_the_optimizer_holds():
    model = nn.Linear(4, 3)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(InputError, match="the optimizer holds parameters of another model with the same shapes"):
        inspect(average, X, optimizer=optimizer)
    other = torch.optim.Adam(nn.Linear(2, 2).parameters())
    with pytest.raises(InputError, match="has no trainable parameter; set requires_grad=True"):
        inspect(average, X, optimizer=other)


def test_a_batch_of_inference_mode_is_refused():
    with torch.inference_mode():
        made = torch.randn(8, 4)
    with pytest.raises(InputError, match=r"inputs: were made under torch.inference_mode\(\).*clones made outside"):
        inspect(nn.Linear(4, 3), made)
    assert inspect(nn.Linear(4, 3), made.clone()).warnings == ()


class Idle(torch.optim.Optimizer):
    """Its step does nothing."""

    def __init__(self, params, rate):
        super().__init__(params, {"lr": rate})

    def step(self, closure=None):
        pass


def test_a_step_that_does_nothing_is_no_matter_of_rounding():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    (warning,) = inspect(model, X, optimizer=Idle(model.parameters(), 0.1)).warnings
    assert (warning.code, warning.suggestion) == ("ZI020", "Look at what its `step()` does.")
    small = torch.optim.SGD(model.parameters(), lr=1e-12)
    assert "smaller than the rounding" in inspect(model, X, optimizer=small).warnings[0].message


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("seed", [None, 1.5, "a", -1])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match=r"^seed="):
        inspect(nn.Linear(4, 3), X, seed=seed)


def test_a_batch_without_an_example_is_refused():
    with pytest.raises(InputError, match=r"^inputs=a .*: holds no example"):
        inspect(nn.Linear(4, 3), X[:0])
    whole = torch.utils.data.TensorDataset(X)
    with pytest.raises(InputError, match=r"fewer examples than a batch of 16, and drop_last=True"):
        inspect(nn.Linear(4, 3), torch.utils.data.DataLoader(whole, batch_size=16, drop_last=True))
    assert inspect(nn.Linear(4, 3), torch.utils.data.DataLoader(whole, batch_size=8, drop_last=True)).warnings == ()


def test_a_result_in_the_place_of_a_parameter_is_refused():
    layer = nn.Linear(4, 3)
    layer._parameters["weight"] = nn.Parameter(layer.weight.detach().double()).float()
    with pytest.raises(InputError, match=r"1.weight stands among its parameters and is no nn.Parameter"):
        inspect(nn.Sequential(nn.Linear(4, 4), layer), X)


def test_lines_reach_into_a_wrapper():
    model = nn.Linear(4, 3)
    model.other = nn.Linear(4, 3)
    held = torch.optim.SGD(model.other.parameters(), lr=0.1)
    model.forward = lambda x: nn.functional.linear(x, model.weight, model.bias) + model.other(x)
    (warning,) = inspect(nn.DataParallel(nn.Sequential(model)), X, optimizer=held).warnings
    assert "model.module[0].weight" in warning.suggestion
    (warning,) = inspect(nn.Sequential(model), X, optimizer=held).warnings
    assert "model[0].weight" in warning.suggestion
