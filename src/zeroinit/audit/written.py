"""Values that nobody wrote, and writes that reached no parameter."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few, joined, of_model
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import Memory, Write
from zeroinit.audit.trace import RARE, plain

__all__ = ["is_of_spectral_norm", "lost_writes", "never_written", "unwritten"]


def unwritten(observed: Observed, name: str, tensor: Tensor) -> Tensor | None:
    """Return which values of a parameter or buffer nobody wrote (same shape, bool); ``None`` if there is none.

    Left out: lazy parameters, buffers that the forward pass fills, and the vectors of spectral norm.
    """
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer) or not tensor.numel():
        return None
    tensor, is_buffer = plain(tensor.detach()), not isinstance(tensor, nn.Parameter)
    if tensor.is_meta:
        return torch.ones(tensor.shape, dtype=torch.bool)
    memory = observed.memory(tensor)
    if memory is None or not memory.was_empty() or (is_buffer and _is_filled_later(observed, name, memory)):
        return None
    if tensor.is_floating_point() or tensor.is_complex():
        meant = any(each.value is not None and each.value != each.value for each in memory.writes)
        tensor = tensor.float() if tensor.element_size() == 1 else tensor
        found = None if meant else torch.isnan(tensor)
    elif tensor.dtype in (torch.int32, torch.int64):
        found = tensor == RARE
    else:
        found = torch.full(tensor.shape, all(each.kind in ("empty", "change") for each in memory.history()))
    return found if found is not None and bool(found.any()) else None


def _is_filled_later(observed: Observed, name: str, memory: Memory) -> bool:
    return is_of_spectral_norm(observed, name) or any(each.phase == "forward" for each in memory.writes)


def is_of_spectral_norm(observed: Observed, name: str) -> bool:
    """Whether a buffer is a vector that spectral norm improves in each forward pass."""
    owner, attribute = observed.owner(name), name.rpartition(".")[2]
    return type(owner).__name__ == "_SpectralNorm" or f"{attribute[:-2]}_orig" in owner._parameters


def never_written(observed: Observed) -> list[Finding]:
    """Return a finding for each module with values that nobody wrote."""
    found = []
    for name, tensor in {**observed.parameters, **observed.buffers}.items():
        missing = unwritten(observed, name, tensor)
        if missing is not None:
            found.append(_finding(observed, name, tensor, missing))
    for path, module in observed.model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_meta:
                name = f"{path}.{key}".lstrip(".")
                message = f"`{name}` is no buffer, and stays on the meta device: `to_empty` does not know it."
                repair = (
                    f"Register it: `self.register_buffer({key!r}, ..., persistent=False)`; fill it again in `init`."
                )
                found.append(finding("ZI201", path, [name], message, repair))
    return found


def _finding(observed: Observed, name: str, tensor: Tensor, missing: Tensor) -> Finding:
    path = name.rpartition(".")[0]
    kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    if plain(tensor).is_meta:
        message = f"The {kind} `{name}` is still on the meta device: it has no values."
        return finding("ZI201", path, [name], message, _repair(observed, name, kind))
    writes = _writes(observed, tensor)
    count, total = int(missing.sum()), missing.numel()
    changes = [each for each in writes if each.kind == "change"]
    which = (
        f"The {kind} `{name}`"
        if count == total
        else f"{count} of {total} values of the {kind} `{name}`{_rows(missing)}"
    )
    verb = "was" if count == total or count == 1 else "were"
    lost = [each for each in writes if each.phase == "build" and each.kind not in ("empty", "change")]
    if changes and count == total:
        message = (
            f"{which} was scaled or shifted by {changes[-1].rule}, but never drawn: the values are left-over memory."
        )
    elif observed.from_meta and lost:
        message = (
            f"{which} {verb} never written after `to_empty`: {lost[-1].rule} sets values on the meta device, where "
            f"they are lost, and `init` does not set them again."
        )
    else:
        made = next((each.rule.place for each in writes if each.kind == "empty" and each.rule.place), "")
        message = f"{which} {verb} never written: the values are left-over memory{f' of {made}' if made else ''}."
    return finding("ZI201", path, [name], message, _repair(observed, name, kind))


def _writes(observed: Observed, tensor: Tensor) -> list[Write]:
    """Return the writes to a tensor, and before them those to what `to_empty` made it from."""
    memory = observed.memory(tensor)
    if memory is None:
        return []
    before = [write for parent in memory.ancestors() for write in parent.writes]
    sources = [each.source for each in (*before, *memory.writes) if each.kind == "empty" and each.source is not None]
    before += [write for source in sources for write in source.history()]
    return sorted([*before, *memory.writes], key=lambda each: each.time)


def _repair(observed: Observed, name: str, kind: str) -> str:
    """Say what to type: the layer's own function, where there is one, else a rule."""
    target, layer = of_model(name), name.rpartition(".")[0]
    if callable(getattr(observed.owner(name), "reset_parameters", None)):
        return f"Set it where the model is initialized: `{of_model(layer)}.reset_parameters()`."
    if kind == "buffer":
        return f"Compute `{target}` again in the function that initializes the model, after `to_empty`."
    call = "zeros_({})" if name.endswith("bias") else "normal_({}, std=0.02)"
    return f"Set it where the model is initialized: `nn.init.{call.format(target)}`, or by another rule."


