"""A network that has the values of a second one in the model, as a target network, a teacher or an average."""

import re

import torch
from torch import nn

from zeroinit.symmetry.verdict.search.search import Search

__all__ = ["trained_twin"]

FOLLOWER = re.compile(r"target|teacher|ema|momentum|averaged|reference|ref_|frozen|_old|old_|_k$|key_encoder")
"""Names of networks that others are copied to."""
FEWEST = 2
"""A network has at least this number of parameters."""


def trained_twin(name: str, search: Search) -> str:
    """Return the part of the model that trains and that a parameter's part is a copy of; empty if there is none.

    A copy holds the same values, or is called a target, a teacher or the like and has the same shapes.
    """
    path, _, _ = name.partition(".")
    model, moving = search.evidence.model, search.moving()
    own = model._modules.get(path)
    if own is None:
        return ""
    values = dict(own.named_parameters())
    if len(values) < FEWEST or any(f"{path}.{each}" in moving for each in values):
        return ""
    for other, part in model.named_children():
        others = dict(part.named_parameters())
        trains = any(f"{other}.{each}" in moving for each in others)
        if other == path or not trains or not _same_shapes(values, others):
            continue
        equal = all(torch.equal(each.detach(), others[key].detach()) for key, each in values.items())
        if equal or FOLLOWER.search(path):
            return other
    return ""


def _same_shapes(values: dict[str, nn.Parameter], others: dict[str, nn.Parameter]) -> bool:
    return {key: each.shape for key, each in values.items()} == {
        key: each.shape for key, each in others.items() if key in values
    }
