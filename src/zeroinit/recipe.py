"""``zero_start_``: zero weights that train as well as PyTorch's default, in one line."""

from collections.abc import Sequence
from glob import escape

import torch
from torch import nn

from zeroinit._common import InputError, derive_seed
from zeroinit.init import InitRecord, initialize_
from zeroinit.init.initialize import LAYER_TYPES
from zeroinit.init.norms import find_norms
from zeroinit.remedies import Combination, Remedy
from zeroinit.remedies.combination import make_parts
from zeroinit.remedies.until_awake import FEWEST_STEPS

__all__ = ["PARTS", "SCALE", "ZeroStart", "choose_parts", "num_first_steps", "remedy_text", "zero_start_"]

SCALE = 0.1
MOST_STEPS = 100
DEEP, DEEP_WITH_NORMS = 4, 20
"""Layers above which signals get lost in small weights, so that they are made orthonormal half-way as well."""

PARTS = {
    "affine_norms": "norms act as γx + β, so that they cancel no constant channel",
    "position_signs": "random signs on the gradient per example, unit and position tell units and positions apart",
    "moment_reset": "the optimizer forgets these steps",
    "weight_orthogonal": "each weight becomes orthogonal in the size of PyTorch's default, in directions it learned",
    "weight_orthonormal": "each weight becomes orthonormal half-way and at the end: signals cross a deep network",
}
"""What may happen during the first steps, and why; keys of ``REMEDIES``. ``choose_parts`` says which of them do."""


class ZeroStart(Combination):
    """A model with zero weights and what it needs during its first steps; see ``zero_start_``.

    Use it as a context manager around the training loop, or as an observer of ``fit``.

    Attributes:
        record: What was set, as of ``initialize_``.
        reasons: Each choice and why it was made.
        steps: During how many training passes it acts. Until all weights have moved that is the most it may be.
        remaining: How many of them are still to come.
    """

    def __init__(self, record: InitRecord, parts: Sequence[Remedy], reasons: dict[str, str]):
        super().__init__(parts)
        self.record = record
        self.reasons = reasons

    def __str__(self) -> str:
        width = max(len(choice) for choice in self.reasons)
        chosen = [f"  {choice:{width}}  {reason}" for choice, reason in self.reasons.items()]
        return "\n".join(["zero start:", *chosen, str(self.record)])


def num_first_steps(num_layers: int) -> int:
    """Return during how many steps the recipe acts on a chain of so many layers: twice as many as it needs to wake up.

    At least 10 and at most 100. Where there are paths past the layers it ends earlier, as ``until_awake`` says.

    Example:
        >>> [num_first_steps(count) for count in (2, 9, 200)]
        [10, 20, 100]
    """
    return min(max(FEWEST_STEPS, 2 * (num_layers + 1)), MOST_STEPS)


def choose_parts(num_layers: int, has_norms: bool) -> list[str]:
    """Return which of ``PARTS`` act on a network of so many dense and convolutional layers.

    Example:
        >>> choose_parts(4, has_norms=False)
        ['position_signs', 'moment_reset', 'weight_orthogonal']
        >>> choose_parts(8, has_norms=False)[-1], choose_parts(8, has_norms=True)[-1]
        ('weight_orthonormal', 'weight_orthogonal')
    """
    is_deep = num_layers > (DEEP_WITH_NORMS if has_norms else DEEP)
    last = "weight_orthonormal" if is_deep else "weight_orthogonal"
    return [*(["affine_norms"] if has_norms else []), "position_signs", "moment_reset", last]


def remedy_text(parts: Sequence[str], steps: int) -> str:
    """Return the parts as ``make_remedy`` reads them.

    Norms are norms again as soon as the weights are orthonormal for the first time.

    Example:
        >>> remedy_text(["affine_norms", "weight_orthonormal"], 16)
        'affine_norms:8+weight_orthonormal:16'
        >>> remedy_text(["affine_norms", "weight_orthogonal"], 16)
        'affine_norms:16+weight_orthogonal:16'
    """
    is_twofold = "weight_orthonormal" in parts
    return "+".join(f"{part}:{steps // 2 if is_twofold and part == 'affine_norms' else steps}" for part in parts)


def zero_start_(model: nn.Module, *, steps: int | None = None, generator: torch.Generator | None = None) -> ZeroStart:
    """Set all weights of ``model`` to zero and return what lets it train as well as from PyTorch's default.

    In place: weights zero, biases N(0, 1) × 0.1, likewise the β of norms that would cancel a constant channel. During
    the first training passes parts of ``PARTS`` act, whatever the optimizer; after that nothing is left on the
    model and a step is as ever. There are no further passes.

    Args:
        model: Any module with dense or convolutional layers.
        steps: The number of training passes in which they act, at least 1. If ``None``, they end once every weight has
            moved, and as many steps again: with n layers in a chain after 2 (n + 1) steps, with a ResNet-50 after 16;
            at least 10 and at most 100.
        generator: Source of the biases and signs; torch's global one for the biases if ``None``.

    Returns:
        A context manager, which is also an observer of ``fit``; ``print`` tells what was done and why.

    Raises:
        InputError: As of ``initialize_``, or ``steps`` is out of range; or a norm keeps no running statistics. The
            model is as it was then.

    Source:
        Schicho 2023 (zero weights, random biases); the parts name theirs; the study ``recommended``.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> with zero_start_(model, generator=torch.Generator().manual_seed(0)) as start:
        ...     for _ in range(start.steps + 1):
        ...         optimizer.zero_grad()
        ...         model(torch.ones(8, 4)).square().sum().backward()
        ...         optimizer.step()
        >>> start.steps, start.remaining
        (10, 0)
    """
    layers = [module for module in model.modules() if isinstance(module, LAYER_TYPES)]
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise InputError(f"steps={steps!r}: must be a whole number of at least 1, or None for the rule")
    chosen = num_first_steps(len(layers)) if steps is None else steps
    signs = None
    if generator is not None:
        drawn = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        signs = torch.Generator().manual_seed(derive_seed(drawn, "zero_start_"))
    parts = choose_parts(len(layers), has_norms=bool(find_norms(model)))
    text = remedy_text(parts, chosen) + ("+until_awake" if steps is None else "")
    acting = make_parts(text, model, chosen, generator=signs)
    # the parts above act on these layers alone: attention's projections and GPT's Conv1D would stay small
    paths = [escape(path) for path, module in model.named_modules() if isinstance(module, LAYER_TYPES)]
    record = initialize_(model, "normal_bias", scale=SCALE, generator=generator, norm_aware=True, include=paths)
    length = (
        {f"{chosen} steps at most": f"until every weight has moved, and as many again; at least {FEWEST_STEPS}"}
        if steps is None
        else {f"{chosen} steps": "as asked for"}
    )
    reasons = {
        "normal_bias": f"weights 0, biases N(0, 1) × {SCALE:g}: larger ones have to be unlearned",
        **length,
        **{name: PARTS[name] for name in parts},
    }
    return ZeroStart(record, acting, reasons)
