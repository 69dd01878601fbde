"""Initializers that start residual branches at zero, or small; ``probe=`` shows the branches."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from zeroinit._common import InputError, lookup
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.finish import Finish
from zeroinit.init.initializers import STANDARD, Initializer
from zeroinit.init.places import Place
from zeroinit.init.plan import Entry
from zeroinit.init.schemes.structured import is_center
from zeroinit.init.schemes.variance import kaiming_normal

__all__ = ["constnet", "fixup", "zero_branch"]


def fixup(read_out: str = "zero") -> Initializer:
    """Fixup: He weights, scaled by L^(-1/(2m - 2)) in L residual branches of m layers, whose last layer is zero.

    Rule 3 of the paper adds scalar biases and multipliers to the network. They are parameters of your model, or are
    missing; an initializer adds none. Multipliers stay at 1 and biases at 0 if the model has them so. A branch that
    a multiplier at 0 closes keeps its last weight as drawn.

    Args:
        read_out: ``"zero"`` as in the paper, or ``"drawn"``.

    Source:
        Zhang et al. 2019, "Fixup initialization: residual learning without normalization", section 3, rules 1 and 2.
    """
    zero_read_out = lookup({"zero": True, "drawn": False}, read_out, "read_out")

    def finish(state: Finish) -> None:
        branches = [weights for names in state.branches.branches if (weights := _weights(state, names))]
        _check(branches, "fixup")
        for weights in branches:
            for weight in weights[:-1]:
                state.times(weight, len(branches) ** (-1 / (2 * len(weights) - 2)))
        for weights in _open(state):
            state.times(weights[-1], 0.0)
        if zero_read_out:
            _zero_read_out(state)
        state.notes.append(f"residual branches: {len(branches)}")

    base = replace(kaiming_normal(), summary="He weights, small or zero in residual branches")
    return replace(base, source="Zhang et al. 2019, rules 1 and 2", finish=finish, needs_batch=True)


def zero_branch(at: str = "gamma") -> Initializer:
    """He weights, and residual branches that start at zero.

    Args:
        at: What is zero at the end of a branch. ``"gamma"``: the weight of the norm that ends it (zero-gamma).
            ``"weight"``: its last weight (as the read-out of a block in nanochat). ``"scale"``: the parameters that
            multiply its end (SkipInit, ReZero, LayerScale; a gate with tanh, too). ``"any"``: the scale if there is
            one, else the norm if one ends the branch, else the last weight.

    Source:
        Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1 (gamma); De and Smith 2020, "Batch normalization
        biases residual blocks towards the identity function", section 4 (SkipInit); Bachlechner et al. 2021, "ReZero is
        all you need", equation 1.
    """
    choose = lookup({"gamma": True, "weight": False, "any": None, "scale": None}, at, "at")

    def finish(state: Finish) -> None:
        closed = list(_closed(state))
        opened = [names for names in state.branches.branches if names not in closed] if at != "scale" else []
        ends = [end for names in opened if (end := _end(state, names, choose)) is not None]
        _check([*closed, *ends], "zero_branch")
        for end in ends:
            state.times(end, 0.0)
        num_zero = len(ends) + len(closed)
        state.notes.append(f"residual branches: {len(state.branches.branches)}, of which {num_zero} start at zero")

    base = replace(kaiming_normal(), summary="He weights, residual branches start at zero")
    others = {**base.others, **({"scale": ZERO} if at in ("scale", "any") else {})}
    return replace(base, source="Goyal et al. 2017, section 5.1", others=others, finish=finish, needs_batch=True)


def constnet() -> Initializer:
    """ConstNet: every unit of a layer has the same weights; residual branches and the read-out are zero.

    A weight is 1 / inputs at the center of the kernel, so units are averages. Deterministic training never makes units
    differ; dropout or kernels that are not deterministic do.

    Source:
        Blumenfeld et al. 2020, "Beyond signal propagation: is feature diversity necessary in deep neural network
        initialization?", section 3. The authors' ``model.py`` has sqrt(2), not divided by the inputs, in the first
        layer, and 2 / (kernel * units) in shortcuts, which is 1 / inputs where channels double.
    """

    def draw(place: Place) -> Tensor:
        return (is_center(place) / max(place.block.shape[1], 1)).float().expand(place.shape)

    def finish(state: Finish) -> None:
        for weights in _open(state):
            state.times(weights[-1], 0.0)
        _zero_read_out(state)

    weight = Distribution("1/inputs at the kernel's center, else 0", draw, uses_fan_in=True, by_matrix=True)
    others = {**STANDARD, "embedding": ZERO}
    return Initializer(
        weight,
        ZERO,
        "every unit of a layer the same; branches and read-out zero",
        "Blumenfeld et al. 2020, section 3",
        others,
        finish=finish,
        needs_batch=True,
        is_random=False,
        limits="all units of a layer are identical, and stay so without dropout or other noise",
    )


def _weights(state: Finish, names: tuple[str, ...]) -> list[Entry]:
    found = [entry for name in names if (entry := state.entry_of(name)) is not None and entry.slot.part == "weight"]
    return list({id(entry): entry for entry in found}.values())


def _closed(state: Finish) -> Iterator[tuple[str, ...]]:
    """Yield the branches that a parameter at 0 multiplies: with a second zero, neither would get a gradient."""
    values = dict(state.model.named_parameters(remove_duplicate=False))
    for names, scales in zip(state.branches.branches, state.branches.scales, strict=True):
        if any(not values[name].any() for name in scales):
            yield names


def _open(state: Finish) -> list[list[Entry]]:
    """Return the weights of each branch that no parameter at 0 multiplies."""
    closed = list(_closed(state))
    found = [_weights(state, names) for names in state.branches.branches if names not in closed]
    return [weights for weights in found if weights]


def _end(state: Finish, names: tuple[str, ...], norm: bool | None) -> Entry | None:
    """Return the norm that ends a branch, or its last weight."""
    entries = [entry for name in names if (entry := state.entry_of(name)) is not None]
    last = next((each for each in reversed(entries) if each.slot.part in ("gamma", "weight")), None)
    ends_with_norm = last is not None and last.slot.part == "gamma"
    if norm is False or (norm is None and not ends_with_norm):
        return next((each for each in reversed(entries) if each.slot.part == "weight"), None)
    return last if ends_with_norm else None


def _check(found: list, name: str) -> None:
    if not found:
        what = "no residual branch that it could start at zero" if name == "zero_branch" else "no residual branch"
        raise InputError(f"initializer={name!r}: the forward pass shows {what}; choose another initializer")


def _zero_read_out(state: Finish) -> None:
    name = state.branches.read_out
    entry = None if name is None else state.entry_of(name)
    if entry is not None:
        state.times(entry, 0.0)
