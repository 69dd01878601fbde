"""Models without anything to train: the message names what is there, and what to type."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry import inspect


class Plain(nn.Module):
    """Tensors of a state dict as attributes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(4, 3)

    def forward(self, x):
        return x @ self.weight


def test_plain_tensors_are_named():
    with pytest.raises(InputError, match=r"has no parameter; weight is a plain tensor: register it as nn.Parameter\("):
        inspect(Plain(), torch.randn(8, 4))


def test_frozen_parameters_are_asked_for():
    with pytest.raises(InputError, match="has no trainable parameter; set requires_grad=True"):
        inspect(nn.Linear(4, 3).requires_grad_(False), torch.randn(8, 4))


class AlignDevicesHook:
    """Stands for accelerate's hook, which keeps the values of a module elsewhere."""


@pytest.mark.parametrize("offloaded", [[0, 1], [1]], ids=["all", "some"])
def test_values_in_hooks_of_accelerate_are_asked_back(offloaded):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    for at in offloaded:
        model[at].to("meta")._hf_hook = AlignDevicesHook()
    with pytest.raises(InputError, match=r"accelerate keeps values .*hooks\.remove_hook_from_submodules\(model\)"):
        inspect(model, torch.randn(8, 4))
    for at in offloaded:
        del model[at]._hf_hook
    without = "no values; materialize it" if len(offloaded) == 2 else "are on cpu, meta; move it to one device"
    with pytest.raises(InputError, match=without):
        inspect(model, torch.randn(8, 4))
    model.to_empty(device="cpu")[0]._hf_hook = AlignDevicesHook()
    for each in model.parameters():
        nn.init.normal_(each)
    assert inspect(model, torch.randn(8, 4)).model == "Sequential"  # a hook alone is no reason


def test_the_advice_on_hooks_of_accelerate_works():
    accelerate = pytest.importorskip("accelerate")
    model = accelerate.cpu_offload(nn.Sequential(nn.Linear(4, 3)))
    with pytest.raises(InputError, match="accelerate keeps values"):
        inspect(model, torch.randn(8, 4))
    accelerate.hooks.remove_hook_from_submodules(model)
    assert not inspect(model, torch.randn(8, 4)).warnings


def test_weights_made_in_inference_mode_are_refused():
    with torch.inference_mode():
        model = nn.Linear(4, 3)
    with pytest.raises(InputError, match=r"weight was made under torch.inference_mode\(\), and no backward pass runs"):
        inspect(model, torch.randn(8, 4))


class Warming:
    """A schedule around an optimizer that is none of torch's."""

    def __init__(self, optimizer):
        self.inner = optimizer


@pytest.mark.usefixtures("without_type_checks")
def test_a_wrapper_is_answered_with_the_optimizer_that_it_holds():
    model = nn.Linear(4, 3)
    wrapped = Warming(torch.optim.Adam(model.parameters()))
    with pytest.raises(InputError, match=r"optimizer=a Warming: .*; hand over its .inner, a torch optimizer"):
        inspect(model, torch.randn(8, 4), optimizer=wrapped)
    assert inspect(model, torch.randn(8, 4), optimizer=wrapped.inner).warnings == ()


class Freezing(nn.Linear):
    def train(self, mode=True):
        self.requires_grad_(not mode)
        return super().train(mode)


def test_flags_that_an_own_train_sets_are_as_before_afterwards():
    model = nn.Sequential(Freezing(4, 3), nn.Linear(3, 2)).eval()
    report = inspect(model, torch.randn(8, 4))
    assert [each.name for each in report.parameters if each.reason == "frozen"] == ["0.weight", "0.bias"]
    assert all(each.requires_grad for each in model.parameters())
    assert not model.training
