"""A run that ended early at any of its steps goes on from its checkpoint and ends bitwise as one that did not.

Here an exception ends it, which is quick enough for every step of every kind of run; ``test_training_killed`` kills.
"""

import contextlib
import copy
import os
import re
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.training import OPTIMIZERS, Checkpoint, CheckpointWarning, Observer, checkpoint, fit
from zeroinit.remedies import AffineNorms

NUM_STEPS, PER_EPOCH = 9, 3


class Ended(Exception):
    """The run is over, as by a kill."""


class Ending(Checkpoint):
    """Ends the run just before or just after the save at one step."""

    def __init__(self, folder, step: int, before: bool) -> None:
        super().__init__(folder, every=0)
        self.step, self.before = step, before

    def save(self, step, state):
        if step == self.step and self.before:
            raise Ended
        super().save(step, state)
        if step == self.step:
            raise Ended


class Counter(Observer):
    """Has a state, as what records a run has."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_gradients(self, state) -> None:
        self.seen.append(next(iter(state.model.parameters())).grad.sum().item())

    def state_dict(self) -> dict:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict) -> None:
        self.seen = state["seen"]


class Jitter:
    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, images):
        return images + 0.1 * torch.randn(images.shape, generator=self.generator, dtype=images.dtype)


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        *(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ELU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8, 3)),
    )


def dense() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ELU(), nn.Linear(5, 3))


EVERYTHING = {"make": convolutional, "augment": True, "observers": True, "warmup_steps": 7}
KINDS: dict[str, dict] = {
    "everything": EVERYTHING | {"optimizer": "sgd", "momentum": 0.7},
    "evaluation_that_leaks": EVERYTHING | {"order": "fixed", "evaluation_mode": "train", "reduction": "mean"},
    "global_generator": EVERYTHING | {"generator": None},
    "remedy": {"make": convolutional, "remedy": 5},
    "bound": {"max_steps": 5},
    "bound_at_the_end_of_an_epoch": {"max_steps": 6, "order": "fixed"},
    "channels_last": {"make": convolutional, "layout": "channels_last", "precision": "float32"},
    "stacked": {"stacked": 3, "augment": True, "warmup_steps": 7},
    "diverging": {"poison": True},
    **{name: {"optimizer": name, "momentum": 0.6 if name in {"rmsprop", "muon"} else 0.0} for name in OPTIMIZERS},
}


@pytest.fixture
def start(train, validation, generator) -> Callable[..., dict]:
    """Starts a run of one kind from the beginning, as a new process does; returns all that it leaves behind."""

    def begin(kind: str, checkpoint: Checkpoint | None, seed: int = 7, **changes) -> dict:
        settings = {"epochs": 3, "batch_size": 8, "validation": validation, "learning_rate": 0.02} | KINDS[kind]
        settings |= changes
        number, make = settings.pop("stacked", 1), settings.pop("make", dense)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            models = [make().double() for _ in range(number)]
            torch.manual_seed(seed)  # a new process has another one; the checkpoint brings the old one back
            if number > 1:
                for model in models:
                    model[1] = nn.Identity()  # batch norm over two axes has no stacked form
                settings |= {"stacking": "stacked", "generator": [generator(10 + each) for each in range(number)]}
                settings["augment"] = [Jitter(20), None, Jitter(21)]
            else:
                settings = {"generator": generator(10)} | settings
                settings["augment"] = Jitter(20) if settings.pop("augment", False) else None
            counter, steps = Counter(), settings.pop("remedy", 0)
            if settings.pop("observers", False):
                settings["observers"] = [Silent(), counter]
            if steps:
                settings["observers"] = [AffineNorms(models[0], steps)]
            data = (train[0] * (torch.nan if settings.pop("poison", False) else 1), train[1])
            histories = fit(models if number > 1 else models[0], data, checkpoint=checkpoint, **settings)
        return {
            "histories": [repr(each.to_dict()) for each in (histories if number > 1 else [histories])],
            "values": [value.numpy().tobytes() for model in models for value in model.state_dict().values()],
            "seen": counter.seen,
        }

    return begin


class Silent(Observer):
    """Has no state."""

    def on_epoch(self, state) -> None:
        pass


BEFORE = ("everything", "evaluation_that_leaks", "bound", "stacked")


@pytest.mark.parametrize(("kind", "before"), [*((kind, False) for kind in KINDS), *((kind, True) for kind in BEFORE)])
def test_ended_at_every_step_in_turn(start, tmp_path, kind, before):
    """One run, ended at its first step, resumed, ended at its second step, and so on."""
    expected, folder = start(kind, None), tmp_path / "state"
    for step in range(1, NUM_STEPS + 1):
        try:
            result = start(kind, Ending(folder, step, before), seed=100 + step if folder.exists() else 7)
        except Ended:
            continue
        break
    else:
        result = start(kind, Checkpoint(folder, every=0), seed=200)
    assert result == expected
    last = {"bound": 5, "bound_at_the_end_of_an_epoch": 6, "diverging": 3}.get(kind, NUM_STEPS)
    assert sorted(path.name for path in folder.iterdir()) == [f"step-{last - 1}.pt", f"step-{last}.pt"]
    assert start(kind, Checkpoint(folder, every=0), seed=300) == expected


@pytest.mark.parametrize("step", range(1, NUM_STEPS))
def test_a_checkpoint_at_every_step_changes_nothing(start, tmp_path, step):
    """And neither does a single one: what is resumed is the newest."""
    expected = start("everything", None)
    with pytest.raises(Ended):
        start("everything", Ending(tmp_path / "state", step, False))
    assert start("everything", Checkpoint(tmp_path / "state", every=1000), seed=8) == expected
    assert start("everything", None, seed=8) != expected


class Forgetful(Checkpoint):
    """Reads the state back with one part as it was after the first step."""

    part: tuple[str, ...] = ()
    first: dict = {}  # noqa: RUF012

    def states(self):
        for path, state in super().states():
            old, target = self.first, state
            for name in self.part[:-1]:
                old, target = old[name], target[name]
            target[self.part[-1]] = copy.deepcopy(old[self.part[-1]])
            yield path, state


@pytest.mark.parametrize(
    "part",
    [
        *((name,) for name in ("model", "optimizers", "histories", "generators", "observers", "random")),
        *(("progress", name) for name in ("num_steps", "epoch", "position", "orders", "losses")),
    ],
    ids="-".join,
)
def test_no_part_of_the_state_is_dispensable(start, tmp_path, part):
    """The negative case of all above."""
    expected = start("everything", None)
    for step in (1, 5):
        with pytest.raises(Ended):
            start("everything", Ending(tmp_path / f"{step}", step, False))
    forgetful = Forgetful(tmp_path / "5", every=1000)
    forgetful.part, forgetful.first = part, torch.load(tmp_path / "5" / "step-5.pt")
    assert start("everything", forgetful) == expected
    forgetful.first = torch.load(tmp_path / "1" / "step-1.pt")
    if part[-1] in ("histories", "num_steps", "epoch", "position", "losses"):  # found out before it is used
        with pytest.warns(CheckpointWarning, match="is no state that this run can have"):
            start("everything", forgetful)
    else:
        assert start("everything", forgetful) != expected


def test_what_is_trained_beside_the_model(train, tmp_path, generator):
    """Parameters of a transform: the optimizer has them, the model has not."""

    def run(checkpoint):
        model, factor = nn.Linear(6, 3).double(), nn.Parameter(torch.ones((), dtype=torch.float64))
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        parameters = [factor, *model.parameters()]
        settings = {"parameters": parameters, "transform": lambda images: images * factor, "batch_size": 8}
        fit(model, train, epochs=2, generator=generator(0), checkpoint=checkpoint, **settings)
        return [parameter.tolist() for parameter in parameters]

    expected = run(None)
    with pytest.raises(Ended):
        run(Ending(tmp_path, 4, False))
    assert run(Checkpoint(tmp_path)) == expected
    assert expected[0] != 1


def test_a_damaged_file_is_passed_over(start, tmp_path):
    """Truncated, empty, or something else: the one before it is good enough."""
    expected = start("everything", None)
    for damage in (lambda path: path.read_bytes()[:-50], lambda path: b"", lambda path: b"{}" * 100):
        folder = tmp_path / "state"
        with pytest.raises(Ended):
            start("everything", Ending(folder, 5, False))
        newest = folder / "step-5.pt"
        newest.write_bytes(damage(newest))
        message = (
            rf"{re.escape(str(newest))}: cannot be read \(\w+\); renamed to step-5.pt.bad; going on from the state"
        )
        with pytest.warns(CheckpointWarning, match=message) as caught:
            assert start("everything", Checkpoint(folder, every=1000), seed=8) == expected
        assert len(caught) == 1
        Checkpoint(folder).remove()


def test_all_damaged_is_a_fresh_start_whose_states_are_kept(start, tmp_path):
    expected, folder = start("everything", None), tmp_path / "state"
    with pytest.raises(Ended):
        start("everything", Ending(folder, 7, False))
    for path in folder.iterdir():
        path.write_bytes(b"damaged")
    with pytest.warns(CheckpointWarning) as caught, pytest.raises(Ended):
        start("everything", Ending(folder, 3, False))
    assert len(caught) == 2
    kept = [f"step-{step}.pt{bad}" for step, bad in ((2, ""), (3, ""), (6, ".bad"), (7, ".bad"))]
    assert sorted(path.name for path in folder.iterdir()) == kept
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert start("everything", Checkpoint(folder, every=0), seed=8) == expected


def test_a_run_shorter_than_every_writes_nothing(start, tmp_path):
    expected = start("everything", None)
    assert start("everything", Checkpoint(tmp_path / "state", every=60)) == expected
    assert list(tmp_path.iterdir()) == []


def test_the_clock_starts_with_the_run(monkeypatch, start, tmp_path):
    """Not when the checkpoint was made; and the next save is due ``every`` seconds after the last."""
    seconds = iter(range(0, 10**6, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    checkpoint, saved = Checkpoint(tmp_path, every=25), []
    monkeypatch.setattr(checkpoint, "save", lambda step, state: saved.append(step) or checkpoint.start())
    for _ in range(10):
        next(seconds)
    start("everything", checkpoint)
    assert saved == [3, 6, 9]


def test_remove(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a" / "state", every=0)
    checkpoint.remove()
    for step in range(1, 5):
        checkpoint.save(step, {"step": step})
    (checkpoint.folder / ".step-4.pt.0123abcd").write_bytes(b"a save that was killed")
    assert sorted(path.name for path in checkpoint.folder.glob("step*")) == ["step-3.pt", "step-4.pt"]
    ((path, state), *_) = checkpoint.states()
    assert (path.name, state) == ("step-4.pt", {"step": 4, "identity": None})
    checkpoint.remove()
    assert list((tmp_path / "a").iterdir()) == []
    checkpoint.save(1, {})
    kept = [checkpoint.folder / name for name in ("notes.txt", "step-one.pt", ".step-notes")]
    for path in kept:
        path.write_text("not ours")
    checkpoint.remove()
    assert sorted(checkpoint.folder.iterdir()) == sorted(kept)
    assert list(checkpoint.states()) == []


def test_a_save_that_was_killed_is_cleared_away_at_the_next_start(start, tmp_path):
    left = tmp_path / ".step-4.pt.0123abcd"
    left.write_bytes(b"a save that was killed")
    start("everything", Checkpoint(tmp_path, every=60))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("every", [-1, -1e-9, float("nan")])
def test_seconds_below_zero(tmp_path, every):
    with pytest.raises(InputError, match=f"^every={every}: must be a finite number of at least 0$"):
        Checkpoint(tmp_path, every=every)


def test_a_folder_that_cannot_be_written_to(start, tmp_path):
    """Announced once; the run goes on without its state."""
    (tmp_path / "file").touch()
    with pytest.warns(CheckpointWarning, match=r"^cannot write .*step-1\.pt: .*; training goes on, without") as caught:
        found = start("everything", Checkpoint(tmp_path / "file" / "state", every=0))
    assert (len(caught), found) == (1, start("everything", None))


def test_every_flipped_bit_is_noticed(start, tmp_path):
    """torch alone would read nearly all of these states, with other values."""
    expected, folder = start("everything", None), tmp_path / "state"
    with pytest.raises(Ended):
        start("everything", Ending(folder, 5, False))
    newest, read = folder / "step-5.pt", 0
    whole = newest.read_bytes()
    for place in range(100, len(whole) - 100, len(whole) // 40):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        newest.write_bytes(flipped)
        with contextlib.suppress(Exception):
            torch.load(newest, weights_only=True)
            read += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)  # bits between two members change nothing
            assert start("everything", Checkpoint(folder, every=1000), seed=8) == expected
    assert read > 20


IMPOSSIBLE = {
    "far ahead": lambda state: state["progress"].update(position=10**9),
    "another epoch": lambda state: state["progress"].update(epoch=3),
    "a name of the loop": lambda state: state["progress"].update(model="x"),
    "no losses": lambda state: state["progress"].update(losses=[]),
    "no order": lambda state: state["progress"]["orders"][0].fill_(0),
    "a text in the history": lambda state: state["histories"][0].update(train_loss=["low"]),
    "another epoch in the history": lambda state: state["histories"][0].update(train_loss=[0.5, 0.5]),
    "a share above 1": lambda state: state["histories"][0].update(validation_accuracy=[1.5]),
    "another measure": lambda state: state["histories"][0].update(mood=1.0),
    "values that are not finite": lambda state: state["model"]["1.weight"].fill_(torch.nan),
    "a missing part": lambda state: state.pop("generators"),
    "a list for a tensor": lambda state: state["random"].update(cpu=[1, 2]),
    "no observer's state": lambda state: state.update(observers=[{"other": 1}]),
    "momentum of another shape": lambda state: state["optimizers"][0].update(param_groups=[]),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_a_state_that_cannot_be_is_not_gone_on_from(start, tmp_path, kind):
    """The one before it is, and with none left the run starts afresh as if nothing had been there."""
    expected, folder = start("everything", None), tmp_path / "state"
    with pytest.raises(Ended):
        start("everything", Ending(folder, 5, False))
    for num_bad in (1, 2):
        for path in folder.glob("*.bad"):
            path.unlink()
        for path in sorted(folder.glob("step-*.pt"), reverse=True)[:num_bad]:
            state = torch.load(path)
            IMPOSSIBLE[kind](state)
            torch.save(state, path)
        with pytest.warns(CheckpointWarning, match=r"is no state that this run can have \(.+\); renamed to") as caught:
            assert start("everything", Checkpoint(folder, every=1000), seed=8 if num_bad == 1 else 7) == expected
        assert len(caught) == 1 == len(list(folder.glob("*.bad")))


def test_the_state_of_another_identity_is_set_aside(start, tmp_path):
    """Another seed of the same settings has a state of the same form: only its identity tells them apart."""
    expected = start("everything", None)
    with pytest.raises(Ended):
        start("everything", Ending(tmp_path, 5, False))
    mine = {"seed": 0, "threads": 2}
    for path in tmp_path.iterdir():
        torch.save(torch.load(path) | {"identity": mine | {"seed": 1}}, path)
    with pytest.warns(CheckpointWarning, match=r"is the state of another run \(another seed\); renamed to"):
        start("everything", Checkpoint(tmp_path, every=1000, identity=mine), seed=7)
    for path in tmp_path.iterdir():
        torch.save(torch.load(path) | {"identity": mine}, path.with_suffix(""))
        path.unlink()
    assert start("everything", Checkpoint(tmp_path, every=1000, identity=mine), seed=8) == expected


def test_what_differs_is_told_in_words(start, tmp_path):
    """A name of a user's own stays as it is."""
    theirs = {"threads": 1, "torch": "2.0", "seeds": [1], "initial_hashes": ["a"], "own": 1}
    mine = {"threads": 2, "torch": "2.0", "seeds": [2], "initial_hashes": ["b"], "own": 2}
    words = "another number of threads, choice of seeds, start, own"
    assert checkpoint._difference({"identity": theirs}, mine) == words
    assert checkpoint._difference({"identity": theirs | {"threads": 2}}, mine | {"seeds": [1]}) == "another start, own"


