"""With a seed, values depend on seed, name and index alone: any order, meta or eager, any number of processes."""

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, initialize_, sources

WORKER = Path(__file__).with_name("shard_worker.py")
NAMES = sorted(name for name, entry in INITIALIZERS.items() if not entry.finish)


def build() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "table": nn.Embedding(13, 8, padding_idx=2),
            "conv": nn.Conv2d(4, 8, 3, groups=2),
            "up": nn.ConvTranspose2d(4, 6, 3),
            "norm": nn.BatchNorm2d(6),
            "attention": nn.MultiheadAttention(8, 2),
            "gru": nn.GRU(8, 5),
            "head": nn.Linear(8, 13),
        }
    )


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_modules_has_no_effect(name):
    model = build()
    backwards = nn.ModuleDict(dict(reversed(copy.deepcopy(model)._modules.items())))
    for each in (model, backwards):
        initialize_(each, name, seed=3)
    assert_same(values(model), dict(sorted_like(values(backwards), values(model))))
    if INITIALIZERS[name].is_random:
        before = values(model)
        initialize_(model, name, seed=4)
        assert any(not torch.equal(before[key], value) for key, value in values(model).items())


def sorted_like(found: dict, order: dict) -> list:
    return [(key, found[key]) for key in order]


@pytest.mark.parametrize("name", ["kaiming_normal", "orthogonal", "zer_o", "lecun_truncated"])
def test_meta_and_eager_have_the_same_bits(name):
    eager = build()
    initialize_(eager, name, seed=3)
    with torch.device("meta"):
        empty = build()
    optimizer = torch.optim.SGD(empty.parameters(), lr=0.1)
    record = initialize_(empty, name, seed=3, device="cpu")
    assert_same(values(eager), values(empty))
    assert {id(each) for each in optimizer.param_groups[0]["params"]} == {id(each) for each in empty.parameters()}
    inputs = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(empty["gru"](inputs)[0], eager["gru"](inputs)[0])
    assert all(entry.hash_before == "" != entry.hash_after for entry in record.parameters)


def test_ties_survive_the_meta_device():
    with torch.device("meta"):
        model = nn.ModuleDict({"table": nn.Embedding(9, 4), "head": nn.Linear(4, 9, bias=False)})
        model["head"].weight = model["table"].weight
    initialize_(model, "lecun_normal", seed=0, device="cpu")
    assert model["head"].weight is model["table"].weight
    assert model["head"].weight.any()


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("frequencies", torch.arange(4.0), persistent=False)


def test_a_buffer_that_nothing_computes_is_refused_and_nothing_changes():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2), Rotary())
    with pytest.raises(InputError, match=r"device='cpu': 1.frequencies is on the meta device, and nothing computes"):
        initialize_(model, "lecun_normal", seed=0, device="cpu")
    assert model[0].weight.is_meta


def test_seed_and_generator_exclude_each_other(generator):
    with pytest.raises(InputError, match="give one of them"):
        initialize_(nn.Linear(2, 2), "lecun_normal", seed=0, generator=generator(0))


def test_chunks_have_no_effect(monkeypatch):
    whole, pieces = build(), build()
    initialize_(whole, "xavier_normal", seed=0)
    monkeypatch.setattr(sources, "CHUNK", 7)
    initialize_(pieces, "xavier_normal", seed=0)
    assert_same(values(whole), values(pieces))


def test_wrappers_have_no_effect():
    plain, wrapped = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), None
    initialize_(plain, "kaiming_normal", seed=0)
    wrapped = torch.compile(copy.deepcopy(plain), backend="eager")
    initialize_(wrapped, "kaiming_normal", seed=0)
    assert torch.equal(plain[0].weight, wrapped._orig_mod[0].weight)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_same_bits_in_several_processes(size, tmp_path):
    """Real processes: FSDP2 from the meta device, Shard(0), Shard(1) and Replicate, against one process."""
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, WORKER, tmp_path], env={**environment, "RANK": str(rank), "WORLD_SIZE": str(size)}
        )
        for rank in range(size)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0] * size
    assert len(list(tmp_path.iterdir())) == size
