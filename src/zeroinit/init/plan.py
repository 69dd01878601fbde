"""The plan: by which rule each parameter of a model is set, or why it stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from zeroinit._modules.kinds import every_slot
from zeroinit._modules.layers import Slot, slots_of
from zeroinit._modules.norms import NORMS
from zeroinit.init.branches import Branches
from zeroinit.init.choice import KEEP, Choice
from zeroinit.init.computed import behind, computed_from, is_computed, refuse_computed
from zeroinit.init.distributions import Distribution
from zeroinit.init.entries import Entry, Left, num_weights
from zeroinit.init.initializers import Initializer
from zeroinit.init.names import Names
from zeroinit.init.parameters import check_settable
from zeroinit.init.rules import Rules
from zeroinit.init.sharing import Holder, Shared, find_shared

__all__ = [
    "BETA",
    "DIFFERS",
    "FROZEN",
    "NOT_WEIGHTS",
    "NO_RULE",
    "NO_WEIGHT",
    "OVERLAPPING",
    "SHARED",
    "Entry",
    "Left",
    "Plan",
    "num_weights",
    "rule_slots",
]

BETA = Slot("bias", "bias", (0,), 1)
"""The offset of a norm."""

EXCLUDED, FROZEN, SHARED, OVERLAPPING = "excluded", "frozen", "shared", "overlapping"
NO_RULE, NO_WEIGHT, DIFFERS = "no rule", "no weight", "whose rule differs"
WHY_FROZEN = "frozen (requires_grad is False)"
NOT_WEIGHTS = (nn.Embedding, nn.EmbeddingBag, *NORMS)


@dataclass
class Plan:
    """What happens to each parameter of a model.

    Attributes:
        names: The modules of the model.
        choice: What the user chose.
        rules: Which initializer sets which parameter.
        factors: The scale of each layer and norm, by path.
        seeded: Whether each value depends on seed, name and index alone.
        gets_memory: Whether parameters on the meta device will get memory.
        left: Why parameters of chosen modules are not set, by the ``id`` of the parameter.
        known: The parameters of modules for which there is a rule, by path, as far as somebody has asked.
        shared: Each set of values of the model once.
    """

    names: Names
    choice: Choice
    rules: Rules | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    seeded: bool = False
    gets_memory: bool = False
    left: dict[int, Left] = field(default_factory=dict)
    known: dict[str, tuple[Slot, ...]] = field(default_factory=dict)
    unset: ClassVar[str] = "there is no rule for"
    """What a warning says of weights that are not set."""

    def __post_init__(self) -> None:
        self.shared = find_shared(self.names)
        self._entries: dict[int, Entry] = {}
        self._done: set[int] = set()
        self._scales: dict[tuple[str, str], Slot] = {}
        self._of = {id(parameter): shared for shared in self.shared for parameter in shared.parameters}

    def add_layers(self) -> None:
        """Plan all weights and biases of the chosen layers.

        Raises:
            InputError: One of them cannot be set in place.
        """
        for path in self.choice.layers:
            for slot in self.slots(path):
                self.add(self.look_at(path, slot))

    def add_scales(self, branches: Branches) -> None:
        """Plan the parameters that multiply the ends of residual branches, where an initializer has a rule for them.

        Raises:
            InputError: One of them cannot be set in place.
        """
        assert self.rules is not None
        planned = {name for entry in self.entries for name in entry.shared.names}
        of_planned = zip(branches.branches, branches.scales, strict=True)
        found = {name for names, scales in of_planned if planned & {*names} for name in scales}
        for shared in (each for each in self.shared if found & {*each.names}):
            for holder in shared.holders:
                initializer = self.rules.of(holder.path, holder.attribute)
                if initializer is not None and initializer.of("scale") is not None:
                    slot = Slot(holder.attribute, "scale", (1,), shared.parameters[0].dim())
                    self._scales[holder.path, holder.attribute] = slot
        for path, name in list(self._scales):
            self.add(self.look_at(path, self._scales[path, name]))

    def slots(self, path: str) -> tuple[Slot, ...]:
        """Return the parameters of a module for which there is a rule, in the order of drawing."""
        if path not in self.known:
            self.known[path] = rule_slots(self.names, path, self.names.modules[path], self.rules)
        return self.known[path]

    def add(self, found: "Entry | Left | None") -> None:
        """Add an entry to the plan, each set of values once."""
        if isinstance(found, Entry):
            self._entries.setdefault(id(found.shared), found)
            self._done |= {id(found.shared), id(found.norm if found.norm is not None else found.shared)}

    @property
    def entries(self) -> list[Entry]:
        """The weights and biases that are set, in the order of drawing."""
        return list(self._entries.values())

    @property
    def num_set_weights(self) -> int:
        """How many weights are set; biases do not count."""
        return sum(entry.num_weights for entry in self.entries)

    def rest(self) -> list[Shared]:
        """Return the values that are not set, in the model's order."""
        return [shared for shared in self.shared if id(shared) not in self._done]

    def look_at(self, path: str, slot: Slot) -> "Entry | Left | None":
        """Say what happens to a parameter of a chosen module; ``None`` if the module has no such parameter.

        Raises:
            InputError: It cannot be set in place.
        """
        module = self.names.modules[path]
        holder = Holder(path, module, slot.name)
        if is_computed(module, slot.name):
            return self._look_behind(holder, slot)
        parameter = module._parameters.get(slot.name)
        if parameter is None:
            return None
        shared = self._of[id(parameter)]
        if slot.part == "embedding" and (layer := self._layer_of(shared)) is not None:
            return self.look_at(*layer)
        left = self._why_left(shared, holder, self._rule(holder, slot))
        if left is not None:
            return self.left.setdefault(id(shared.parameters[0]), left)
        check_settable(parameter, slot, holder.name, self.seeded, self.gets_memory)
        return self._entry(shared, holder, parameter, slot)

    def _entry(self, shared: Shared, holder: Holder, parameter: nn.Parameter, slot: Slot) -> Entry:
        initializer, distribution = self._distribution(holder, slot)
        name = self.names.canonical(shared.names if holder.name in shared.names else [holder.name])
        factor = self.factors.get(holder.path, 1.0)
        return Entry(shared, holder, parameter, slot, distribution, factor, name=name, initializer=initializer)

    def _distribution(self, holder: Holder, slot: Slot) -> tuple[Initializer, Distribution]:
        assert self.rules is not None
        initializer = self.rules.of(holder.path, slot.name)
        assert initializer is not None
        distribution = initializer.of("bias" if slot is BETA else slot.part)
        assert distribution is not None
        return initializer, distribution

    def _layer_of(self, shared: Shared) -> tuple[str, Slot] | None:
        """Return the chosen layer that shares a table of embeddings: the table follows its rule."""
        for holder in shared.holders:
            slot = self._slot(holder) if holder.path in self.choice.layers else None
            if slot is not None and slot.part == "weight":
                return holder.path, slot
        return None

    def _look_behind(self, holder: Holder, slot: Slot) -> "Entry | Left | None":
        """Say what happens to a weight that is computed by weight norm (direction v, norm g), pruning or other code."""
        parameters = behind(holder.module, slot.name)
        if self.choice.frozen == KEEP and parameters and not any(each.requires_grad for each in parameters):
            return self._leave(parameters, Left(FROZEN, WHY_FROZEN))
        computed = computed_from(holder.module, slot.name)
        if computed is None:
            refuse_computed(holder.module, slot.name, holder.name)
            return None
        sets = [self._of[id(each)] for each in parameters]
        for each in (holder for shared in sets for holder in shared.holders):
            if each.path in self.choice.excluded:
                return self._leave(parameters, Left(EXCLUDED, f"excluded as {each.name!r}"))
        if any(len(shared.holders) > 1 for shared in sets):
            places = " and ".join(str(each) for shared in sets for each in shared.holders if len(shared.holders) > 1)
            return self._leave(parameters, Left(OVERLAPPING, f"shared by {places}"))
        if self.choice.frozen == KEEP and not all(each.requires_grad for each in parameters):
            return self._leave(parameters, Left(FROZEN, "frozen in part (requires_grad is False)"))
        drawn = self._of[id(computed.drawn)]
        whole = computed.drawn if computed.assign is None else nn.Parameter(computed.drawn.new_empty(computed.shape))
        check_settable(whole, slot, drawn.names[0])
        entry = self._entry(drawn, holder, computed.drawn, slot)
        if computed.norm is None:
            return entry
        norm = self._of[id(computed.norm)]
        if not entry.is_zero or computed.lacks_direction():
            return replace(entry, norm=norm)
        self._leave([computed.drawn], Left(NO_WEIGHT, "the direction of a weight whose norm is 0"))
        return replace(entry, shared=norm, parameter=computed.norm)

    def _leave(self, parameters: list[nn.Parameter], left: Left) -> Left:
        self.left.update((id(each), left) for each in parameters)
        return left

    def _why_left(self, shared: Shared, own: Holder, rule: tuple) -> Left | None:
        for holder in shared.holders:
            if holder.path in self.choice.excluded:
                return Left(EXCLUDED, f"excluded as {holder.name!r}")
        if self.choice.frozen == KEEP and not all(each.requires_grad for each in shared.parameters):
            return Left(FROZEN, WHY_FROZEN)
        if not shared.is_whole:
            names = ", ".join(map(repr, shared.names))
            return Left(OVERLAPPING, f"{names} share a part of their memory")
        if any(self._is_behind(holder, shared) for holder in shared.holders):
            return Left(OVERLAPPING, f"shared by {' and '.join(map(str, shared.holders))}")
        if self.choice.tied == KEEP:
            for holder in shared.holders:
                if (objection := self._objection(own, holder, rule)) is not None:
                    return Left(SHARED, f"shared by {own} and {holder}, {objection}")
        return None

    def _is_behind(self, holder: Holder, shared: Shared) -> bool:
        """Tell whether a weight of the holder is computed from the parameter; that weight would keep its values."""
        computed = [slot.name for slot in self.slots(holder.path) if is_computed(holder.module, slot.name)]
        sources = {id(each) for name in computed for each in behind(holder.module, name)}
        return not sources.isdisjoint(map(id, shared.parameters))

    def _objection(self, own: Holder, holder: Holder, rule: tuple) -> str | None:
        """Say why a module that shares a parameter would not draw the same values, or return ``None``."""
        slot = self._slot(holder)
        if slot is None:
            return None if self._is_alias(own, holder) else "which has no rule"
        if not {holder.path} & {*self.choice.layers, *self.choice.norms} and slot.part != "scale":
            return "which was not chosen"
        if slot.part == "embedding":
            return None
        return None if self._rule(holder, slot) == rule else DIFFERS

    def _is_alias(self, own: Holder, holder: Holder) -> bool:
        """Tell whether a module around a layer hands on the layer's parameter, under the same attribute.

        Under another attribute, the parameter may be anything, such as a table of embeddings.
        """
        is_around = self.names.is_around(holder.module, own.module)
        return is_around and holder.attribute == own.attribute and not isinstance(holder.module, NOT_WEIGHTS)

    def _slot(self, holder: Holder) -> Slot | None:
        if holder.path in self.choice.norms and holder.attribute == BETA.name:
            return BETA
        if (scale := self._scales.get((holder.path, holder.attribute))) is not None:
            return scale
        return next((slot for slot in self.slots(holder.path) if slot.name == holder.attribute), None)

    def _rule(self, holder: Holder, slot: Slot) -> tuple:
        """Return everything that determines the values of a parameter."""
        _, distribution = self._distribution(holder, slot)
        factor = self.factors.get(holder.path) if distribution.scaled else None
        return distribution, factor, (slot.fans, slot.true_fans) if distribution.uses_fan_in else None

    def reason(self, shared: Shared) -> Left:
        """Say why a parameter that is not set stays as it is."""
        if (left := self.left.get(id(shared.parameters[0]))) is not None:
            return left
        first = shared.holders[0]
        for holder in shared.holders:
            if holder.path in self.choice.excluded:
                return Left(EXCLUDED, self._why_excluded(shared, holder))
        if any(self._slot(holder) is not None for holder in shared.holders):
            return Left("not chosen", "its layer was not chosen")
        if not all(each.requires_grad for each in shared.parameters):
            return Left(FROZEN, f"no rule for {type(first.module).__name__}")
        if all(isinstance(holder.module, NOT_WEIGHTS) for holder in shared.holders):
            return Left(NO_WEIGHT, f"no rule for {type(first.module).__name__}")
        return Left(NO_RULE, f"no rule for {type(first.module).__name__}")

    def _why_excluded(self, shared: Shared, holder: Holder) -> str:
        if slots_of(holder.module):
            return "its layer was not chosen"
        kind = type(holder.module).__name__
        return f"excluded as {holder.name!r}" if len(shared.holders) > 1 else f"no rule for {kind}"

    def weights_without_rule(self) -> dict[str, int]:
        """Return the size of each weight without a rule, by name; weights have two axes or more."""
        sizes = {
            str(shared.holders[0]): max(map(num_weights, shared.parameters))
            for shared in self.rest()
            if self.reason(shared).kind == NO_RULE
        }
        return {name: size for name, size in sizes.items() if size}


def rule_slots(names: Names, path: str, module: nn.Module, rules: Rules | None) -> tuple[Slot, ...]:
    """Return the parameters of a module for which rules have a distribution; those of its biases' layers without rules.

    Example:
        >>> from zeroinit.init.table import INITIALIZERS
        >>> model = nn.Embedding(3, 2)
        >>> rules = [Rules.one(INITIALIZERS[name]) for name in ("zero", "lecun_normal")]
        >>> [len(rule_slots(Names(model), "", model, each)) for each in rules]
        [0, 1]
    """
    if rules is None:
        return slots_of(module)
    above, _, own = path.rpartition(".")
    found = every_slot(module, own, names.modules.get(above) if path else None)
    plain = {slot.name for slot in slots_of(module)}

    def is_set(slot: Slot) -> bool:
        initializer = rules.of(path, slot.name)
        return initializer is not None and (slot.name in plain or initializer.of(slot.part, plain=False) is not None)

    return tuple(slot for slot in found if is_set(slot))
