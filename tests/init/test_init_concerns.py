"""What is announced before it is done, and ``strict``; sizes of zero, other default devices, sharded parameters."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, InitWarning, initialize_


def recurrent() -> nn.ModuleDict:
    return nn.ModuleDict({"table": nn.Embedding(50, 4), "lstm": nn.LSTM(4, 4), "head": nn.Linear(4, 2)})


def test_less_than_half_of_the_weights_is_a_warning(generator):
    message = (
        r"zero: sets 8 of 136 weights, less than half: there is no rule for 'lstm.weight_ih_l0' \(LSTM\), "
        r"'lstm.weight_hh_l0' \(LSTM\); set these yourself, or silence this warning: pass exclude= with "
    )
    with pytest.warns(InitWarning, match=message):
        record = initialize_(recurrent(), "zero", generator=generator(0))
    assert {entry.name for entry in record.parameters} == {"head.weight", "head.bias"}


@pytest.mark.parametrize("settings", [{"exclude": "lstm"}, {"include": "head"}, {"include": "*"}])
def test_no_warning_where_layers_were_chosen(settings, generator):
    initialize_(recurrent(), "zero", generator=generator(0), **settings)


def test_half_is_enough_and_only_weights_that_train_count(generator):
    class Own(nn.Module):
        def __init__(self, rows: int):
            super().__init__()
            self.matrix, self.vector = nn.Parameter(torch.ones(rows, 4)), nn.Parameter(torch.ones(500))

    make = lambda rows: nn.Sequential(nn.Linear(4, 4), Own(rows), nn.Embedding(99, 4), nn.LayerNorm((9, 9)))  # noqa: E731
    initialize_(make(4), "zero", generator=generator(0))
    with pytest.warns(InitWarning, match=r"sets 16 of 36 weights, less than half: .* '1.matrix' \(Own\)"):
        initialize_(make(5), "zero", generator=generator(0))
    model = make(5)
    model[1].requires_grad_(False)
    initialize_(model, "zero", generator=generator(0))


def test_what_an_excluded_layer_is_computed_from_does_not_count(generator):
    model = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.spectral_norm(nn.Linear(9, 9)))
    initialize_(model, "zero", exclude="1", generator=generator(0))


@pytest.mark.parametrize("make", [recurrent, lambda: nn.Linear(2, 2, bias=False)], ids=["coverage", "bias"])
def test_strict_raises_before_anything_changes(make, snapshot, generator):
    model, source = make(), generator(0)
    before = snapshot(model)
    with pytest.raises(InputError, match=r"^strict=True: normal_bias: "):
        initialize_(model, "normal_bias", strict=True, generator=source)
    assert snapshot(model) == before
    assert torch.equal(source.get_state(), generator(0).get_state())


def test_strict_tells_all_concerns_at_once():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LSTM(4, 4))
    with pytest.raises(InputError, match=r"have no bias.*exclude them\. normal_bias: sets 4 of 132 weights"):
        initialize_(model, "normal_bias", strict=True)


def test_strict_is_quiet_where_nothing_is_wrong(generator):
    initialize_(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "normal_bias", strict=True, norm_aware=True)


EMPTY = {
    "no_inputs": lambda: nn.Linear(0, 3),
    "no_units": lambda: nn.Linear(3, 0),
    "no_channels": lambda: nn.Conv2d(0, 0, 3),
    "nothing_comes_out": lambda: nn.Conv2d(2, 0, 3),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("name", sorted(name for name, entry in INITIALIZERS.items() if not entry.others))
def test_parameters_of_size_zero_are_no_obstacle(kind, name, generator):
    model = nn.Sequential(nn.Linear(2, 3), EMPTY[kind](), nn.Linear(3, 2))
    for settings in ({}, {"scale": "auto"}) if INITIALIZERS[name].draws_biases_alone else ({},):
        record = initialize_(model, name, generator=generator(0), **settings)
        assert [entry.name.rpartition(".")[0] for entry in record.parameters] == [
            str(each) for each in (0, 0, 1, 1, 2, 2)
        ]
        assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("given", [True, False])
def test_another_default_device_changes_nothing(given, snapshot, generator):
    def network() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, device="cpu"),
            nn.BatchNorm2d(4, device="cpu"),
            nn.Flatten(),
            nn.Linear(64, 2, device="cpu"),
        )

    images = torch.zeros(2, 3, 6, 6, device="cpu")
    found = []
    for device in ("meta", "cpu"):
        for settings in ({}, {"scale": "auto"}, {"norm_aware": True, "probe": [images]}):
            model = network()
            with torch.random.fork_rng(devices=[]), torch.device(device):
                torch.default_generator.manual_seed(3)
                initialize_(model, "normal_bias", generator=generator(0) if given else None, **settings)
            found.append({name: value for name, value in snapshot(model).items() if name.endswith("bias")})
    assert found[:3] == found[3:]


def test_sharded_parameters_are_refused(snapshot):
    """What DeepSpeed ZeRO-3 (an empty stand-in) and flattened FSDP parameters look like."""
    for values in (torch.zeros(0), torch.zeros(9)):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = nn.Parameter(values)
        before = snapshot(model)
        with pytest.raises(
            InputError, match=r"1.weight: Parameter of shape \(.*\) is not a whole weight of its layer; is"
        ):
            initialize_(model, "zero")
        assert snapshot(model) == before


@pytest.mark.filterwarnings("ignore:DTensor random operators")  # torch 2.6 about its own tensors
def test_a_distributed_tensor_is_refused():
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available():
        pytest.skip("torch without torch.distributed")
    from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=1, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (1,))
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = nn.Parameter(distribute_tensor(model[1].weight.data, mesh, [Replicate()]))
        before = model[0].weight.clone()
        with pytest.raises(InputError, match=r"1.weight: DTensor of shape \(3, 3\) is not a whole weight of its layer"):
            initialize_(model, "zero")
        assert torch.equal(model[0].weight, before)
    finally:
        distributed.destroy_process_group()
