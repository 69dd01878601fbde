"""Stop a zero start if weights are not its own: loaded, replaced, or trained unseen."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.remedy import Remedy, RemedyWarning
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import UntilMoved
from zeroinit.remedies.weight_rescale import WeightRemedy

__all__ = ["KnownWeights", "replaced_text"]

CLOSE = 0.01
"""Sizes of one weight that differ by less than this share count as equal (a checkpoint may be rounded)."""
LARGER = 2.0
"""A weight without a seen update may grow by this factor over its largest size: averages, clipped weights."""


class KnownWeights(Remedy):
    """Ends the other remedies if weights are neither set by the zero start nor made by counted updates.

    The last act of a zero start makes weights orthogonal. This would destroy weights that were trained elsewhere and
    loaded. So before each pass and each step, the weights must be as the last update left them. Weights that were
    written meanwhile are judged by their sizes. Before the first update, a few other weights (a new head) are left
    alone. Before the first pass, and after ``load_state_dict``, sizes must be those that the zero start set, or those
    after a counted update. Later, no weight may be twice as large as ever before. Programs that write weights after
    each update, for example to normalize them, are exempt.

    Attributes:
        own: The weights, by name; nothing is checked without them.
        stopped: Why it ended the others; empty if it did not.

    Source:
        This package.
    """

    def _set_up(self) -> None:
        self.own: dict[str, nn.Parameter] = {}
        self.stopped = ""
        self._seen: list[list[float]] = []
        self._versions: dict[nn.Parameter, int] = {}
        self._is_strict, self._is_habit = True, False

    def watch(self, own: dict[str, nn.Parameter]) -> None:
        """Begin with weights as they are now."""
        self.own = own
        self._seen = [self._sizes()]

    def state_dict(self) -> dict:
        """Return what remains, and the sizes of the weights after each update."""
        return super().state_dict() | {"weights": list(self.own), "sizes": [list(sizes) for sizes in self._seen]}

    def load_state_dict(self, state: dict) -> None:
        """Go on with the weights that belong to the state."""
        if state.get("weights") != list(self.own):
            raise InputError(
                f"state: is of a zero start with other weights ({_first(state.get('weights') or [])}); this one set "
                f"{_first(list(self.own))}: load the state of a zero start of the same network"
            )
        self._seen = [list(sizes) for sizes in state["sizes"]]
        self._versions, self._is_strict = {}, True
        super().load_state_dict(state)

    def replaced(self) -> list[str]:
        """Return the names of weights that are no longer parameters of the model, if these are half of them or more."""
        current = set(self._model.parameters())
        gone = [name for name, weight in self.own.items() if weight not in current]
        return gone if 2 * len(gone) >= len(self.own) else []

    def _hook_in(self) -> Sequence[RemovableHandle]:
        mine = set(self.own.values())
        holders = [each for each in self._model.modules() if mine & {*each._parameters.values()}]
        return [each.register_load_state_dict_post_hook(self._note_loading) for each in holders]

    def _note_loading(self, module: nn.Module, keys: object) -> None:
        self._versions, self._is_strict = {}, True

    def _begin_pass(self) -> None:
        super()._begin_pass()
        self._check(is_pass=True)

    def _end_pass(self, output: object) -> None:
        self._is_strict = False  # from now on updates by hand are possible

    def _before_step(self, optimizer: Optimizer, is_late: bool) -> None:
        self._check(is_pass=False)

    def _after_step(self, optimizer: Optimizer) -> None:
        self._note([each for group in optimizer.param_groups for each in group["params"]])

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        self._is_strict = False

    def _end_update(self) -> None:
        """Remember the weights as all remedies have left them."""
        super()._end_update()
        if self.remaining:
            self._seen.append(self._sizes())
            self._note(list(self.own.values()))

    def _note(self, weights: Sequence[nn.Parameter]) -> None:
        self._versions |= {weight: weight._version for weight in weights}

    @torch.no_grad()
    def _sizes(self) -> list[float]:
        """Return the Frobenius norm of each weight."""
        weights = [weight.detach() for weight in self.own.values()]
        kind = torch.float64 if any(each.dtype == torch.float64 for each in weights) else torch.float32
        place = weights[0].device if len({each.device for each in weights}) == 1 else torch.device("cpu")
        return torch.stack([torch.linalg.vector_norm(each, dtype=kind).to(place) for each in weights]).tolist()

    def _check(self, is_pass: bool) -> None:
        if not (self.remaining and self.own):
            return
        gone = [] if is_pass else self.replaced()  # functional_call replaces parameters during a pass
        if gone:
            self._stop(replaced_text(gone))
        elif any(self._versions.get(weight) != weight._version for weight in self.own.values()):
            strange = self._strange(is_pass)
            if strange and len(self._seen) == 1 and 2 * len(strange) < len(self.own):
                self._leave_alone(strange)
            elif strange:
                self._stop(_strange_text(strange, len(self._seen) - 1))
            elif not is_pass:
                self._note(list(self.own.values()))

    def _strange(self, is_pass: bool) -> list[str]:
        """Return the names of weights that were written and do not fit."""
        if self._is_strict:
            sizes = self._sizes()
            misfits = [[not _is_close(*pair) for pair in zip(sizes, seen, strict=True)] for seen in self._seen]
            fewest = min(misfits, key=sum)
            return [name for name, differs in zip(self.own, fewest, strict=True) if differs]
        self._is_habit |= len(self._seen) == 2 and not is_pass
        if is_pass or self._is_habit or not self._updates.has_optimizer:
            return []  # weights were moved for one pass (SAM), normalized after each update, or updated by hand
        largest = [max(column) for column in zip(*self._seen, strict=True)]
        usual = sum(largest) / len(largest)
        found = zip(self.own, self._sizes(), largest, strict=True)
        return [name for name, size, most in found if size > LARGER * max(most, usual)]

    def _leave_alone(self, names: Sequence[str]) -> None:
        """Leave alone the weights that somebody set after ``zero_start_``, such as a new head."""
        left = {self.own[name] for name in names}
        kept = [at for at, name in enumerate(self.own) if name not in names]
        self.own = {name: weight for name, weight in self.own.items() if name not in names}
        self._seen = [[sizes[at] for at in kept] for sizes in self._seen]
        for part in self._beside:
            if isinstance(part, WeightRemedy | UntilMoved | DrawStuck) and part.only is not None:
                part.only -= left
            elif isinstance(part, ReviveUnits) and part.weights is not None:
                part.weights -= left
        them, are = ("it", "is") if len(names) == 1 else ("they", "are")
        text = f"leaves {_first(names)} as {them} {are}, because somebody changed {_first(names)} after zero_start_"
        warnings.warn(f"zero start: {text}", RemedyWarning, stacklevel=2)

    def _stop(self, text: str) -> None:
        self.stopped = text
        for part in (self, *self._beside):
            part.detach()
        warnings.warn(f"zero start: {text}", RemedyWarning, stacklevel=2)


def _is_close(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE * max(one, other) or max(one, other) < 1e-12


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _strange_text(names: Sequence[str], num_updates: int) -> str:
    origin = f"none of its {num_updates} updates made" if num_updates else "no update made"
    return (
        f"it ends here, or it would overwrite trained weights: {_first(names)} hold values that {origin}; to train "
        "loaded weights, leave zero_start_ out; to resume an interrupted zero start, also call "
        "start.load_state_dict(...) before the with statement"
    )


def replaced_text(names: Sequence[str]) -> str:
    """Say that weights were replaced, and what to do."""
    return (
        f"a zero start cannot act: {_first(names)} are no longer parameters of the model, as after "
        "load_state_dict(assign=True) or weight norm; call zero_start_ after the last such change"
    )
