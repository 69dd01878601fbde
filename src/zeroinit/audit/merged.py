"""Loaded values that live on in another parameter: an adapter that is merged, a norm that is folded."""

from torch import Tensor

from zeroinit.audit.building import Observed
from zeroinit.audit.copies import ON_PURPOSE
from zeroinit.audit.memory import END, Memory, Write

__all__ = ["is_merged"]


def is_merged(observed: Observed, tensor: Tensor, loaded: Write, last: Write) -> bool:
    """Whether loaded values were added to those of another parameter, or scale them, before they were overwritten.

    A copy does not count, nor does an average that follows the model: nobody gives up the loaded values for these.
    """
    memory = observed.memory(tensor)
    held = [(memory, last.time), (memory.before if memory is not None else None, END)]
    others = {observed.memory(each) for name, each in observed.parameters.items() if not ON_PURPOSE.search(name)}
    return any(
        _takes(other, each, loaded.time, until)
        for each, until in held
        for other in others - {memory, None}
        if other is not None and each is not None
    )


def _takes(other: Memory, memory: Memory, since: int, until: int) -> bool:
    """Whether memory holds its own earlier values, changed by what another one held between two times."""
    first = min((each.time for each in other.lasting()), default=0)
    changed = {each.time for each in other.writes if each.kind == "change"}
    for at in {time for time, _ in other.parents if time >= first}:
        read = other.read(at)
        if since < read.get(memory, -1) < until and (at in changed or other in read or other.before in read):
            return True
    return False