def test_a_folder_that_is_a_link(start, tmp_path):
    """What it leads to is neither read nor written nor removed."""
    (tmp_path / "own").mkdir()
    kept = [tmp_path / "own" / name for name in ("step-100.pt", ".step-1.pt.bak")]
    for path in kept:
        path.write_text("mine")
    (tmp_path / "state").symlink_to(tmp_path / "own")
    with pytest.raises(InputError, match="is a link; states are saved in folders alone, so remove it"):
        start("everything", Checkpoint(tmp_path / "state", every=0))
    Checkpoint(tmp_path / "state").remove()
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == sorted(path.name for path in kept)


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_state_that_is_no_regular_file(start, tmp_path, kind):
    expected, path = start("everything", None), tmp_path / "state" / "step-7.pt"
    path.parent.mkdir()
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    with pytest.warns(CheckpointWarning, match="cannot be read"):
        assert start("everything", Checkpoint(tmp_path / "state", every=1000)) == expected


OTHER = {
    "make": lambda: nn.Linear(6, 3),
    "learning_rate": 0.03,
    "batch_size": 9,
    "warmup_steps": 1,
    "reduction": "mean",
    "order": "fixed",
    "evaluation_mode": "train",
    "validation": None,
    "remedy": 3,
}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *[(kind, {}) for kind in ("sgd", "everything", "stacked", "muon", "adamw")],
        *[("adam", {name: value}) for name, value in OTHER.items()],
    ],
)
def test_the_state_of_another_run(start, tmp_path, kind, changes):
    with pytest.raises(Ended):
        start("adam", Ending(tmp_path / "state", 2, False))
    message = f"^checkpoint: {re.escape(str(tmp_path / 'state'))} holds the state of a run with another model or other"
    with pytest.raises(InputError, match=message):
        start(kind, Checkpoint(tmp_path / "state"), **changes)


