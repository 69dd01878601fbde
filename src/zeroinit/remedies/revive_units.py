"""Give a positive bias to units that a rectifier cuts off for good; name units that never move."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit._modules.norms import NORMS
from zeroinit.remedies.draw_stuck import is_underflow
from zeroinit.remedies.remedy import Remedy, RemedyWarning
from zeroinit.remedies.units import Units, units_of

__all__ = ["FEW", "ReviveUnits"]

PATIENCE = 3
"""For so many updates, remedies do not end while units that were revived have not moved."""
FEW = 0.1
"""The share of a layer's units that may stay at zero without a warning."""
FAINT = 1e6
"""A gradient is so many times the smallest number of full precision, or its zeros may be rounding."""


class ReviveUnits(Remedy):
    """Makes biases positive where a rectifier cuts units off, and warns of units that do not move.

    For zero weights. The output of a unit is then its bias, for every input. Behind a ReLU a negative bias means a dead
    unit: its incoming weights, its bias and the weights that read it never have a gradient. Where a norm acts as an
    affine map, its β counts as a bias.

    The remedy waits until gradients reach nothing new in an update. Then a negative entry of a bias or β takes its
    absolute value if two conditions hold. Its gradient was exactly zero in every update. The unit's incoming weights
    are zero. The remedy needs no knowledge of the model, so functional activations count. Other activations have no
    gradient of exactly zero, so nothing happens there.

    Beside ``UntilMoved``, remedies go on until these units have moved, or for three updates. After the last update, a
    ``RemedyWarning`` names layers with more than a tenth of their units at zero.

    Attributes:
        only: The biases and shifts that it may change; all of layers and norms if ``None``.
        weights: The weights whose units it checks at the end; all of the model if ``None``.
        revived: How many entries of each bias or shift it has made positive, by name.
        unmoved: How many units of each weight had not moved after the last update, and of how many, by name.

    Source:
        This package; Lu et al. 2020, "Dying ReLU and initialization" (an asymmetric draw of biases).

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2))
        >>> _ = [nn.init.zeros_(layer.weight) for layer in (model[0], model[2])]
        >>> _ = model[0].bias.data.copy_(torch.tensor([-0.1, 0.2]))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with ReviveUnits(model, steps=8) as remedy:
        ...     for _ in range(8):
        ...         optimizer.zero_grad()
        ...         (1 - model(torch.eye(4))).square().sum().backward()
        ...         optimizer.step()
        >>> remedy.revived, bool(model[0].weight.any(1).all())
        ({'0.bias': 1}, True)
    """

    def _set_up(self) -> None:
        self.only: set[nn.Parameter] | None = None
        self.weights: set[nn.Parameter] | None = None
        self.revived: dict[str, int] = {}
        self.unmoved: dict[str, tuple[int, int]] = {}
        self._silent: dict[str, Tensor] = {}
        self._raised: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self._counts: list[int] = []
        self._before: dict[nn.Parameter, Tensor] = {}
        self._raised_at = -1
        self._is_extended = False

    def state_dict(self) -> dict:
        """Return what remains, what was revived, and which entries had no gradient so far."""
        kept = ("revived", "_silent", "_raised", "_values", "_counts", "_raised_at", "_is_extended")
        return super().state_dict() | {name: _copied(vars(self)[name]) for name in kept}

    def load_state_dict(self, state: dict) -> None:
        """Go on from there."""
        kept = {name: _copied(value) for name, value in state.items() if name in vars(self) and name != "generator"}
        vars(self).update(kept)
        super().load_state_dict(state)

    def _is_needed(self) -> bool:
        return bool(units_of(self._model))

    def _shifts(self) -> dict[str, nn.Parameter]:
        """Return the trained biases of layers and shifts of norms, by name."""
        shifts = [units.bias for units in units_of(self._model)]
        shifts += [each._parameters.get("bias") for each in self._model.modules() if isinstance(each, NORMS)]
        own = {each for each in shifts if each is not None and not each.is_complex()}
        chosen = own if self.only is None else own & self.only
        return {name: each for name, each in self._model.named_parameters() if each in chosen and each.requires_grad}

    def _before_step(self, optimizer: Optimizer, is_late: bool) -> None:
        self._before = {each: each.detach().clone() for each in self._shifts().values()}

    def _after_step(self, optimizer: Optimizer) -> None:
        """See which entries have a gradient, before the loop clears it."""
        held = {each for group in optimizer.param_groups for each in group["params"]}
        self._listen({name: each for name, each in self._shifts().items() if each in held})

    @torch.no_grad()
    def _listen(self, shifts: dict[str, nn.Parameter], is_by_hand: bool = False) -> None:
        rows = {units.bias: units for units in units_of(self._model) if units.bias is not None}
        for name, shift in shifts.items():
            if is_by_hand and name in self._values:
                heard = shift != self._values[name]
            elif shift.grad is not None:
                heard = (shift.grad != 0) & shift.grad.isfinite()
                if shift in rows and heard.any():
                    heard &= ~rows[shift].are_decayed(self._before.get(shift, shift.detach()))
            else:
                continue
            self._silent[name] = self._silent.get(name, torch.ones_like(heard)) & ~heard

    @torch.no_grad()
    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        shifts = self._shifts()
        if not optimizers:
            self._listen(shifts, is_by_hand=True)
        has_changed = any(not torch.equal(self._values.get(name, each), each) for name, each in shifts.items())
        has_changed |= all(bool(mask.all()) for mask in self._silent.values())  # else the learning rate is zero
        counts, before = self._count(), self._counts
        self._counts = counts
        if counts == before and has_changed:
            self._revive(shifts, parameters)
        self._values = {name: each.detach().clone() for name, each in shifts.items()}
        if not (self.remaining or self._is_extended) and self._is_unreached(parameters):
            self._is_extended = True
            self.steps, self.remaining = self.steps + PATIENCE, PATIENCE
        if not self.remaining:
            self._check()

    def _is_unreached(self, updated: set[nn.Parameter]) -> bool:
        """Whether gradients of a layer are too small to tell its dead units; they come once weights are orthogonal."""
        shifts = {name: shift for name, shift in self._shifts().items() if shift in updated}
        is_lost = is_underflow(units.weight for units in units_of(self._model))
        return is_lost and any(self._is_lost(name, shift) for name, shift in shifts.items())

    def _is_lost(self, name: str, shift: nn.Parameter) -> bool:
        silent = self._silent.get(name)
        return silent is not None and bool(silent.all() or (silent.any() and _is_faint(shift.grad)))

    def _count(self) -> list[int]:
        """Count the entries that no gradient has reached. The count falls while gradients make their way down."""
        silent = sum(int(mask.sum()) for mask in self._silent.values())
        rows = sum(int((~units.have_moved()).sum()) for units in self._own_units())
        whole = sum(not each.any() for each in self._model.parameters() if each.requires_grad)
        return [silent, rows, whole]

    def _own_units(self) -> list[Units]:
        return [each for each in units_of(self._model) if self.weights is None or each.weight in self.weights]

    def _dead(self, shifts: dict[str, nn.Parameter]) -> dict[str, Tensor]:
        """Return which entries are negative and without a gradient, as is the layer's weight where there is one.

        Gradients may underflow on their way. Where this is possible, no entry counts as one without a gradient.
        """
        is_lost = is_underflow(units.weight for units in units_of(self._model))
        rows = {units.bias: units for units in units_of(self._model) if units.bias is not None}
        dead = {}
        for name, shift in shifts.items():
            silent = self._silent.get(name)
            if silent is not None and not (is_lost and self._is_lost(name, shift)):
                still = ~rows[shift].have_moved() if shift in rows else torch.ones_like(silent)
                dead[name] = silent & still & (shift.detach() < 0)
        return {name: mask for name, mask in dead.items() if mask.any()}

    def _revive(self, shifts: dict[str, nn.Parameter], updated: set[nn.Parameter]) -> None:
        dead = self._dead({name: shift for name, shift in shifts.items() if shift in updated})
        for name, mask in dead.items():
            shifts[name][mask] = shifts[name][mask].abs()
            self.revived[name] = self.revived.get(name, 0) + int(mask.sum())
            self._raised[name] = self._raised.get(name, torch.zeros_like(mask)) | mask
            self._raised_at = self.steps - self.remaining
        if dead:
            self._counts = []

    def _holds(self) -> bool:
        """Whether units may be dead, or were revived a moment ago and have not moved."""
        if not self.revived:
            return bool(self._dead(self._shifts()))
        waited = self.steps - self.remaining - self._raised_at
        return waited < PATIENCE and any(bool((self._silent[name] & mask).any()) for name, mask in self._raised.items())

    def _check(self) -> None:
        names = {parameter: name for name, parameter in self._model.named_parameters()}
        is_recent = self.steps - self._raised_at < PATIENCE
        for units in self._own_units():
            moved = units.have_moved()
            raised = self._raised.get(names.get(units.bias, "")) if units.bias is not None else None
            if raised is not None and is_recent:  # they move with the next updates
                moved = moved | raised
            if moved.any() and not moved.all():
                self.unmoved[units.name] = (int((~moved).sum()), len(moved))
        many = {name: counts for name, counts in self.unmoved.items() if counts[0] > max(1, FEW * counts[1])}
        if many:
            warnings.warn(unmoved_units_text(many, self.steps), RemedyWarning, stacklevel=2)


def _is_faint(gradient: Tensor | None) -> bool:
    """Whether a gradient is so small that some of its entries may have become zero by rounding."""
    return gradient is not None and bool(gradient.abs().max() < FAINT * torch.finfo(gradient.dtype).tiny)


def _copied(value):
    if isinstance(value, dict):
        return {name: each.clone() if isinstance(each, Tensor) else each for name, each in value.items()}
    return list(value) if isinstance(value, list) else value


def unmoved_units_text(unmoved: dict[str, tuple[int, int]], steps: int) -> str:
    """Say which units have not moved, why, and what to do."""
    names = ", ".join(f"{num} of {total} of {name!r}" for name, (num, total) in list(unmoved.items())[:5])
    more = f" and of {len(unmoved) - 5} more weights" if len(unmoved) > 5 else ""
    layer = next(iter(unmoved)).rpartition(".")[0]
    return (
        f"units do not move in the first {steps} updates: {names}{more} have no gradient; pass a larger steps=, check "
        f"that the loss depends on them, or draw them: "
        f"zeroinit.initialize_(model, 'pytorch', include={layer!r})"
    )
