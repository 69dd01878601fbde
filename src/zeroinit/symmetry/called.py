"""Which modules a forward pass calls."""

from typing import TYPE_CHECKING

from torch import nn

from zeroinit.symmetry.trials import Change

if TYPE_CHECKING:
    from zeroinit.symmetry.explain import Explainer

__all__ = ["called"]


def called(explainer: "Explainer") -> set[nn.Module]:
    """Return the modules whose forward runs; the copy itself always counts."""
    found: set[nn.Module] = {explainer.replica}
    handles = [
        each.register_forward_pre_hook(lambda module, arguments: found.add(module))
        for each in explainer.replica.modules()
    ]
    try:
        explainer.trials.loss(Change(), explainer.step)
    finally:
        for handle in handles:
            handle.remove()
    return found
