"""Weights that a zero start did not make are never overwritten, copies are plain models, and nobody forgets it.

Sources:

* loaded after it: https://github.com/OpenDriveLab/Openpilot-Deepdive/issues/7 and
  https://github.com/fredzzhang/spatially-conditioned-graphs/issues/22 (a resumed run loads the model alone);
* resumed inside: https://github.com/CodefyUI/CodefyUI/pull/147, https://github.com/microsoft/ptgnn/pull/15;
* reloaded inside: https://github.com/skorch-dev/skorch/issues/387 (the best state after a divergence);
* replaced: https://github.com/pytorch/pytorch/issues/129362 (``load_state_dict(assign=True)``);
* copies: https://github.com/pytorch/pytorch/pull/35032 (``AveragedModel``), https://github.com/lucidrains/ema-pytorch/issues/6,
  https://github.com/pytorch/pytorch/issues/101107 (``torch.save`` of a model);
* copies that are trained: https://github.com/AshwinRJ/Federated-Learning-PyTorch/pull/47 (federated averaging).
"""

import copy
import gc
import io
import subprocess
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import SGD, Adam
from torch.optim.swa_utils import AveragedModel

from zeroinit import InputError, RemedyWarning, zero_start_

ENDS = (
    "^zero start: it ends here, or it would overwrite trained weights: '0.weight', '2.weight', '4.weight' hold values "
)


def make(width: int = 24) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5))


def data():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(32, 12, generator=draw), torch.randint(5, (32,), generator=draw)


def train(model, optimizer, num: int) -> None:
    images, labels = data()
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def started(model=None):
    model = make() if model is None else model
    return model, zero_start_(model, generator=torch.Generator().manual_seed(2))


def trained() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    train(model, Adam(model.parameters(), 1e-2), 60)
    return model


def copy_into(model, source) -> None:
    with torch.no_grad():
        for one, other in zip(model.parameters(), source.parameters(), strict=True):
            one.copy_(other)


def values(model) -> list:
    return [each.tolist() for each in model.state_dict().values()]


def hooks(model) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_load_state_dict_post_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("when", ["before the with statement", "inside", "after three updates", "by copy_"])
def test_trained_weights_that_are_loaded_stay(when):
    source = trained()
    plain = copy.deepcopy(source)
    model, start = started()
    optimizer = SGD(model.parameters(), lr=1e-3)
    if when == "before the with statement":
        model.load_state_dict(source.state_dict())
    with start:
        if when == "after three updates":
            train(model, optimizer, 3)
        copy_into(model, source) if when == "by copy_" else model.load_state_dict(source.state_dict())
        with pytest.warns(RemedyWarning, match=ENDS):
            train(model, optimizer, 15)
    train(plain, SGD(plain.parameters(), lr=1e-3), 15)
    assert values(model) == values(plain)
    assert start.standing().startswith(f"stopped after {3 * (when == 'after three updates')} of 10 updates: it ends")
    assert hooks(model) == 0


def test_weights_copied_into_a_model_that_trains_stay():
    """Not by ``load_state_dict``, and after some updates."""
    source = trained()
    model, start = started()
    optimizer = SGD(model.parameters(), lr=1e-3)
    with start:
        train(model, optimizer, 4)
        copy_into(model, source)
        with pytest.warns(RemedyWarning, match="hold values that none of its 4 updates made; to train loaded"):
            train(model, optimizer, 15)
    assert (model[0].weight - source[0].weight).abs().max() < 0.01


def normalized(model) -> None:
    for layer in (model[0], model[2]):
        with torch.no_grad():
            layer.weight.copy_(F.normalize(layer.weight))


def clipped(model) -> None:
    with torch.no_grad():
        model[0].weight.clamp_(-0.001, 0.001)


def averaged(model) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)


@pytest.mark.parametrize("rule", [normalized, clipped, averaged])
def test_weights_that_the_loop_itself_changes_are_its_own(rule):
    model, start = started()
    optimizer = Adam(model.parameters(), 1e-3)
    with start:
        for _ in range(12):
            train(model, optimizer, 1)
            rule(model)
    assert start.standing() == "done after 10 updates"


def test_the_best_state_of_the_first_updates_may_be_loaded():
    model, start = started()
    optimizer = Adam(model.parameters(), 1e-2)
    with start:
        train(model, optimizer, 4)
        best = copy.deepcopy(model.state_dict())
        train(model, optimizer, 3)
        model.load_state_dict(best)
        train(model, optimizer, 5)
    assert start.standing() == "done after 10 updates"


@pytest.mark.parametrize("when", ["before", "inside"])
def test_an_interrupted_start_goes_on_bit_by_bit(when):
    model, start = started()
    optimizer = Adam(model.parameters(), 1e-2)
    with start:
        train(model, optimizer, 5)
        saved = copy.deepcopy([model.state_dict(), optimizer.state_dict(), start.state_dict()])
        train(model, optimizer, 10)
    again, other = started()
    resumed = Adam(again.parameters(), 1e-2)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    if when == "before":
        other.load_state_dict(saved[2])
    with other:
        if when == "inside":
            other.load_state_dict(saved[2])
        train(again, resumed, 10)
    assert values(again) == values(model)


