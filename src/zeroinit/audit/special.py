"""Special values: which ones a rule for many parameters was not to write over."""

from itertools import takewhile

from torch import Tensor, nn

from zeroinit._findings.finding import Finding, finding
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import COPIES, Memory, Write
from zeroinit.audit.rules import Rule, is_in_loop

__all__ = ["Reach", "Site", "special_lost"]

CHANGED_LATER = ("trunc_normal_", "sparse_")
"""Rules that draw, and then change what they drew."""
Site = tuple[str, int, int]
Reach = dict[Site, set[str]]
"""The parameters that each line of the user's code writes."""


def special_lost(
    observed: Observed, name: str, history: list[Write], last: Write, reach: Reach, later: set[str]
) -> list[Finding]:
    """Return a finding if the last rule, which writes the parameters ``later``, is over a special value."""
    before = [each for each in history if each.time < last.time and last.covers(each)]
    special = [each for each in before if _is_special(observed, name, each, last, reach, later)]
    if lost := [each for each in special if not _is_again(each, last, history)]:
        return [_by_general(name, observed.parameters[name], lost[-1], last, len(later))]
    set_by_owner = [each for each in before if each.sets and _is_by_owner(observed, name, each)]
    if set_by_owner and _is_chosen(observed, name, set_by_owner[-1], last):
        return [_instead_of_chosen(name, set_by_owner[-1], last)]
    return []


def _is_chosen(observed: Observed, name: str, write: Write, last: Write) -> bool:
    """Whether a constructor chose a number that is no usual one, and the rule of a kind of layers sets a usual one."""
    owner, rule = observed.declared(name)[0], last.rule
    usual = last.kind == "constant" and last.value in (0.0, 1.0)
    if write.value in (None, 0.0, 1.0) or not write.whole or not (usual or last.kind == "draw"):
        return False
    if write.rule.origin == "library" or rule.made_in is type(owner) or observed.parameters[name].dim() > 1:
        return False
    return rule.applied or is_in_loop(rule.site) or any(id(owner) in call[2:] for call in rule.calls[:1])


def _instead_of_chosen(name: str, write: Write, last: Write) -> Finding:
    chosen = f"was set to {write.value:g} by its constructor ({write.rule.place})"
    return finding("ZI253", name.rpartition(".")[0], [name], f"`{name}` {chosen}, and {last.rule} wrote over it.")


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
