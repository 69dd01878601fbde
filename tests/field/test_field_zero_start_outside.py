"""What somebody who had not seen the code met with ``zero_start_``; each case with the report that it comes from."""

import copy
import gc
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.optim import SGD, Adam
from torch.optim import optimizer as torch_optimizer

from zeroinit import InputError, RemedyWarning, zero_start_
from zeroinit.remedies import AffineNorms, make_remedy

NOT_USED = "^zero start: weights are zero and nothing helps them leave zero"
ignore_unused = pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 3))


@pytest.fixture
def batch(generator):
    return torch.rand(32, 6, generator=generator(1)), torch.arange(32) % 3


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple, num: int) -> None:
    images, labels = batch
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def values(model: nn.Module) -> list[torch.Tensor]:
    return [each.detach().clone() for each in model.parameters()]


def is_same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))


def num_hooks(model: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())


# Resume scripts that load the model alone: https://github.com/OpenDriveLab/Openpilot-Deepdive/issues/7,
# https://github.com/fredzzhang/spatially-conditioned-graphs/issues/22


@pytest.mark.parametrize("is_inside", [False, True])
def test_trained_weights_that_are_loaded_are_trained_on_as_without_a_zero_start(batch, generator, is_inside):
    trained = network()
    train(trained, Adam(trained.parameters(), 0.01), batch, 20)
    plain, model = copy.deepcopy(trained), network()
    start = zero_start_(model, generator=generator(0))
    if not is_inside:
        model.load_state_dict(trained.state_dict())
    with start:
        if is_inside:
            model.load_state_dict(trained.state_dict())
        with pytest.warns(RemedyWarning, match=r"^zero start: it ends here, or it would overwrite trained weights"):
            train(model, Adam(model.parameters(), 0.01), batch, 15)
    train(plain, Adam(plain.parameters(), 0.01), batch, 15)
    assert is_same(model, plain)
    assert num_hooks(model) == 0


def test_a_head_that_is_drawn_afterwards_is_left_as_it_is(batch, generator):
    model = network()
    start = zero_start_(model, generator=generator(0))
    nn.init.normal_(model[4].weight, std=0.5, generator=generator(1))
    message = "^zero start: leaves '4.weight' as it is, because somebody changed '4.weight' after zero_start_"
    with pytest.warns(RemedyWarning, match=message), start:
        train(model, SGD(model.parameters(), 0.01), batch, start.steps)
    assert start.remaining == 0
    assert model[4].weight.square().mean().sqrt() > 0.4  # orthogonal it would have .2
    assert model[0].weight.any()


def test_weights_that_nobody_changed_give_no_warning_and_a_start_that_is_loaded_goes_on(batch, generator):
    """Saved in the middle and loaded, before the with statement or in it: bitwise as without a break."""
    model = network()
    start, optimizer = zero_start_(model, generator=generator(0)), Adam(model.parameters(), 0.01)
    with start:
        train(model, optimizer, batch, 5)
        saved = copy.deepcopy([each.state_dict() for each in (model, optimizer, start)])
        train(model, optimizer, batch, 9)
    for is_inside in (False, True):
        again = network()
        goes_on, states = zero_start_(again, generator=generator(0)), copy.deepcopy(saved[:2])
        other = Adam(again.parameters(), 0.01)
        again.load_state_dict(states[0])
        other.load_state_dict(states[1])
        if not is_inside:
            goes_on.load_state_dict(saved[2])
        with goes_on:
            if is_inside:
                goes_on.load_state_dict(saved[2])
            train(again, other, batch, 9)
        assert is_same(again, model)
        assert goes_on.remaining == 0


def test_a_head_that_is_replaced_is_left_as_it_is_without_a_warning(batch, generator):
    model = network()
    start = zero_start_(model, generator=generator(0))
    model[4] = network()[4]
    with start:
        train(model, SGD(model.parameters(), 0.01), batch, start.steps)
    assert start.remaining == 0
    assert torch.allclose(model[4].weight, network()[4].weight, atol=0.1)


