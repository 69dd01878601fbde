"""Adapters of peft that take no part: off, merged, not active, gone around, or zero throughout.

Sources: huggingface/peft#1523, #1612, #3580; huggingface/trl#4715; nvidia-cosmos/cosmos-predict2.5#15.
"""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroinit.symmetry import inspect

from .harness import floats, labels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peft = pytest.importorskip("peft")

pytestmark = pytest.mark.usefixtures("without_type_checks")


class Net(nn.Module):
    """Two layers; the second one is called, or its weight is read in its place."""

    def __init__(self, reads=False):
        super().__init__()
        self.first, self.second, self.reads = nn.Linear(6, 8), nn.Linear(8, 3), reads

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return F.linear(x, self.second.weight, self.second.bias) if self.reads else self.second(x)


def adapted(config=None, **settings):
    torch.manual_seed(0)
    config = config or peft.LoraConfig(r=2, target_modules=["first", "second"])
    return peft.get_peft_model(Net(**settings), config)


def switched_off():
    model = adapted()
    model.disable_adapter_layers()
    for name, each in model.named_parameters():
        each.requires_grad_("lora" in name)
    return model


def merged():
    model = adapted()
    model.merge_adapter()
    return model


def second_one():
    model = adapted()
    model.add_adapter("second", peft.LoraConfig(r=2, target_modules=["first"]))
    for name, each in model.named_parameters():
        each.requires_grad_("lora" in name and "second" in name.split(".")[-2:])
    return model


def zero_throughout():
    model = adapted(peft.LoHaConfig(r=2, target_modules=["first"]))
    for name, each in model.named_parameters():
        if "hada" in name:
            nn.init.zeros_(each)
    return model


@pytest.mark.parametrize(
    ("make", "cause", "repair"),
    [
        (switched_off, "the adapters of this model are switched off", "`model.enable_adapter_layers()`"),
        (merged, "the adapters are merged into the weights", "`model.unmerge_adapter()`"),
        (second_one, "the adapter `second` is not the active one", '`model.set_adapter("second")`'),
        (lambda: adapted(reads=True), "second` is never called, so its adapter takes no part", "Call it: `model."),
        (zero_throughout, "all start at zero", "Start with `for p in (model.base_model.model.first.hada_"),
    ],
)
def test_an_adapter_that_takes_no_part(make, cause, repair):
    report = inspect(make(), floats(16, 6), labels(3, 16))
    assert cause in report.verdict
    assert repair in report.warnings[0].suggestion
    assert not report.verdict.startswith("Will learn")


@pytest.mark.parametrize("config", [None, peft.LoHaConfig(r=2, target_modules=["first"])])
def test_an_adapter_that_learns(config):
    report = inspect(adapted(config), floats(16, 6), labels(3, 16))
    assert report.warnings == ()


def test_an_adapter_beside_the_active_one_is_information():
    model = second_one()
    for name, each in model.named_parameters():
        each.requires_grad_("lora" in name)
    report = inspect(model, floats(16, 6), labels(3, 16))
    assert report.warnings == ()
    assert "The adapter `second` is not the active one." in " ".join(str(report).split())
