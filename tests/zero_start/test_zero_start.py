"""``zero_start_``: weights are zero at step 0, every weight leaves zero by a signal, and nothing is left behind."""

import copy
import itertools
import re

import pytest
import torch
from torch import nn

import zeroinit
from zeroinit import InputError, zero_start_
from zeroinit.bench.catalogue.studies.full_width import NETWORKS as FULL_WIDTH
from zeroinit.bench.catalogue.studies.recommended import NETWORKS, RECOMMENDED
from zeroinit.bench.catalogue.studies.residual import NETWORKS as RESIDUAL_NETWORKS
from zeroinit.bench.catalogue.studies.residual import RESIDUAL
from zeroinit.bench.models import build_model
from zeroinit.bench.running.start import stream
from zeroinit.bench.training import fit
from zeroinit.remedies import RemedyWarning, make_remedy
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import UntilMoved
from zeroinit.zero_start import DEEP, PARTS, choose_parts
from zeroinit.zero_start.known_weights import KnownWeights

SHAPE = (3, 8, 8)
LENGTHS = {"mnist_fnn": 10, "mnist_cnn": 10, "cifar_fnn": 10, "cifar_cnn_quarter": 20, "resnet50_quarter": 16}
"""Networks, and after how many updates the zero start is done."""


@pytest.fixture
def data(generator):
    return torch.rand(64, *SHAPE, generator=generator(1)), torch.randint(10, (64,), generator=generator(2))


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def make(name: str) -> nn.Module:
    return build_model(name, SHAPE)


@pytest.mark.parametrize("name", LENGTHS)
def test_weights_begin_at_zero_and_end_at_the_size_of_the_default(name, data, generator):
    model = make(name)
    images, labels = data if name != "resnet50_quarter" else (each[:16] for each in data)
    start = zero_start_(model, generator=generator(3))
    assert not any(weight.any() for weight in weights(model))
    assert fit(model, (images, labels), epochs=LENGTHS[name], batch_size=64, observers=[start]).outcome == "completed"
    assert (start.steps, start.remaining) == (LENGTHS[name], 0)
    for weight in weights(model):
        size = weight.square().mean().sqrt().item()
        assert size == pytest.approx(((1 if name == "resnet50_quarter" else 3) * weight[0].numel()) ** -0.5, rel=1e-3)
        assert torch.linalg.matrix_rank(weight.detach().flatten(1)) > 1


def test_the_repr_is_short_and_says_how_far_it_is(generator):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    start = zero_start_(model, generator=generator(0))
    assert repr(start) == "ZeroStart(Sequential, 0 of 10 updates done)"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with start:
        for _ in range(10):
            optimizer.zero_grad()
            (model(torch.ones(5, 3)) - 1).square().mean().backward()
            optimizer.step()
    assert repr(start) == "ZeroStart(Sequential, 10 of 10 updates done)"
    assert repr(make_remedy("position_signs", model, 7)) == "PositionSigns(Sequential, 0 of 7 updates done)"


@pytest.mark.parametrize("depth", [DEEP, DEEP + 1])
def test_deep_networks_without_norms_get_orthonormal_weights(depth, data, generator):
    """One layer more than ``DEEP``, and singular values of what was learned are all the same."""
    sizes = [192, *[32] * (depth - 1)]
    layers = [each for pair in itertools.pairwise(sizes) for each in (nn.Linear(*pair), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, 10))
    start = zero_start_(model, generator=generator(3))
    assert ("weight_orthonormal" in str(start)) == (depth > DEEP)
    fit(model, data, epochs=start.steps, batch_size=64, observers=[start], learning_rate=1e-3)
    middle = torch.linalg.svdvals(model[3].weight.detach())
    assert (int((middle > 0.999 * middle.max()).sum()) > 8) == (depth > DEEP)


def test_without_it_weights_stay_small_and_of_low_rank(data, generator):
    model = make("cifar_fnn")
    zeroinit.initialize_(model, "normal_bias", scale=0.1, generator=generator(3))
    fit(model, data, epochs=10, batch_size=64)
    first = weights(model)[0].detach()
    assert first.square().mean().sqrt() < 0.5 * (3 * first.shape[1]) ** -0.5
    assert torch.linalg.svdvals(first)[1] < 0.3 * torch.linalg.svdvals(first)[0]


def test_the_steps_after_are_as_ever(data, generator):
    model = make("mnist_cnn")
    with zero_start_(model, generator=generator(3)) as start:
        fit(model, data, epochs=start.steps, batch_size=64)
        model(data[0])
        hooks = [module._forward_hooks or module._forward_pre_hooks for module in model.modules()]
        assert not any(hooks)
        twin = copy.deepcopy(model)
        histories = [
            fit(each, data, epochs=2, batch_size=64, order="fixed", generator=generator(4)) for each in (model, twin)
        ]
    assert histories[0].train_loss == histories[1].train_loss


