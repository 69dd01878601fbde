"""Values that were set on purpose, and then written over."""

import re
from collections import defaultdict
from itertools import takewhile

import torch
from torch import Tensor, nn

from zeroinit._findings.finding import Finding, finding
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import COPIES, Memory, Write
from zeroinit.audit.merged import is_merged
from zeroinit.audit.rules import Rule, is_by_hand, is_in_loop
from zeroinit.audit.trace import plain

__all__ = ["overwritten"]

CHANGED_LATER = ("trunc_normal_", "sparse_")
"""Rules that draw, and then change what they drew."""
STATES = re.compile(r"(^|[._])(states?|hidden|cache|memory|mem)($|[._\d])")
"""Names of buffers that hold what a sequence left, and that one sets anew on purpose."""
Site = tuple[str, int, int]
Reach = dict[Site, set[str]]
"""The parameters that each line of the user's code writes."""


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
        elif special := [
            each
            for each in before
            if _is_special(observed, name, each, last, reach, later) and not _is_again(each, last, history)
        ]:
            found.append(_by_general(name, observed.parameters[name], special[-1], last, len(later)))
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
    for source, time in copied:
        kinds = set(source.origins(time, start))
        if "draw" in kinds or not kinds & {"given", "before"}:
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
    path = name.rpartition(".")[0]
    layers = {each.rpartition(".")[0] for each in reach.get(last.rule.site, {name})}
    rule = last.rule
    if layers != {path} or not is_by_hand(rule) or not (loaded.whole or loaded.rule.loading):
        return False  # rows that were copied from a checkpoint by hand were meant to stay
    histories = (_history(observed, each) for each in observed.parameters.values())
    last_ones = (next((each for each in reversed(history) if each.sets), None) for history in histories)
    return any(each is not None and _is_loaded(observed, each, receiving) for each in last_ones)


def _is_special(observed: Observed, name: str, write: Write, last: Write, reach: Reach, later: set[str]) -> bool:
    """Whether a write is a rule of its own for few parameters, and another one for more of them came later."""
    rule = write.rule
    if not rule.site[1] or rule.origin == "library" or rule.site == last.rule.site or rule.loading:
        return False
    attribute = observed.declared(name)[1]
    written = reach.get(rule.site, set())
    same_kind = {each for each in written if observed.declared(each)[1] == attribute}
    is_general = _is_wider(later, written, same_kind, last.rule) or _is_wiped(write, last)
    is_for_new = _is_for_new_layers(observed, name, write, last)
    if _is_same(write, last) or not (is_general or is_for_new):
        return False
    memory = _memory_of(observed, name, write)
    if memory is None or _lives_on(memory, write, last):
        return False
    if not is_for_new and _is_one_call(observed, name, write, last):
        return False
    by_rule = rule.label and write.kind in ("draw", "copy") and "." not in last.rule.label
    if by_rule and _is_for_a_part(observed, reach[rule.site]):
        return False
    if write.kind == "change":
        return not rule.label and not _is_by_owner(observed, name, write)
    if write.kind == "empty" or write.operation in COPIES:
        return False
    if _is_by_owner(observed, name, write):
        return _is_marked(memory, write) or _is_instead(observed, name, write)
    return write.kind in ("draw", "constant", "copy", "part", "computed", "given")


def _memory_of(observed: Observed, name: str, write: Write) -> Memory | None:
    """Return the memory of a parameter in which a write is: its own, or that on the meta device before it."""
    memory = observed.memory(observed.parameters[name])
    return memory.on_meta() if memory is not None and write.on_meta else memory


def _lives_on(memory: Memory, write: Write, last: Write) -> bool:
    """Whether written values were read, and went into places that stay: the written ones served as scratch space."""
    kept = [each for each in memory.lasting(last.time) if each.time > write.time]
    made = {each.time for each in kept}
    read = any(at in made and memory in parent.ancestors(write.time) for at, parent in memory.parents)
    return read or any(each.source is memory and each.time in made for each in kept)


def _is_again(write: Write, last: Write, history: list[Write]) -> bool:
    """Whether the line of a write runs again after the later rule, as where an initializer that scales runs twice."""
    return any(each.time > last.time and each.rule.site == write.rule.site for each in history)


def _is_wider(later: set[str], earlier: set[str], same_kind: set[str], rule: Rule) -> bool:
    """Whether a later rule is for many more parameters, or goes back to the defaults of as many layers."""
    if "." in rule.label:  # a function of torch's layer, which sets its default
        layers, before = ({name.rpartition(".")[0] for name in names} for names in (later, earlier))
        return len(layers) >= max(len(before), 2)
    return len(later) >= 2 * len(same_kind)


def _is_for_new_layers(observed: Observed, name: str, write: Write, last: Write) -> bool:
    """Whether a rule that gets one layer after the other sets what a checkpoint lacks, and the constructor set by name.

    It reaches few parameters then, as the others are loaded.
    """
    owner = observed.owner(name)
    by_name = write.on_meta and write.rule.label and write.rule.made_in is not type(owner)
    return bool(by_name) and any(id(owner) in call[2:] for call in last.rule.calls)


