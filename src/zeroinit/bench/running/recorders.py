"""Recorders: observers whose records are stored with the result of a run.

To add one: a subclass of ``Recorder`` and one line in ``RECORDERS``. It puts only lists, strings and numbers into
``recorded``, which go into the result file unchanged.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit._common import lookup
from zeroinit.bench.store import QUANTILES
from zeroinit.bench.training import Observer, TrainState
from zeroinit.bench.training.tensorboard import LARGEST
from zeroinit.symmetry import DIAGNOSTICS, inspect

__all__ = [
    "RECORDERS",
    "Course",
    "GradientSizes",
    "Gradients",
    "Ranks",
    "Recorder",
    "Symmetry",
    "default_bins",
    "make_recorder",
]

MOST_STEPS = 64
"""Recording ends after so many updates, because the question is about the start."""

RANK_STEPS = frozenset({1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000})
"""Update steps at which ranks are measured, each with a singular value decomposition."""

INSPECTED = 64
"""Images of the batch that a trained network is inspected with."""

OF_LAYERS = ("effective_rank_weights", "effective_rank_activations", "constant_features", "duplicate_features")
"""The inspector's measures of a layer's diversity that are kept, at the end of training."""

BLOCK = 10
"""Updates whose mean loss is one number."""


class Recorder(Observer):
    """An observer that fills ``recorded``; a checkpoint keeps it.

    Attributes:
        recorded: Lists, strings and numbers, ready for JSON.
    """

    def __init__(self) -> None:
        self.recorded: dict[str, Any] = {"losses": [], "parameters": {}}

    def state_dict(self) -> dict:
        """Return what was recorded so far."""
        return {"recorded": self.recorded}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what was recorded before."""
        self.recorded = state["recorded"]

    def on_gradients(self, state: TrainState) -> None:
        """Measure the gradient of each parameter that is chosen."""
        if state.step > MOST_STEPS:
            return
        for name, parameter in chosen_parameters(state.model, self.min_axes):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            entry = self.recorded["parameters"].setdefault(name, {"shape": list(parameter.shape)})
            for measure, value in self.measure(gradient).items():
                entry.setdefault(measure, []).append(value)

    def on_epoch(self, state: TrainState) -> None:
        """Add the losses of the epoch's batches, mean per image."""
        left = MOST_STEPS - len(self.recorded["losses"])
        self.recorded["losses"] += [rounded(loss) for loss in state.losses[: max(left, 0)].tolist()]

    min_axes = 1
    """Parameters with fewer axes are left out."""

    def measure(self, gradient: Tensor) -> dict[str, Any]:
        """Return what is recorded of one gradient at one step, by the name of the measure."""
        raise NotImplementedError


class GradientSizes(Recorder):
    """The largest absolute value of each weight's gradient at each update step: shows each layer's first gradient."""

    min_axes = 2

    def measure(self, gradient: Tensor) -> dict[str, Any]:
        """Return ``max_abs``; it is 0 if and only if every entry is."""
        return {"max_abs": rounded(largest(gradient))}


class Gradients(Recorder):
    """The distribution of each parameter's gradient at each update step, and what the paper's figure drew.

    Each step has four measures. ``zeros`` is the share of entries that are exactly zero. ``max_abs`` is the largest
    absolute value. ``quantiles`` are those of the values at ``QUANTILES``. ``edges`` are the same quantiles of the bin
    edges of TensorBoard's histogram.
    """

    def measure(self, gradient: Tensor) -> dict[str, Any]:
        """Return the four measures of one gradient."""
        values = gradient.detach().double().cpu().numpy().ravel()
        return {
            "zeros": rounded(float((values == 0).mean())),
            "max_abs": rounded(largest(gradient)),
            "quantiles": quantiles(values),
            "edges": quantiles(bin_edges(values)),
        }


