"""``norm_aware``: which betas are drawn, from what, and what stays as it was."""

import json
import re
import warnings
from collections import UserDict
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import BatchEncoding

from zeroinit._common import InputError
from zeroinit.init import SymmetryWarning, initialize_
from zeroinit.init.probe import constant_channels

CANCELLING = {
    "batch1d": (lambda: nn.BatchNorm1d(4), "batch norm"),
    "batch2d": (lambda: nn.BatchNorm2d(4), "batch norm"),
    "batch3d": (lambda: nn.BatchNorm3d(4), "batch norm"),
    "sync": (lambda: nn.SyncBatchNorm(4), "batch norm"),
    "instance1d": (lambda: nn.InstanceNorm1d(4, affine=True), "instance norm"),
    "instance2d": (lambda: nn.InstanceNorm2d(4, affine=True), "instance norm"),
    "instance3d": (lambda: nn.InstanceNorm3d(4, affine=True), "instance norm"),
    "group": (lambda: nn.GroupNorm(4, 4), "group norm with one channel per group"),
    "group_of_one": (lambda: nn.GroupNorm(1, 1), "group norm with one channel per group"),
}
OTHERS = {
    "layer": lambda: nn.LayerNorm(4),
    "layer_over_space": lambda: nn.LayerNorm((4, 5, 5)),
    "group_of_all": lambda: nn.GroupNorm(1, 4),
    "groups_of_two": lambda: nn.GroupNorm(2, 4),
    "rms": lambda: nn.RMSNorm(4),
    "local_response": lambda: nn.LocalResponseNorm(2),
}