def _rows(missing: Tensor) -> str:
    """Say which rows are missing, where whole rows are."""
    if missing.dim() == 0:
        return ""
    rows = missing.flatten(1).all(1) if missing.dim() > 1 else missing
    numbers = rows.nonzero().flatten().tolist()
    if not numbers or int(missing.sum()) != len(numbers) * (missing.numel() // len(missing)):
        return ""
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f" (rows {numbers[0]} to {numbers[-1]})" if whole and len(numbers) > 1 else ""


def lost_writes(observed: Observed) -> list[Finding]:
    """Return a finding for each initializer that wrote memory which was computed from parameters, and then dropped."""
    final = {memory: name for name, each in observed.parameters.items() if (memory := observed.memory(each))}
    held = {*final, *filter(None, map(observed.memory, observed.buffers.values()))}
    reached = {memory: max(times) for memory, times in _leaving(held).items()}
    found: dict[tuple, tuple[Write, list[str]]] = {}
    for memory in observed.recorder.memories.values():
        written = [each for each in memory.writes[1:] if each.sets and (each.rule.label or each.kind != "computed")]
        written = [each for each in written if each.phase != "forward" and each.rule.site[1] and not each.rule.loading]
        if memory in held or not written or written[-1].rule.origin == "library":
            continue
        last = written[-1]
        if reached.get(memory, -1) >= last.time:
            continue
        names = _read_from(memory, final, last.time)
        if names and (last.rule.label or last.kind == "draw" or last.whole):
            found.setdefault((last.rule.site, last.rule.label, tuple(names)), (last, names))
    return [_lost(observed, write, names) for write, names in found.values()]


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


def _lost(observed: Observed, write: Write, names: list[str]) -> Finding:
    path = names[0].rpartition(".")[0].partition(".parametrizations")[0].removesuffix("parametrizations").rstrip(".")
    through = [name for name in names if "parametrizations." in name]
    attribute = names[0].rpartition(".")[2].removesuffix("_orig").removesuffix("_g").removesuffix("_v")
    if through:
        attribute = through[0].split("parametrizations.")[-1].split(".")[0]
    target = of_model(f"{path}.{attribute}".lstrip("."))
    if through or any(name.endswith(("_orig", "_g", "_v")) for name in names):
        why = f"`{target}` is computed anew from {joined([f'`{name}`' for name in names])} each time it is read"
        repair = f"Assign instead: `{target} = ...` inside `torch.no_grad()`; or initialize before the parametrization."
    else:
        why = f"the tensor is a copy of {few(names)}: an index, a conversion or `clone` made it"
        repair = f"Write to the parameter itself: `nn.init.normal_({target}, std=0.02)`."
    message = f"{write.rule} has no effect: {why}, and the written values go nowhere."
    return finding("ZI202", path, names, message[:1].upper() + message[1:], repair)