class Ranks(Recorder):
    """The effective rank of each weight and of its gradient, at the update steps ``RANK_STEPS`` and at the end.

    A weight is measured before the update of its step, so step 1 shows its initial values. Kernels count as rows with
    one column per channel and position. The last entry of ``weight_rank`` is measured after the last update.
    """

    def on_gradients(self, state: TrainState) -> None:
        """Measure, at some steps."""
        if state.step in RANK_STEPS:
            self.recorded.setdefault("steps", []).append(state.step)
            self.measure_weights(state.model)
            self.measure_gradients(state.model)

    def on_end(self, state: TrainState) -> None:
        """Measure the weights once more."""
        self.measure_weights(state.model)

    def measure_weights(self, model: nn.Module) -> None:
        """Add the rank of each weight as it is now."""
        for name, parameter in chosen_parameters(model, 2):
            entry = self.recorded["parameters"].setdefault(name, {"shape": list(parameter.shape)})
            entry.setdefault("weight_rank", []).append(rank(parameter))

    def measure_gradients(self, model: nn.Module) -> None:
        """Add the rank of each weight's gradient."""
        for name, parameter in chosen_parameters(model, 2):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            self.recorded["parameters"][name].setdefault("gradient_rank", []).append(rank(gradient))


def rank(matrix: Tensor) -> float:
    """Return the effective rank of a parameter or gradient (out, in, ...) as a matrix; NaN if not finite."""
    flat = matrix.detach().flatten(1)
    return rounded(DIAGNOSTICS["effective_rank"].compute(flat)) if bool(flat.isfinite().all()) else float("nan")


class Symmetry(Ranks):
    """What is identical while a network trains, and what the inspector says of it at the end.

    ``parameters`` has for each weight its ``shape``, its effective ``weight_rank``, and the ``position_spread`` if the
    weight has several positions. Rank and spread are measured before the updates ``RANK_STEPS`` and at the end. The
    spread is the share that varies over the positions of kernels, or of the map that a dense layer reads. ``warnings``
    are the codes of the inspector's warnings. ``layers`` are the inspector's numbers for each layer with a matrix. Both
    are measured on images of the last batch, with classes that are drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self._images: Tensor | None = None

    def state_dict(self) -> dict:
        """Return what was recorded so far, and the images: a run that resumes after its last batch has no others."""
        return super().state_dict() | ({} if self._images is None else {"images": self._images})

    def load_state_dict(self, state: dict) -> None:
        """Go on from what was recorded before."""
        super().load_state_dict(state)
        self._images = state.get("images")

    def on_start(self, state: TrainState) -> None:
        """Keep some images of each batch."""
        self._hook = state.model.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: tuple) -> None:
        if module.training:
            self._images = arguments[0].detach()[:INSPECTED].clone()

    def on_end(self, state: TrainState) -> None:
        """Measure once more, and inspect."""
        self._hook.remove()
        super().on_end(state)
        if self._images is None or not all(bool(each.isfinite().all()) for each in state.model.parameters()):
            return
        report = inspect(state.model, self._images)
        self.recorded["warnings"] = [finding.code for finding in report.warnings]
        self.recorded["layers"] = [
            {"path": each.path, "units": each.num_units, "distinct": each.num_distinct_units}
            | {name: rounded(each.diversity.get(name, float("nan"))) for name in OF_LAYERS}
            for each in report.layers
            if each.is_matrix
        ]

    def measure_weights(self, model: nn.Module) -> None:
        """Add the rank of each weight, and how far it varies over positions."""
        super().measure_weights(model)
        for name, view in views_by_position(model).items():
            spread = DIAGNOSTICS["position_spread"].compute(view)
            self.recorded["parameters"][name].setdefault("position_spread", []).append(rounded(spread))

    def measure_gradients(self, model: nn.Module) -> None:
        """Add nothing: this recorder is about weights."""


class Course(Ranks):
    """The loss of every few updates, and the effective rank of each weight at the end.

    ``updates`` has the number of updates at the end of each block of ``BLOCK`` updates; the last of an epoch may be
    shorter. ``block_losses`` has the mean over the batches of each block. ``weight_rank`` has one value a weight.
    """

    on_gradients = Observer.on_gradients
    """Nothing listens to updates, which would cost time at each."""

    def on_epoch(self, state: TrainState) -> None:
        """Add the epoch's blocks."""
        super().on_epoch(state)
        done = state.step - len(state.losses)
        for block in state.losses.split(BLOCK):
            done += len(block)
            self.recorded.setdefault("updates", []).append(done)
            self.recorded.setdefault("block_losses", []).append(rounded(float(block.double().mean())))


