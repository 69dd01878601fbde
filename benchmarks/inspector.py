"""What an inspection costs: time and passes of healthy models, memory against the model, GPT-2 small as a whole.

* The whole inspection is timed, in turn with one forward and backward pass of the model; the ratio is taken within each
  round, and its median is shown. Nothing is subtracted.
* Passes are counted: every forward pass of a copy, in either precision.
* Memory is the peak of a process of its own above what it held before, in the size of parameters and buffers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from measure import measure_in_turn, middle, print_table, ratios, span, write_results
from zeroinit.bench.models import build_model
from zeroinit.symmetry import inspect
from zeroinit.symmetry.measures.partition import group_equal_rows, num_groups

BOUNDS = {
    "passes": 10,
    "whole": 10.0,
    "GPT-2 small, memory": 6.0,
    "GPT-2 small, seconds": 20.0,
    "adapter, memory": 1.6,
    "embedding, memory": 4.0,
    "a million units, seconds": 2.0,
}
Made = tuple[nn.Module, Tensor | tuple[Tensor, Tensor] | dict[str, Tensor]]


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


def adapter(dtype: torch.dtype) -> Made:
    """Return a language model with a low-rank adapter, .33 % of it trainable, and random tokens."""
    import peft
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=8000, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=64,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = transformers.LlamaForCausalLM(config).to(dtype)
        model = peft.get_peft_model(base, peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
    tokens = torch.randint(8000, (2, 32), generator=torch.Generator().manual_seed(0))
    return model, {"input_ids": tokens, "labels": tokens}


class Bag(nn.Module):
    """A large vocabulary in front of a small network."""

    def __init__(self):
        super().__init__()
        self.table, self.dense, self.head = nn.Embedding(1_000_000, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, words: Tensor) -> Tensor:
        """Take the mean over the words (batch, words)."""
        return self.head(F.relu(self.dense(self.table(words).mean(1))))


def embedding() -> Made:
    """Return a model with an embedding of 32 million values, and random words with classes."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1_000_000, (32, 16), generator=generator)
    return Bag(), (words, torch.randint(5, (32,), generator=generator))


MODELS: dict[str, Callable[[], Made]] = {
    "cifar_cnn": partial(images, "cifar_cnn", 8),
    "resnet18": partial(images, "resnet18", 8),
    "gpt2, 2 layers of 128": partial(gpt2, 8, 64, vocab_size=1000, n_embd=128, n_layer=2, n_head=4),
    "gpt2 small": partial(gpt2, 2, 64),
    "adapter, float32": partial(adapter, torch.float32),
    "adapter, bfloat16": partial(adapter, torch.bfloat16),
    "embedding": embedding,
}
SMALL = tuple(MODELS)[:3]


def forward_backward(model: nn.Module, batch: Tensor | dict[str, Tensor]) -> None:
    """Run the model as it is once forward and backward."""
    model.zero_grad(set_to_none=True)
    if isinstance(batch, dict):
        model(**batch).loss.backward()
    else:
        F.cross_entropy(model(batch), torch.zeros(len(batch), dtype=torch.int64)).backward()


class Counted:
    """Counts the forward passes of a model and of its copies."""

    def __init__(self):
        self.count = 0

    def __deepcopy__(self, memo: dict) -> "Counted":
        return self

    def __call__(self, *_: object) -> None:  # noqa: D102, a hook
        self.count += 1


def in_passes(name: str, rounds: int) -> dict:
    """Return the time of a whole inspection in that of one forward-backward pass, and the number of its passes."""
    model, batch = MODELS[name]()
    contestants = {"pass": lambda: forward_backward(model, batch), "whole": lambda: inspect(model, batch)}
    seconds = measure_in_turn(contestants, rounds)
    counted = Counted()
    handle = model.register_forward_hook(counted)
    inspect(model, batch)
    handle.remove()
    return {"whole": middle(ratios(seconds, "whole", "pass")), "passes": counted.count}


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
    inspect(model, batch)
    return {"seconds": time.perf_counter() - start, "memory": (memory("VmHWM") - before) / size, "bytes": size}


def memory(field: str) -> int:
    """Return the bytes that this process holds (``VmRSS``) or held at most (``VmHWM``); Linux only."""
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def grouping(rounds: int) -> dict[str, float]:
    """Return the seconds in which a million units with 9 values each, in identical pairs, are grouped."""
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
    uses = {name: use_of(name) for name in MODELS if name not in SMALL}
    report(rows, uses, grouping(arguments.rounds))


def report(rows: list[dict], uses: dict[str, dict[str, float]], units: dict[str, float]) -> None:
    """Print the figures, and write them as the README's table shows them."""
    large = uses["gpt2 small"]
    cells = [
        *([f"{row['model']}: passes in all", f"{row['passes']}", "10"] for row in rows),
        *([f"{row['model']}: time, in passes", span(row["whole"]), "10"] for row in rows),
        ["GPT-2 small (124 M), 64 tokens, batch 2: seconds", f"{large['seconds']:.0f}", "20"],
        ["the same: peak memory to the model's", f"{large['memory']:.2f}", "6"],
        *(
            [f"adapter of .33 %, frozen {kind}: peak memory", f"{uses[f'adapter, {kind}']['memory']:.2f}", "1.6"]
            for kind in ("float32", "bfloat16")
        ),
        ["embedding of 32 M values: peak memory", f"{uses['embedding']['memory']:.2f}", "4"],
        ["a million units grouped: seconds", span(units), "2"],
    ]
    header = ["", "measured", "at most"]
    notes = [
        "pass: one forward and backward pass of the model in float32, without update, in turn with the inspection",
        "passes in all: forward passes of copies, in either precision",
        "memory is the peak of a process above what it held before, in the size of the model's parameters and buffers",
    ]
    title = "What inspect costs"
    print_table(title, header, cells, notes)
    content = {"title": title, "header": header, "cells": cells, "notes": notes, "bounds": BOUNDS}
    write_results("inspector", content | {"models": rows, "memory": uses, "units": units})


if __name__ == "__main__":
    main()
