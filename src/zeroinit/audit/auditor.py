"""``audit``: was every parameter initialized, once, as meant?"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few, joined, of_model
from zeroinit._modules.homes import homes_of
from zeroinit.audit.building import Observed, observe
from zeroinit.audit.copies import copies_between, copies_inside
from zeroinit.audit.lost import lost_writes
from zeroinit.audit.memory import GIVEN
from zeroinit.audit.overwritten import overwritten
from zeroinit.audit.ranks import compared_ranks
from zeroinit.audit.report import AuditReport, Written
from zeroinit.audit.scale import wrong_scale
from zeroinit.audit.sharding import whole_shapes
from zeroinit.audit.trace import Recorder, plain
from zeroinit.audit.written import never_written, unwritten

__all__ = ["assert_initialized", "audit"]

OUTSIDE = "given values"
"""From NumPy, from a list, from memory that torch did not fill."""
Build = Callable[[], nn.Module]


def audit(
    build: Build,
    *,
    init: Callable[[nn.Module], Any] | None = None,
    batch: Any = None,
    ranks: Sequence[Build | nn.Module] | None = None,
) -> AuditReport:
    """Tell whether every parameter of a model was initialized, once, as meant.

    ``audit`` builds the model and records each write to memory. So it also finds memory that nothing writes. Your
    random state, default type and default device stay as they are.

    Args:
        build: A function without arguments that returns a model. Without ``init`` this function does everything that
            you do: it may build on the meta device, call ``to_empty``, and load a checkpoint.
        init: Initializes a model in place. ``audit`` then calls ``build`` on the meta device, ``to_empty``, and
            ``init``. It compares the result with ``init(build())``.
        batch: Arguments of one forward pass: a tensor, a tuple or a dictionary. Lazy layers need it, and so do buffers
            that the first pass fills. With a batch, ``audit`` sees which axis of a matrix the inputs meet.
        ranks: One function or model for each process. Each function starts from the same random state, as the processes
            of a distributed training do.

    Returns:
        Findings with the parameters at fault, the reason and the repair. See ``zeroinit explain ZI201`` and so on.

    Raises:
        InputError: An argument cannot be used, or the user's code fails.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.proj = nn.Linear(8, 8)
        ...         self.gate = nn.Parameter(torch.empty(8))
        >>> report = audit(Net)
        >>> [(each.code, each.parameters) for each in report.warnings]
        [('ZI201', ('gate',))]
    """
    if ranks is not None and (isinstance(ranks, str | nn.Module) or not isinstance(ranks, Iterable) or not ranks):
        shown = type(ranks).__name__ if isinstance(ranks, nn.Module) else repr(ranks)
        raise InputError(f"ranks={shown}: hand over a list with a function or a model for each rank")
    if init is not None and not callable(init):
        raise InputError(f"init={init!r}: must be a function that initializes a model in place")
    eager = observe(build, init, batch)
    notes: list[str] = []
    all_built = [eager]
    if init is not None and not eager.from_meta:
        try:
            all_built.insert(0, observe(build, init, batch, on_meta=True))
        except InputError as error:
            notes.append(f"not built on the meta device: {error}")
    found = [each for observed in all_built for each in _of_one(observed, eager)]
    found += [] if len(all_built) == 1 else _of_both(*all_built)
    found += wrong_scale(eager, world=len(ranks or ()) or 1)
    if ranks:
        found += _of_ranks(eager, ranks, init, batch)
    parameters = tuple(_written(all_built[0], name, each) for name, each in _tensors(all_built[0]).items())
    homes = homes_of(eager.model, {each.path for each in found})
    return AuditReport(type(eager.model).__name__, parameters, _ordered(found), tuple(notes), homes)


def assert_initialized(
    model_factory: Build, *, init: Callable[[nn.Module], Any] | None = None, batch: Any = None, ranks: Any = None
) -> None:
    """Raise an ``AssertionError`` with the report if ``audit`` has a warning: one line for your tests.

    Args:
        model_factory: As ``build`` of ``audit``.
        init: As for ``audit``.
        batch: As for ``audit``.
        ranks: As for ``audit``.

    Raises:
        AssertionError: There is a warning; the message is the report.

    Example:
        >>> assert_initialized(lambda: nn.Linear(3, 2))
    """
    __tracebackhide__ = True  # pytest shows the report alone
    report = audit(model_factory, init=init, batch=batch, ranks=ranks)
    if report.warnings:
        raise AssertionError(str(report))


def _of_one(observed: Observed, eager: Observed) -> list[Finding]:
    """Return what one built model shows; what is built directly shows what was meant."""
    found = [*never_written(observed, eager), *lost_writes(observed), *overwritten(observed)]
    found += [*copies_between(observed), *copies_inside(observed)]
    together = {name: names for names in observed.joined for name in names}
    for pair in observed.split:
        now = "in the same memory now" if pair[1] in together.get(pair[0], ()) else "now"
        found.append(_split(pair, f"were one parameter while the model was built, and are two {now}"))
    for names in observed.joined:
        if not any({*pair} <= {*names} for pair in observed.split):
            found.append(_joined(names, "are different parameters in the same memory"))
    return found


def _of_both(meta: Observed, eager: Observed) -> list[Finding]:
    """Return differences between a model from the meta device and one that was built directly."""
    found = []
    for names in eager.tied:
        if names not in meta.tied:
            found.append(_split(names, "are one parameter if built directly, and several from the meta device"))
    for names in meta.tied:
        if names not in eager.tied and not any(set(names) <= set(each) for each in eager.tied):
            found.append(_joined(names, "are one parameter from the meta device, and several if built directly"))
    others = _tensors(eager)
    for name, tensor in _tensors(meta).items():
        if name in others and unwritten(meta, name, tensor) is None and unwritten(eager, name, others[name]) is None:
            found += _difference(meta, eager, name, tensor, others[name])
    return found


def _difference(meta: Observed, eager: Observed, name: str, first: Tensor, second: Tensor) -> list[Finding]:
    a, b = (plain(each.detach()) for each in (first, second))
    a, b = (torch.view_as_real(each.resolve_conj()) if each.is_complex() else each for each in (a, b))
    memories = meta.memory(first), eager.memory(second)
    if a.shape != b.shape or a.is_meta or b.is_meta or any(each is None for each in memories):
        return []
    if any(each.is_random() for each in memories if each):
        if not (a.is_floating_point() and a.numel() >= 256):
            return []
        ratio = float(a.double().std() / b.double().std())
        if not math.isfinite(ratio) or 0.7 < ratio < 1.4:
            return []
        what = f"has {ratio:.3g} times the standard deviation"
    elif torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True):
        return []
    else:
        what = "has other values"
    message = f"`{name}` {what} if the model comes from the meta device than if it is built directly"
    repair = f"Let `init` set all of `{name}`, and not change what the constructor left."
    if lost := sorted(vars(second).keys() - vars(first).keys()):
        marks = joined([f"`{each}`" for each in lost])
        message += f": the new parameter that `to_empty` makes has no attribute {marks}"
        repair = f"Keep {marks} on the module, and not on the parameter."
    return [finding("ZI211", name.rpartition(".")[0], [name], f"{message}.", repair)]


def _of_ranks(whole: Observed, ranks: Sequence[Any], init: Any, batch: Any) -> list[Finding]:
    """Build every rank; return what each shows alone, and what they show together."""
    built = []
    for at, each in enumerate(ranks):
        if isinstance(each, nn.Module):
            built.append(Observed(each, Recorder(), [], []))
        else:
            built.append(observe(each, init, batch, on_meta=init is not None, argument=f"ranks[{at}]", seed=at))
    full = whole_shapes(whole, built[0], len(built))
    alone = [found for each in built for found in (*_of_one(each, whole), *wrong_scale(each, full, len(built)))]
    told = {name for each in alone if each.code == "ZI201" for name in each.parameters}
    return [*alone, *compared_ranks(whole, built, full, told)]


def _split(names: Iterable[str], how: str) -> Finding:
    listed = list(names)
    repair = f"Tie them again at the end: `{of_model(listed[1])} = {of_model(listed[0])}`, or `model.tie_weights()`."
    return finding("ZI209", listed[0].rpartition(".")[0], listed, f"{few(listed)} {how}.", repair)


def _joined(names: Iterable[str], how: str) -> Finding:
    listed = list(names)
    repair = "Use one `nn.Parameter` in all places, or give each its own memory: draw it anew, or copy with `.clone()`."
    return finding("ZI210", listed[0].rpartition(".")[0], listed, f"{few(listed)} {how}.", repair)


def _ordered(found: list[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, warnings first."""
    once: dict[tuple, Finding] = {}
    for each in found:
        once.setdefault((each.code, each.parameters), each)
    return tuple(sorted(once.values(), key=lambda each: (each.severity != "warning", each.code)))


def _tensors(observed: Observed) -> dict[str, Tensor]:
    return {**observed.parameters, **observed.buffers}


def _written(observed: Observed, name: str, tensor: Tensor) -> Written:
    memory = observed.memory(tensor)
    writes = [each for each in (memory.history() if memory else []) if each.sets]
    lazy = isinstance(tensor, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer)
    shape = () if lazy else tuple(tensor.shape)
    rule, place = "nobody", ""
    if writes:
        last = writes[-1]
        rule, place = last.rule.label or (OUTSIDE if last.operation in GIVEN else last.operation), last.rule.place
        source = observed.copied_from(last) if last.rule.loading else ""
        rule = "a checkpoint" if observed.is_loaded(last) else f"copy of {source}" if source else rule
    elif memory is not None and unwritten(observed, name, tensor) is None:
        rule = OUTSIDE  # as a write to `tensor.numpy()`, which torch does not see
    return Written(name, shape, not isinstance(tensor, nn.Parameter), rule, place, len(writes))
