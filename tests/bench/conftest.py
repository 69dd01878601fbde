"""A small run on the embedded digits, made-up results that need no training, and the real MNIST where it is at hand."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from zeroinit.bench.spec import Figure, Run
from zeroinit.bench.store import Result, Store

DATA_DIR = Path(os.environ.get("ZEROINIT_DATA_DIR") or Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
ENVIRONMENT = {
    "zeroinit": "0.1.0",
    "python": "3.11.7",
    "torch": "2.9.0",
    "numpy": "2.0.0",
    "platform": "Linux x86_64",
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(autouse=True)
def secluded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no folder of the user's."""
    monkeypatch.delenv("ZEROINIT_DATA_DIR", raising=False)
    monkeypatch.setenv("ZEROINIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def one_thread():
    """One thread, as in a worker process: sums over threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run() -> Run:
    """The MNIST FNN on the digits, two epochs: a few hundredths of a second."""
    return Run(dataset="digits", initializer="normal_bias", epochs=2, batch_size=64)


@pytest.fixture
def diverging(run: Run) -> Run:
    """A run that ends in its first epoch with a loss that is not finite."""
    return Run(dataset="digits", optimizer="sgd", learning_rate=1e6, epochs=4, batch_size=64)


def made_up(run: Run, seed: int, accuracies: Sequence[float], outcome: str = "completed") -> Result:
    """Make a result that ends with these test accuracies; nothing is trained."""
    if outcome == "completed":
        accuracies = [accuracies[0]] * (run.epochs - len(accuracies)) + list(accuracies)
    losses = [float("nan") if outcome == "diverged" else 0.5] * len(accuracies)
    history = {
        "train_loss": losses,
        "validation_loss": [],
        "validation_accuracy": [],
        "test_loss": losses,
        "test_accuracy": list(accuracies),
        "outcome": outcome,
        "num_steps": 10 * len(accuracies),
        "diverged_at_step": 3 if outcome == "diverged" else None,
    }
    recorded = None if run.recorder == "none" else {}
    return Result(run, seed, history, f"{seed:016x}", ENVIRONMENT, 1.5, recorded)


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    return made_up


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture(scope="session")
def fill_store() -> Callable[..., None]:
    """Stores made-up results of a figure: for each label the final accuracy of each seed, from seed 0 on."""

    def save(
        store: Store,
        figure: Figure,
        finals: dict[str, Sequence[float]],
        profile: str = "paper",
        protocol: str = "corrected",
    ) -> None:
        for curve in figure.at(profile, protocol):
            for seed, final in enumerate(finals.get(curve.label, ())):
                store.save(made_up(curve.run, seed, [final / 2, final]))

    return save


@pytest.fixture
def fill(store: Store, fill_store) -> Callable[..., None]:
    return partial(fill_store, store)


@pytest.fixture
def mnist_root() -> Path:
    """A torchvision root with the real MNIST: ZEROINIT_DATA_DIR, else ../shared/data beside the repository."""
    if not (DATA_DIR / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {DATA_DIR}: set ZEROINIT_DATA_DIR to a torchvision root")
    return DATA_DIR.resolve()