def test_a_state_of_another_start_is_refused(generator):
    start, other = (
        zero_start_(model, generator=generator(0), steps=5)
        for model in (network(), nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2)))
    )
    with pytest.raises(
        InputError,
        match=r"^state: is of other remedies \(known_weights, .*\) than these \(.*, affine_norms, .*\); load",
    ):
        other.load_state_dict(start.state_dict())
    for each in (start, other):
        each._unused.end()


# Copies made meanwhile: https://github.com/pytorch/pytorch/pull/35032, https://github.com/lucidrains/ema-pytorch/issues/6


@pytest.mark.parametrize("name", ["zero start", "affine_norms+position_signs+weight_orthogonal"])
def test_a_copy_is_a_plain_model(batch, generator, name):
    model = nn.Sequential(network()[:1], nn.BatchNorm1d(8), nn.ELU(), nn.Linear(8, 3))
    acting = zero_start_(model, generator=generator(0)) if name == "zero start" else make_remedy(name, model, 10)
    with acting:
        optimizer = Adam(model.parameters(), 0.01)
        first = copy.deepcopy(model)
        train(model, optimizer, batch, 4)
        best, early = copy.deepcopy(model), copy.deepcopy(model)
        train(early, SGD(early.parameters(), 0.1), batch, 1)
        assert num_hooks(early) == 0
        train(model, optimizer, batch, 20)
    assert (acting.remaining, num_hooks(model)) == (0, 0)
    plain = nn.Sequential(nn.Sequential(nn.Linear(6, 8)), nn.BatchNorm1d(8), nn.ELU(), nn.Linear(8, 3))
    plain.load_state_dict(model.state_dict())
    best.load_state_dict(model.state_dict())
    for _ in range(3):
        for each in (best, plain):
            train(each, SGD(each.parameters(), 0.1), batch, 1)
        assert is_same(best, plain)
        assert all(torch.equal(*pair) for pair in zip(best.buffers(), plain.buffers(), strict=True))
    train(first, SGD(first.parameters(), 0.1), batch, 1)
    assert (num_hooks(best), num_hooks(first)) == (0, 0)


def test_a_model_is_saved_inside_before_its_first_pass(generator):
    model, stream = network(), io.BytesIO()
    start = zero_start_(model, generator=generator(0))
    start.attach()
    torch.save(model, stream)
    copies = [copy.deepcopy(model), torch.load(io.BytesIO(stream.getvalue()), weights_only=False)]
    start.detach()
    assert all(is_same(each, model) for each in copies)


# A start that is kept and never entered: a script at module level, a notebook


def test_a_start_that_nobody_entered_warns_at_the_first_step(batch, generator):
    model = network()
    start, optimizer = zero_start_(model, generator=generator(0)), SGD(model.parameters(), 0.1)
    with pytest.warns(RemedyWarning, match=NOT_USED):
        train(model, optimizer, batch, 1)
    train(model, optimizer, batch, 2)
    assert start.standing().startswith("not begun")


def test_after_the_first_pass_nothing_is_called_at_a_step_that_was_not_before(batch, generator):
    gc.collect()  # starts of other tests
    before = len(torch_optimizer._global_optimizer_pre_hooks)
    model = network()
    start, optimizer = zero_start_(model, generator=generator(0)), SGD(model.parameters(), 0.1)
    assert len(torch_optimizer._global_optimizer_pre_hooks) == before + 1
    with start:
        train(model, optimizer, batch, start.steps + 1)
        assert len(torch_optimizer._global_optimizer_pre_hooks) == before
    assert start.remaining == 0


def test_a_cell_that_runs_twice_does_not_warn_of_the_first_start(batch, generator):
    model = network()
    first = zero_start_(model, generator=generator(0))
    start, optimizer = zero_start_(model, generator=generator(0)), SGD(model.parameters(), 0.1)
    with start:
        train(model, optimizer, batch, start.steps)
    assert (start.remaining, first.remaining) == (0, 10)


@pytest.mark.parametrize("is_other_model", [True, False])
def test_other_models_and_starts_that_are_gone_are_let_be(batch, generator, is_other_model):
    model, other = network(), network()
    start = zero_start_(model, generator=generator(0))
    if is_other_model:
        train(other, SGD(other.parameters(), 0.1), batch, 1)
    with pytest.warns(RemedyWarning, match=NOT_USED):
        del start
    gc.collect()
    train(model, SGD(model.parameters(), 0.1), batch, 1)


