"""Measures: the quantities that claims are about, one value per seed.

To add one: a function ``(results, references) -> values`` and one line in ``MEASURES``. It gets the results of the
claim's curve and of its reference, for the same seeds in the same order. Without a reference the second is empty.
"""

from collections.abc import Callable, Sequence

import numpy as np

from zeroinit.bench.network import sizes_of
from zeroinit.bench.reporting.symmetries import has_no_identical_units, mean_position_spread
from zeroinit.bench.reporting.views.wake_up import has_gradient, wake_causes
from zeroinit.bench.store import Result

__all__ = [
    "MEASURES",
    "SHARES",
    "Measure",
    "accuracies",
    "final_accuracy",
    "majority_share",
    "no_gradient",
    "no_identical_units",
    "one_layer_per_step",
    "position_spread",
    "position_spreads",
    "signal_everywhere",
    "signal_in_last_alone",
]

Measure = Callable[[Sequence[Result], Sequence[Result]], np.ndarray]


def accuracies(results: Sequence[Result]) -> np.ndarray:
    """Return final test accuracies (seeds,)."""
    return np.array([result.history["test_accuracy"][-1] for result in results])


def majority_share(results: Sequence[Result]) -> float:
    """Return the share of the most frequent class among the test images."""
    return sizes_of(results[0].run.dataset).majority_share


def final_accuracy(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Return final test accuracies minus those of the reference, or minus the share of the most frequent class."""
    return accuracies(results) - (accuracies(references) if references else majority_share(results))


def one_layer_per_step(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Tell for each seed whether layer l of L has a weight gradient from step L - l + 1 on and exactly zero before.

    All layers of the reference must have one from the first step on.
    """
    hits = [_matches_staircase(has_gradient(result)) for result in results]
    if references:
        hits = [hit and bool(has_gradient(other).all()) for hit, other in zip(hits, references, strict=True)]
    return np.array(hits, dtype=float)


def _matches_staircase(received: np.ndarray) -> bool:
    num_layers, num_steps = received.shape
    first_steps = num_layers - np.arange(num_layers)
    return bool((received == (np.arange(1, num_steps + 1) >= first_steps[:, None])).all())


def no_gradient(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Tell for each seed whether no weight has a gradient at any recorded step."""
    return np.array([not has_gradient(result).any() for result in results], dtype=float)


def signal_everywhere(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Tell for each seed whether every weight's first gradient is a signal; the references are the float64 runs."""
    return _causes_match(results, references, lambda causes: set(causes) == {"signal"})


def signal_in_last_alone(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Tell for each seed whether the last layer's first gradient is a signal, and no other layer's."""
    return _causes_match(results, references, lambda causes: "signal" not in causes[:-1] and causes[-1] == "signal")


def _causes_match(results, references, condition: Callable[[list[str]], bool]) -> np.ndarray:
    causes = [[cause for _, _, cause in wake_causes(*pair)] for pair in zip(results, references, strict=True)]
    return np.array([condition(each) for each in causes], dtype=float)


def no_identical_units(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Tell for each seed whether the trained network has no identical units and gets no warning from the inspector."""
    return np.array([has_no_identical_units(result) for result in results], dtype=float)


def position_spreads(results: Sequence[Result]) -> np.ndarray:
    """Return the position spread of weights after training (seeds,)."""
    return np.array([mean_position_spread(result) for result in results])


def position_spread(results: Sequence[Result], references: Sequence[Result]) -> np.ndarray:
    """Return the position spread of weights after training, minus that of the reference if there is one."""
    return position_spreads(results) - (position_spreads(references) if references else 0.0)


MEASURES: dict[str, Measure] = {
    "final_accuracy": final_accuracy,
    "one_layer_per_step": one_layer_per_step,
    "no_gradient": no_gradient,
    "signal_everywhere": signal_everywhere,
    "signal_in_last_alone": signal_in_last_alone,
    "no_identical_units": no_identical_units,
    "position_spread": position_spread,
}

SHARES: dict[str, Callable[[Sequence[Result]], np.ndarray]] = {
    "final_accuracy": accuracies,
    "position_spread": position_spreads,
}
"""Measures that are a difference of two shares, and how to get one of them."""
