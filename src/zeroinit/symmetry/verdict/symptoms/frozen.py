"""Frozen parameters that are hardly meant to be: adapters, the head behind adapters, layers as torch made them."""

import re

from torch import nn

from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.report.parts import FROZEN_HEAD

__all__ = ["frozen_adapters", "frozen_apart"]

ADAPTER = re.compile(
    r"\.(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|vera_lambda_[bd]|hada_\w+|lokr_\w+|ia3_l)\b"
)
LAST = re.compile(r"\.(lora_B|lora_embedding_B)\b")
"""What an adapter starts at zero."""
HEADS = ("score", "classifier", "qa_outputs", "classification_head", "head", "heads", "fc")
FEWEST = 64
"""Values from which on a distribution can be told."""
MOST = 4096
"""So many values of a layer are looked at."""
TOP, SPREAD = 0.97, 0.1
"""How near the largest value of a uniform draw is to its bound, and how near its variance to bound² / 3."""
CHANCE = 15
"""Few values may be further away. A share of 15 / n has no value of n with a chance of e^-15. For the variance,
5 / sqrt(n) is 5.6 standard errors."""


def _adapters(evidence: Evidence) -> dict[str, nn.Parameter]:
    return {name: each for name, each in evidence.model.named_parameters() if ADAPTER.search(name)}


def frozen_adapters(evidence: Evidence) -> tuple[list[str], str, str] | None:
    """Return adapters that are all frozen at zero and take part in the forward pass: names, text and repair.

    A frozen adapter whose last matrix is zero does nothing at all. Where adapters are switched off, they take no part.
    """
    adapters = _adapters(evidence)
    last = [name for name in adapters if LAST.search(name)]
    if not last or any(each.requires_grad for each in adapters.values()):
        return None
    if any(bool(adapters[name].detach().any()) for name in last) or not set(last) & evidence.double.used:
        return None
    kinds = dict.fromkeys(ADAPTER.search(name)[1] for name in adapters)  # type: ignore[index]
    listed = " and ".join(f"`{each}`" for each in kinds)
    text = f"All {len(adapters)} adapter parameters ({listed}) are frozen: requires_grad is False. "
    text += f"{few(last)} {'is' if len(last) == 1 else 'are'} zero, so the adapters do nothing."
    start = next(iter(kinds)).partition("_")[0]
    line = f'for name, p in model.named_parameters(): p.requires_grad_(p.requires_grad or "{start}_" in name)'
    return list(adapters), text, f"Let them learn: `{line}`."


def frozen_apart(evidence: Evidence) -> dict[str, tuple[str, str]]:
    """Return, for frozen parameters that stand apart from all others, what groups them and what to say about them."""
    learns = any(each.requires_grad for each in _adapters(evidence).values())
    owners = {path: each for path, each in evidence.model.named_modules() if _is_frozen(each)}
    new = {path for path, each in owners.items() if _is_as_made(each)}
    weights = {path for path, each in owners.items() if any(own.dim() > 1 for own in each.parameters(recurse=False))}
    new = new if weights - new else set()  # beside others, which do not look new
    found = {
        name: _apart(name, learns, new) for name, each in evidence.model.named_parameters() if not each.requires_grad
    }
    return {name: each for name, each in found.items() if each is not None}


def _apart(name: str, learns: bool, new: set[str]) -> tuple[str, str] | None:
    if ADAPTER.search(name):
        return "frozen adapters", "" if learns else "No adapter learns."
    if ".modules_to_save." in name:
        return "frozen copies", "" if learns else "What is in `modules_to_save` is meant to learn."
    parts = name.removeprefix("base_model.model.").split(".")
    if parts[0] in HEADS and learns and not {"original_module", "base_layer"} & set(parts):
        repair = f'`LoraConfig(..., modules_to_save=["{parts[0]}"])`'
        return FROZEN_HEAD, f"The adapters learn, and this head does not. If it is new, train it: {repair}."
    if name.rpartition(".")[0] in new:
        return "frozen as made", "Its weights are as PyTorch draws them in a new layer."
    return None


def _is_frozen(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and not any(each.requires_grad for each in own)


def _is_as_made(layer: nn.Module) -> bool:
    """Tell whether a layer's weights look like torch's own draw: uniform within one over the root of its inputs."""
    if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or layer.weight.numel() < FEWEST:
        return False
    bound = layer.weight[0].numel() ** -0.5
    weight = layer.weight.detach()[: 1 + MOST // layer.weight[0].numel()].reshape(-1)[:MOST].float()
    top, spread = float(weight.abs().max()) / bound, 3 * float(weight.square().mean()) / bound**2
    lowest, widest = min(TOP, 1 - CHANCE / len(weight)), max(SPREAD, CHANCE / 3 / len(weight) ** 0.5)
    return lowest <= top <= 1.0 + 1e-6 and abs(spread - 1) < widest
