"""A small GPT on the characters of Python's own manual: the zero start, PyTorch's default, and zero output projections.

    python benchmarks/small_gpt.py

Written down before the runs. The text is ``pydoc_data.topics``, which ships with Python: 80 % for training, 10 % for
validation, 10 % for the test. The network has two blocks of width 64 with four heads, and sees 64 characters. Each
start has its own learning rate: the lowest validation loss of three, over two seeds that no final run has. Then ten
paired seeds have 400 updates with Adam on 32 windows each. The result is the test loss, in nats a character.
Hypothesis: the zero start is not worse than PyTorch's default by .02 nats or more. Nothing was tuned on it.

Each result is kept in ``benchmarks/results/small_gpt.json``, and the same command goes on from there.
"""

import argparse
import json
import pydoc_data.topics
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zeroinit
from zeroinit._common import write_atomically
from zeroinit.bench.stats import paired_difference

CONTEXT, WIDTH, HEADS, BLOCKS, BATCH, UPDATES = 64, 64, 4, 2, 32, 400
RATES, TUNING, FINAL = (0.001, 0.00316, 0.01), (1000, 1001), tuple(range(10))
MARGIN = 0.02
RESULTS = Path(__file__).parent / "results" / "small_gpt.json"


class Attention(nn.Module):
    """Causal self-attention, with the names of GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let each token read itself and the earlier ones."""
        parts = self.c_attn(tokens).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        read = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(read.transpose(1, 2).flatten(2))


class Mlp(nn.Sequential):
    """Two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.c_fc, self.gelu, self.c_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)


class Block(nn.Module):
    """Attention and dense layers, each behind a norm and beside a path that adds its input."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH), Mlp()

    def forward(self, tokens: Tensor) -> Tensor:
        """Add both branches to the tokens."""
        tokens = tokens + self.attn(self.ln_1(tokens))
        return tokens + self.mlp(self.ln_2(tokens))


class Gpt(nn.Module):
    """Characters to the logits of the next ones."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.ln_f, self.lm_head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocabulary)

    def forward(self, characters: Tensor) -> Tensor:
        """Map characters (batch, places) to logits (batch, places, vocabulary)."""
        places = torch.arange(characters.shape[1])
        logits: Tensor = self.lm_head(self.ln_f(self.blocks(self.wte(characters) + self.wpe(places))))
        return logits


def default(model: nn.Module, generator: torch.Generator) -> None:
    zeroinit.initialize_(model, "pytorch", generator=generator)


def zero_projections(model: nn.Module, generator: torch.Generator) -> None:
    default(model, generator)
    for name, parameter in model.named_parameters():
        if name.endswith("c_proj.weight") or name.startswith("lm_head"):
            nn.init.zeros_(parameter)


def zero_start(model: nn.Module, generator: torch.Generator) -> zeroinit.ZeroStart:
    return zeroinit.zero_start_(model, generator=generator)


STARTS: dict[str, Callable] = {"default": default, "zero projections": zero_projections, "zero start": zero_start}


def read_text() -> tuple[Tensor, int]:
    text = "\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    alphabet = {character: number for number, character in enumerate(sorted(set(text)))}
    return torch.tensor([alphabet[character] for character in text]), len(alphabet)


def windows(text: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    rows = text[starts[:, None] + torch.arange(CONTEXT + 1)]
    return rows[:, :-1], rows[:, 1:]


def loss_of(model: nn.Module, characters: Tensor, following: Tensor) -> Tensor:
    return F.cross_entropy(model(characters).flatten(0, 1), following.flatten())


def train(start: str, rate: float, seed: int, updates: int, is_final: bool) -> dict:
    text, vocabulary = read_text()
    tenth = len(text) // 10
    train_text, validation, test = text.split([len(text) - 2 * tenth, tenth, tenth])
    torch.manual_seed(seed)  # of embeddings, which no start sets
    model, order = Gpt(vocabulary), torch.Generator().manual_seed(seed)
    hooks = STARTS[start](model, torch.Generator().manual_seed(seed + 1_000_000))
    optimizer, first = torch.optim.Adam(model.parameters(), lr=rate), {}
    with hooks or nullcontext():
        for step in range(1, updates + 1):
            starts = torch.randint(len(train_text) - CONTEXT, (BATCH,), generator=order)
            optimizer.zero_grad()
            loss_of(model, *windows(train_text, starts)).backward()
            for name, parameter in model.named_parameters():
                if name not in first and parameter.grad is not None and parameter.grad.any():
                    first[name] = step
            optimizer.step()
    held_out = test if is_final else validation
    every = torch.arange(0, len(held_out) - CONTEXT, CONTEXT).split(256)
    with torch.no_grad():
        losses = [(loss_of(model.eval(), *windows(held_out, part)).item(), len(part)) for part in every]
    loss = sum(value * count for value, count in losses) / sum(count for _, count in losses)
    return {"loss": loss, "first_gradients": first}


def predict(start: str) -> dict[str, int | None]:
    """Return the update of each parameter's first gradient, as ``inspect`` predicts it before training."""
    text, vocabulary = read_text()
    torch.manual_seed(0)
    model = Gpt(vocabulary)
    hooks = STARTS[start](model, torch.Generator().manual_seed(1_000_000))
    inputs, following = windows(text, torch.arange(0, BATCH * CONTEXT, CONTEXT))
    report = zeroinit.inspect(
        model, inputs, following, loss_fn=lambda logits, true: F.cross_entropy(logits.flatten(0, 1), true.flatten())
    )
    del hooks
    return dict(report.first_gradient_steps)


def carry_out(updates: int, path: Path) -> dict:
    """Run what is missing; return the results by start, rate and seed."""
    found = json.loads(path.read_text()) if path.exists() else {}

    def run(start: str, rate: float, seed: int, is_final: bool) -> float:
        key = f"{start}, {rate:g}, seed {seed}"
        if key not in found:
            found[key] = train(start, rate, seed, updates, is_final)
            write_atomically(path, json.dumps(found, indent=1) + "\n")
            print(key, found[key]["loss"], file=sys.stderr, flush=True)
        return float(found[key]["loss"])

    finals = {}
    for start in STARTS:
        tuned = min(RATES, key=lambda rate: sum(run(start, rate, seed, is_final=False) for seed in TUNING))
        finals[start] = (tuned, [run(start, tuned, seed, is_final=True) for seed in FINAL])
    return finals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    finals = carry_out(arguments.updates, arguments.results)
    for start, (rate, losses) in finals.items():
        gap = paired_difference(losses, finals["default"][1]) if start != "default" else "reference"
        print(f"{start}, rate {rate:g}: {sum(losses) / len(losses):.4f} nats; minus default: {gap}")
        seen = json.loads(arguments.results.read_text())[f"{start}, {rate:g}, seed 0"]["first_gradients"]
        predicted = predict(start)
        agree = sum(seen.get(name) == step for name, step in predicted.items())
        print(f"  first gradients by update {max(seen.values())}; {agree} of {len(predicted)} as predicted")


if __name__ == "__main__":
    main()
