"""Which modules a forward pass calls."""

from torch import nn

from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["called"]


def called(search: Search) -> set[nn.Module]:
    """Return the modules whose forward runs; the copy itself always counts."""
    found: set[nn.Module] = {search.replica}
    handles = [
        each.register_forward_pre_hook(lambda module, arguments: found.add(module)) for each in search.replica.modules()
    ]
    try:
        search.trials.loss(Change(), search.step)
    finally:
        for handle in handles:
            handle.remove()
    return found
