"""Inspecting changes nothing: model, mode, buffers, gradients and every random state are as before."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit import InputError
from zeroinit.symmetry import inspect
from zeroinit.symmetry.shadow.undisturbed import _old_settings

from ..zoo import IMAGES, VECTORS, vgg_with_batch_norm

pytestmark = pytest.mark.usefixtures("without_type_checks")  # beartype itself draws from Python's random state


class Drawing(nn.Module):
    """Draws from all three random states, and changes its inputs in place."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(12, 5)
        self.fails = False

    def forward(self, x):
        x += random.random() + float(np.random.rand()) + torch.rand(())  # noqa: NPY002
        if self.fails:
            raise RuntimeError("on purpose")
        return self.dense(x)


def states() -> list:
    return [torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()), torch.get_default_dtype()]  # noqa: NPY002


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_as_before(training):
    model = vgg_with_batch_norm().train(training)
    model[1].eval()
    model(IMAGES).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    modes, addresses = [each.training for each in model.modules()], [each.data_ptr() for each in model.parameters()]
    kept, images = states(), IMAGES.clone()
    inspect(model, IMAGES)
    assert states() == kept
    assert torch.equal(IMAGES, images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(parameter.grad, gradients[name]) for name, parameter in model.named_parameters())
    assert modes == [each.training for each in model.modules()]
    assert addresses == [each.data_ptr() for each in model.parameters()]
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_random_states_and_inputs_are_as_before(fails):
    model, kept, vectors = Drawing(), states(), VECTORS.clone()
    model.fails = fails
    if fails:
        with pytest.raises(InputError, match="on purpose"):
            inspect(model, vectors)
    else:
        inspect(model, vectors)
    assert states() == kept
    assert torch.equal(vectors, VECTORS)


@pytest.mark.skipif(torch.cuda.is_initialized(), reason="then its states are kept as those of the CPU are")
def test_an_accelerator_not_in_use_yet_gets_no_seed(monkeypatch):
    """Torch would keep it, with a stack for each, until the first draw of the user's own there."""
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    inspect(Drawing(), VECTORS.clone())
    assert not seeds


def test_the_same_seed_gives_the_same_report():
    model = vgg_with_batch_norm()
    first, again, other = (inspect(model, IMAGES, seed=seed) for seed in (0, 0, 1))
    assert first.losses == again.losses
    assert first.losses != other.losses


def test_the_global_seed_has_no_effect():
    model, losses = vgg_with_batch_norm(), []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            losses.append(inspect(model, IMAGES).losses)
    assert losses[0] == losses[1]


CUDA, CUDNN, MKLDNN = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
HAS_NEW = hasattr(CUDNN, "conv")  # since torch 2.9 each kind of product has a setting of its own
SETTINGS = (CUDA.matmul, CUDNN.conv, CUDNN.rnn, MKLDNN.matmul, MKLDNN.conv, MKLDNN.rnn) if HAS_NEW else ()


def settings() -> list[str]:
    old = _old_settings()
    is_fast = old is not None and not HAS_NEW and (old[1] or old[0] != "highest")
    return [*(each.fp32_precision for each in SETTINGS), "tf32" if is_fast else "none"]


class Noting(nn.Module):
    """Notes with which precision float32 products are computed, and looks at cuDNN's flags as CTC models do."""

    def __init__(self, fails: bool, looks: bool):
        super().__init__()
        self.dense = nn.Linear(12, 5)
        self.fails, self.looks = fails, looks

    def forward(self, x):
        NOTED.append(settings())
        if self.fails:
            raise RuntimeError("on purpose")
        if self.looks:
            with torch.backends.cudnn.flags(enabled=False):
                return self.dense(x)
        return self.dense(x)


NOTED: list[list[str]] = []
USED = {
    "default": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "allow_tf32": lambda: setattr(CUDA.matmul, "allow_tf32", True),
    "allow_tf32 in convolutions": lambda: setattr(CUDNN, "allow_tf32", True),
}
USED_NEW = {
    "conv in tf32, rnn not": lambda: setattr(CUDNN.rnn, "fp32_precision", "ieee"),
    "products in tf32": lambda: setattr(CUDA.matmul, "fp32_precision", "tf32"),
    "mkldnn in bf16": lambda: setattr(MKLDNN.conv, "fp32_precision", "bf16"),
}


@pytest.fixture
def _settings_kept():
    before, old = settings(), _old_settings()
    assert old is not None
    yield
    torch.set_float32_matmul_precision(old[0])
    CUDNN.allow_tf32 = old[1]
    for each, precision in zip(SETTINGS, before[:-1], strict=True):
        each.fp32_precision = precision


@pytest.mark.usefixtures("_settings_kept")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("used", [*USED, *(USED_NEW if HAS_NEW else ())])
def test_copies_compute_products_in_float32_whatever_the_caller_has_set(used, fails):
    {**USED, **USED_NEW}[used]()
    NOTED.clear()
    before, old = settings(), _old_settings()
    if fails:
        with pytest.raises(InputError, match="on purpose"):
            inspect(Noting(True, looks=False), VECTORS)
    else:
        inspect(Noting(False, looks=old is not None), VECTORS)
    assert NOTED
    assert not {"tf32", "bf16"} & {precision for each in NOTED for precision in each}
    assert settings() == before
    assert _old_settings() == old


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_warning_stands_at_the_line_that_caused_it(by_torch):
    """Torch warns at the innermost line of Python, which is this package's while it watches a call."""
    warns_always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else torch warns of this once a process, perhaps in another test

    def loss_fn(output):
        if not by_torch:
            warnings.warn("mine", stacklevel=1)
            return output.square().mean()
        return output.square().mean() + torch.tensor([output.mean()]).sum()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inspect(nn.Linear(12, 5), VECTORS, loss_fn=loss_fn)
    torch.set_warn_always(warns_always)
    assert {str(each.message).split()[0] for each in caught} == {"Converting" if by_torch else "mine"}
    assert {each.filename for each in caught} == {__file__}
    assert len(caught) == 1
