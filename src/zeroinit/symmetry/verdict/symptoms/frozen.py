"""Frozen parameters that are hardly meant to be: adapters, the head behind adapters, layers as torch made them."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.naming import few, of_model, starred
from zeroinit.symmetry.verdict.report.parts import AS_MADE, FROZEN_HEAD

__all__ = ["frozen_adapters", "frozen_apart", "frozen_in_name"]

MISSPELLED = ("require_grad", "required_grad", "require_grads", "requires_grads", "requiresgrad", "requires_gradient")
"""What people have set on a parameter in place of ``requires_grad``; Python makes a new attribute of it."""

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


def frozen_in_name(model: nn.Module) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Yield what was meant to be frozen by an attribute that freezes nothing: path, parameters, text and repair.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 1))
        >>> model[0].requires_grad = False
        >>> [(path, names) for path, names, _, _ in frozen_in_name(model)]
        [('0', ('0.weight', '0.bias'))]
    """
    for path, module in model.named_modules():
        names = tuple(name for name, each in module.named_parameters(path) if each.requires_grad)
        if names and module.__dict__.get("requires_grad") is False:
            text = f"`{of_model(path)}.requires_grad = False` sets an attribute of the module and freezes nothing: "
            text += f"{few(names)} {'is' if len(names) == 1 else 'are'} trained."
            yield path, names, text, f"Freeze it by `{of_model(path)}.requires_grad_(False)`."
    for name, each in model.named_parameters():
        wrong = next((word for word in MISSPELLED if vars(each).get(word) is False), "")
        if wrong and each.requires_grad:
            text = f"`{of_model(name)}.{wrong} = False` sets an attribute of that name and freezes nothing."
            yield name.rpartition(".")[0], (name,), text, f"Write `{of_model(name)}.requires_grad = False`."


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
    adapters = {name: each for name, each in _adapters(evidence).items() if each.requires_grad}
    learns = bool(adapters)
    heads = any(evidence.double.first_step(name) is not None for name in adapters)
    new = _new_layers(evidence.model, evidence.watch.first.behind)
    found = {
        name: _apart(name, learns, heads, new)
        for name, each in evidence.model.named_parameters()
        if not each.requires_grad
    }
    return {name: each for name, each in found.items() if each is not None}


def _apart(name: str, learns: bool, heads: bool, new: dict[str, str]) -> tuple[str, str] | None:
    if ADAPTER.search(name):
        return "frozen adapters", "" if learns else "No adapter learns."
    if ".modules_to_save." in name:
        return "frozen copies", "" if learns else "What is in `modules_to_save` is meant to learn."
    parts = name.removeprefix("base_model.model.").split(".")
    if parts[0] in HEADS and heads and not {"original_module", "base_layer"} & set(parts):
        repair = f'`LoraConfig(..., modules_to_save=["{parts[0]}"])`'
        return FROZEN_HEAD, f"The adapters learn, and this head does not. If it is new, train it: {repair}."
    part = new.get(name.rpartition(".")[0])
    if part:
        return f"{AS_MADE} in {part}", f"The layers of `{part}` have the values that PyTorch draws in new ones."
    return None if part is None else (AS_MADE, "This layer has the values that PyTorch draws in a new one.")


def _new_layers(model: nn.Module, behind: set[str]) -> dict[str, str]:
    """Return frozen layers with the values of new ones, and the frozen part if it has several and all are like this.

    The layers of one part are judged together. A copy of what learns, as a target network, is none of them. A part
    behind what learns, as a critic, is not named.
    """
    trunks: dict[str, list[tuple[str, nn.Module]]] = {}
    for path, module in model.named_modules():
        own = list(module.parameters())
        if own and not any(each.requires_grad for each in own):
            parts = path.split(".")
            above = (".".join(parts[:end]) for end in range(1, len(parts)))
            trunks.setdefault(next((each for each in above if each in trunks), path), []).append((path, module))
    learning = [each.detach() for each in model.parameters() if each.requires_grad]
    found: dict[str, str] = {}
    later = set(map(starred, behind))
    for part, layers in trunks.items():
        shares = {path: each for path, layer in layers if (each := _shares(layer)) is not None}
        drawn = {path: each for path, each in shares.items() if _may_be_drawn(each)}
        weights = {path: _weight_of(layer) for path, layer in layers if path in drawn}
        alike = {path: each for path, each in drawn.items() if not _is_among(weights[path], learning)}
        if alike and _is_drawn(torch.cat(list(alike.values()))):
            matrices = [path for path, each in layers if any(own.dim() > 1 for own in each.parameters(recurse=False))]
            whole = len(alike) > 1 and set(matrices) == set(alike) and not later & set(map(starred, alike))
            found |= dict.fromkeys(alike, part if whole else "")
    return found


def _shares(layer: nn.Module) -> Tensor | None:
    """Return weights over the bound of torch's own draw, one over the root of the inputs; ``None`` for other layers."""
    if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or not layer.weight.numel():
        return None
    weight = layer.weight.detach()
    return weight[: 1 + MOST // weight[0].numel()].reshape(-1)[:MOST].float().cpu() * weight[0].numel() ** 0.5


def _weight_of(layer: Any) -> Tensor:
    """Return the weight that a layer works with, also where it is computed from others."""
    return layer.weight.detach()


def _is_among(weight: Tensor, others: list[Tensor]) -> bool:
    return any(weight.shape == each.shape and torch.equal(weight, each) for each in others)


def _may_be_drawn(shares: Tensor) -> bool:
    """Tell whether values may be uniform between -1 and 1; of few values all need only lie there."""
    return float(shares.abs().max()) <= 1 + 1e-6 and (len(shares) < FEWEST or _is_drawn(shares))


def _is_drawn(shares: Tensor) -> bool:
    """Tell whether values between -1 and 1 are spread like uniform ones."""
    number, top, spread = len(shares), float(shares.abs().max()), 3 * float(shares.square().mean())
    lowest, widest = min(TOP, 1 - CHANCE / number), max(SPREAD, CHANCE / 3 / number**0.5)
    return number >= FEWEST and lowest <= top and abs(spread - 1) < widest
