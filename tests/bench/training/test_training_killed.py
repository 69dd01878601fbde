"""A run that was killed, whenever and however often, ends bitwise as if nothing had happened."""

import runpy
from pathlib import Path

import torch

from zeroinit.bench.training import Checkpoint

FILE = Path(__file__).with_name("killable.py")


def same(one: dict, other: dict) -> bool:
    """Compare bitwise what two runs left behind."""
    values = [{name: tensor.numpy().tobytes() for name, tensor in each["model"].items()} for each in (one, other)]
    return one["history"] == other["history"] and values[0] == values[1]


def test_killed_at_random_moments(kill_until_done, tmp_path):
    train = runpy.run_path(str(FILE))["train"]
    with torch.random.fork_rng(devices=[]):
        train(None, str(tmp_path / "here.pt"), 9)
        train(None, str(tmp_path / "other.pt"), 10)
    undisturbed = [str(tmp_path / "saved"), str(tmp_path / "undisturbed.pt"), 9]
    killed = [str(tmp_path / "state"), str(tmp_path / "killed.pt"), 9]
    num_kills = kill_until_done(FILE, "train", undisturbed, killed, tmp_path / "state")
    assert num_kills >= 1
    here, there, result, other = (
        torch.load(tmp_path / f"{name}.pt") for name in ("here", "undisturbed", "killed", "other")
    )
    assert same(here, there)
    assert same(here, result)
    assert not same(here, other)
    steps = sorted(path.name for path in (tmp_path / "state").glob("step-*"))
    assert steps == ["step-59.pt", "step-60.pt"]
    Checkpoint(tmp_path / "state").remove()
    assert not (tmp_path / "state").exists()
