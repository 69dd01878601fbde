"""Models and optimizers of strangers on which a zero start lost, or failed with an error that nobody could read.

Sources:

* lazy layers: https://github.com/pytorch/pytorch/issues/149691; TorchScript: https://github.com/pytorch/pytorch/issues/29092;
* weight norm and pruning: https://github.com/jik876/hifi-gan/issues/145,
  https://github.com/Lightning-AI/pytorch-lightning/issues/13643;
* instance norm: pix2pix and CycleGAN (general use);
* gradients per example: https://github.com/pytorch/functorch/issues/1124, https://github.com/pytorch/opacus/issues/652;
* fast weights: https://github.com/dragen1860/MAML-Pytorch/issues/9 (``functional_call``);
* a learning rate of zero: https://github.com/JDAI-CV/fast-reid/issues/178;
* a penalty on all parameters: https://github.com/Lightning-AI/pytorch-lightning/issues/4083 (with LBFGS);
* seeds of processes: https://github.com/NVIDIA/Megatron-LM/issues/1302;
* plain SGD: general use.
"""

import socket
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import LBFGS, SGD, Adam

from zeroinit import InputError, RemedyWarning, zero_start_
from zeroinit.remedies import WeightRescale


def make(width: int = 24) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5))


def data():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(32, 12, generator=draw), torch.randint(5, (32,), generator=draw)


def started(model=None, **settings):
    model = make() if model is None else model
    return model, zero_start_(model, generator=torch.Generator().manual_seed(2), **settings)


def train(model, optimizer, num: int, penalty: float = 0.0) -> None:
    images, labels = data()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss = loss + penalty * sum(each.square().sum() for each in model.parameters())
        loss.backward()
        return loss

    for _ in range(num):
        optimizer.step(closure)


REFUSED = {
    "lazy layer": (lambda: nn.Sequential(nn.Linear(4, 3), nn.LazyLinear(5)), "1.weight: is lazy and has no shape yet"),
    "lazy norm": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.LazyBatchNorm2d()),
        "1.weight: is lazy and has no shape yet; run one forward pass first",
    ),
    "TorchScript": (lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 3))), "call zero_start_ before torch.jit"),
    "weight norm": (
        lambda: nn.Sequential(nn.Linear(3, 3), weight_norm(nn.Linear(3, 3))),
        r"1.weight: is computed from .*, and a zero start acts on weights .*; exclude the layer \(exclude='1'\)",
    ),
    "pruning": (
        lambda: nn.Sequential(prune.random_unstructured(nn.Linear(3, 3), "weight", 0.5)),
        "0.weight: is computed from '0.weight_orig', and .*, or add weight norm or pruning after the with statement",
    ),
    "instance norm": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4)),
        "build it with track_running_stats=True, or pass exclude='1'",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_act_on_is_refused_with_a_way_out(name):
    build, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        zero_start_(build())


@pytest.mark.parametrize("steps", [True, 0, 2.0])
def test_steps_that_are_no_number_are_refused(steps, without_type_checks):
    with pytest.raises(InputError, match=f"^steps={steps}: must be "):
        zero_start_(make(), steps=steps)


