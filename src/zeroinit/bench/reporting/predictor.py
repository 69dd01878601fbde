"""Predict the accuracy that scaled biases cost, from quantities that are known before training.

With zero weights the state at step 0 is known in closed form: unit j of a layer puts out f(b_j), whatever the image.
Each of the three mechanisms (``mechanisms.py``) becomes a ratio: the effect of the biases over what the optimizer can
move. From these ratios a forest of randomized trees, one for each optimizer, learns the final accuracy. The predicted
loss is the expected accuracy of the best reference of the same context, minus that of the setting.

We chose it by tenfold cross-validation over the contexts of the fitting set of ``large_bias_grid``. The other
candidates were boosting, Gaussian processes and sums of soft thresholds, for losses and for accuracies.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri
from torch import nn

from zeroinit._modules.layers import fan_in, weight_layers
from zeroinit.bench.models import make_activation
from zeroinit.bench.network import network
from zeroinit.bench.spec import Run
from zeroinit.bench.work import work_of
from zeroinit.init.auto_scale import auto_scales

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

__all__ = ["MECHANISTIC", "QUANTITIES", "Predictor", "expected_accuracy", "fit_predictor", "quantities"]

BRIGHTNESS = 100.0
"""Approximate sum over the pixels of an MNIST image in [0, 1]: how far w x moves if each weight moves by 1."""

NORMAL = ndtri((np.arange(401) + 0.5) / 401)
"""Quantiles of N(0, 1): averages over them stand for expectations."""

LEAST = 1e-6
QUANTITIES = ("offset", "unlearned", "beyond", "jolt", "swing", "bend", "slope", "travel", "depth", "sgd", "identity")
"""The predictor's inputs. Scales and width enter through them alone."""

NUM_TREES, SHARE, LOWEST, HIGHEST = 300, 0.7, -4.0, 8.0
MECHANISTIC = {"outputs": "offset", "features": "jolt", "units": "bend"}
"""The one quantity that stands for each mechanism."""


def quantities(run: Run) -> dict[str, float]:
    """Return what is known of a run before it starts.

    A *move* is the distance that a parameter with input 1 can go in one update. For Adam it is the learning rate, for
    SGD on a summed loss the learning rate times the batch size. *Travel* is the move times the number of updates.

    Returns:
        ``offset``: log10 of the output biases' size over travel: the time to unlearn them, in units of the training.
        ``unlearned``: log10 of the output biases' size over what the output bias and the constant features can change
            together.
        ``beyond``: log10 of the hidden biases' size over travel times brightness, the largest possible w x.
        ``jolt``: log10 of the change of a next layer's output in one update, along its constant features. For Adam it
            is move x sum of abs f(b), for SGD move x sum of f(b)^2. The largest of the layers counts.
        ``swing``: ``jolt`` plus log10 of the number of updates: the change in all updates.
        ``bend``: how far from linear (or dead) a mean unit is over the reach of its input. The reach is travel times
            brightness, at most 10. The least of the layers counts.
        ``slope``: log10 of the mean abs f'(b), multiplied over the layers: the share of a gradient that is left.
        ``hidden``, ``output``: log10 of the scales; ``travel``: log10; ``width``: log10 of the last fan-in; ``depth``;
        ``sgd``, ``identity``: 1 or 0.
    """
    scales, fans = _layers(run)
    steps, is_sgd = work_of(run).num_steps, run.optimizer == "sgd"
    move = run.learning_rate * (run.batch_size if is_sgd else 1)
    travel = move * steps
    reach = min(10.0, travel * BRIGHTNESS)
    seen = [_unit(run.activation, scale, reach) for scale in scales[:-1]]
    sums = [fan * (square if is_sgd else size) for fan, (size, square, _, _) in zip(fans, seen, strict=True)]
    jolt = np.log10(max(move * max(sums), LEAST**2))
    return {
        "offset": float(np.log10(max(scales[-1], LEAST) / travel)),
        "unlearned": float(np.log10(max(scales[-1], LEAST) / (travel + 10**jolt * steps))),
        "beyond": float(np.log10(max(max(scales[:-1]), LEAST) / (travel * BRIGHTNESS))),
        "jolt": float(jolt),
        "swing": float(jolt + np.log10(steps)),
        "bend": min(bend for _, _, bend, _ in seen),
        "slope": float(np.log10(max(float(np.prod([slope for *_, slope in seen])), LEAST))),
        "hidden": float(np.log10(max(max(scales[:-1]), LEAST))),
        "output": float(np.log10(max(scales[-1], LEAST))),
        "travel": float(np.log10(travel)),
        "width": float(np.log10(fans[-1])),
        "depth": float(len(seen)),
        "sgd": float(is_sgd),
        "identity": float(run.activation == "identity"),
    }


def _layers(run: Run) -> tuple[list[float], list[int]]:
    """Return the scales of all layers' biases and the fan-ins of all layers but the first."""
    model = _network(run.dataset, run.model, run.activation, run.norm, run.hidden)
    layers = weight_layers(model)
    fans = [fan_in(layer) for layer in layers.values()][1:]
    if run.auto_scale:
        return list(auto_scales(model, layers).values()), fans
    output = run.scale if run.output_scale is None else run.output_scale
    return [run.scale] * len(fans) + [output], fans


@lru_cache(maxsize=1)  # the settings of one network stand beside each other
def _network(dataset: str, model: str, activation: str, norm: str, hidden: str) -> nn.Module:
    return network(Run(dataset=dataset, model=model, activation=activation, norm=norm, hidden=hidden))


@lru_cache(maxsize=4096)
@torch.no_grad()
def _unit(activation: str, scale: float, reach: float) -> tuple[float, float, float, float]:
    """Return the means over biases b of abs f(b), f(b)^2, the bend within the reach, and abs f'(b)."""
    f, b = make_activation(activation), torch.from_numpy(scale * NORMAL)
    middle, above, below = f(b), f(b + reach), f(b - reach)
    bend = (above - 2 * middle + below).abs().mean() / reach
    slope = (f(b + 1e-3) - f(b - 1e-3)).abs().mean() / 2e-3
    return float(middle.abs().mean()), float((middle**2).mean()), float(bend), float(slope)


Predictor = dict[float, "ExtraTreesRegressor"]
"""A forest for each optimizer, by ``sgd``."""


def fit_predictor(frame: pd.DataFrame) -> Predictor:
    """Fit the expected accuracy; the same rows give the same predictor.

    Args:
        frame: Columns ``accuracy`` and ``QUANTITIES``.
    """
    from sklearn.ensemble import ExtraTreesRegressor  # takes a second, and no other report needs it

    return {
        float(sgd): ExtraTreesRegressor(NUM_TREES, max_features=SHARE, random_state=0).fit(
            _inputs(rows), rows["accuracy"].to_numpy()
        )
        for sgd, rows in frame.groupby("sgd")
    }


def expected_accuracy(predictor: Predictor, frame: pd.DataFrame) -> np.ndarray:
    """Return the expected accuracy of each row, NaN for an optimizer that the predictor has not seen."""
    expected = np.full(len(frame), np.nan)
    for sgd, forest in predictor.items():
        own = (frame["sgd"] == sgd).to_numpy()
        if own.any():
            expected[own] = forest.predict(_inputs(frame[own]))
    return expected


def _inputs(frame: pd.DataFrame) -> np.ndarray:
    return np.clip(frame[list(QUANTITIES)].to_numpy(float), LOWEST, HIGHEST)
