"""Inspections of the starts of a figure's curves: HTML fragments for the page of a report."""

from collections.abc import Sequence
from functools import lru_cache

import torch

from zeroinit._common import derive_seed
from zeroinit.bench.network import sizes_of, start_model
from zeroinit.bench.reporting.analysis import CurveSummary
from zeroinit.bench.spec import Run
from zeroinit.symmetry import SymmetryReport, inspect

__all__ = ["BATCH", "inspect_curves", "inspect_start"]

BATCH = 64
"""Images of the batch."""


@lru_cache(maxsize=256)  # figures share starts, and a report is often written again
def inspect_start(run: Run, seed: int = 0) -> SymmetryReport:
    """Inspect a run's network as it is before training, with the run's optimizer and learning rate, without its data.

    The images are noise, uniform on [0, 1], because the report uses stored results alone. The classes are drawn.

    Args:
        run: The settings; a remedy or a copy that is trained in the model's place plays no part.
        seed: The run's.

    Example:
        >>> report = inspect_start(Run(dataset="digits", hidden="8", initializer="normal_bias"))
        >>> list(report.first_gradient_steps.values()), len(report.warnings)
        ([2, 2, 1, 1], 0)
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "inspect"))
    images = torch.rand(BATCH, *sizes_of(run.dataset).input_shape, generator=generator)
    optimizer = run.optimizer if run.optimizer in ("adam", "sgd") else "adam"
    return inspect(start_model(run, seed), images, optimizer=optimizer, learning_rate=run.learning_rate, seed=seed)


def inspect_curves(curves: Sequence[CurveSummary]) -> list[tuple[str, str]]:
    """Return label and HTML fragment of each curve's start, for the smallest seed with a result.

    One thread works: the networks are small, and on busy cores a second one would only wait, for minutes in all.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            (curve.curve.label, inspect_start(curve.curve.run, min(curve.results)).to_html())
            for curve in curves
            if curve.results
        ]
    finally:
        torch.set_num_threads(threads)