# Errors that are clear, and nothing has changed


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        # https://github.com/pytorch/pytorch/issues/149691
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LazyLinear(5)), "^1.weight: is lazy and has no shape yet; run one"),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.LazyBatchNorm2d()), "^1.weight: is lazy and has no shape yet"),
        (lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 3))), "TorchScript .* call zero_start_ before torch.jit"),
        # https://github.com/jik876/hifi-gan/issues/145
        (
            lambda: nn.Sequential(nn.Linear(4, 3), nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))),
            r"^1.weight: is computed from '1.*original0' .*; exclude the layer \(exclude='1'\), or add weight norm or",
        ),
        # https://github.com/Lightning-AI/pytorch-lightning/issues/13643
        (
            lambda: nn.Sequential(nn.utils.prune.random_unstructured(nn.Linear(4, 3), "weight", 0.5)),
            r"^0.weight: is computed from '0.weight_orig', .*; exclude the layer \(exclude='0'\), or add",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4)),
            r"1 \(InstanceNorm2d\) cannot act .*; build it with track_running_stats=True, or pass exclude='1'$",
        ),
    ],
)
def test_what_is_refused(make, message):
    model = make()
    with pytest.raises(InputError, match=message):
        zero_start_(model)


@pytest.mark.usefixtures("without_type_checks")
def test_steps_that_are_no_number():
    with pytest.raises(InputError, match=r"^steps=True: must be a whole number, such as 1"):
        zero_start_(network(), steps=True)


@ignore_unused
@pytest.mark.parametrize("affine", [False, True])
def test_an_instance_norm_that_is_excluded_is_left_as_it_is(generator, affine):
    """pix2pix and CycleGAN have such norms."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=affine), nn.Flatten(), nn.Linear(36, 3))
    with pytest.warns(RemedyWarning, match=r"^zero start: layers before '1' \(instance norm\) may not move"):
        start = zero_start_(model, exclude="1", generator=generator(0))
    assert not any(isinstance(part, AffineNorms) for part in start.parts)
    assert {each.name for each in start.record.parameters} == {"0.weight", "0.bias", "3.weight", "3.bias"}


def test_norms_beside_an_excluded_one_are_affine(generator):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    images = torch.rand(8, 1, 7, 7, generator=generator(1))
    with pytest.warns(RemedyWarning, match="may not move"):
        start = zero_start_(model, exclude="1", generator=generator(0))
    with pytest.warns(RemedyWarning, match="ended"), start:
        model(images).sum().backward()
    assert model[3].num_batches_tracked == 0


# Gradients per example: https://github.com/pytorch/functorch/issues/1124, https://github.com/pytorch/opacus/issues/652


@pytest.mark.filterwarnings("ignore:zero start. .* training ended:zeroinit.RemedyWarning")
@pytest.mark.parametrize("randomness", ["error", "different"])
def test_gradients_per_example(batch, generator, randomness):
    model, (images, labels) = network(), batch

    def loss(parameters: dict, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(model, parameters, (image[None],)), label[None])

    def gradients() -> dict:
        parameters = {name: each.detach() for name, each in model.named_parameters()}
        return vmap(grad(loss), (None, 0, 0), randomness=randomness)(parameters, images, labels)

    with zero_start_(model, generator=generator(0)):
        if randomness == "error":
            with pytest.raises(InputError, match=r"a zero start draws random numbers .*; pass randomness='different'"):
                gradients()
        else:
            assert gradients()["0.weight"].shape == (32, 8, 6)


# Groups with a rate of 0: https://github.com/JDAI-CV/fast-reid/issues/178


def test_a_weight_whose_learning_rate_is_zero_is_told_from_one_without_a_gradient(batch, generator):
    model = network()
    start = zero_start_(model, generator=generator(0))
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2:].parameters(), "lr": 0.01}]
    message = r"'0.weight' \(has a learning rate of zero\)"
    with pytest.warns(RemedyWarning, match=message), start:
        train(model, Adam(groups), batch, 12)
