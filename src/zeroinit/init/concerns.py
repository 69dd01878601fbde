"""Warnings about an initialization before anything changes; errors if strict."""

import warnings
from collections.abc import Mapping, Sequence

from torch import nn

from zeroinit._common import InputError
from zeroinit.init.plan import OVERLAPPING, SHARED, Plan

__all__ = ["Concerns", "InitWarning", "SymmetryWarning"]


class InitWarning(UserWarning):
    """``initialize_`` leaves parameters as they were, although you may expect it to set them, or guesses an axis."""


class SymmetryWarning(UserWarning):
    """``initialize_`` leaves units identical, and training will keep them identical."""


class Concerns:
    """Warnings about one initialization.

    Args:
        name: The initializer, for the messages.
    """

    def __init__(self, name: str):
        self._name = name
        self._found: list[tuple[str, type[Warning]]] = []

    def add(self, text: str, category: type[Warning]) -> None:
        """Note a concern."""
        self._found.append((f"{self._name}: {text}", category))

    def tell(self, strict: bool, stacklevel: int) -> None:
        """Warn of all concerns, or raise.

        Raises:
            InputError: ``strict``, and there is a concern.
        """
        if strict and self._found:
            raise InputError("strict=True: " + " ".join(f"{text}." for text, _ in self._found))
        for text, category in self._found:
            warnings.warn(text, category, stacklevel=stacklevel + 1)

    def about_shared(self, plan: Plan) -> None:
        """Name the parameters that stay as they are because modules share them."""
        lefts = [left for shared in plan.rest() if (left := plan.reason(shared)).kind in (SHARED, OVERLAPPING)]
        if lefts:
            count = "1 parameter keeps its values"
            if len(lefts) > 1:
                count = f"{len(lefts)} parameters keep their values"
            tied = "tied='set' to set shared parameters, or " if any(left.kind == SHARED for left in lefts) else ""
            self.add(
                f"{count}: {_first([left.reason for left in lefts], 5)}; pass {tied}exclude= with the name of one of "
                "these modules to keep the values without a warning",
                InitWarning,
            )

    def about_coverage(self, plan: Plan) -> None:
        """Say that most weights have no rule, unless layers were chosen by name."""
        if not plan.choice.is_all:
            return
        unset = plan.weights_without_rule()
        covered = plan.num_set_weights
        total = covered + sum(unset.values())
        if 2 * covered < total:
            largest = sorted(unset, key=lambda place: -unset[place])
            self.add(
                f"sets {covered:,} of {total:,} weights, less than half: {plan.unset} {_first(largest, 5)}; "
                "set these yourself, or silence this warning: pass exclude= with their modules' names, or include=",
                InitWarning,
            )

    def about_layout(self, plan: Plan) -> None:
        """Name stacked weights whose axis of inputs is a guess, if a rule draws them by their fan."""
        guessed = [
            each
            for each in plan.entries
            if each.slot.is_guess and each.distribution.uses_fan_in and not each.distribution.whole
        ]
        if guessed:
            _, units, inputs = guessed[0].parameter.shape
            names = _quoted([each.shared.names[0] for each in guessed])
            self.add(
                f"takes {names} as (matrices, units, inputs), with {inputs} inputs and {units} units in the first: "
                "neither a size such as hidden_size nor the source of the class tells; give the module an attribute "
                "hidden_size, or set these parameters by a rule of their own",
                InitWarning,
            )

    def about_biases(self, layers: Sequence[str], without: Sequence[str]) -> None:
        """Name the layers without a bias where biases alone break the symmetry."""
        if without:
            self.add(
                f"{len(without)} of {len(layers)} layers have no bias, so all their units start identical: "
                f"{_quoted(without)}; build them with bias=True or exclude them",
                SymmetryWarning,
            )

    def about_betas(self, norms: Mapping[str, nn.Module], without: Sequence[str]) -> None:
        """Name the norms that cancel constant channels and have no offset."""
        if without:
            self.add(
                f"{len(without)} of {len(norms)} norms map constant channels to 0 and have no beta to draw: "
                f"{_quoted(without)}; build them with affine=True or exclude them",
                SymmetryWarning,
            )


def _quoted(paths: Sequence[str]) -> str:
    return _first([repr(path) for path in paths], 5)


def _first(texts: Sequence[str], count: int) -> str:
    return ", ".join(texts[:count]) + (", ..." if len(texts) > count else "")
