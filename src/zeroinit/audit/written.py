"""Values that nobody wrote."""

import linecache

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import of_model
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import Memory, Write
from zeroinit.audit.repairs import constant_again, given_again, rows_of, rule_again
from zeroinit.audit.trace import RARE, plain

__all__ = ["is_of_spectral_norm", "never_written", "unwritten"]

MOST_ROWS = 64
"""So many rows are listed in a line to type, if they are no range."""


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


def never_written(observed: Observed, eager: Observed | None = None) -> list[Finding]:
    """Return a finding for each module with values that nobody wrote.

    Args:
        observed: A built model.
        eager: The same built directly, which shows what the values should be.
    """
    tensors = {**observed.parameters, **observed.buffers}
    masks = {name: unwritten(observed, name, each) for name, each in tensors.items()}
    found = []
    for name, missing in masks.items():
        if missing is not None:
            path = name.rpartition(".")[0]
            whole = all(
                each is not None and bool(each.all()) for key, each in masks.items() if key.rpartition(".")[0] == path
            )
            tied = next((each for pair in observed.split if name in pair for each in pair if each != name), "")
            repair = f"Tie it again: `{of_model(name)} = {of_model(tied)}`."
            repair = repair if tied else _repair(observed, eager or observed, name, missing, whole)
            built = {} if eager is None else {**eager.parameters, **eager.buffers}
            is_empty = eager is not None and name in built and unwritten(eager, name, built[name]) is not None
            found.append(_finding(observed, name, tensors[name], missing, repair, is_empty))
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


def _finding(observed: Observed, name: str, tensor: Tensor, missing: Tensor, repair: str, is_empty: bool) -> Finding:
    path = name.rpartition(".")[0]
    kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    if plain(tensor).is_meta:
        message = f"The {kind} `{name}` is still on the meta device: it has no values."
        return finding("ZI201", path, [name], message, repair)
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
    emptied = next((each for each in reversed(writes) if each.kind == "empty"), None)
    if changes and count == total:
        message = (
            f"{which} was scaled or shifted by {changes[-1].rule}, but never drawn: the values are left-over memory."
        )
    elif observed.from_meta and (lost or (emptied is not None and emptied.phase == "build")):
        place = next((each.rule.place for each in writes if each.kind == "empty" and each.rule.place), "")
        by = str(lost[-1].rule) if lost else "the constructor"
        how = f"{by} sets values on the meta device, where they are lost, and `init` does not set them again"
        if is_empty and not lost and place:
            how = f"{place} makes it without values, and `init` does not set them"
        message = f"{which} {verb} never written after `to_empty`: {how}."
    else:
        made = "" if emptied is None else emptied.rule.place
        message = f"{which} {verb} never written: the values are left-over memory{f' of {made}' if made else ''}."
    return finding("ZI201", path, [name], message, repair)


def _writes(observed: Observed, tensor: Tensor) -> list[Write]:
    """Return the writes to a tensor, and before them those to what `to_empty` made it from."""
    memory = observed.memory(tensor)
    if memory is None:
        return []
    before = [write for parent in memory.ancestors() for write in parent.writes]
    sources = [each.source for each in (*before, *memory.writes) if each.kind == "empty" and each.source is not None]
    before += [write for source in sources for write in source.history()]
    return sorted([*before, *memory.writes], key=lambda each: each.time)