def _is_wiped(write: Write, last: Write) -> bool:
    """Whether `Module.apply` puts one number over values of a formula, which is no default of many layers."""
    is_formula = write.kind in ("copy", "computed") and write.value is None
    return is_formula and last.kind == "constant" and last.rule.applied


def _is_for_a_part(observed: Observed, names: set[str]) -> bool:
    """Whether a rule is the general one of a part of the model: it draws all weights below one module."""
    paths = [name.split(".")[:-2] for name in names]
    shared = [each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*paths, strict=False))]
    start = "".join(f"{each}." for each in shared)
    below = {key for key, each in observed.parameters.items() if key.startswith(start) and each.dim() > 1}
    return len(names) > 1 and below <= names


def _is_one_call(observed: Observed, name: str, first: Write, last: Write) -> bool:
    """Whether one call of a function for one layer makes both writes: the later rule writes nothing else in it."""
    if _is_of_base(first.rule, last.rule):
        return True
    memories = [observed.memory(each) for key, each in observed.parameters.items() if key != name]
    others = [each for memory in memories if memory for each in memory.writes if each.rule.site == last.rule.site]
    if any(first.time < each.time < last.time for each in others):
        return False
    shared = {*first.rule.calls} & {*last.rule.calls}
    return not any(shared.issubset(each.rule.calls) for each in others)


def _is_of_base(first: Rule, last: Rule) -> bool:
    """Whether a method calls the one of its base by `super()` first: what that one set was never meant to stay."""
    if first.function != last.function or first.function == "__init__" or not last.calls:
        return False
    return last.calls[0] in first.calls[1:]


def _is_by_owner(observed: Observed, name: str, write: Write) -> bool:
    """Whether the constructor of the layer itself writes: its default, as with layers of torch."""
    return write.rule.made_in is type(observed.declared(name)[0])


def _is_marked(memory: Memory, write: Write) -> bool:
    """Whether a layer's default is more than a place holder: a gate, a table, a constant that is neither 0 nor 1."""
    if write.kind == "constant":
        return write.value is not None and (max(write.sizes, default=1) == 1 or write.value not in (0.0, 1.0))
    return write.kind in ("computed", "given") and not memory.is_random(write.time)


def _is_instead(observed: Observed, name: str, write: Write) -> bool:
    """Whether the user's kind of a torch layer sets values in the place of torch's default.

    Draws do not count, nor does what torch has as a default somewhere: zeros of a bias, ones of a norm.
    """
    owner, attribute = observed.declared(name)
    bases = type(owner).__mro__[1 : type(owner).__mro__.index(nn.Module)]
    of_torch = any(each.__module__.startswith("torch.nn.") and "reset_parameters" in vars(each) for each in bases)
    if not of_torch or not attribute.startswith(("weight", "bias")):
        return False
    usual = 0.0 if attribute.startswith("bias") else 1.0 if "Norm" in str(bases) else None
    return write.kind in ("constant", "part", "computed", "given") and (write.value is None or write.value != usual)


def _is_same(first: Write, second: Write) -> bool:
    """Whether two writes give the same values: one constant, whatever makes it, or draws of one distribution."""
    if "draw" in (first.kind, second.kind):
        by = [each.rule.label if each.rule.label in CHANGED_LATER else each.operation for each in (first, second)]
        return first.kind == second.kind and by[0] == by[1] and (first.value, first.std) == (second.value, second.std)
    return first.value is not None and first.value == second.value and "change" not in (first.kind, second.kind)


def _after_loading(name: str, last: Write) -> Finding:
    path = name.rpartition(".")[0]
    message = f"`{name}` was loaded, and {last.rule} wrote over it afterwards: the checkpoint's values are lost."
    repair = "Initialize first and load last, or let the rule leave out parameters that are loaded."
    return finding("ZI204", path, [name], message, repair)


def _by_general(name: str, parameter: Tensor, special: Write, last: Write, count: int) -> Finding:
    path = name.rpartition(".")[0]
    what = "scaled" if special.kind == "change" else "set"
    over = f"{last.rule} wrote over it{f', as over {count - 1} more' * (count > 1)}"
    message = f"{_part(name, parameter, special)} was {what} by {special.rule}, and {over}."
    repair = f"Call the special rule last, or let {last.rule.place or 'the general rule'} leave this parameter out."
    if special.on_meta:
        repair = (
            f"Let {last.rule.place or 'the general rule'} make an exception, or call the special rule again at the end"
        )
        repair += ": on the meta device its values were lost."
    return finding("ZI203", path, [name], message, repair)


def _part(name: str, parameter: Tensor, write: Write) -> str:
    """Name a parameter, or the rows of it that were written."""
    width = parameter[0].numel() if parameter.dim() > 1 and len(parameter) else 0
    rows, rest = divmod(write.end - write.offset, width) if width and write.kind != "part" else (0, 1)
    if write.whole or rest or write.offset % width or rows >= len(parameter) or 0 in write.sizes:
        return f"`{name}`"
    first = write.offset // width
    return f"Row {first} of `{name}`" if rows == 1 else f"Rows {first} to {first + rows - 1} of `{name}`"