def test_without_its_state_an_interrupted_start_ends():
    model, start = started()
    with pytest.warns(RemedyWarning, match="ended after 5 of 10"), start:
        train(model, Adam(model.parameters(), 1e-2), 5)
    again, other = started()
    again.load_state_dict(model.state_dict())
    with pytest.warns(RemedyWarning, match=r"also call start.load_state_dict\(...\) before the with statement"), other:
        train(again, Adam(again.parameters(), 1e-2), 1)


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(12, 5)), "of a zero start with other weights"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), "of other remedies"),
    ],
)
def test_the_state_of_another_start_is_refused(model, message):
    _, start = started()
    with pytest.raises(InputError, match=f"state: is {message}"):
        start.load_state_dict(started(model)[1].state_dict())


def replace(model) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)


def add_weight_norm(model) -> None:
    for layer in (model[0], model[2], model[4]):
        weight_norm(layer)


@pytest.mark.parametrize("change", [replace, add_weight_norm])
def test_other_parameters_are_refused(change):
    model, start = started()
    change(model)
    with pytest.raises(InputError, match=r"'0.weight', '2.weight', '4.weight' are no longer parameters of the model"):
        start.attach()
    model, start = started()
    with start:
        change(model)
        with pytest.warns(RemedyWarning, match="are no longer parameters of the model, .*; call zero_start_ after"):
            train(model, SGD(model.parameters(), lr=0.1), 1)
    assert hooks(model) == 0


def test_one_layer_that_is_replaced_is_no_obstacle():
    """A head for another task."""
    model, start = started()
    model[4] = nn.Linear(24, 5)
    with start:
        train(model, Adam(model.parameters(), 1e-2), 12)
    assert start.standing() == "done after 10 updates"


def by_saving(model):
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


@pytest.mark.parametrize("make_copy", [copy.deepcopy, by_saving, lambda model: AveragedModel(model).module])
def test_a_copy_is_a_plain_model(make_copy):
    model, start = started()
    optimizer = Adam(model.parameters(), 1e-2)
    with start:
        train(model, optimizer, 9)
        best = make_copy(model)
        assert (hooks(best), hooks(model) > 0) == (0, True)
        train(model, optimizer, 5)
        best.load_state_dict(model.state_dict())
        plain = make()
        plain.load_state_dict(model.state_dict())
    for each in (best, plain):
        train(each, SGD(each.parameters(), lr=1e-3), 3)
    assert values(best) == values(plain)


class Own(nn.Sequential):
    """As ``torch.fx.GraphModule``: it copies its attributes in a way of its own."""

    def __deepcopy__(self, memo):
        result = Own.__new__(Own)
        memo[id(self)] = result
        result.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return result


def test_nor_do_hooks_act_in_a_copy_that_its_class_makes():
    model, start = started(Own(*make()))
    optimizer = Adam(model.parameters(), 1e-2)
    with start:
        train(model, optimizer, 9)
        best = copy.deepcopy(model)
        train(model, optimizer, 5)
    plain = make()
    plain.load_state_dict(best.state_dict())
    for each in (best, plain):
        train(each, SGD(each.parameters(), lr=1e-3), 3)
    assert values(best) == values(plain)
    assert hooks(best) == 0


def test_trained_copies_are_named_as_the_cause():
    """Federated averaging: clients train copies, and the model gets their mean."""
    model, start = started()
    start.attach()
    clients = [copy.deepcopy(model) for _ in range(3)]
    for client in clients:
        train(client, SGD(client.parameters(), lr=0.1), 2)
    model.load_state_dict({name: sum(each.state_dict()[name] for each in clients) / 3 for name in model.state_dict()})
    with pytest.warns(RemedyWarning, match="3 copies of this Sequential got no help; make 10 updates of the model"):
        start.__exit__(None, None, None)


def test_a_start_that_is_kept_and_not_entered_is_told_at_the_first_step():
    model, start = started()
    optimizer, other = SGD(model.parameters(), lr=0.1), make()
    train(other, SGD(other.parameters(), lr=0.1), 1)  # of another model: nothing to say
    with pytest.warns(RemedyWarning, match="nothing helps them leave zero: the return value of zero_start_ was not"):
        train(model, optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, optimizer, 2)  # once
        del start
        gc.collect()


def test_a_start_that_is_kept_to_the_end_of_the_program_is_told():
    program = "import torch, zeroinit\nstart = zeroinit.zero_start_(torch.nn.Linear(2, 2))\n"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "RemedyWarning: zero start: weights are zero and nothing helps them leave zero" in run.stderr
    used = program + "with start: pass\n"
    run = subprocess.run([sys.executable, "-c", used], capture_output=True, text=True, check=True)
    assert "nothing helps them" not in run.stderr