def test_more_epochs_are_no_other_run(start, tmp_path):
    """Neither is another bound on steps, as long as it lies ahead."""
    start("adam", Checkpoint(tmp_path, every=0), max_steps=4)
    assert start("adam", Checkpoint(tmp_path, every=0), epochs=4, max_steps=4) == start("adam", None, max_steps=4)
    Checkpoint(tmp_path).remove()
    start("adam", Checkpoint(tmp_path, every=0), epochs=2)
    assert start("adam", Checkpoint(tmp_path, every=0), epochs=4) == start("adam", None, epochs=4)


def test_observers_without_a_state_may_come_and_go(train, tmp_path, generator):
    """A run is taken up with a log beside it; the states find those that they belong to."""

    def run(checkpoint, *observers) -> None:
        fit(dense().double(), train, epochs=1, batch_size=8, checkpoint=checkpoint, observers=observers)

    counters = [Counter(), Counter(), Counter(), Counter()]
    with pytest.raises(Ended):
        run(Ending(tmp_path, 2, False), counters[0], Silent(), counters[1])
    counters[0].seen[0] = -1.0
    torch.save(
        torch.load(tmp_path / "step-2.pt") | {"observers": [each.state_dict() for each in counters[:2]]},
        tmp_path / "step-2.pt",
    )
    run(Checkpoint(tmp_path), Silent(), Silent(), counters[2], counters[3])
    assert [len(each.seen) for each in counters] == [2, 2, 3, 3]
    assert (counters[2].seen[0], counters[3].seen[0]) == (-1.0, counters[1].seen[0])
    with pytest.raises(InputError, match="holds the state of a run with another model or other settings"):
        run(Checkpoint(tmp_path), Counter())


