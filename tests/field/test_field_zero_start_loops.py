"""A zero start in training loops as people write them: it counts updates, and says what it could not do.

The loops are in ``benchmarks/training_loops.py``, which prints the table of docs/reference/zero_start.md from them.
Sources:

* skipped updates: https://github.com/pytorch/pytorch/issues/67590 (nobody is told that ``GradScaler`` skipped a step),
  https://github.com/huggingface/accelerate/pull/4243 (a fused optimizer's ``step`` is called and changes nothing);
* hooks and ``torch.compile``: https://github.com/pytorch/pytorch/issues/117758 (those that come later never run);
* checkpointing: https://github.com/pytorch/pytorch/issues/81296, https://github.com/pytorch/pytorch/pull/69027.
"""

import importlib
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils.checkpoint import checkpoint

import zeroinit
from zeroinit import RemedyWarning, zero_start_
from zeroinit.remedies import make_remedy

FOLDER = Path(__file__).parents[2] / "benchmarks"
WITH_WARNING = {
    "updates by hand": "^moments are not reset: you update the parameters by hand, .*; clear the state",
    "training ends early": "^zero start: the optimizer keeps its moments and weights are not made orthogonal: training "
    r"ended after 4 of 12 updates; make 12 updates before the with statement \(or fit\) ends, or pass steps=4",
    "optimizer of other parameters": "after 0 of 12 updates: no optimizer updated this Dense; build the optimizer from "
    "this model's parameters",
}


@pytest.fixture(scope="module")
def loops():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("training_loops")
    finally:
        sys.path.remove(str(FOLDER))


def names() -> list[str]:
    sys.path.insert(0, str(FOLDER))
    try:
        return list(importlib.import_module("training_loops").LOOPS)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("name", names())
def test_each_loop_ends_as_promised_or_with_the_warning(loops, name):
    outcome = loops.run(name)
    if name not in WITH_WARNING:
        assert (outcome.is_orthogonal, outcome.is_fresh, outcome.messages) == (True, True, [])
        assert outcome.start.standing() == "done after 12 updates"
        return
    (message,) = outcome.messages
    with pytest.raises(RemedyWarning, match=WITH_WARNING[name]):
        raise RemedyWarning(message)
    assert outcome.is_orthogonal == (name == "updates by hand")


def test_the_page_lists_each_loop():
    page = (FOLDER.parent / "docs" / "reference" / "zero_start.md").read_text(encoding="utf-8")
    for name in names():
        end = "see the warning" if name in WITH_WARNING else "fresh | – |"
        assert re.search(rf"\n\| {re.escape(name)} \| (yes|no) \| {re.escape(end)}", page)


def test_gradients_of_three_passes_are_one_update_as_of_one_pass(loops):
    """The same images in one pass or in three give the same signals but for the signs drawn."""
    counts = [loops.run(name).start.parts[-1]._updates.num for name in ("one pass an update", "gradients of 3 passes")]
    assert counts == [12, 12]


def model_and_data():
    draw = torch.Generator().manual_seed(1)
    images, labels = torch.randn(32, 12, generator=draw), torch.randint(5, (32,), generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))
    return model, images, labels


def step(model, images, labels, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def start_of(model) -> "zeroinit.ZeroStart":
    return zero_start_(model, generator=torch.Generator().manual_seed(2))


def test_where_it_stands_is_told():
    model, images, labels = model_and_data()
    optimizer, start = Adam(model.parameters()), start_of(model)
    told = [str(start).splitlines()[0]]
    with start:
        for number in range(12):
            step(model, images, labels, optimizer)
            if number in (0, 11):
                told.append(str(start).splitlines()[0])
    assert told == [
        "zero start, not begun: nothing acts; train inside `with start:`, or pass observers=[start] to fit",
        "zero start, acting: 1 of 10 updates done",
        "zero start, done after 10 updates",
    ]


def test_an_error_in_the_loop_is_not_joined_by_a_warning():
    model, images, labels = model_and_data()

    def fail() -> None:
        with start_of(model):
            step(model, images, labels, Adam(model.parameters()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_gradscaler_that_skips_everything_is_named():
    model, images, labels = model_and_data()
    optimizer = SGD(model.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    start = start_of(model)
    start.attach()
    for _ in range(3):
        scaler.scale(F.cross_entropy(model(images), labels) * torch.inf).backward()
        scaler.step(optimizer)
        scaler.update()
    assert start.remaining == start.steps
    assert "3 steps changed nothing" in start.standing()
    with pytest.warns(RemedyWarning, match="3 steps of the optimizer changed nothing: .*; call backward"):
        start.__exit__(None, None, None)


@pytest.mark.parametrize("when", ["before", "after its first call", "inside"])
@pytest.mark.parametrize("given", ["model", "compiled"])
def test_compiled_it_trains_as_it_is_and_is_compiled_when_the_first_updates_are_over(when, given):
    """And the compiled code holds no hook."""
    num_graphs = 0

    def backend(graph, inputs):
        nonlocal num_graphs
        num_graphs += 1
        return graph.forward

    torch._dynamo.reset()
    plain, images, labels = model_and_data()
    with start_of(plain):
        optimizer = SGD(plain.parameters(), lr=0.1)
        for _ in range(13):
            step(plain, images, labels, optimizer)
    model, images, labels = model_and_data()
    fast = torch.compile(model, backend=backend)
    if when == "after its first call":
        fast(images)
    counts = []
    with start_of(fast if given == "compiled" and when != "inside" else model):
        fast = torch.compile(model, backend=backend) if when == "inside" else fast
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(13):
            step(fast, images, labels, optimizer)
            counts.append(num_graphs)
    assert counts[9] == (1 if when == "after its first call" else 0)
    assert counts[-1] == 1
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), plain.parameters(), strict=True))


class Checkpointed(nn.Module):
    """A stem and blocks that may be run again in the backward pass."""

    def __init__(self, **settings: bool):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh()) for _ in range(2)
        )
        self.settings = settings

    def forward(self, images):
        hidden = self.stem(images)
        for block in self.blocks:
            hidden = checkpoint(block, hidden, **self.settings) if self.settings else block(hidden)
        return self.head(hidden.mean((2, 3)))