def views_by_position(model: nn.Module) -> dict[str, Tensor]:
    """Return, by name, the weights that have several positions, as (units, channels, positions).

    These are kernels with more than one position. A dense layer counts if its inputs are a multiple of the channels in
    front of it.
    """
    views, channels = {}, 0
    for name, parameter in chosen_parameters(model, 2):
        if parameter.ndim > 2:
            view, channels = parameter.flatten(2), len(parameter)
        elif channels and parameter.shape[1] % channels == 0:
            view, channels = parameter.unflatten(1, (channels, -1)), 0
        else:
            continue
        if view.shape[2] > 1:
            views[name] = view
    return views


RECORDERS: dict[str, type[Recorder]] = {
    "gradients": Gradients,
    "gradient_sizes": GradientSizes,
    "ranks": Ranks,
    "symmetry": Symmetry,
    "course": Course,
}


def make_recorder(name: str) -> Recorder | None:
    """Make the recorder of a run, or none for ``"none"``.

    Raises:
        InputError: An unknown name.

    Example:
        >>> make_recorder("none") is None, type(make_recorder("gradients")).__name__
        (True, 'Gradients')
    """
    return None if name == "none" else lookup(RECORDERS, name, "recorder")()


def chosen_parameters(model: nn.Module, min_axes: int) -> list[tuple[str, nn.Parameter]]:
    """List the parameters with at least so many axes, by name, in the order of the model."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.ndim >= min_axes]


def largest(gradient: Tensor) -> float:
    """Return the largest absolute value; 0 of an empty tensor."""
    return gradient.detach().abs().max().item() if gradient.numel() else 0.0


def quantiles(values: np.ndarray) -> list[float]:
    """Return the quantiles at ``QUANTILES``, linear between neighbors; NaN where a value is not finite.

    Example:
        >>> quantiles(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
        [0.0, 0.2, 1.0, 2.0, 3.0, 3.8, 4.0]
    """
    if not len(values) or not np.isfinite(values).all():
        return [float("nan")] * len(QUANTILES)
    return [rounded(value) for value in np.quantile(values, QUANTILES).tolist()]


def default_bins() -> np.ndarray:
    """Return the bin edges that ``SummaryWriter`` makes histograms with: from 1e-12 to 1e20 in steps of 10 %, and 0.

    ``SummaryWriter`` holds them only once it has opened an event file.
    """
    positive, edge = [], 1e-12
    while edge < LARGEST:
        positive.append(edge)
        edge *= 1.1
    return np.array([-value for value in reversed(positive)] + [0.0] + positive)


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return the bin edges of TensorBoard's histogram of some values, as a reader of its log files gets them.

    Args:
        values: Any number of values. Those beyond the outermost bins are left out, because TensorBoard has no bin for
            them.

    Source:
        ``torch.utils.tensorboard.summary.make_histogram``, which is called here.
    """
    from torch.utils.tensorboard.summary import make_histogram  # a second or more, so only where it is used

    inside = values[np.abs(values) < LARGEST]
    return np.array(make_histogram(inside, default_bins(), None).bucket_limit) if len(inside) else inside


def rounded(value: float) -> float:
    """Return a value to nine significant digits, which differ for any two float32 numbers."""
    return float(f"{value:.9g}")