def test_an_instance_norm_may_be_excluded():
    layers = (nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    model = nn.Sequential(nn.Unflatten(1, (1, 6, 2)), nn.ZeroPad2d((2, 2, 0, 0)), *layers)
    with pytest.warns(RemedyWarning, match=r"layers before '3' \(instance norm\) may not move: the norm was excluded"):
        _, start = started(model, exclude="3")
    with start:
        train(model, Adam(model.parameters(), 1e-2), 20)
    assert start.remaining == 0
    assert model[2].weight.any()


@pytest.mark.parametrize("act", [False, True])
def test_layers_with_weight_norm_may_be_excluded(act):
    model, start = started(nn.Sequential(nn.Linear(12, 8), nn.Tanh(), weight_norm(nn.Linear(8, 5))), exclude="2")
    if act:
        with start:
            train(model, Adam(model.parameters(), 1e-2), 12)
    else:
        start.attach()
        start.detach()
    assert start.remaining == (0 if act else 10)
    assert model[2].weight.isfinite().all()


@pytest.mark.parametrize("randomness", ["error", "different"])
def test_gradients_per_example(randomness):
    model, start = started()
    images, labels = data()
    optimizer = Adam(model.parameters(), 1e-2)

    def loss(parameters, image, label):
        return F.cross_entropy(functional_call(model, parameters, (image[None],)), label[None])

    def update() -> None:
        own = {name: each.detach() for name, each in model.named_parameters()}
        found = vmap(grad(loss), (None, 0, 0), randomness=randomness)(own, images, labels)
        for name, parameter in model.named_parameters():
            parameter.grad = found[name].mean(0)
        optimizer.step()

    start.attach()
    if randomness == "error":
        with pytest.raises(InputError, match=r"torch.vmap refuses them; pass randomness='different' to vmap"):
            update()
        start.detach()
        return
    for _ in range(16):
        update()
    start.detach()
    assert start.standing().startswith("done after 1")
    assert torch.linalg.matrix_rank(model[2].weight, rtol=0.01) > 12


def test_fast_weights_are_no_replaced_parameters():
    """``functional_call`` puts other tensors in the place of the parameters during a pass."""
    model, start = started()
    images, labels = data()
    optimizer = Adam(model.parameters(), 1e-2)
    with start:
        for _ in range(12):
            own = dict(model.named_parameters())
            loss = F.cross_entropy(functional_call(model, own, (images,)), labels)
            inner = torch.autograd.grad(loss, list(own.values()), create_graph=True)
            fast = {name: each - 0.1 * step for (name, each), step in zip(own.items(), inner, strict=True)}
            optimizer.zero_grad()
            F.cross_entropy(functional_call(model, fast, (images,)), labels).backward()
            optimizer.step()
    assert start.standing() == "done after 10 updates"


def frozen(model):
    model[0].weight.requires_grad_(False)
    return [{"params": model.parameters()}]


REASONS = {
    "has a learning rate of zero": lambda model: [
        {"params": model[0].parameters(), "lr": 0.0},
        {"params": model[2:].parameters()},
    ],
    "is frozen": frozen,
    "is in no optimizer": lambda model: [{"params": [*model[2:].parameters(), model[0].bias]}],
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_weight_that_does_not_move_is_named_with_the_true_reason(reason):
    model, start = started()
    optimizer = Adam(REASONS[reason](model), lr=1e-2)
    with pytest.warns(
        RemedyWarning, match=rf"1 weight does not move in the first 1\d updates: '0.weight' \({reason}\)"
    ):
        _train_inside(model, start, optimizer)


def _train_inside(model, start, optimizer) -> None:
    with start:
        train(model, optimizer, 20)


@pytest.mark.filterwarnings("ignore:units do not move")  # some steps of LBFGS find nothing better
@pytest.mark.parametrize("penalty", [0.0, 1e-4])
def test_dead_units_are_seen_behind_a_penalty_in_the_loss(penalty):
    """The penalty gives each bias a gradient, also that of a unit that is cut off."""
    model, start = started()
    num_negative = [int((layer.bias < 0).sum()) for layer in (model[0], model[2])]
    with start:
        train(model, LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe"), 20, penalty)
    assert [start.revived.get(name, 0) for name in ("0.bias", "2.bias")] == num_negative


@pytest.mark.parametrize("penalty", [0.0, 1e-4])
def test_with_adam_no_unit_stays_dead_behind_a_penalty(penalty):
    model, start = started()
    with start:
        train(model, Adam(model.parameters(), 1e-2), 20, penalty)
    assert start.unmoved_units == {}
    assert start.revived.keys() == {"0.bias", "2.bias"}


OPENED = {
    "SGD": (lambda own: SGD(own, 0.1), True),
    "SGD with momentum": (lambda own: SGD(own, 0.1, momentum=0.9), True),
    "Adam": (lambda own: Adam(own, 1e-3), False),
}


@pytest.mark.parametrize("name", OPENED)
def test_steps_that_shrink_from_layer_to_layer_open_all_directions(name):
    """Plain SGD left the middle weight with two directions; with Adam nothing changes."""
    make_optimizer, is_opened = OPENED[name]
    ends = []
    for may in (True, False):
        model, start = started(
            nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 5))
        )
        (last,) = (part for part in start.parts if isinstance(part, WeightRescale))
        last._is_judged = not may
        with start:
            train(model, make_optimizer(model.parameters()), 10)
        ends.append([each.tolist() for each in model.parameters()])
        values = torch.linalg.svdvals(model[2].weight.detach())
        assert (last.has_opened, bool("in all directions" in str(start))) == (is_opened and may,) * 2
        if is_opened:
            assert (int((values > 0.01 * values.max()).sum()) > 12) == may
    assert (ends[0] == ends[1]) == (not is_opened)


PROGRAM = """
import sys
import torch
import zeroinit
from torch import distributed, nn
rank, port, is_wrapped, has_bias = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "wrapped", sys.argv[4] == "bias"
distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
wrap = nn.parallel.DistributedDataParallel
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 8, bias=has_bias), nn.ReLU(), nn.Linear(8, 3, bias=has_bias))
model = wrap(model) if is_wrapped else model
start = zeroinit.zero_start_(model, generator=torch.Generator().manual_seed(rank))
model = model if is_wrapped else wrap(model)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
with start:
    for number in range(20):
        draw = torch.Generator().manual_seed(2 * number + rank)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(8, 6, generator=draw)), torch.arange(8) % 3).backward()
        optimizer.step()
whole = torch.cat([each.detach().flatten() for each in model.parameters()])
both = [torch.empty_like(whole) for _ in range(2)]
distributed.all_gather(both, whole)
assert torch.equal(*both), (both[0] - both[1]).abs().max()
assert start.remaining == 0, start.standing()
distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", ["wrapped", "plain"])
@pytest.mark.parametrize("bias", ["bias", "none"])
def test_processes_with_other_seeds_stay_equal(wrapped, bias):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    orders = [[sys.executable, "-W", "ignore", "-c", PROGRAM, str(rank), port, wrapped, bias] for rank in range(2)]
    running = [subprocess.Popen(order, stderr=subprocess.PIPE, text=True) for order in orders]
    ends = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], ends
