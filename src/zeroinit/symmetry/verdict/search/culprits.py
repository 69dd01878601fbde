"""Of the zeros that keep others at zero, finds those that matter, and the smallest start that frees all."""

from zeroinit.symmetry.verdict.causes.views import View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.naming import draw_line, few, of_model, starred, start_line
from zeroinit.symmetry.verdict.search.gates import behind_closed_gates
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["with_culprits"]

MOST_CULPRITS = 6


def with_culprits(search: Search, found: dict[str, Reason], views: dict[str, View]) -> dict[str, Reason]:
    """Work out which zeros matter: those that free another parameter when they alone are drawn."""
    groups: dict[str, list[str]] = {}
    for name, reason in found.items():
        if reason.kind in ("zero", "self"):
            groups.setdefault(reason.cause, []).append(name)
    merged = _merged({cause: (set(found[names[0]].culprits), names) for cause, names in groups.items()})
    similar: dict[tuple, tuple[list[str], set[str], list[str]]] = {}
    for drawn, names in merged:
        culprits = _culprits(search, drawn, set(names), views[names[0]])
        patterns = (tuple(sorted(set(map(starred, culprits)))), len(culprits) > 1)
        kept = similar.setdefault(patterns, ([], set(), []))
        kept[0].extend(each for each in culprits if each not in kept[0])
        kept[1].update(drawn)
        kept[2].extend(names)
    for culprits, drawn, names in similar.values():
        found |= _told(search, culprits, drawn, names, views[names[0]])
    return found


def _told(search: Search, culprits: list[str], drawn: set[str], names: list[str], view: View) -> dict[str, Reason]:
    """Return one reason for all parameters that the same zeros keep at zero."""
    if (outside := _of_optimizer(search, culprits)) is not None:
        return dict.fromkeys(names, outside)
    repair, text = _repair(search, culprits, drawn, set(names), view), _sentence(search, culprits, view)
    frozen = not any(search.replica.get_parameter(each).requires_grad for each in culprits)
    if not frozen and (closed := behind_closed_gates(search, culprits, set(names), view, repair)) is not None:
        return dict.fromkeys(names, closed)
    found = {}
    for name in names:
        kind = "zero_pair" if name in search.zeros and not frozen else "zero_above"
        found[name] = Reason(kind, text, tuple(sorted(culprits)), repair, f"zero {sorted(culprits)}")
    return found


def _of_optimizer(search: Search, culprits: list[str]) -> Reason | None:
    """Return the reason where the zeros get gradients, and stay because the user's own optimizer does not move them."""
    gaps = [each for each in search.evidence.symptoms if each.code == "ZI018"]
    gap = next((each for each in gaps if set(culprits) <= set(each.parameters)), None)
    if gap is None or not set(culprits) <= search.moving():
        return None
    start = "starts" if len(culprits) == 1 else "start"
    text = f"{few(culprits)} {start} at zero, and the optimizer does not move {'it' if start == 'starts' else 'them'}."
    return Reason("outside", text, tuple(culprits), gap.repair, gap.text)


def _culprits(search: Search, drawn: set[str], names: set[str], view: View) -> list[str]:
    """Return the zero weights that free others if they alone are drawn, in the model's order."""
    freed = search.trials.frees(Change(draw=tuple(sorted(drawn))), view.step) | names
    zero = [name for name, _ in search.replica.named_parameters() if name in search.zeros and name in freed | drawn]
    weights = [name for name in zero if not _is_shift(name)] or zero
    patterns = list(dict.fromkeys(starred(name) for name in weights))
    culprits: list[str] = []
    for pattern in patterns[:MOST_CULPRITS]:
        members = tuple(name for name in weights if starred(name) == pattern)
        others = freed - set(members)
        got = search.trials.frees(Change(draw=tuple(sorted(members))), view.step)
        if got & (others or set(members)):
            culprits += members
    return culprits or sorted(drawn)


def _repair(search: Search, culprits: list[str], drawn: set[str], names: set[str], view: View) -> str:
    """Write the smallest change that frees all of these names; singles are tried first."""
    if line := _gains_line(search, culprits, names, view.step):
        return line
    choices = [tuple(each for each in culprits if starred(each) == pattern)
               for pattern in dict.fromkeys(map(starred, culprits))]  # fmt: skip
    singles = [(each,) for each in culprits] if len(culprits) <= 4 else []
    for choice in [*singles, *choices, tuple(culprits), tuple(sorted(drawn))]:
        if names <= search.trials.frees(Change(draw=tuple(sorted(choice))), view.step):
            frozen = [each for each in choice if not search.replica.get_parameter(each).requires_grad]
            start = f"Start with {_draw_line(search, list(choice))}"
            return start + (f", or train {_trained(frozen)}." if frozen else ".")
    return f"Start with {_draw_line(search, sorted(drawn))}."