class Residual(nn.Module):
    """A stem and two blocks with a skip path, each convolution followed by a batch norm, and a dense head."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        features = self.stem_norm(self.stem(images)).relu()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            features = features + norm(conv(features)).relu()
        return self.head(features.mean(dim=(2, 3)))


@pytest.fixture
def model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(100, 2)
        )


@pytest.fixture
def images(generator) -> torch.Tensor:
    return torch.rand(6, 3, 5, 5, generator=generator(3))


def changed(record) -> dict[str, bool]:
    return {norm.path: norm.changed for norm in record.norms}


def reasons(record) -> dict[str, str]:
    return {norm.path: norm.reason for norm in record.norms}


@pytest.mark.parametrize("kind", CANCELLING)
def test_beta_of_norms_that_cancel_channels_is_drawn(kind, generator):
    make, text = CANCELLING[kind]
    model = nn.ModuleDict({"dense": nn.Linear(2, 2), "norm": make()})
    record = initialize_(model, "normal_bias", scale=0.5, generator=generator(0), norm_aware=True)
    source = generator(0)
    torch.randn(2, generator=source)
    assert torch.equal(model["norm"].bias, torch.randn(model["norm"].bias.shape, generator=source) * 0.5)
    assert (model["norm"].weight == 1).all()
    assert reasons(record) == {"norm": f"{text}: maps a constant channel to its beta"}
    assert [(entry.name, entry.rule) for entry in record.parameters][2:] == [("norm.bias", "N(0, 1) * 0.5")]
    assert [(entry.name, entry.reason[:7]) for entry in record.untouched] == [("norm.weight", "no rule")]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_norms_are_left_alone(kind, generator, snapshot):
    model = nn.ModuleDict({"dense": nn.Linear(2, 2), "norm": OTHERS[kind]()})
    before = snapshot(model["norm"])
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    assert record.norms == ()
    assert snapshot(model["norm"]) == before


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("normal_bias", lambda source: torch.randn(4, generator=source)),
        ("uniform_bias", lambda source: torch.rand(4, generator=source)),
        ("constant_bias", lambda source: torch.ones(4)),
    ],
)
def test_beta_follows_the_distribution_of_the_biases(name, distribution, model, generator):
    source = generator(1)
    initialize_(model, name, generator=source.clone_state(), norm_aware=True)
    initialize_(nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2)), name, generator=source)
    assert torch.equal(model[1].bias, distribution(source))


@pytest.mark.parametrize("probed", [False, True])
def test_no_other_draw_changes(probed, model, images, generator, snapshot):
    plain_source, aware_source = generator(0), generator(0)
    initialize_(model, "normal_bias", generator=plain_source)
    plain = snapshot(model)
    settings = {"probe": images} if probed else {}
    initialize_(model, "normal_bias", generator=aware_source, norm_aware=True, **settings)
    aware = snapshot(model)
    assert {name for name in plain if plain[name] != aware[name]} == {"1.bias"}
    torch.randn(4, generator=plain_source)
    assert torch.equal(plain_source.get_state(), aware_source.get_state())


def test_off_by_default(model, generator):
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert not model[1].bias.any()
    assert record.norms is None
    assert "norms" not in record.to_dict()
    assert "norm" not in str(record).lower().replace("normal", "").replace("no rule for batchnorm2d", "")


def test_in_place_so_that_an_optimizer_built_before_trains(model, images, generator, snapshot):
    pointers = {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()} == pointers
    before = snapshot(model)
    model[3].p = 0.0
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(6) % 2).backward()
        optimizer.step()
    assert {"1.bias", "5.weight", "5.bias"} <= {
        name for name, value in snapshot(model).items() if value != before[name]
    }


def test_frozen_beta_is_kept_and_reported(model, generator):
    model[1].requires_grad_(False)
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    assert not model[1].bias.any()
    reason = "batch norm: maps a constant channel to its beta, but its beta is frozen (requires_grad is False)"
    assert (changed(record), reasons(record)) == ({"1": False}, {"1": reason})
    assert {entry.name: entry.reason for entry in record.untouched}["1.bias"] == reason


def test_frozen_beta_is_set_if_asked_and_stays_frozen(model, generator):
    model.requires_grad_(False)
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, frozen="set")
    assert model[1].bias.all()
    assert changed(record) == {"1": True}
    assert not model[1].bias.requires_grad


def test_a_shared_beta_is_drawn_once(generator):
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[3].bias = model[1].bias
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    assert [(entry.name, entry.aliases) for entry in record.parameters][4:] == [("1.bias", ("3.bias",))]
    assert changed(record) == {"1": True, "3": True}


def test_beta_tied_to_a_bias_is_drawn_with_the_biases(generator):
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    model[1].bias = model[0].bias
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    assert [entry.name for entry in record.parameters] == ["0.weight", "0.bias"]
    assert torch.equal(model[1].bias, torch.randn(4, generator=generator(0)))


def test_print_and_json(generator):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    settings = {"generator": generator(0), "norm_aware": True, "exclude": "3"}
    record = initialize_(model, "normal_bias", **settings)
    assert str(record) == "\n".join(
        [
            "normal_bias (scale 1): 5 set, 3 left",
            "  0.weight  2x1x1x1  0",
            "  0.bias    2        N(0, 1)",
            "  2.weight  2x2x1x1  0",
            "  2.bias    2        N(0, 1)",
            "  1.bias    2        N(0, 1)",
            "  1.weight  2        left as it was: no rule for BatchNorm2d",
            "  3.weight  2        left as it was: no rule for BatchNorm2d",
            "  3.bias    2        left as it was: batch norm: excluded",
            "  BatchNorm2d 1: beta drawn, batch norm: maps a constant channel to its beta",
            "  BatchNorm2d 3: left as it was, batch norm: excluded",
        ]
    )
    content = record.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["norms"][1] == {
        "path": "3",
        "type": "BatchNorm2d",
        "reason": "batch norm: excluded",
        "changed": False,
    }


def test_a_probe_counts_constant_channels(model, images, generator):
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record) == {"1": "batch norm: 4 of 4 channels constant"}
    assert model[1].bias.all()


def test_a_probe_leaves_a_norm_alone_that_gets_no_constant_channel(images, generator):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record) == {"0": "batch norm: 0 of 3 channels constant", "2": "batch norm: 4 of 4 channels constant"}
    assert changed(record) == {"0": False, "2": True}
    assert not model[0].bias.any()
    assert {entry.name: entry.reason for entry in record.untouched}["0.bias"] == reasons(record)["0"]


def test_one_constant_channel_is_enough_for_the_whole_beta(images, generator):
    images[:, 1] = 0.25
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(75, 2))
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record) == {"0": "batch norm: 1 of 3 channels constant"}
    assert model[0].bias.all()


@pytest.mark.parametrize(("norm", "num_constant"), [(nn.BatchNorm2d(3), 0), (nn.InstanceNorm2d(3, affine=True), 3)])
def test_constant_over_space_is_enough_where_the_norm_averages_over_space_only(norm, num_constant, generator):
    images = torch.randn(6, 3, 1, 1, generator=generator(2)).expand(6, 3, 5, 5)
    model = nn.Sequential(norm, nn.Flatten(), nn.Linear(75, 2))
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record)["0"].endswith(f": {num_constant} of 3 channels constant")


def test_an_instance_norm_without_a_batch_axis(generator):
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3, affine=True))
    probe = torch.randn(2, 8, generator=generator(2))
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=probe)
    assert reasons(record) == {"1": "instance norm: 3 of 3 channels constant"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rounding_is_no_signal(dtype, images, generator):
    """A layer that keeps its weights carries the rounding of the norm below it into the next norm."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).to(dtype)
    model[1].bias.data.copy_(torch.randn(4, generator=generator(4)))
    settings = {"generator": generator(0), "norm_aware": True, "probe": images.to(dtype)}
    record = initialize_(model, "normal_bias", exclude="2", **settings)
    assert reasons(record)["3"] == "batch norm: 4 of 4 channels constant"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_constant_means_up_to_rounding_of_the_largest_value(dtype):
    eps = torch.finfo(dtype).eps
    spread = torch.tensor([0.0, 4 * eps, 64 * eps, 64 * eps], dtype=dtype)
    images = torch.stack([torch.ones(4, dtype=dtype), 1 + spread], dim=0)
    assert constant_channels(nn.BatchNorm1d(4), images).tolist() == [True, True, False, False]
    images[:, 3] -= 1
    images[:, 0] *= 100
    assert constant_channels(nn.BatchNorm1d(4), images).tolist() == [True, True, True, True]


