"""The return value of ``zero_start_``: remedies of one model, and what they did."""

import weakref
from collections.abc import Sequence

from torch import nn

from zeroinit._common import InputError
from zeroinit.init import InitRecord
from zeroinit.remedies import Combination, Remedy, RemedyWarning
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.weight_rescale import WeightRescale
from zeroinit.zero_start.known_weights import KnownWeights, replaced_text
from zeroinit.zero_start.unused import Unused

__all__ = ["ZeroStart", "first"]

UNUSED = (
    "zero start: weights are zero and nothing helps them leave zero: the return value of zero_start_ was not used; "
    "train inside `with zeroinit.zero_start_(model) as start:`, or pass observers=[start] to fit"
)

LATEST: "weakref.WeakKeyDictionary[nn.Module, weakref.ref[ZeroStart]]" = weakref.WeakKeyDictionary()
"""The last zero start of each model. Earlier ones need no use."""


class ZeroStart(Combination):
    """Helps a model with zero weights during its first updates; ``zero_start_`` returns it.

    Use it as a context manager around the training loop, or as an observer of ``fit``. ``print`` shows what was set,
    what acts and why, and how many updates are done.

    Attributes:
        record: What was set, as ``initialize_`` returns it.
        reasons: Each choice and why it was made.
        steps: The number of updates in which it acts. This is an upper limit until all weights have left zero.
        remaining: How many of these updates are still to come.
    """

    _label = "zero start: "

    def __init__(self, record: InitRecord, parts: Sequence[Remedy], reasons: dict[str, str]):
        super().__init__(parts)
        self.record = record
        self.reasons = reasons
        self._unused: Unused | None = Unused(self, parts[0]._model, RemedyWarning(UNUSED))
        earlier = LATEST.get(parts[0]._model, lambda: None)()
        if earlier is not None and earlier._unused is not None:
            earlier._unused.end()
        LATEST[parts[0]._model] = weakref.ref(self)

    def __getstate__(self) -> dict:
        """Leave out the watch over this object: a copy is not attached, and nobody has to use it."""
        return vars(self) | {"_unused": None}

    def attach(self) -> None:
        """Hook the remedies into the model.

        Raises:
            InputError: The model's parameters are not those that ``zero_start_`` set.
        """
        self._begin()
        super().attach()

    def on_start(self, state) -> None:
        """Attach when ``fit`` starts; raises an ``InputError`` if it trains another model."""
        self._begin()
        super().on_start(state)

    def _begin(self) -> None:
        if self._unused is not None:
            self._unused.end()
        gone = self._known.replaced() if self.remaining else []
        if gone:
            raise InputError(f"model: {replaced_text(gone)}")

    @property
    def _known(self) -> KnownWeights:
        return next(part for part in self.parts if isinstance(part, KnownWeights))

    @property
    def drawn(self) -> list[str]:
        """Weights that could not leave zero and so got PyTorch's default, by name."""
        return [name for part in self.parts if isinstance(part, DrawStuck) for name in part.drawn]

    @property
    def unmoved(self) -> dict[str, str]:
        """Weights that did not move in the first updates, by name, and why."""
        return {name: why for part in self.parts if isinstance(part, DrawStuck) for name, why in part.unmoved.items()}

    @property
    def revived(self) -> dict[str, int]:
        """How many entries of each bias or β it made positive, by name: units that a rectifier had cut off."""
        return {name: num for part in self.parts if isinstance(part, ReviveUnits) for name, num in part.revived.items()}

    @property
    def unmoved_units(self) -> dict[str, tuple[int, int]]:
        """How many units of a weight did not move in the first updates, and of how many, by the weight's name."""
        return {name: num for part in self.parts if isinstance(part, ReviveUnits) for name, num in part.unmoved.items()}

    def standing(self) -> str:
        """Say in one line how many updates are done."""
        done = self.steps - self.remaining
        if not self.remaining:
            units = [f"{num} of {total} in {name}" for name, (num, total) in self.unmoved_units.items()]
            return (
                f"done after {done} updates"
                + f"; weights that did not move: {first(list(self.unmoved))}" * bool(self.unmoved)
                + f"; units that did not move: {first(units)}" * bool(units)
            )
        if self._known.stopped:
            return f"stopped after {done} of {self.steps} updates: {self._known.stopped}"
        is_acting = any(part._is_attached for part in self.parts)
        if not is_acting:
            begun = f"ended after {done} of {self.steps} updates" if done else "not begun"
            return f"{begun}: nothing acts; train inside `with start:`, or pass observers=[start] to fit"
        skipped = self.parts[0]._updates.num_skipped
        return f"acting: {done} of {self.steps} updates done" + (f", {skipped} steps changed nothing" * bool(skipped))

    def __str__(self) -> str:
        reasons = dict(self.reasons)
        if self.drawn:
            reasons["drawn"] = f"{first(self.drawn)}: could not leave zero, so they got PyTorch's default"
        if self.revived:
            names = first([f"{name} ({num})" for name, num in self.revived.items()])
            reasons["revived"] = f"{names}: these biases got no gradient (behind a rectifier), so they became positive"
        helped = next((part for part in self.parts if isinstance(part, WeightRescale) and part.has_helped), None)
        if helped is not None and helped.has_opened:
            reasons["half-way"] = (
                "weights became orthogonal also half-way, in all directions, because some steps were tiny"
            )
        elif helped is not None:
            reasons["half-way"] = "weights became orthogonal also half-way, because gradients did not reach all weights"
        width = max(len(choice) for choice in reasons)
        chosen = [f"  {choice:{width}}  {reason}" for choice, reason in reasons.items()]
        return "\n".join([f"zero start, {self.standing()}", *chosen, str(self.record)])


def first(names: Sequence[str]) -> str:
    """Name the first five."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
