"""Remedies by name, one or several together."""

from collections.abc import Sequence

import torch
from torch import nn

from zeroinit._common import InputError, derive_seed, lookup
from zeroinit.remedies.remedy import Attachable, Remedy, fresh_generator
from zeroinit.remedies.table import REMEDIES

__all__ = ["Combination", "make_parts", "make_remedy"]


class Combination(Attachable):
    """Several remedies of one model together; a context manager and an observer of ``fit``."""

    def __init__(self, parts: Sequence[Remedy]):
        self._parts = tuple(parts)
        for part in self.parts:
            part.join(self.parts)

    @property
    def parts(self) -> tuple[Remedy, ...]:
        """The remedies, in the order in which they act on weights and the optimizer."""
        return self._parts

    @property
    def steps(self) -> int:
        """The number of updates in all."""
        return max(part.steps for part in self.parts)

    @property
    def remaining(self) -> int:
        """Updates still to come in which any of the remedies acts."""
        return max(part.remaining for part in self.parts)

    def state_dict(self) -> dict:
        """Return the state of each remedy, for a checkpoint of ``fit``."""
        return {"names": [part.key() for part in self.parts], "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        """Continue each remedy from its saved state.

        Raises:
            InputError: The state is of other remedies.
        """
        own = [part.key() for part in self.parts]
        named = state.get("names", own)
        if named != own or len(state["parts"]) != len(own):
            raise InputError(
                f"state: is of other remedies ({', '.join(named)}) than these ({', '.join(own)}); load the state that "
                "this kind of model saved"
            )
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def make_remedy(
    name: str,
    model: nn.Module,
    steps: int,
    *,
    strength: float | None = None,
    generator: torch.Generator | None = None,
) -> Remedy | Combination:
    """Make a remedy by name, or several remedies that act together.

    Args:
        name: Keys of ``REMEDIES`` joined by ``"+"``. Each may be followed by its own number of steps and its strength:
            ``"warmup:100+position_signs:50+early_dropout:100:0.3"``.
        model: The model that is trained.
        steps: The number of updates, for each remedy that has none in its name.
        strength: The strength of each remedy that takes one and has none in its name. If ``None``, each uses its own
            default.
        generator: The source of one number. From this number and its own name, each remedy derives its own generator.
            So the draws of one remedy do not depend on the others. If ``None``, a new generator with seed 0.

    Returns:
        A context manager, which is also an observer of ``fit``: a ``Remedy``, or a ``Combination`` of several.

    Raises:
        InputError: An unknown name, a name given twice, a part after a name that is no number, or a number out of
            range. Nothing is attached then.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with make_remedy("position_signs:5+early_dropout:10:0.3", model, steps=20) as remedy:
        ...     model(torch.ones(4, 2)).sum().backward()
        ...     optimizer.step()
        ...     [part.remaining for part in remedy.parts]
        [4, 9]
    """
    parts = make_parts(name, model, steps, strength=strength, generator=generator)
    return parts[0] if len(parts) == 1 else Combination(parts)


def make_parts(
    name: str,
    model: nn.Module,
    steps: int,
    *,
    strength: float | None = None,
    generator: torch.Generator | None = None,
) -> list[Remedy]:
    """Make the remedies that ``make_remedy`` puts together; arguments and errors are those of ``make_remedy``."""
    if not isinstance(name, str):
        lookup(REMEDIES, name, "remedy")
    written = [_read(part, name) for part in name.split("+")]
    names = [part for part, _, _ in written]
    if len(set(names)) < len(names):
        raise InputError(f"remedy={name!r}: names a remedy twice; name each remedy once")
    takes_strength = [part for part in names if REMEDIES[part].remedy.default_strength is not None]
    if strength is not None and not takes_strength:
        raise InputError(f"strength={strength!r}: {name} takes no strength; leave strength out")
    source = fresh_generator(generator)
    seed = int(torch.randint(2**62, (), generator=source, device=source.device))
    parts = []
    for part, own_steps, own_strength in written:
        chosen = strength if own_strength is None and part in takes_strength else own_strength
        numbers = torch.Generator(source.device).manual_seed(derive_seed(seed, part))
        chosen_steps = steps if own_steps is None else own_steps
        parts.append(REMEDIES[part].remedy(model, chosen_steps, strength=chosen, generator=numbers))
    return parts


def _read(part: str, name: str) -> tuple[str, int | None, float | None]:
    """Read ``"name"``, ``"name:steps"`` or ``"name:steps:strength"``."""
    key, *numbers = part.split(":")
    lookup(REMEDIES, key, "remedy")
    try:
        if len(numbers) > 2:
            raise ValueError
        steps = int(numbers[0]) if numbers else None
        strength = float(numbers[1]) if len(numbers) == 2 else None
    except ValueError as error:
        raise InputError(
            f"remedy={name!r}: {part!r} must be a name, name:steps or name:steps:strength, such as "
            "early_dropout:100:0.3"
        ) from error
    return key, steps, strength