@pytest.mark.parametrize("name", ["mnist_fnn", "mnist_cnn", "cifar_cnn_quarter"])
def test_care_for_stuck_weights_changes_nothing_where_none_is_stuck(name, data, generator):
    """The stored results were made without it."""
    ends = []
    for is_there in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = make(name)
        start = zero_start_(model, generator=generator(3))
        start._parts = start.parts if is_there else start.parts[:-1]
        fit(model, data, epochs=start.steps + 2, batch_size=64, observers=[start], generator=generator(4))
        assert (start.drawn, start.revived) == ([], {})
        ends.append([parameter.tolist() for parameter in model.parameters()])
    assert ends[0] == ends[1]


def test_the_same_generator_gives_the_same_start(data, generator):
    ends = []
    for seed in (1, 1, 2):
        model = make("mnist_fnn")
        start = zero_start_(model, generator=generator(seed))
        fit(model, data, epochs=12, batch_size=64, observers=[start], order="fixed", generator=generator(5))
        ends.append(model.dense_1.weight.tolist())
    assert ends[0] == ends[1] != ends[2]


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
def test_what_it_says(generator):
    text = str(zero_start_(make("cifar_cnn_quarter"), generator=generator(1)))
    assert re.search("up to 20 updates +twice the updates that all weights need to leave zero, 10 at least", text)
    assert [part for part in PARTS if part in text] == choose_parts(9, has_norms=True)
    text = str(zero_start_(make("mnist_fnn"), steps=12, generator=generator(1)))
    assert "affine_norms" not in text
    assert re.search(r"12 updates +steps= as you gave it", text)


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_out_of_range_leave_the_model_as_it_was(steps):
    model = make("mnist_fnn")
    before = model.dense_1.weight.clone()
    with pytest.raises(InputError, match=rf"^steps={steps}: must be at least 1"):
        zero_start_(model, steps=steps)
    assert torch.equal(model.dense_1.weight, before)


def test_a_result_that_nobody_uses_is_told():
    with pytest.warns(
        RemedyWarning,
        match="^zero start: weights are zero and nothing helps them leave zero: the return value of zero_start_",
    ):
        zero_start_(make("mnist_fnn"))


def test_another_model_is_refused(data):
    start = zero_start_(make("mnist_fnn"))
    with pytest.raises(InputError, match="another model"):
        fit(make("mnist_fnn"), data, epochs=1, observers=[start])


def test_a_norm_without_statistics_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    before = model[0].weight.clone()
    with pytest.raises(InputError, match="keeps no running statistics"):
        zero_start_(model)
    assert torch.equal(model[0].weight, before)


STUDIES = dict.fromkeys(NETWORKS, RECOMMENDED) | dict.fromkeys(RESIDUAL_NETWORKS, RESIDUAL)
AS_THE_QUARTER = {"CIFAR-10 ResNet-50", "ResNet-50"}
"""Networks with the layers and the chain of "ResNet-50, quarter": what a zero start makes of them is the same."""


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
@pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=pytest.mark.slow) if name in AS_THE_QUARTER else name for name in STUDIES],
)
def test_the_study_runs_what_it_does(network, generator):
    """The settings of the runs stand for the same parts and the same number of steps."""
    run = next(curve.run for curve in STUDIES[network].curves if curve.label == f"{network}: zero start")
    shape = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "digits": (1, 8, 8)}[run.dataset]
    model = build_model(run.model, shape)
    start = zero_start_(model, generator=stream(0, "init"))
    remedy = make_remedy(run.remedy, model, 1)
    chain = (NETWORKS | RESIDUAL_NETWORKS)[network].chain
    if chain is not None:  # as many as it takes is known once the last weight has moved
        images = torch.rand(4, *shape, generator=generator(1))
        with pytest.warns(RemedyWarning, match=f"ended after {chain} of {2 * (chain + 1)}"):
            fit(model, (images, torch.arange(4)), epochs=chain, batch_size=4, observers=[start])
    ours = {
        type(part): part.steps
        for part in start.parts
        if not isinstance(part, KnownWeights | UntilMoved | DrawStuck | ReviveUnits)
    }
    theirs = {type(part): part.steps for part in remedy.parts if type(part) in ours}
    assert ours == theirs
    assert (run.initializer, run.scale, run.norm_aware) == ("normal_bias", start.record.scale, True)


@pytest.mark.parametrize("name", FULL_WIDTH)
def test_full_width_has_the_layers_of_a_quarter(name):
    """So what the test above shows of the quarter's settings holds for the whole network."""
    quarter, whole = NETWORKS[name], FULL_WIDTH[name]
    layers = [
        [type(module) for module in build_model(network.run.model, (3, 32, 32)).modules()]
        for network in (quarter, whole)
    ]
    assert layers[0] == layers[1]
    assert (quarter.num_layers, quarter.has_norms, quarter.chain) == (whole.num_layers, whole.has_norms, whole.chain)
    assert quarter.run.model == f"{whole.run.model}_quarter"
