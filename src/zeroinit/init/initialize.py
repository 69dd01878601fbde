"""``initialize_``: set the parameters of a model in place, by name of an initializer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError, whole_number
from zeroinit._modules.arguments import check_device, check_generator, check_module, true_or_false
from zeroinit._modules.norms import find_canceling_norms
from zeroinit._modules.state import random_state_kept
from zeroinit.init.auto_scale import auto_scales
from zeroinit.init.by_module import WrittenPlan, call_on_modules, unchanged_on_error
from zeroinit.init.checks import (
    check_layers,
    check_no_effect,
    check_norm_aware,
    check_scale,
    check_something_is_set,
)
from zeroinit.init.choice import KEEP, choose
from zeroinit.init.computed import is_computed
from zeroinit.init.concerns import Concerns, InitWarning, SymmetryWarning
from zeroinit.init.finish import Finish, prepare
from zeroinit.init.initializers import Initializer
from zeroinit.init.memory import materialize
from zeroinit.init.names import Names
from zeroinit.init.norms import judge_norms
from zeroinit.init.own import ModuleFunction, find_initializer
from zeroinit.init.plan import BETA, Entry, Left, Plan, rule_slots
from zeroinit.init.probe import ConstantChannels, copy_model, probe_norms, take_probe
from zeroinit.init.reading import read_rules
from zeroinit.init.record import InitRecord, NormRecord, ParameterRecord, Untouched, hash_tensor
from zeroinit.init.rules import Rules
from zeroinit.init.sharing import Shared
from zeroinit.init.sources import Counter, Source, Stream
from zeroinit.init.table import INITIALIZERS

__all__ = ["InitWarning", "SymmetryWarning", "initialize_"]

RULES = "rules"


def initialize_(
    model: nn.Module,
    initializer: str | Initializer | Callable | Mapping[str, Any],
    *,
    scale: float | str = 1.0,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    device: torch.device | str | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    frozen: str = KEEP,
    tied: str = KEEP,
    norm_aware: bool = False,
    probe: Any = None,
    strict: bool = False,
) -> InitRecord:
    """Set the weights and biases of all dense, convolutional and attention layers of ``model``, in place.

    No ``Parameter`` is replaced, so an optimizer that you built before stays valid. If ``initialize_`` raises an error,
    the model is unchanged.

    Layers are ``nn.Linear``, convolutions, transposed convolutions, ``nn.MultiheadAttention``, GPT's ``Conv1D``, and
    their subclasses. Attention's projections and ``Conv1D`` are drawn as dense layers. Under weight norm or pruning,
    ``initialize_`` sets the parameters from which the weight is computed. Most initializers also set embeddings,
    recurrent and bilinear layers, norms and stacked experts. ``pytorch``, ``zero`` and the ``*_bias`` initializers do
    not. A parameter without a rule stays as it is, and the record names it.

    Args:
        model: Any module.
        initializer: A key of ``INITIALIZERS``, rules, or your own initializer. Rules map patterns over names to
            initializers: ``{"*": "kaiming_normal", "head": "zeros"}``. If several patterns match, the last one decides.
            For options, use ``make_initializer``, or in rules a mapping with ``"name"``. Your own initializer is a
            function or its name ``"package.module:function"``, the name of an entry point of the group
            ``zeroinit.initializers``, or an ``Initializer``. A function with a parameter called ``generator`` fills one
            weight, as ``nn.init.orthogonal_`` does, and biases become zero. A function without this parameter sets one
            module, as in ``model.apply``. ``docs/reference/initialize.md`` says more.
        scale: Factor on everything that the initializer draws, at least 0. The ``*_bias`` initializers draw only the
            biases; the paper's factors are 1, 100 and 0.01. With these initializers, ``"auto"`` gives each layer its
            own factor: 3 / sqrt(fan-in of the next layer), at most 1, and 0.01 for the last layer; see ``auto_scales``.
            The record's rules hold the numbers.
        generator: Source of randomness; torch's global generator if ``None``. Values are drawn in float32 on the
            generator's device and then copied. So one seed gives the same values on every device and in every
            precision. A function that sets modules draws from the global generators, with a seed from ``generator``.
        seed: Replaces the generator. Each value is then a function of (seed, name of the parameter, index) alone. So
            values do not depend on the order of modules, nor on how many processes hold them. Parameters may be
            DTensors, as in FSDP2: each process draws its own part. Only ``orthogonal``, ``delta_orthogonal``,
            ``sparse`` and functions of your own need a whole matrix, one at a time.
        device: Gives memory on this device to parameters and buffers on the meta device. Tied weights stay tied, and no
            ``Parameter`` is replaced. Modules without a rule need a method ``reset_parameters``.
        include: Pattern or patterns (``*``, ``?``, ``[]``) over the names of layers to set; all if ``None``. A module
            with several names is found under each of them.
        exclude: Pattern or patterns over the names of modules to leave as they are. A parameter that an excluded module
            shares with another one stays as it is everywhere.
        frozen: ``"keep"`` leaves parameters with ``requires_grad=False`` as they are; ``"set"`` sets them as well.
            They stay frozen.
        tied: What happens to a parameter that several modules share, if one of these modules was not chosen or has
            another rule or none. An example is an embedding tied to a language model's head. ``"keep"`` leaves the
            parameter as it is and warns; ``"set"`` sets the parameter.
        norm_aware: Also draw beta of norms that map a constant channel to beta, from the distribution of the biases.
            These are batch norm, instance norm and group norm with one channel per group. The layer after such a norm
            then trains. Beta is drawn last, so no other value changes. A convolution before the norm still gets only
            rounding as its gradient if its input is constant; ``zeroinit.remedies.AffineNorms`` gives it a true
            gradient.
        probe: Inputs for a forward pass. ``constnet``, ``fixup``, ``lsuv`` and ``zero_branch`` need them. With
            ``norm_aware``, beta is drawn only where a norm gets a constant channel in this pass. A mapping (also
            ``BatchEncoding``, ``UserDict``) holds named arguments, a tuple or list positional arguments; anything else
            is the only argument. Passes run on a copy, so the model's mode and buffers and torch's random state do not
            change.
        strict: Raise an error instead of warning, before anything changes.

    Returns:
        A record of each parameter that was set: rule, shape, hash before and after. It also names each parameter that
        was not set and why, the layers without a bias, and, with ``norm_aware``, what was done with each norm.

    Raises:
        InputError: The name is unknown. The scale is negative, not finite, without effect, or a word other than "auto".
            ``scale="auto"`` or ``norm_aware`` is used without zero weights and random biases. A pattern matches no
            layer, the model has no such layers, or none of them may be set. A parameter cannot be set in place (lazy,
            under another parametrization, on the meta device, made in inference mode, not floating point, sharded,
            expanded). This machine lacks the device. A probe is given although nothing needs it, holds no example or
            NaN, or its forward pass fails. An initializer of your own has another form, fails, leaves a part of a
            weight unset, NaN or infinite, or replaces a parameter. With ``strict``: there is something to warn of.

    Warns:
        InitWarning: A shared parameter stays as it is. Less than half of the weights have a rule; embeddings, norms,
            frozen and excluded weights do not count. The axis of the inputs of stacked experts is a guess.
        SymmetryWarning: A ``*_bias`` initializer sets a layer without a bias, so its units stay identical. Or a norm
            cancels constant channels and has no beta.

    Source:
        Schicho 2023, "Training neural network with zero weight initialization", section 3.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> print(initialize_(model, "normal_bias", scale=0.01, generator=torch.Generator().manual_seed(0)))
        normal_bias (scale 0.01): 4 set, 0 left
          0.weight  3x4  0
          0.bias    3    N(0, 1) * 0.01
          2.weight  2x3  0
          2.bias    2    N(0, 1) * 0.01
    """
    check_module(model)
    true_or_false(strict, "strict")
    source = _source(generator, seed)
    names = Names(model)
    if isinstance(initializer, Mapping):
        name, rules = RULES, read_rules(initializer, names)
    else:
        name, rule = find_initializer(initializer)
        if isinstance(rule, ModuleFunction):
            unused = {"scale": None if scale == 1.0 else scale, "norm_aware": norm_aware or None, "probe": probe}
            check_no_effect(name, **unused, seed=seed, device=device)
            settings = {"include": include, "exclude": exclude, "frozen": frozen, "tied": tied}
            return _set_by_modules(names, rule, generator, strict, settings)
        rules = Rules.one(rule, name)
    check_scale(name, rules.initializers, scale)
    check_norm_aware(name, rules.initializers, norm_aware, probe)
    slots = {path: rule_slots(names, path, module, rules) for path, module in names.modules.items()}
    layers = {path: names.modules[path] for path, found in slots.items() if found}
    if not rules.is_one:
        every = [(path, name) for path, each in names.modules.items() for name in each._parameters]
        rules.check(((path, slot.name) for path, found in slots.items() for slot in found), every)
    check_layers(model, names, layers)
    norms = find_canceling_norms(model) if norm_aware else {}
    choice = choose(names, layers, norms, include=include, exclude=exclude, frozen=frozen, tied=tied)
    place, seeded = None if device is None else check_device(device), seed is not None
    plan = Plan(names, choice, rules, _factors(model, layers, norms, scale), seeded, place is not None, known=slots)
    plan.add_layers()
    judged, without_beta = _plan_betas(model, plan, norms, source, probe if norm_aware else None)
    check_something_is_set(model, plan)
    without_bias = _without_bias(plan)
    concerns = Concerns(name)
    if all(each.draws_biases_alone for each in rules.initializers):
        concerns.about_biases(list(choice.layers), without_bias)
    concerns.about_betas(norms, without_beta)
    concerns.about_shared(plan)
    concerns.about_coverage(plan)
    concerns.about_layout(plan)
    concerns.tell(strict, stacklevel=2)
    own = not all(each.name in INITIALIZERS for each in rules.initializers)
    finishes = [each for each in rules.initializers if each.finish is not None]
    found = prepare(model, finishes, probe)
    if found is not None:
        plan.add_scales(found.branches)
    rows = _rows_before(plan)
    if place is not None:
        materialize(names, plan, place, seed)
    may_fail = own or bool(finishes)  # a function of the user's, or a forward pass
    with unchanged_on_error(names) if may_fail else nullcontext():
        for entry in plan.entries:
            entry.draw(entry.holder.module, source)
        finish = Finish(model, plan, source, found)
        for each in finishes:
            finish.run(each)
        parameters, notes = _recorded(rows, finish), tuple(finish.notes)
    recorded = scale if isinstance(scale, str) else float(scale)
    untouched = _untouched(plan, judged)
    given = rules.to_dict() if isinstance(initializer, Mapping) else None
    norm_records = judged if norm_aware else None
    return InitRecord(name, recorded, parameters, untouched, without_bias, norm_records, given, seed, notes)


def _source(generator: torch.Generator | None, seed: int | None) -> Source:
    check_generator(generator)
    if seed is None:
        return Stream(generator)
    if generator is not None:
        raise InputError(
            "seed, generator: give one of them; with a seed, each value depends on its name and index alone"
        )
    return Counter(whole_number(seed, "seed", least=0))


def _set_by_modules(
    names: Names, function: ModuleFunction, generator: torch.Generator | None, strict: bool, settings: dict
) -> InitRecord:
    """Call the function on the chosen modules; put back what has to stay as it was."""
    holders = {
        path: each for path, each in names.modules.items() if any(p is not None for p in each._parameters.values())
    }
    if not holders:
        raise InputError(f"model={type(names.modules['']).__name__}: has no parameters to initialize")
    choice = choose(names, holders, {}, what="module with parameters", **settings)
    plan = WrittenPlan(names, choice)
    plan.check()
    with unchanged_on_error(names) as before:
        call_on_modules(names, choice, function, generator, before)
        before.check_in_place(function.name)
        parameters = plan.settle(function.name, before)
        concerns = Concerns(function.name)
        concerns.about_shared(plan)
        concerns.about_coverage(plan)
        concerns.tell(strict, stacklevel=3)
    return InitRecord(function.name, 1.0, parameters, _untouched(plan, ()))


def _factors(model: nn.Module, layers: Mapping, norms: Mapping, scale: float | str) -> dict[str, float]:
    """Return the factor of each layer and norm."""
    if isinstance(scale, str):
        return auto_scales(model, layers, norms)
    return dict.fromkeys([*layers, *norms], float(scale))


def _without_bias(plan: Plan) -> tuple[str, ...]:
    """Return the layers without a bias whose weight is set."""
    weights = [entry for entry in plan.entries if entry.slot.part == "weight" and not entry.slot.is_stacked]
    found = {entry.holder.path for entry in weights}
    return tuple(path for path in plan.choice.layers if path in found and not _has_bias(plan, path))


def _has_bias(plan: Plan, path: str) -> bool:
    layer = plan.choice.layers[path]
    names = [slot.name for slot in plan.slots(path) if slot.part in ("bias", "gate bias")]
    return any(layer._parameters.get(name) is not None or is_computed(layer, name) for name in names[:1])


def _plan_betas(
    model: nn.Module, plan: Plan, norms: Mapping[str, nn.Module], source: Source, probe: Any
) -> tuple[tuple[NormRecord, ...], list[str]]:
    """Plan which betas are drawn, after all else; return what is done with each norm, and the norms without a beta."""
    chosen = list(plan.choice.norms)
    betas = {path: plan.look_at(path, BETA) for path in chosen}
    seen = _rehearse(model, plan, source, chosen, probe) if probe is not None else None
    kept = {path: found.reason for path, found in betas.items() if isinstance(found, Left)}
    judged, without_beta = judge_norms(norms, chosen, seen, kept)
    for norm in judged:
        if norm.changed:
            plan.add(betas[norm.path])
    return judged, without_beta


def _rehearse(
    model: nn.Module, plan: Plan, source: Source, norms: list[str], probe: Any
) -> dict[str, ConstantChannels]:
    """Set a copy of the model, with the values that the model will get, and probe it."""
    replica = copy_model(model)
    if isinstance(source, Stream) and source.generator is not None:
        source = Stream(source.generator.clone_state())
    batch = take_probe(probe, model)
    with random_state_kept(replica):
        for entry in plan.entries:
            entry.draw(replica.get_submodule(entry.holder.path), source)
        return probe_norms(replica, norms, batch)


def _rows_before(plan: Plan) -> list[tuple[Shared, nn.Parameter, str, str]]:
    """Return the rows of the record, and the hashes of the values as they are."""
    return [(*row, hash_tensor(row[1])) for entry in plan.entries for row in _rows(entry)]


def _recorded(rows: list[tuple[Shared, nn.Parameter, str, str]], finish: Finish) -> tuple[ParameterRecord, ...]:
    records = []
    for shared, parameter, rule, earlier in rows:
        first, *aliases = shared.names_from(parameter)
        shape, was_frozen = tuple(parameter.shape), not parameter.requires_grad
        rule += finish.done.get(id(parameter), "")
        records.append(ParameterRecord(first, shape, rule, earlier, hash_tensor(parameter), tuple(aliases), was_frozen))
    return tuple(records)


def _rows(entry: Entry) -> list[tuple[Shared, nn.Parameter, str]]:
    """Return the rows of a record for an entry: the values, the parameter that holds them, and the rule."""
    rule = entry.distribution.describe(entry.factor)
    if entry.norm is None:
        return [(entry.shared, entry.parameter, rule)]
    norm = entry.norm.parameters[0]
    if entry.is_zero:
        return [(entry.norm, norm, rule), (entry.shared, entry.parameter, "1 where its direction was 0")]
    return [(entry.norm, norm, f"norm of {rule}"), (entry.shared, entry.parameter, rule)]


def _untouched(plan: Plan, judged: tuple[NormRecord, ...]) -> tuple[Untouched, ...]:
    reasons = {f"{norm.path}.bias" if norm.path else "bias": norm.reason for norm in judged}
    entries = []
    for shared in plan.rest():
        parameter, (name, *aliases) = shared.parameters[0], shared.names
        shape = () if isinstance(parameter, UninitializedParameter) else tuple(parameter.shape)
        reason = reasons.get(name) or plan.reason(shared).reason
        entries.append(Untouched(name, shape, reason, tuple(aliases)))
    return tuple(entries)