def test_what_is_not_a_number_is_not_constant():
    assert (
        constant_channels(nn.BatchNorm1d(2), torch.tensor([[1.0, torch.nan], [1.0, torch.inf]])).tolist() == [False] * 2
    )


def test_a_small_signal_is_no_rounding(images, generator):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(75, 2))
    settings = {"generator": generator(0), "norm_aware": True, "probe": 1 + 1e-4 * images}
    assert changed(initialize_(model, "normal_bias", **settings)) == {"0": False}


def test_a_residual_network(images, generator):
    model = Residual()
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert changed(record) == {"stem_norm": True, "norms.0": True, "norms.1": True}
    aware = initialize_(
        Residual(), "normal_bias", exclude="stem", generator=generator(0), norm_aware=True, probe=images
    )
    assert changed(aware) == {"stem_norm": False, "norms.0": True, "norms.1": True}


def test_a_norm_that_the_probe_does_not_reach(model, images, generator):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = model, nn.BatchNorm2d(3)

        def forward(self, images):
            return self.used(images)

    network = Idle()
    record = initialize_(network, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record)["idle"] == "batch norm: not reached by the probe"
    assert changed(record) == {"used.1": True, "idle": False}
    assert not network.idle.bias.any()


def test_the_probe_runs_in_train_mode(images, generator):
    """There dropout makes a channel vary; in eval mode it would look constant."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4)).eval()
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record) == {"2": "batch norm: 0 of 4 channels constant"}


@dataclass
class Batch:
    images: torch.Tensor


FORMS = {
    "tensor": lambda images: images,
    "tuple": lambda images: (images, 2.0),
    "list": lambda images: [images, torch.tensor(2.0)],
    "dict": lambda images: {"images": images, "factor": torch.tensor(2.0)},
    "UserDict": lambda images: UserDict(images=images, factor=2.0),
    "BatchEncoding": lambda images: BatchEncoding({"images": images, "factor": torch.tensor(2.0)}),
    "mapping": lambda images: MappingProxyType({"images": images}),
    "dataclass": lambda images: Batch(images),
    "namespace": lambda images: SimpleNamespace(images=images),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_probe(form, images, generator):
    class TwoInputs(Residual):
        def forward(self, images, factor=1.0):
            images = images if isinstance(images, torch.Tensor) else images.images
            return super().forward(images.mul_(factor))

    probe, kept = FORMS[form](images), images.clone()
    record = initialize_(TwoInputs(), "normal_bias", generator=generator(0), norm_aware=True, probe=probe)
    assert changed(record) == {"stem_norm": True, "norms.0": True, "norms.1": True}
    assert torch.equal(images, kept)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("own_generator", [True, False])
def test_a_probe_leaves_modes_buffers_inputs_and_random_state(
    model, images, generator, snapshot, training, own_generator
):
    model.insert(0, nn.ReLU(inplace=True))
    model.train(training)[3].train()
    model[2].register_forward_hook(lambda *_: None)
    modes = [module.training for module in model.modules()]
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    kept = images.clone().neg_()
    images.neg_()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        source = generator(0) if own_generator else None
        initialize_(model, "normal_bias", generator=source, norm_aware=True, probe=images)
        probed, state = snapshot(model), torch.get_rng_state()
        torch.default_generator.manual_seed(3)
        initialize_(model, "normal_bias", generator=generator(0) if own_generator else None, norm_aware=True)
        assert torch.equal(torch.get_rng_state(), state)
    assert snapshot(model) == probed
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert buffers["2.num_batches_tracked"] == 0
    assert torch.equal(images, kept)
    assert not any(parameter.grad is not None for parameter in model.parameters())
    assert [len(module._forward_pre_hooks) for module in model.modules()] == [0] * len(modes)


def test_a_norm_without_beta_is_reported_and_warned_of(images, generator):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    message = (
        "normal_bias: 1 of 2 norms map constant channels to 0 and have no beta to draw: '1'; "
        "build them with affine=True or exclude them"
    )
    for settings, text in (
        ({}, "maps a constant channel to its beta"),
        ({"probe": images}, "4 of 4 channels constant"),
    ):
        with pytest.warns(SymmetryWarning, match=message):
            record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, **settings)
        assert reasons(record)["1"] == f"instance norm: {text}, and it has no beta to draw"
        assert changed(record) == {"1": False, "3": True}


def test_no_warning_for_a_norm_without_beta_that_cancels_nothing_or_is_excluded(images, generator):
    model = nn.Sequential(nn.InstanceNorm2d(3), nn.Conv2d(3, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
        initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, exclude="0")


def test_norms_can_be_excluded_and_not_included(model, snapshot, generator):
    message = "exclude='x': matches no dense, convolutional or attention layer, or other module with parameters; .* '1'"
    for norm_aware in (False, True):
        with pytest.raises(InputError, match=message):
            initialize_(model, "normal_bias", exclude="x", norm_aware=norm_aware)
        initialize_(model, "normal_bias", exclude="1", norm_aware=norm_aware)
        assert not model[1].bias.any()
    with pytest.raises(
        InputError, match="include='1': matches no dense, convolutional or attention layer; the layers are '0', '5'"
    ):
        initialize_(model, "normal_bias", include="1", norm_aware=True)
    record = initialize_(model, "normal_bias", exclude=["1"], norm_aware=True, generator=generator(0))
    assert reasons(record) == {"1": "batch norm: excluded"}
    assert len(record.parameters) == 4


def assert_refused(model, snapshot, message: str, name: str = "normal_bias", **settings) -> None:
    before, state = snapshot(model), torch.get_rng_state()
    source = torch.Generator().manual_seed(0)
    with pytest.raises(InputError, match=message):
        initialize_(model, name, generator=source, **settings)
    assert snapshot(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(source.get_state(), torch.Generator().manual_seed(0).get_state())


@pytest.mark.parametrize("name", ["pytorch", "zero"])
def test_initializers_without_drawn_biases_beside_zero_weights(name, model, snapshot):
    message = (
        r"norm_aware=True: works only with zero weights and random biases \(constant_bias, normal_bias, uniform_bias\)"
        f"; leave norm_aware out for initializer '{name}'"
    )
    assert_refused(model, snapshot, message, name=name, norm_aware=True)


def test_a_probe_without_the_option(model, images, snapshot):
    message = (
        "probe=a tensor (6, 3, 5, 5) of float32: has an effect only with norm_aware=True, or with one of constnet, "
        "fixup, lsuv, zero_branch"
    )
    assert_refused(model, snapshot, re.escape(message), probe=images)


@pytest.mark.parametrize("probe", ["images", 3, 2.5, True, nn.Linear(2, 2), nn.Linear, len], ids=repr)
def test_what_is_no_probe(model, snapshot, probe):
    message = rf"probe=an? {type(probe).__name__}: holds no tensor; hand over a tensor, a tuple of positional arguments"
    assert_refused(model, snapshot, message, norm_aware=True, probe=probe)


def test_a_probe_that_fails(model, images, snapshot):
    message = re.escape("probe=a tensor (6, 3, 4, 4) of float32: the forward pass failed in `5` (RuntimeError: ")
    assert_refused(model, snapshot, f"{message}.*or leave probe out", norm_aware=True, probe=images[:, :, 1:, 1:])
    with pytest.raises(InputError, match="probe=a tuple of 3: ") as caught:
        initialize_(model, "normal_bias", norm_aware=True, probe=(images, images, images))
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_loader_gives_its_first_batch_and_draws_nothing(model, images, generator):
    """A loader that shuffles draws from torch's global generator."""
    loader = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=3, shuffle=True)
    state = torch.get_rng_state()
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert reasons(record) == {"1": "batch norm: 4 of 4 channels constant"}


