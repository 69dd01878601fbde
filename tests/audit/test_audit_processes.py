"""Shards of real processes: what FSDP2 leaves on each rank is audited there, and compared here."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import zeroinit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[dict]:
    """What each of two processes holds and said."""
    folder = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).with_name("sharding_process.py")
    running = [subprocess.Popen([sys.executable, "-W", "ignore", script, str(rank), folder]) for rank in range(2)]
    assert [each.wait(timeout=180) for each in running] == [0, 0]
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


def whole() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8))


def ranks(both: list[dict], own: bool) -> list[nn.Module]:
    """A model for each rank with the values that the process held."""
    models = []
    for each in both:
        models.append(whole())
        for name, value in each["held"][own].items():
            layer, _, attribute = name.partition(".")
            setattr(models[-1][int(layer)], attribute, nn.Parameter(value))
    return models


def test_each_process_finds_what_it_never_wrote(both):
    assert [each["missing"] for each in both] == [["1.weight", "1.bias"]] * 2
    assert {each["verdict"] for each in both} == {"Initialized: no fault found in 4 parameters."}


def test_shards_of_one_seed_are_equal(both):
    report = zeroinit.audit(whole, ranks=ranks(both, own=False))
    assert [(each.code, sorted(each.parameters)) for each in report.warnings] == [
        ("ZI207", ["0.bias", "0.weight", "1.bias", "1.weight"])
    ]


def test_shards_of_own_seeds_are_healthy(both):
    assert zeroinit.audit(whole, ranks=ranks(both, own=True)).warnings == ()