def _trained(names: list[str]) -> str:
    lines = [f"{of_model(each)}.requires_grad_()" for each in names]
    return f"it: `{lines[0]}`" if len(lines) == 1 else f"them: {', '.join(f'`{each}`' for each in lines)}"


def _draw_line(search: Search, names: list[str]) -> str:
    vectors = any(search.replica.get_parameter(each).dim() < 2 for each in names)
    return draw_line(names, len(names), vectors, [name for name, _ in search.replica.named_parameters()])


def _gains_line(search: Search, culprits: list[str], names: set[str], step: int) -> str:
    """Write the line that sets gains of norms to one, as torch starts them, where that frees all of these names."""
    owners = [search.replica.get_submodule(each.rpartition(".")[0]) for each in culprits]
    gains = all("norm" in type(each).__name__.lower() for each in owners) and not any(map(_is_shift, culprits))
    if not gains or not names <= search.trials.frees(Change(ones=tuple(culprits)), step):
        return ""
    known = [name for name, _ in search.replica.named_parameters()]
    return f"Start with {start_line(culprits, 'nn.init.ones_({})', known)}."


def _sentence(search: Search, culprits: list[str], view: View) -> str:
    frozen = [each for each in culprits if not search.replica.get_parameter(each).requires_grad]
    if frozen:
        return f"{few(frozen)} {'is' if len(frozen) == 1 else 'are'} frozen at zero, so no gradient passes."
    if len(culprits) == 1:
        uses = view.graph.uses(culprits[0])
        if len(uses) > 1:
            more = "While it is zero, neither use gives it a gradient."
            return f"{few(culprits)} starts at zero and is used twice. {more}"
        return f"{few(culprits)} starts at zero."
    both = "both" if len(set(map(starred, culprits))) == 2 or len(culprits) == 2 else "all"
    text = f"{_in_blocks(culprits) or few(culprits)} {both} start at zero."
    if both == "all":
        return f"{text} While they are zero, none gets any."
    cut_off = _cut_each_other_off(search, culprits, view.step)
    return f"{text} While one is zero, the other gets no gradient." if cut_off else text


def _in_blocks(culprits: list[str]) -> str:
    """Name pairs of zeros by their blocks, where each block has both; empty where that is not so.

    Example:
        >>> _in_blocks(["b.0.down.w", "b.0.up.w", "b.1.down.w", "b.1.up.w"])
        'In each of `b.0` and `b.1`, `down.w` and `up.w`'
    """
    blocks: dict[str, list[str]] = {}
    for name in culprits:
        parts = name.split(".")
        at = max((place for place, part in enumerate(parts) if part.isdigit()), default=-1) + 1
        blocks.setdefault(".".join(parts[:at]), []).append(".".join(parts[at:]))
    inside = next(iter(blocks.values()))
    if all(map(str.isdigit, blocks)):  # a number alone names no block
        return ""
    if (
        len(blocks) < 2
        or len(inside) != 2
        or "" in (*blocks, *inside)
        or any(each != inside for each in blocks.values())
    ):
        return ""
    return f"In each of {few(blocks)}, {few(inside)}"


def _cut_each_other_off(search: Search, culprits: list[str], step: int) -> bool:
    """Tell whether either of two zeros, or kinds of zeros, frees the other if it alone is drawn."""
    marks = {name: starred(name) if len(set(map(starred, culprits))) > 1 else name for name in culprits}
    groups = [{name for name in culprits if marks[name] == mark} for mark in dict.fromkeys(marks.values())]
    changes = [Change(draw=tuple(sorted(each))) for each in groups]
    pairs = zip(groups, changes, strict=True)
    return all(search.trials.frees(change, step) & (set(culprits) - group) for group, change in pairs)


def _is_shift(name: str) -> bool:
    return name.rpartition(".")[2].startswith("bias") or name.endswith("bias")


def _merged(groups: dict[str, tuple[set[str], list[str]]]) -> list[tuple[set[str], list[str]]]:
    """Join groups whose drawn parameters, or stuck ones, overlap."""
    merged: list[tuple[set[str], list[str]]] = []
    for drawn, names in groups.values():
        drawn, names = set(drawn), list(names)
        for each in [each for each in merged if each[0] & (drawn | set(names)) or set(each[1]) & drawn]:
            merged.remove(each)
            drawn |= each[0]
            names = [*each[1], *names]
        merged.append((drawn, names))
    return merged