def test_a_model_that_keeps_an_activation_is_probed(model, images, generator):
    """``copy.deepcopy`` refuses a tensor with a history."""
    model.trace = torch.ones(2, requires_grad=True) * 2
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True, probe=images)
    assert reasons(record) == {"1": "batch norm: 4 of 4 channels constant"}


def test_a_model_that_cannot_be_copied(model, images, snapshot):
    model.noise = (number for number in range(3))
    message = (
        r"model=Sequential: cannot be copied for the probe \(noise is a generator\); leave probe out; beta is then"
    )
    assert_refused(model, snapshot, message, norm_aware=True, probe=images)


def test_betas_that_cannot_be_set(model, images, snapshot):
    model.append(nn.LazyBatchNorm1d())
    assert_refused(model, snapshot, "6.bias: is lazy and has no shape yet; run one forward pass first", norm_aware=True)
    model(images)
    nn.utils.parametrize.register_parametrization(model[6], "bias", nn.Identity())
    assert_refused(model, snapshot, "6.bias: is computed by Identity", norm_aware=True)
    initialize_(model, "normal_bias", norm_aware=True, exclude="6")


def test_a_lazy_norm_after_a_forward_pass(model, images, generator):
    model.append(nn.LazyBatchNorm1d())
    model(images)
    record = initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    assert changed(record) == {"1": True, "6": True}


@pytest.mark.filterwarnings("error::zeroinit.init.SymmetryWarning")
def test_a_warning_that_is_an_error_changes_nothing(model, images, snapshot):
    model.insert(1, nn.InstanceNorm2d(4))
    before = snapshot(model)
    with pytest.raises(SymmetryWarning):
        initialize_(model, "normal_bias", norm_aware=True, probe=images)
    assert snapshot(model) == before
