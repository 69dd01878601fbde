"""Values that were set on purpose, and then written over."""

import re
from collections import defaultdict

import torch
from torch import Tensor

from zeroinit._findings.finding import Finding, finding
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import Memory, Write
from zeroinit.audit.merged import is_merged
from zeroinit.audit.rules import Rule, is_by_hand, is_in_loop
from zeroinit.audit.special import Reach, Site, special_lost
from zeroinit.audit.trace import plain

__all__ = ["overwritten"]

STATES = re.compile(r"(^|[._])(states?|hidden|cache|memory|mem)($|[._\d])")
"""Names of buffers that hold what a sequence left, and that one sets anew on purpose."""


def overwritten(observed: Observed) -> list[Finding]:
    """Return findings for values that a rule for many parameters wrote over.

    Two orders are healthy: a rule for many and then one for few, and a layer's default and then the model's own rule.
    """
    histories = {name: _history(observed, each) for name, each in observed.parameters.items()}
    by_site: dict[Site, list[tuple[str, Write]]] = defaultdict(list)
    for name, history in histories.items():
        for each in history:
            if each.kind != "empty" and each.rule.origin != "library":
                by_site[each.rule.site].append((name, each))
    reach = {site: {name for name, _ in writes} for site, writes in by_site.items()}
    receiving = {site: kind for site, writes in by_site.items() if (kind := _received(writes))}
    found = []
    for name, history in histories.items():
        last = next((each for each in reversed(history) if each.sets), None)
        if last is not None and (lost := _replaced(observed, name)) is not None:
            if not _is_deliberate(observed, name, lost, last, reach, receiving):
                found.append(_after_loading(name, last))
            continue
        if (
            last is None
            or last.rule.loading
            or observed.is_loaded(last)
            or last.rule.site in receiving
            or last.rule.origin == "library"
            or last.kind not in ("draw", "constant", "copy")
        ):
            continue
        before = [each for each in history if each.time < last.time and last.covers(each)]
        loaded = [each for each in before if _is_loaded(observed, each, receiving)]
        later = _same_rule(by_site[last.rule.site], last)
        if loaded and not _is_deliberate(observed, name, loaded[-1], last, reach, receiving):
            found.append(_after_loading(name, last))
        else:
            found += special_lost(observed, name, history, last, reach, later)
    return [*found, *_statistics(observed)]


def _replaced(observed: Observed, name: str) -> Write | None:
    """Return what was loaded into a parameter whose memory was then replaced by drawn values, or by one number."""
    memory = observed.memory(observed.parameters[name])
    while memory is not None and memory.before in memory.ancestors():
        memory = memory.before  # as in another type
    if memory is None or memory.before is None:
        return None
    lasting = memory.lasting()
    is_rule = memory.is_random() or all(each.kind == "constant" for each in lasting)
    if not lasting or not is_rule or any(observed.is_loaded(each) for each in lasting):
        return None
    return next((each for each in _writes(memory.before) if observed.is_loaded(each)), None)


def _statistics(observed: Observed) -> list[Finding]:
    """Return findings for buffers, such as running means, that were loaded, and then drawn or set to one number."""
    names = [name for name, each in observed.buffers.items() if each.is_floating_point() and not STATES.search(name)]
    histories = {name: history for name in names if (history := _history(observed, observed.buffers[name]))}
    reach: dict[Site, set[str]] = defaultdict(set)
    for name, history in histories.items():
        reach[history[-1].rule.site].add(name)
    found = []
    for name, history in histories.items():
        last, values = history[-1], plain(observed.buffers[name])
        loaded = [each for each in history[:-1] if last.covers(each) and observed.is_loaded(each)]
        if not loaded or values.is_meta or _is_deliberate(observed, name, loaded[-1], last, reach, {}):
            continue
        # a forward pass of a batch norm writes unseen, but for the values
        is_constant = last.value is not None and bool((values == torch.full_like(values, last.value)).all())
        if last.kind == "draw" or (last.kind == "constant" and is_constant):
            found.append(_after_loading(name, last))
    return found


