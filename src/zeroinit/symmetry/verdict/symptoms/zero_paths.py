"""From a zero back to the parameters that it was computed from."""

from torch import nn

from zeroinit.symmetry.verdict.causes.views import DIVISIONS, plain_zero, zero_parameters
from zeroinit.symmetry.verdict.passes.calls import Call, Calls
from zeroinit.symmetry.verdict.passes.naming import starred

__all__ = ["zeros_behind_division"]

MOST_CALLS = 50


def zeros_behind_division(call: Call, calls: Calls, model: nn.Module) -> tuple[str, ...]:
    """Return the zero parameters that make what a call divides by zero.

    Those that differ from them by a number in the path alone are among them: a repair has to reach them all.
    """
    names = {id(each): name for name, each in model.named_parameters()}
    zeros, found = zero_parameters(model), []
    waiting = call.given[-1:] if call.name in DIVISIONS else []
    for _ in range(MOST_CALLS):
        if not waiting:
            break
        value = waiting.pop(0)
        if names.get(id(value)) in zeros:
            found.append(starred(names[id(value)]))
        elif plain_zero(value) and (made := calls.producer(value)) is not None:
            waiting += [each for each in made.given if each is not value]
    return tuple(name for name in names.values() if name in zeros and starred(name) in found)
