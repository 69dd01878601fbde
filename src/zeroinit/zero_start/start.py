"""What ``zero_start_`` returns: remedies of one model, and what they did."""

import sys
import warnings
import weakref
from collections.abc import Sequence

from torch import nn

from zeroinit.init import InitRecord
from zeroinit.remedies import Combination, Remedy, RemedyWarning
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import UntilMoved
from zeroinit.remedies.weight_rescale import WeightRemedy, WeightRescale
from zeroinit.zero_start.first_step import FirstStep, changed_text

__all__ = ["LATEST", "ZeroStart", "first"]

NOT_USED = (
    "zero start: weights are zero and nothing helps them leave zero: the return value of zero_start_ was not used; "
    "train inside `with zeroinit.zero_start_(model) as start:`, or pass observers=[start] to fit"
)
LATEST: "weakref.WeakKeyDictionary[nn.Module, weakref.ref[ZeroStart]]" = weakref.WeakKeyDictionary()
"""The last zero start of each model: it replaces an earlier one that was not used."""


class ZeroStart(Combination):
    """Remedies that help a model with zero weights during its first updates; see ``zero_start_``.

    Use it as a context manager around the training loop, or as an observer of ``fit``. ``print`` shows what was set,
    what acts and why, and how many updates are done.

    Attributes:
        record: What was set, as ``initialize_`` returns it.
        reasons: Each choice and why it was made.
        steps: The number of updates in which it acts. Until all weights have moved, this is an upper limit.
        remaining: How many of these updates are still to come.
    """

    _label = "zero start: "

    def __init__(
        self,
        record: InitRecord,
        parts: Sequence[Remedy],
        reasons: dict[str, str],
        zeroed: dict[str, nn.Parameter] | None = None,
        drawn: dict[str, nn.Parameter] | None = None,
    ):
        super().__init__(parts)
        self.record = record
        self.reasons = reasons
        self._zeroed, self._drawn = zeroed or {}, drawn or {}
        self._is_used = self._is_looked_at = self._has_given_up = False
        self._replaced: set[str] = set()
        self._first_step = FirstStep(self, self._zeroed)

    def attach(self) -> None:
        """Hook the remedies into the model."""
        self._is_used = True
        self._replaced |= self._find_anew()
        if not self._is_looked_at:
            self._first_step.watch(self.parts[0]._model)
        super().attach()

    def detach(self) -> None:
        """Remove all remedies."""
        self._first_step.stop()
        super().detach()

    def on_start(self, state) -> None:
        """Attach when ``fit`` starts; raises an ``InputError`` if it trains another model."""
        self._is_used = True
        super().on_start(state)

    def look_before_first_step(self) -> None:
        """Warn if nobody uses this object, or if somebody changed the weights after ``zero_start_``."""
        if not self._is_used:
            self._is_used = True
            warnings.warn(NOT_USED, RemedyWarning, stacklevel=2)
        elif not self._is_looked_at and any(part._is_attached for part in self.parts):
            self._is_looked_at = True
            if all(part.remaining == part.steps for part in self.parts):  # no state was loaded
                self._look()

    def _find_anew(self) -> set[str]:
        """Find parameters that were replaced, as by ``load_state_dict(assign=True)``; return their names."""
        current = dict(self.parts[0]._model.named_parameters(remove_duplicate=False))
        before = self._zeroed | self._drawn
        new = {name: current[name] for name in before if name in current and current[name] is not before[name]}
        successor = {before[name]: parameter for name, parameter in new.items()}
        self._zeroed |= {name: new[name] for name in self._zeroed.keys() & new}
        self._drawn |= {name: new[name] for name in self._drawn.keys() & new}
        for part in self.parts if new else ():
            for attribute in ("only", "kept", "weights"):
                if (known := getattr(part, attribute, None)) is not None:
                    setattr(part, attribute, {successor.get(each, each) for each in known})
        return set(new)

    def _look(self) -> None:
        """Leave weights alone that somebody changed after ``zero_start_``."""
        self._replaced |= self._find_anew()
        changed = {name: weight for name, weight in self._zeroed.items() if weight.any()}
        if not changed:
            return
        self._has_given_up = len(changed) == len(self._zeroed)
        for part in self.parts:
            if self._has_given_up:
                part.remaining = 0
            elif isinstance(part, WeightRemedy | UntilMoved | DrawStuck) and part.only is not None:
                part.only -= set(changed.values())
            elif isinstance(part, ReviveUnits) and part.weights is not None:
                part.weights -= set(changed.values())
        told = [name for name in changed if self._has_given_up or name not in self._replaced]  # a new head is meant
        if told:
            warnings.warn(changed_text(told, self._has_given_up), RemedyWarning, stacklevel=2)

    def __del__(self) -> None:
        """Warn if nobody used this object: the weights are zero, and nothing helps the model train."""
        if not (getattr(self, "_is_used", True) or sys.is_finalizing()):
            warnings.warn(NOT_USED, RemedyWarning, stacklevel=2)

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
        if self._has_given_up:
            return "ended before its first update: its weights were changed after zero_start_"
        if not self.remaining:
            units = [f"{num} of {total} in {name}" for name, (num, total) in self.unmoved_units.items()]
            return (
                f"done after {done} updates"
                + f"; weights that did not move: {first(list(self.unmoved))}" * bool(self.unmoved)
                + f"; units that did not move: {first(units)}" * bool(units)
            )
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
            reasons["revived"] = f"{names}: no gradient came, as behind a rectifier, so these biases became positive"
        if any(isinstance(part, WeightRescale) and part.has_helped for part in self.parts):
            reasons["half-way"] = "weights became orthogonal once more: gradients were lost before they reached all"
        width = max(len(choice) for choice in reasons)
        chosen = [f"  {choice:{width}}  {reason}" for choice, reason in reasons.items()]
        return "\n".join([f"zero start, {self.standing()}", *chosen, str(self.record)])


def first(names: Sequence[str]) -> str:
    """Return the first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