def test_a_file_that_holds_something_else(start, tmp_path):
    torch.save({"weights": torch.ones(3)}, tmp_path / "step-7.pt")
    with pytest.raises(InputError, match="holds the state of a run with another model or other settings; remove it or"):
        start("adam", Checkpoint(tmp_path))


def test_an_observer_whose_state_could_not_be_read_back(train, tmp_path):
    """Told at the first save and not after a kill."""

    class Odd(Counter):
        def state_dict(self) -> dict:
            return {"seen": re.compile("x")}

    message = "^observers: the state of one cannot be read from a checkpoint; let its state_dict hold only"
    with pytest.raises(InputError, match=message):
        fit(dense().double(), train, epochs=1, checkpoint=Checkpoint(tmp_path / "state", every=0), observers=[Odd()])
    assert not (tmp_path / "state").exists()


def test_the_remedy_goes_on_with_what_remained(train, tmp_path, generator):
    """Ended after two of five steps: three are left, and none are started anew."""
    remaining = []

    class Watch(Observer):
        def __init__(self, remedy) -> None:
            self.remedy = remedy

        def on_gradients(self, state) -> None:
            remaining.append(self.remedy.remaining)

    def run(checkpoint) -> nn.Module:
        model = convolutional().double()
        remedy = AffineNorms(model, 5)
        settings = {"generator": generator(0), "observers": [remedy, Watch(remedy)]}
        fit(model, train, epochs=3, batch_size=8, checkpoint=checkpoint, **settings)
        assert not model._forward_hooks
        assert not model._forward_pre_hooks
        return model

    with pytest.raises(Ended):
        run(Ending(tmp_path, 2, False))
    assert run(Checkpoint(tmp_path, every=0))[2].num_batches_tracked == NUM_STEPS - 5
    assert remaining == [5, 4, 3, 2, 1, 0, 0, 0, 0]
    assert run(Checkpoint(tmp_path, every=0))[2].num_batches_tracked == NUM_STEPS - 5