def _received(writes: list[tuple[str, Write]]) -> str:
    """Tell what a line copies into parameters: ``"data"``, a ``"checkpoint"``, or nothing that was there before.

    A rule makes its values one parameter after the other. Data are there before the line runs, or torch never made
    them.
    """
    start, last = min(each.time for _, each in writes), dict(writes)
    copied = [(each.source, each.time - 1) for each in last.values() if each.kind == "copy" and each.source is not None]
    drawn_or_equal = all(each.value is not None or each.rule.applied for each in last.values())
    if drawn_or_equal or len(copied) < len(last):
        return ""
    if any(source.is_made(time, start) for source, time in copied):
        return ""
    outside = all(set(source.origins(time)) <= {"given", "copy", "computed"} for source, time in copied)
    return "checkpoint" if outside and len({re.sub(r"\d+", "*", name) for name in last}) > 1 else "data"


def _is_loaded(observed: Observed, write: Write, receiving: dict[Site, str]) -> bool:
    return observed.is_loaded(write) or receiving.get(write.rule.site) == "checkpoint"


def _same_rule(writes: list[tuple[str, Write]], last: Write) -> set[str]:
    """Return the parameters that a rule writes: those of its line, but those of one call alone if a helper holds it."""
    rule = last.rule
    own = rule.caller[1] and not is_in_loop(rule.site)
    return {name for name, each in writes if not own or each.rule.caller == rule.caller}


def _history(observed: Observed, tensor: Tensor) -> list[Write]:
    """Return the writes before the forward pass, and before them what was lost on the meta device."""
    memory = observed.memory(tensor)
    lost = memory.on_meta() if memory is not None else None
    return [*(lost.history() if lost is not None else ()), *_writes(memory)]


def _writes(memory: Memory | None) -> list[Write]:
    """Return the writes before the forward pass; the first one stands for values that nobody was seen to make."""
    history = [each for each in memory.history() if each.phase != "forward"] if memory is not None else []
    first = history[0] if history else None  # nobody made this memory, if it is viewed or changed first
    if first is not None and (first.operation.endswith("_") or (first.kind == "given" and not first.rule.loading)):
        history.insert(0, Write(0, "given", Rule()))
    return history


def _is_deliberate(
    observed: Observed, name: str, loaded: Write, last: Write, reach: Reach, receiving: dict[Site, str]
) -> bool:
    """Whether a rule after loading is about one layer alone, and others keep what was loaded, or took it in."""
    if is_merged(observed, {**observed.parameters, **observed.buffers}[name], loaded, last):
        return True
    if last.rule.root and _is_applied_to_some(observed, name, loaded, last):
        return True
    path = name.rpartition(".")[0]
    layers = {each.rpartition(".")[0] for each in reach.get(last.rule.site, {name})}
    rule = last.rule
    if layers != {path} or not is_by_hand(rule) or not (loaded.whole or loaded.rule.loading):
        return False  # rows that were copied from a checkpoint by hand were meant to stay
    histories = (_history(observed, each) for each in observed.parameters.values())
    last_ones = (next((each for each in reversed(history) if each.sets), None) for history in histories)
    return any(each is not None and _is_loaded(observed, each, receiving) for each in last_ones)


def _is_applied_to_some(observed: Observed, name: str, loaded: Write, last: Write) -> bool:
    """Whether ``apply`` gets modules by name, such as the last layers, and others beside them keep what was loaded."""
    tensors = {**observed.parameters, **observed.buffers}
    latest = {key: writes[-1] for key, each in tensors.items() if (writes := _history(observed, each))}
    roots = {each.rule.root for each in latest.values() if each.rule.site == last.rule.site}
    paths = [f"{path}." for path, each in observed.model.named_modules() if path and id(each) in roots]
    around = {path[: path[:-1].rfind(".") + 1] for path in paths if name.startswith(path)}
    return any(
        key.startswith(tuple(around)) and not key.startswith(tuple(paths)) and each.rule.site == loaded.rule.site
        for key, each in latest.items()
    )


def _after_loading(name: str, last: Write) -> Finding:
    path = name.rpartition(".")[0]
    message = f"`{name}` was loaded, and {last.rule} wrote over it afterwards: the checkpoint's values are lost."
    repair = "Initialize first and load last, or let the rule leave out parameters that are loaded."
    return finding("ZI204", path, [name], message, repair)