def trained(remedy: str, num: int = 4, **settings: bool) -> nn.Module:
    draw = torch.Generator().manual_seed(3)
    images, labels = torch.randn(8, 3, 5, 5, generator=draw), torch.arange(8) % 5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Checkpointed(**settings)
    with make_remedy(remedy, model, num, generator=torch.Generator().manual_seed(4)):
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(num + 1):
            step(model, images, labels, optimizer)
    return model


def are_close(one: nn.Module, other: nn.Module) -> bool:
    """Compare parameters: torch itself moves the statistics of norms twice where it runs a block again."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(*pair, rtol=1e-5, atol=1e-7) for pair in pairs)


EVERYWHERE = ["position_signs", "affine_norms", "early_dropout", "unit_masks", "channel_signs"]


@pytest.mark.parametrize("remedy", [*EVERYWHERE, "fixed_position_signs", "class_signs"])
def test_with_checkpoints_that_keep_the_graph_training_is_the_same(remedy):
    """What is run again draws nothing anew, is in the same mode, and saves the same tensors."""
    assert are_close(trained(remedy, use_reentrant=False), trained(remedy))
    assert not are_close(trained(remedy), trained("warmup:1"))


@pytest.mark.parametrize("remedy", ["position_signs", "channel_signs", "unit_masks"])
def test_reentrant_checkpoints_get_masks_when_they_run_again(remedy):
    """Without the first pass having shown a gradient; the draws come in another order."""
    assert not are_close(trained(remedy, use_reentrant=True), trained("warmup:1", use_reentrant=True))


@pytest.mark.parametrize("remedy", ["affine_norms", "fixed_position_signs", "class_signs"])
def test_reentrant_checkpoints_train_the_same_where_nothing_is_drawn_anew(remedy):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RemedyWarning)
        ours, plain = trained(remedy, use_reentrant=True), trained(remedy)
    counts = [model.blocks[0][1].num_batches_tracked.item() for model in (ours, plain)]
    assert counts == ([2, 1] if remedy == "affine_norms" else [10, 5])  # torch runs a block twice
    assert are_close(ours, plain)
    assert not are_close(plain, trained("warmup:1"))


def test_dropout_in_reentrant_checkpoints_is_said_not_to_act():
    with pytest.warns(
        RemedyWarning, match="^early_dropout has no effect on 'blocks.1.0': .*; pass use_reentrant=False"
    ):
        ours = trained("early_dropout", use_reentrant=True)
    assert not are_close(ours, trained("early_dropout"))


def test_norms_in_a_model_that_is_checkpointed_whole_are_said_not_to_act():
    draw = torch.Generator().manual_seed(3)
    images, labels = torch.randn(8, 3, 5, 5, generator=draw, requires_grad=True), torch.arange(8) % 5
    model = Checkpointed()
    optimizer = SGD(model.parameters(), lr=0.1)
    with make_remedy("affine_norms", model, 2):
        loss = F.cross_entropy(checkpoint(model, images, use_reentrant=True), labels)
        with pytest.warns(RemedyWarning, match="^affine_norms has no effect on 'blocks.0.1': activation checkpointing"):
            loss.backward()
        optimizer.step()


def test_an_optimizer_that_is_made_anew_goes_on_with_the_count():
    """One for each epoch, as ``fit`` that is called twice."""
    model, images, labels = model_and_data()
    with start_of(model) as start:
        for _ in range(3):
            optimizer = Adam(model.parameters())
            for _ in range(4):
                step(model, images, labels, optimizer)
    assert start.standing() == "done after 10 updates"
    assert optimizer.state[model[0].weight]["step"] == 2


class Sharpness(Optimizer):
    """Sharpness-aware steps around another optimizer, as https://github.com/davda54/sam has them."""

    def __init__(self, base: Optimizer):
        super().__init__(base.param_groups, {})
        self.base, self.param_groups = base, base.param_groups

    @torch.no_grad()
    def step(self, closure):
        moved = [(each, 0.05 * each.grad) for group in self.param_groups for each in group["params"]]
        for parameter, distance in moved:
            parameter.add_(distance)
        with torch.enable_grad():
            closure()
        for parameter, distance in moved:
            parameter.sub_(distance)
        self.base.step()


def test_an_optimizer_around_another_makes_one_update():
    model, images, labels = model_and_data()
    optimizer = Sharpness(Adam(model.parameters()))

    def closure() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()

    with start_of(model) as start:
        for number in range(1, 13):
            closure()
            optimizer.step(closure)
            assert start.steps - start.remaining == min(number, 10)
    assert optimizer.base.state[model[0].weight]["step"] == 2


def test_an_optimizer_that_rests_is_not_waited_for():
    """The head trains for two updates, then the rest alone."""
    model, images, labels = model_and_data()
    head = SGD(model[4].parameters(), lr=0.1)
    for parameter in model[:4].parameters():
        parameter.requires_grad_(False)
    start = make_remedy("moment_reset:12", model, 12)
    with start:
        for _ in range(2):
            step(model, images, labels, head)
        model.requires_grad_(True)
        body = SGD(model[:4].parameters(), lr=0.1, momentum=0.9)
        for _ in range(25):
            step(model, images, labels, body)
            if not start.remaining:
                break
    assert start.remaining == 0
