"""The plan: for each parameter of a model whether it is set and by which rule, or why it stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit.init.choice import KEEP, SET, Choice
from zeroinit.init.initializers import Initializer
from zeroinit.init.laws import Law
from zeroinit.init.layers import Slot, slots_of
from zeroinit.init.names import Names
from zeroinit.init.parameters import behind, check_settable, find_parameter, is_computed
from zeroinit.init.sharing import Holder, Shared, find_shared

__all__ = ["BETA", "FROZEN", "OVERLAPPING", "SHARED", "Entry", "Left", "Plan", "num_weights"]

BETA = Slot("bias", "bias", (0,), 1)
"""The offset of a norm."""

EXCLUDED, FROZEN, SHARED, OVERLAPPING, NO_RULE = "excluded", "frozen", "shared", "overlapping", "no rule"
WHY_FROZEN = "frozen (requires_grad is False)"
NOT_WEIGHTS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Entry:
    """One parameter that will be set."""

    shared: Shared
    holder: Holder
    parameter: nn.Parameter
    slot: Slot
    law: Law
    factor: float


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
        initializer: The laws.
        factors: The scale of each layer and norm, by path.
        left: Why parameters of chosen modules are not set, by the ``id`` of the parameter.
        shared: Each set of values of the model once.
    """

    names: Names
    choice: Choice
    initializer: Initializer
    factors: Mapping[str, float]
    left: dict[int, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shared = find_shared(self.names)
        self._entries: dict[int, Entry] = {}
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
        """Plan what was looked at, each set of values once."""
        if isinstance(found, Entry):
            self._entries.setdefault(id(found.shared), found)

    @property
    def entries(self) -> list[Entry]:
        """What is set, in the order of drawing."""
        return list(self._entries.values())

    def rest(self) -> list[Shared]:
        """Return what is not set, in the model's order."""
        return [shared for shared in self.shared if id(shared) not in self._entries]

    def look_at(self, path: str, slot: Slot) -> "Entry | Left | None":
        """Say what happens to a parameter of a chosen module; ``None`` where the module has none.

        Raises:
            InputError: It cannot be set in place.
        """
        module = self.names.modules[path]
        holder = Holder(path, module, slot.name)
        if is_computed(module, slot.name) and (kept := self._keep_frozen(behind(module, slot.name))) is not None:
            return kept
        parameter = find_parameter(module, slot, holder.name)
        if parameter is None:
            return None
        shared = self._of[id(parameter)]
        law = getattr(self.initializer, slot.part)
        left = self._why_left(shared, holder, self._rule(holder, slot))
        if left is not None:
            return self.left.setdefault(id(shared.parameters[0]), left)
        check_settable(parameter, slot, holder.name)
        return Entry(shared, holder, parameter, slot, law, self.factors[path])

    def _keep_frozen(self, parameters: list[nn.Parameter]) -> Left | None:
        """Leave what a frozen weight is computed from."""
        if not parameters or self.choice.frozen == SET or any(each.requires_grad for each in parameters):
            return None
        self.left.update((id(each), Left(FROZEN, WHY_FROZEN)) for each in parameters)
        return Left(FROZEN, WHY_FROZEN)

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
                if (objection := self._objection(holder, rule)) is not None:
                    return Left(SHARED, f"shared by {own} and {holder}, {objection}")
        return None

    def _objection(self, holder: Holder, rule: tuple) -> str | None:
        """Say why a holder would not get the values that the rule draws."""
        slot = self._slot(holder)
        if slot is None:
            return "which has no rule"
        if holder.path not in self.choice.layers and holder.path not in self.choice.norms:
            return "which was not chosen"
        return None if self._rule(holder, slot) == rule else "whose rule differs"

    def _slot(self, holder: Holder) -> Slot | None:
        if holder.path in self.choice.norms and holder.attribute == BETA.name:
            return BETA
        return next((slot for slot in slots_of(holder.module) if slot.name == holder.attribute), None)

    def _rule(self, holder: Holder, slot: Slot) -> tuple:
        """Return all that the values of a parameter depend on."""
        law = getattr(self.initializer, slot.part)
        factor = self.factors.get(holder.path) if law.scaled else None
        return law, factor, slot.fans if law.uses_fan_in else None

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
            return Left("no weight", f"no rule for {type(first.module).__name__}")
        return Left(NO_RULE, f"no rule for {type(first.module).__name__}")

    def _why_excluded(self, shared: Shared, holder: Holder) -> str:
        if slots_of(holder.module):
            return "its layer was not chosen"
        kind = type(holder.module).__name__
        return f"excluded as {holder.name!r}" if len(shared.holders) > 1 else f"no rule for {kind}"

    def weights_without_rule(self) -> dict[str, int]:
        """Return how many values each weight has that no rule covers, by name; weights have two axes or more."""
        return {
            str(shared.holders[0]): num_weights(shared)
            for shared in self.rest()
            if self.reason(shared).kind == NO_RULE and num_weights(shared)
        }


def num_weights(shared: Shared) -> int:
    """Count the values of a weight: none for what has fewer than two axes or no shape yet."""
    sizes = [
        0 if isinstance(parameter, UninitializedParameter) or parameter.dim() < 2 else parameter.numel()
        for parameter in shared.parameters
    ]
    return max(sizes)