def _repair(observed: Observed, meant: Observed, name: str, missing: Tensor, whole: bool) -> str:
    """Say what to type: the layer's own function if it sets what is missing alone, else the rule that was meant."""
    target, layer, owner = of_model(name), name.rpartition(".")[0], observed.owner(name)
    where = "where the model is initialized" if observed.from_meta else _after_emptying(observed, name)
    by_rule = meant is not observed and [each for each in _sets(meant, name) if each.rule.label][-1:]
    by_reset = not by_rule or "." in by_rule[0].rule.label
    if whole and by_reset and callable(getattr(owner, "reset_parameters", None)):
        return f"Set it where the model is initialized: `{of_model(layer)}.reset_parameters()`."
    if name not in observed.parameters:
        if owner._buffers.keys() >= {"running_mean", "running_var"}:
            return f"Set it where the model is initialized: `{of_model(layer)}.reset_running_stats()`."
        again = "again in the function that initializes the model, after `to_empty`" if observed.from_meta else where
        return f"Compute `{target}` {again}."
    frozen, layers = not observed.parameters[name].requires_grad, nn.Linear | _ConvNd | nn.Embedding
    if observed.is_given(name) and (frozen or not isinstance(owner, layers)):
        return given_again(target, missing)
    axis, numbers = rows_of(missing)
    call, before = _meant(meant, name), ":, " * axis
    if bool(missing.all()):
        return f"Set it {where}: `{call.format(target)}`, or by another rule." if call else _as_made(target)
    is_range = bool(numbers) and numbers == list(range(numbers[0], numbers[-1] + 1))
    if not call or not numbers or not (is_range or len(numbers) <= MOST_ROWS):
        return f"Set the values of `{target}` that are missing, too, {where}."
    if is_range:
        part = f"{numbers[0]}:{numbers[-1] + 1}" if missing.dim() else "..."
        return f"Set them {where}: `{call.format(f'{target}[{before}{part}]')}`, or by another rule."
    shape = [len(numbers) if at == axis else size for at, size in enumerate(missing.shape)]
    values = call.format(f"torch.empty({', '.join(map(str, shape))})")
    return f"Set them {where}: `{target}.data[{before}{numbers}] = {values}`, or by another rule."


def _after_emptying(observed: Observed, name: str) -> str:
    """Say where what is missing is to be set: behind the line that moves it from the meta device without values."""
    memory = observed.memory({**observed.parameters, **observed.buffers}[name])
    before = memory.on_meta() if memory is not None else None
    if memory is None or before is None:
        return "where the model is built"
    site, place = memory.history()[0].rule.site, memory.history()[0].rule.place
    by = f"`to_empty` ({place})" if "to_empty" in linecache.getline(*site[:2]) else place
    made = next((each.rule.place for each in before.lasting() if each.rule.place), "")
    return f"after {by}{f', which drops the values of {made}' if made else ''}"


def _as_made(target: str) -> str:
    return f"Compute `{target}` again in the function that initializes the model, as its constructor does."


def _sets(observed: Observed, name: str) -> list[Write]:
    tensor = observed.parameters.get(name)
    return [each for each in (_writes(observed, tensor) if tensor is not None else []) if each.sets]


def _meant(meant: Observed, name: str) -> str:
    """Return the call that sets what the constructor meant, with a place for its target; empty where a formula did."""
    tensor = meant.parameters.get(name)
    memory = meant.memory(tensor) if tensor is not None else None
    made = _sets(meant, name)
    if tensor is not None and memory is not None and not tensor.is_meta and unwritten(meant, name, tensor) is None:
        values = plain(tensor.detach()).reshape(-1)
        if values.numel() and bool((values == values[0]).all()):
            return constant_again(values[0].item(), "{}")
        return rule_again(made[-1], "{}") if made and memory.is_random() else ""
    if name.endswith("bias"):
        return "nn.init.zeros_({})"
    rule = rule_again(made[-1], "{}") if made and made[-1].phase == "build" and made[-1].whole else ""
    source = memory.on_meta() if memory is not None else None
    if made and made[-1].kind in ("computed", "copy", "given") and source is not None and not source.is_random():
        return ""
    if rule or (tensor is not None and tensor.dim() < 2 and name.endswith("weight")):
        return rule or "nn.init.ones_({})"  # of a norm
    return "nn.init.normal_({}, std=0.02)"


def _rows(missing: Tensor) -> str:
    """Say which rows are missing, where whole rows are."""
    axis, numbers = rows_of(missing)
    whole = bool(numbers) and numbers == list(range(numbers[0], numbers[-1] + 1))
    word = "columns" if axis else "rows"
    return f" ({word} {numbers[0]} to {numbers[-1]})" if whole and len(numbers) > 1 else ""
