"""The plan: by which rule each parameter of a model is set, or why it stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._modules.layers import Slot, slots_of
from zeroinit._modules.norms import NORMS
from zeroinit.init.choice import KEEP, Choice
from zeroinit.init.computed import behind, computed_from, is_computed, refuse_computed
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.initializers import Initializer
from zeroinit.init.names import Names
from zeroinit.init.parameters import check_settable, set_parameter
from zeroinit.init.sharing import Holder, Shared, find_shared

__all__ = [
    "BETA",
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
]

BETA = Slot("bias", "bias", (0,), 1)
"""The offset of a norm."""

EXCLUDED, FROZEN, SHARED, OVERLAPPING = "excluded", "frozen", "shared", "overlapping"
NO_RULE, NO_WEIGHT = "no rule", "no weight"
WHY_FROZEN = "frozen (requires_grad is False)"
NOT_WEIGHTS = (nn.Embedding, nn.EmbeddingBag, *NORMS)


@dataclass(frozen=True)
class Entry:
    """One weight or bias that will be set.

    Attributes:
        shared: Its values.
        holder: The layer that draws them, and the attribute.
        parameter: The parameter that gets the values. It differs from the attribute if the attribute is computed.
        slot: How it is stored.
        distribution: How it is drawn.
        factor: The scale.
        norm: With weight norm the values of g, which follow from the drawn values.
    """

    shared: Shared
    holder: Holder
    parameter: nn.Parameter
    slot: Slot
    distribution: Distribution
    factor: float
    norm: Shared | None = None

    @property
    def num_weights(self) -> int:
        """How many weights this entry sets; biases do not count."""
        if self.slot.part == "bias":
            return 0
        computed = computed_from(self.holder.module, self.slot.name)
        return num_weights(self.parameter if computed is None else computed.drawn)

    @property
    def is_zero(self) -> bool:
        """Whether all drawn values are zero."""
        return self.distribution is ZERO or (self.distribution.scaled and self.factor == 0)

    def draw(self, layer: nn.Module, generator: torch.Generator | None) -> None:
        """Set the values in the layer, or in a copy of it."""
        computed = computed_from(layer, self.slot.name)
        if computed is None:
            parameter = layer._parameters[self.slot.name]
            assert parameter is not None
            set_parameter(parameter, self.slot, self.distribution, self.factor, generator)
        else:
            is_zero = computed.norm is not None and self.is_zero  # v = 0 would make the weight 0 / 0
            if not is_zero:
                set_parameter(computed.drawn, self.slot, self.distribution, self.factor, generator)
            computed.settle(is_zero)


@dataclass(frozen=True)
class Left:
    """Why a parameter stays as it is: the kind of reason, and the reason in words."""

    kind: str
    reason: str


@dataclass
class Plan:
    """What happens to each parameter of a model.

    Attributes:
        names: The modules of the model.
        choice: What the user chose.
        initializer: The distributions.
        factors: The scale of each layer and norm, by path.
        left: Why parameters of chosen modules are not set, by the ``id`` of the parameter.
        shared: Each set of values of the model once.
    """

    names: Names
    choice: Choice
    initializer: Initializer | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    left: dict[int, Left] = field(default_factory=dict)
    unset: ClassVar[str] = "there is no rule for"
    """What a warning says of weights that are not set."""

    def __post_init__(self) -> None:
        self.shared = find_shared(self.names)
        self._entries: dict[int, Entry] = {}
        self._done: set[int] = set()
        self._of = {id(parameter): shared for shared in self.shared for parameter in shared.parameters}

    def add_layers(self) -> None:
        """Plan all weights and biases of the chosen layers.

        Raises:
            InputError: One of them cannot be set in place.
        """
        for path in self.choice.layers:
            for slot in slots_of(self.names.modules[path]):
                self.add(self.look_at(path, slot))

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
        left = self._why_left(shared, holder, self._rule(holder, slot))
        if left is not None:
            return self.left.setdefault(id(shared.parameters[0]), left)
        check_settable(parameter, slot, holder.name)
        return Entry(shared, holder, parameter, slot, getattr(self.initializer, slot.part), self.factors[path])

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
        check_settable(computed.drawn, slot, drawn.names[0])
        distribution, factor = getattr(self.initializer, slot.part), self.factors[holder.path]
        entry = Entry(drawn, holder, computed.drawn, slot, distribution, factor)
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
        if self.choice.tied == KEEP:
            for holder in shared.holders:
                if (objection := self._objection(own, holder, rule)) is not None:
                    return Left(SHARED, f"shared by {own} and {holder}, {objection}")
        return None

    def _objection(self, own: Holder, holder: Holder, rule: tuple) -> str | None:
        """Say why a module that shares a parameter would not draw the same values, or return ``None``."""
        slot = self._slot(holder)
        if slot is None:
            return None if self._is_alias(own, holder) else "which has no rule"
        if holder.path not in self.choice.layers and holder.path not in self.choice.norms:
            return "which was not chosen"
        return None if self._rule(holder, slot) == rule else "whose rule differs"

    def _is_alias(self, own: Holder, holder: Holder) -> bool:
        """Tell whether a module around a layer hands on the layer's parameter, under the same attribute.

        Under another attribute, the parameter may be anything, such as a table of embeddings.
        """
        is_around = self.names.is_around(holder.module, own.module)
        return is_around and holder.attribute == own.attribute and not isinstance(holder.module, NOT_WEIGHTS)

    def _slot(self, holder: Holder) -> Slot | None:
        if holder.path in self.choice.norms and holder.attribute == BETA.name:
            return BETA
        return next((slot for slot in slots_of(holder.module) if slot.name == holder.attribute), None)

    def _rule(self, holder: Holder, slot: Slot) -> tuple:
        """Return everything that determines the values of a parameter."""
        distribution = getattr(self.initializer, slot.part)
        factor = self.factors.get(holder.path) if distribution.scaled else None
        return distribution, factor, slot.fans if distribution.uses_fan_in else None

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


def num_weights(parameter: nn.Parameter) -> int:
    """Count the values of a weight; 0 for what has fewer than two axes or no shape yet."""
    return 0 if isinstance(parameter, UninitializedParameter) or parameter.dim() < 2 else parameter.numel()
