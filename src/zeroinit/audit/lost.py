"""Writes that reached no parameter."""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few, joined, of_model
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import Memory, Write
from zeroinit.audit.repairs import rule_again
from zeroinit.audit.rules import is_by_hand
from zeroinit.audit.trace import PICKS

__all__ = ["lost_writes"]


def lost_writes(observed: Observed) -> list[Finding]:
    """Return a finding for each initializer that wrote memory which was computed from parameters, and then dropped."""
    final = {memory: name for name, each in observed.parameters.items() if (memory := observed.memory(each))}
    held = {*final, *filter(None, map(observed.memory, observed.buffers.values()))}
    reached = {memory: max(times) for memory, times in _leaving(held).items()}
    found: dict[tuple, tuple[Write, Memory, list[str]]] = {}
    for memory in observed.recorder.memories.values():
        written = [each for each in memory.writes[1:] if each.sets and (each.rule.label or each.kind != "computed")]
        written = [each for each in written if each.phase != "forward" and each.rule.site[1] and not each.rule.loading]
        if memory in held or not written or written[-1].rule.origin == "library":
            continue
        last = written[-1]
        if reached.get(memory, -1) >= last.time:
            continue
        names = _read_from(memory, final, last.time)
        if (
            names
            and not _keeps_loaded(observed, names, last, memory)
            and (last.rule.label or last.kind == "draw" or last.whole)
        ):
            found.setdefault((last.rule.site, last.rule.label, tuple(names)), (last, memory, names))
    lost = [_lost(observed, write, memory, names) for write, memory, names in found.values()]
    return [*lost, *_assigned_in_vain(observed, final)]


def _leaving(held: set[Memory]) -> dict[Memory, list[int]]:
    """Return the times at which values of some memory went into what is held at the end."""
    found: dict[Memory, list[int]] = {}
    for each in held:
        for parent, time in each.ancestors().items():
            found.setdefault(parent, []).append(time)
    return found


def _read_from(memory: Memory, final: dict[Memory, str], before: int) -> list[str]:
    """Return the parameters that were read to compute some memory; what has their shape alone does not count."""
    if not memory.writes or memory.writes[0].kind in ("empty", "constant", "draw"):
        return []
    found, open_, seen = [], [memory], {memory}
    while open_:
        for time, parent in open_.pop().parents:
            if time > before or parent in seen:
                continue
            seen.add(parent)
            if parent in final:
                found.append(final[parent])
            else:
                open_.append(parent)
    return found


def _keeps_loaded(observed: Observed, names: list[str], write: Write, memory: Memory) -> bool:
    """Whether parameters hold loaded values, which a rule without effect was not to replace.

    Meant to replace them are writes afterwards to rows, and those that the user's code makes by name.
    """
    loaded = observed.loaded_until(names)
    meant = memory.writes[0].operation in PICKS or is_by_hand(write.rule)
    return loaded is not None and (write.time < loaded or not meant)


def _lost(observed: Observed, write: Write, memory: Memory, names: list[str]) -> Finding:
    path, attribute = _computed(names)
    target = of_model(f"{path}.{attribute}".lstrip("."))
    if attribute != names[0].rpartition(".")[2]:
        when = "each time it is read" if "parametrizations." in names[0] else "in each forward pass"
        why = f"`{target}` is computed anew from {joined([f'`{name}`' for name in names])} {when}"
    else:
        why = f"the tensor is a copy of {few(names)}: an index, a conversion or `clone` made it"
    message = f"{write.rule} has no effect: {why}, and the written values go nowhere."
    repair = _instead(observed, write, memory, names)
    return finding("ZI202", names[0].rpartition(".")[0], names, message[:1].upper() + message[1:], repair)


def _computed(names: list[str]) -> tuple[str, str]:
    """Return the path of a layer and the attribute that it computes from parameters, or the parameter itself."""
    path, _, attribute = names[0].rpartition(".")
    if through := re.search(r"(^|\.)parametrizations\.([^.]+)$", path):
        return path[: through.start()], through[2]
    hooked = attribute.removesuffix("_orig").removesuffix("_g").removesuffix("_v")
    return path, hooked


def _instead(observed: Observed, write: Write, memory: Memory, names: list[str]) -> str:
    """Say how the written values get into parameters."""
    path, attribute = _computed(names)
    layer, target = of_model(path), of_model(f"{path}.{attribute}".lstrip("."))
    parameter = observed.parameters[names[0]]
    call = rule_again(write, "{}") or "nn.init.normal_({}, std=0.02)"
    shape = ", ".join(map(str, memory.writes[0].sizes))
    if "parametrizations." in names[0]:
        chain = observed.model.get_submodule(names[0].rpartition(".")[0])
        if all(hasattr(each, "right_inverse") for each in chain.children()):
            values = call.format(f"torch.empty({shape})")
            return f"Assign: `{target} = {values}`; or initialize before the parametrization."
        return "Initialize before the parametrization: it has no `right_inverse`, so nothing can be assigned."
    if names[0].endswith("_orig"):
        return f"Write to the parameter itself: `{call.format(of_model(names[0]))}`."
    if attribute != names[0].rpartition(".")[2]:
        steps = f"nn.utils.remove_weight_norm({layer}); {call.format(target)}; nn.utils.weight_norm({layer})"
        return f"Initialize before `weight_norm`, or take it off: `{steps}`."
    if rows := memory.writes[0].rows:
        return f"Write to the rows: `{target}.data[{list(rows)}] = {call.format(f'torch.empty({shape})')}`."
    if tuple(memory.writes[0].sizes) != tuple(parameter.shape):
        return f"Write to the parameter itself, and not to a copy of a part: `{target}.data[...] = values`."
    if parameter.dtype in (torch.float32, torch.float64):
        return f"Write to the parameter itself: `{call.format(target)}`."
    return f"Write to the parameter itself: `{target}.data.copy_({call.format(f'torch.empty({shape})')})`."


def _assigned_in_vain(observed: Observed, final: dict[Memory, str]) -> Iterable[Finding]:
    """Yield a finding for each attribute that a hook computes anew before each forward pass, and that the user set."""
    for path, module in observed.model.named_modules():
        for attribute, value in vars(module).items():
            names = [key for key in module._parameters if key in [f"{attribute}{end}" for end in ("_orig", "_g", "_v")]]
            memory = observed.memory(value) if names and isinstance(value, Tensor) and not value.is_meta else None
            made = [each for each in (memory.history() if memory is not None else []) if each.sets]
            if memory is None or not made or not observed.recorder.time or made[-1].phase == "forward":
                continue
            names = [f"{path}.{name}".lstrip(".") for name in names]
            if memory in final or any(each in final for each in memory.ancestors()):
                continue
            if not _keeps_loaded(observed, names, made[-1], memory):
                yield _lost(observed, made[-1], memory, names)
