"""What an inspection costs: seconds against forward-backward passes, memory against the model, GPT-2 small as a whole.

* A shadow step is one update of the float32 copy and one of the float64 copy, with all that is watched: a quarter of
  what four more steps cost. The whole inspection of four steps stands beside it: copies, first looks, reasons.
* Memory is the peak of a process of its own above what it held before, in the size of parameters and buffers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from measure import measure_in_turn, middle, print_table, span, write_results
from zeroinit.models import build_model
from zeroinit.symmetry import inspect
from zeroinit.symmetry.partition import group_equal_rows, num_groups

STEPS = 4
BOUNDS = {"shadow step": 6.0, "memory": 6.0, "GPT-2 small, seconds": 90.0, "a million units, seconds": 2.0}
Made = tuple[nn.Module, Tensor | dict[str, Tensor]]


def images(name: str, batch: int) -> Made:
    """Return a network of the paper's CIFAR-10 half and noise for images."""
    generator = torch.Generator().manual_seed(0)
    return build_model(name, (3, 32, 32), 10), torch.randn(batch, 3, 32, 32, generator=generator)


def gpt2(batch: int, length: int, **settings: int) -> Made:
    """Return a GPT-2 from its configuration, by default the small one, and random tokens."""
    import transformers

    config = transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **settings)
    tokens = torch.randint(config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(0))
    return transformers.GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens}


MODELS: dict[str, Callable[[], Made]] = {
    "cifar_cnn": partial(images, "cifar_cnn", 8),
    "resnet18": partial(images, "resnet18", 8),
    "gpt2, 2 layers of 128": partial(gpt2, 8, 64, vocab_size=1000, n_embd=128, n_layer=2, n_head=4),
    "gpt2 small": partial(gpt2, 2, 64),
}
SMALL = tuple(MODELS)[:3]


def forward_backward(model: nn.Module, batch: Tensor | dict[str, Tensor]) -> None:
    """Run the model as it is once forward and backward."""
    model.zero_grad(set_to_none=True)
    if isinstance(batch, dict):
        model(**batch).loss.backward()
    else:
        F.cross_entropy(model(batch), torch.zeros(len(batch), dtype=torch.int64)).backward()


def in_passes(name: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return the time of one shadow step, and of a whole inspection, in that of one forward-backward pass."""
    model, batch = MODELS[name]()
    contestants = {
        "pass": lambda: [forward_backward(model, batch) for _ in range(STEPS)],
        "short": lambda: inspect(model, batch, steps=STEPS),
        "long": lambda: inspect(model, batch, steps=2 * STEPS),
    }
    seconds = measure_in_turn(contestants, rounds)
    rows = list(zip(seconds["pass"], seconds["short"], seconds["long"], strict=True))
    return {
        "step": middle([(long - short) / one for one, short, long in rows]),
        "whole": middle([STEPS * short / one for one, short, _ in rows]),
    }


def use_of(name: str) -> dict[str, float]:
    """Inspect a model in a process of its own; return seconds, and its peak of memory in the model's size."""
    command = [sys.executable, __file__, "--use-of", name, "--threads", str(torch.get_num_threads())]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measure_use(name: str) -> dict[str, float]:
    """Inspect a model here, after a tiny one, so that what is loaded only once does not count."""
    inspect(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), torch.ones(4, 3), steps=1)
    model, batch = MODELS[name]()
    size = sum(each.numel() * each.element_size() for each in [*model.parameters(), *model.buffers()])
    before = memory("VmRSS")
    start = time.perf_counter()
    inspect(model, batch, steps=STEPS)
    return {"seconds": time.perf_counter() - start, "memory": (memory("VmHWM") - before) / size, "bytes": size}


def memory(field: str) -> int:
    """Return the bytes that this process holds (``VmRSS``) or held at most (``VmHWM``); Linux only."""
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def grouping(rounds: int) -> dict[str, float]:
    """Return the seconds in which a million units with 9 values each, in pairs of twins, are grouped."""
    rows = torch.randn(1_000_000, 9, generator=torch.Generator().manual_seed(0))
    rows[1::2] = rows[::2]
    assert num_groups(group_equal_rows(rows)) == 500_000
    return middle(measure_in_turn({"group": lambda: group_equal_rows(rows)}, rounds)["group"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--use-of", choices=MODELS, help="inspect one model and print what it took")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.use_of:
        print(json.dumps(measure_use(arguments.use_of)))
        return
    rows = [{"model": name, **in_passes(name, arguments.rounds)} for name in SMALL]
    large = use_of("gpt2 small")
    rows.append({"model": "gpt2 small", **large})
    units = grouping(arguments.rounds)
    report(rows, units)


def report(rows: list[dict], units: dict[str, float]) -> None:
    """Print the figures, and write them as the README's table shows them."""
    large = rows[-1]
    cells = [
        *([f"{row['model']}: one shadow step, in passes", span(row["step"]), "6"] for row in rows[:-1]),
        *([f"{row['model']}: all of {STEPS} steps, in passes", span(row["whole"]), ""] for row in rows[:-1]),
        ["GPT-2 small (124 M), 64 tokens, batch 2, 4 steps: seconds", f"{large['seconds']:.0f}", "90"],
        ["the same: peak memory to the model's", f"{large['memory']:.2f}", "6"],
        ["a million units grouped: seconds", span(units), "2"],
    ]
    header = ["", "measured", "at most"]
    notes = [
        "pass: one forward and backward pass of the model in float32, without update",
        "a shadow step is an update in float32 and one in float64, with all that is watched",
        "memory is the peak of a process above what it held before, in the size of the model's parameters and buffers",
    ]
    title = "What inspect costs"
    print_table(title, header, cells, notes)
    content = {"title": title, "header": header, "cells": cells, "notes": notes, "bounds": BOUNDS}
    write_results("inspector", content | {"models": rows, "units": units})


if __name__ == "__main__":
    main()
