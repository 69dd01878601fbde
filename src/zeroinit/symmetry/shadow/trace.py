"""How a copy trains, and the record of each of its steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit.symmetry.measures.activated import Activated
from zeroinit.symmetry.measures.compared import OutOfReach
from zeroinit.symmetry.measures.rounding import APART, SMALL, is_rounding, row_sizes

__all__ = ["Settings", "Trace", "record"]


@dataclass(frozen=True)
class Settings:
    """How a shadow trains.

    Attributes:
        optimizer: See ``build_updates``, as ``learning_rate``.
        steps: Number of updates; ``None`` for as many as there is news, at least 4 and at most 64.
        seed: For dropout and other draws inside the model.
        dropout: ``False`` switches every dropout off.
        rate_factor: What every learning rate is multiplied with.
    """

    optimizer: str | Callable = "adam"
    learning_rate: float | None = None
    steps: int | None = None
    seed: int = 0
    dropout: bool = True
    rate_factor: float = 1.0


@dataclass
class Trace:
    """What one shadow showed.

    Attributes:
        sizes: For each step, the largest absolute gradient of each parameter; NaN without a gradient.
        rows: For each step, the same for each entry of a parameter's first axis.
        rounding: For each step, the parameters with a gradient that was rounding alone.
        losses: Loss before each update.
        used: Parameters that took part in the forward pass.
        drops: Whether a dropout acted.
        lowered: Operations that were done in float32, for want of a float64 kernel.
        vectors: For each step without reference, the gradients of vectors that are faint beside the model's largest.
        coarse: Whether the model computes in 16 bits by its own will.
        flat: Whether a norm had constant channels in the first step.
        options: What else the optimizer's groups say in numbers, by name of a parameter.
        held: Learning rates by name of what the user's own optimizer holds; ``None`` where that is not known.
        broadcast: Shapes of an output and of targets that the loss compares each with each.
        out_of_reach: Targets outside the range of the output that the loss compares them with.
        activated: An output with an activation that the loss applies as well.
        padded: By the table's name, a padding index without a sequence, how often it is given, and of how many.
        made: Places of the model that a forward pass assigned a new layer or parameter to.
        reset: Parameters that each forward pass sets to the same values.
        written: Parameters that a forward pass writes to by itself, as to an average of others.
        constant_term: Whether the loss holds a derivative that carries no gradient.
        keeps_derivative: Whether a derivative of inputs was taken with a graph.
        broken: The first step with a gradient that is not finite; training ends there.
    """

    sizes: list[dict[str, float]] = field(default_factory=list)
    rows: list[dict[str, np.ndarray]] = field(default_factory=list)
    rounding: list[set[str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    drops: bool = False
    lowered: set[str] = field(default_factory=set)
    vectors: list[dict[str, Tensor]] = field(default_factory=list)
    coarse: bool = False
    flat: bool = False
    broken: int | None = None
    held: dict[str, float] | None = None
    options: dict[str, dict[str, float]] = field(default_factory=dict)
    broadcast: tuple[torch.Size, torch.Size] | None = None
    out_of_reach: OutOfReach | None = None
    activated: Activated | None = None
    padded: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    reset: set[str] = field(default_factory=set)
    constant_term: bool = False
    keeps_derivative: bool = False
    written: set[str] = field(default_factory=set)

    def first_step(self, name: str) -> int | None:
        """The step, from 1, of a parameter's first gradient that is not zero; ``None`` if there is none."""
        return next((step for step, of in enumerate(self.sizes, 1) if of.get(name, math.nan) > 0), None)

    def rounding_step(self, name: str) -> int | None:
        """The step, from 1, at which a parameter first had a gradient that was rounding alone."""
        return next((step for step, names in enumerate(self.rounding, 1) if name in names), None)


def record(trace: Trace, named: dict[str, nn.Parameter], gradients: dict[str, Tensor], reference: Trace | None) -> None:
    """Add one step to a trace; set gradients that are rounding alone to zero, as exact arithmetic would.

    Args:
        trace: What the step is added to.
        named: The trained parameters.
        gradients: Those of this step; they are changed in place.
        reference: The float32 trace, with which gradients are told from rounding.
    """
    rows = {name: row_sizes(gradient).double().cpu().numpy() for name, gradient in gradients.items()}
    if any(not np.isfinite(each).all() for each in rows.values()):
        trace.broken = len(trace.sizes) + 1
    finite = [float(each.max()) for each in rows.values() if len(each) and np.isfinite(each).all()]
    rounding: set[str] = set()
    largest = max(finite, default=0.0)
    if reference is not None:
        at = reference.rows[min(len(trace.sizes), len(reference.rows) - 1)] if reference.rows else {}
        if max((float(each.max(initial=0.0)) for each in at.values()), default=0.0) > APART * largest:
            largest = math.inf  # every gradient is rounding
        for name, sizes in rows.items():
            if name not in at:
                continue
            false = is_rounding(sizes, at[name], largest)
            if false.any():
                mask = torch.from_numpy(false).to(gradients[name].device)
                gradients[name].masked_fill_(
                    mask.reshape(-1, *[1] * (gradients[name].dim() - 1)) if gradients[name].dim() else mask[0], 0.0
                )
                sizes[false] = 0.0
            if false.any() and not (sizes[~false] > 0).any():
                rounding.add(name)
    else:
        trace.rows.append({name: sizes.astype(np.float32) for name, sizes in rows.items()})
        vectors = [name for name in rows if gradients[name].dim() == 1]
        small = [name for name in vectors if rows[name].max(initial=0.0) < SMALL * largest]
        trace.vectors.append({name: gradients[name].detach().cpu().clone() for name in small})
    trace.rounding.append(rounding)
    trace.sizes.append({name: float(rows[name].max(initial=0.0)) if name in rows else math.nan for name in named})
