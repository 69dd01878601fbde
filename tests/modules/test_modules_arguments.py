"""What a user hands over: one check for each kind, in all packages; what cannot be used is named, with a way out."""

import asyncio
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit import InputError, audit, gain, initialize_, inspect, make_remedy, watch, zero_start_
from zeroinit._common import real_number
from zeroinit._modules.arguments import check_device, check_function
from zeroinit.bench.running.device import choose_device

pytestmark = pytest.mark.usefixtures("without_type_checks")
BATCH = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def refused(call, *arguments, **settings) -> str:
    with pytest.raises(InputError) as refusal:
        call(*arguments, **settings)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("net", "model='net': is no nn.Module"),
        (None, "model=None: is no nn.Module"),
        ([nn.Linear(2, 2)], "model=a list of 1: is no nn.Module; put several into an nn.ModuleList"),
        (nn.Linear, "model=Linear: is a class; make an instance, as Linear(...)"),
        (len, "model=len: is a function; hand over the model that it returns, as len()"),
        (
            nn.Linear(2, 2).state_dict(),
            "model=an OrderedDict with weight, bias: is no nn.Module; hand over the model that",
        ),
        (torch.optim.SGD(nn.Linear(2, 2).parameters()), "model=a SGD: is an optimizer; hand over the model whose"),
        (itertools.count(), "model=a count: is no nn.Module"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda model: initialize_(model, "zero"),
        zero_start_,
        watch,
        lambda model: inspect(model, BATCH),
        lambda model: make_remedy("warmup", model, 3),
    ],
    ids=["initialize_", "zero_start_", "watch", "inspect", "make_remedy"],
)
def test_what_is_no_model(model, message, use):
    assert refused(use, model).startswith(message)
    assert (
        refused(use, nn.Linear(2, 2).parameters()) == "model=a generator: is no nn.Module; hand over the model itself"
    )
    assert refused(use, (1 / 0 for _ in "x")) == "model=a generator: is no nn.Module"  # nobody runs it


async def never_awaited():
    return nn.Linear(2, 2)


def test_what_a_factory_returns_is_named():
    message = refused(audit, never_awaited)  # no RuntimeWarning either: warnings are errors here
    assert message.startswith("build=never_awaited: returned a coroutine, which awaits something; leave out async")
    assert "returned Linear, which is a class; make an instance, as Linear(...)" in refused(audit, lambda: nn.Linear)
    assert audit(lambda: asyncio.run(never_awaited())).warnings == ()


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99", torch.device("cuda:99"), True, None, 1.5, ""])
def test_a_device_that_this_machine_lacks(device):
    model = nn.Linear(2, 3, device="meta")
    message = refused(check_device, device)
    named = repr(str(device) if isinstance(device, torch.device) else device)
    assert re.fullmatch(rf"device={named}: .*must be one of (.*, )?cpu(, .*)? on this machine", message)
    assert "auto, cpu" in refused(choose_device, device)
    if device is not None:
        assert refused(initialize_, model, "zero", device=device) == message
        assert model.weight.is_meta


def test_a_device_that_is_there(monkeypatch):
    initialize_(model := nn.Linear(2, 3, device="meta"), "zero", device=torch.device("cpu"))
    assert not model.weight.any()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device("cuda:1") == torch.device("cuda:1")
    assert "must be one of auto, cpu, cuda, cuda:0, cuda:1 on" in refused(choose_device, "cuda:2")


@pytest.mark.parametrize(
    "value", [True, "0.1", None, math.nan, math.inf, 10**400, -1, np.float32("nan"), torch.tensor(0.1), 1, 0]
)
def test_what_is_no_number_in_range(value):
    message = "must be a finite number above 0 and below 1"
    assert refused(real_number, value, "margin", above=0, below=1) == f"margin={value!r}: {message}"


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5)])
def test_numbers_of_numpy_are_numbers(value):
    assert real_number(value, "margin", least=0.5, below=1) == 0.5
    assert refused(real_number, value, "n", least=1).endswith(": must be a finite number of at least 1")
    assert inspect(nn.Linear(3, 2), BATCH, learning_rate=value, steps=np.int64(2)).num_steps == 2


def test_functions_are_asked_for_what_they_take():
    check_function(lambda output, targets: output, "loss_fn", "of an output", counts=(1, 2))
    for value in (lambda: 0, "mse", None, 3):
        assert "must be a function of an output" in refused(check_function, value, "f", "of an output", counts=(1, 2))
    assert refused(gain, nn.GELU) == "activation=GELU: is a class; make an instance, as GELU()"
    assert refused(gain, 3).startswith(
        "activation=3: must be a function of a tensor, a module, or one of linear, relu, "
    )
    assert refused(gain, lambda x: math.sqrt(x)).startswith("activation=<function ")


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (torch.zeros(0, 3), "probe=a tensor (0, 3) of float32: holds no example; hand over a batch with at least one"),
        (torch.full((4, 3), math.nan), "probe=a tensor (4, 3) of float32: holds NaN or infinite values; hand over a"),
        (np.zeros((4, 3)), "probe=a ndarray: holds no tensor; hand over torch.as_tensor(...)"),
        (iter([BATCH]), "probe=a list_iterator: is an iterator; hand over one batch, as next(...) gives it"),
        (torch.utils.data.TensorDataset(BATCH), "probe=a TensorDataset: is a data set; hand over a DataLoader, or one"),
    ],
    ids=["empty", "NaN", "array", "iterator", "data set"],
)
def test_what_is_no_batch(probe, message):
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    assert refused(initialize_, model, "lsuv", probe=probe).startswith(message)
    assert torch.equal(model.weight, before)
    if "NaN" not in message:
        assert refused(inspect, model, probe).startswith(message.replace("probe=", "inputs="))
    initialize_(model, "lsuv", probe=BATCH)
    assert not torch.equal(model.weight, before)


def test_a_shape_in_the_place_of_inputs():
    assert refused(inspect, nn.Linear(3, 2), (4, 3)).startswith(
        "inputs=a tuple of 2 without a tensor: the forward pass"
    )


def test_initialize_in_the_place_of_a_function_of_modules():
    with pytest.raises(InputError, match=r"; if this is model.apply, call initialize_ once, with the whole model$"):
        nn.Sequential(nn.Linear(2, 2), nn.ReLU()).apply(lambda module: initialize_(module, "kaiming_normal"))
    with pytest.raises(InputError, match=r"has no dense, convolutional or attention layer to initialize$"):
        initialize_(nn.Sequential(nn.ReLU()), "kaiming_normal")
