"""Two gloo processes: the first one watches and speaks, both stop; and the loops of accelerate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import zeroinit
from zeroinit import InputError
from zeroinit.integrations import watch
from zeroinit.integrations.inspection import FirstInspection

from .test_integrations_own_loop import BATCH, build


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[dict]:
    """What each of two processes saw."""
    meeting = tmp_path_factory.mktemp("ddp") / "meeting"
    script = Path(__file__).with_name("two_processes.py")
    running = [
        subprocess.Popen([sys.executable, script, str(rank), meeting], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [each.communicate(timeout=180)[0] for each in running]
    assert [each.returncode for each in running] == [0, 0]
    return [json.loads(each.splitlines()[-1]) for each in outputs]


def test_the_first_process_watches_the_gradients_of_both(both):
    assert [each["logged"] for each in both] == [[1, 2, 3], []]
    assert both[0]["verdict"] == "After 3 updates: no units are identical, and each of 4 parameters had a gradient."
    assert both[1]["verdict"] == "Watched in the first process."
    assert both[0]["norm"] == both[1]["norm"]
    batches = torch.randn(2, 3, 5, 3, generator=torch.Generator().manual_seed(1))
    alone = build()
    alone(batches[:, 0].flatten(0, 1)).square().mean().backward()
    assert both[0]["gradients"][0] == pytest.approx(float(alone[0].weight.grad.abs().max()), rel=1e-4)
    assert both[1]["gradients"] == []


def test_a_strict_inspection_stops_both_with_one_text(both):
    assert both[0]["error"] == both[1]["error"]
    assert both[0]["error"].startswith("strict=True: training stops before its first update. ")
    assert [each["shown"] for each in both] == [0, 0]


def test_one_process_alone_inspects_with_an_optimizer_whose_step_calls_the_others(both):
    assert both[0]["sharing"] == ["Adam in place of ZeroRedundancyOptimizer", 0]
    assert "sharing" not in both[1]


def test_a_loop_of_accelerate_that_accumulates():
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    try:
        model = build()
        before = model
        model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        with watch(model) as seen:
            for _ in range(9):
                with accelerator.accumulate(model):
                    accelerator.backward((model(BATCH) - 1).square().mean())
                    optimizer.step()
                    optimizer.zero_grad()
    finally:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerate.state.GradientState._reset_state()
    assert seen.num_updates == 3
    assert seen.without_gradient == ()
    alone = build()
    (alone(BATCH) - 1).square().mean().backward()
    first = next(each for each in seen.records if each.path == "0")
    assert first.gradient == pytest.approx(float(alone[0].weight.grad.abs().max()), rel=1e-4)
    assert before is model


def test_a_wrapper_that_is_left_on_is_taken_off():
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with zeroinit.watch(nn.DataParallel(model)) as seen:
        model(BATCH).sum().backward()
        optimizer.step()
    assert {each.path for each in seen.records} == {"0", "2"}


class DTensor(nn.Parameter):
    """Stands for torch's tensor in pieces, which needs a process group."""


def test_a_sharded_model_is_refused_with_the_way_out():
    model, shown = build(), []
    model[0].weight = DTensor(model[0].weight.detach())
    with pytest.raises(
        InputError, match=r"0\.weight is sharded over processes; use zeroinit before the model is sharded"
    ):
        watch(model)
    with pytest.raises(InputError, match=r"0\.weight is sharded over processes; call zeroinit\.inspect before"):
        zeroinit.inspect(model, BATCH)
    FirstInspection(False, (), shown.append, {}).run(model, BATCH)
    assert "call zeroinit.inspect before the model is sharded" in shown[0]
