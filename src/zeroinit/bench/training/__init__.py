"""Training: ``fit``, optimizers and observers.

To add an optimizer: one function in ``optimizers.py`` and one line in ``OPTIMIZERS``. To watch training: subclass
``Observer``; the loop itself never changes.
"""

from zeroinit.bench.training.checkpoint import Checkpoint, CheckpointWarning, OutOfTime
from zeroinit.bench.training.evaluate import evaluate
from zeroinit.bench.training.fit import STACKINGS, choose_stacking, fit
from zeroinit.bench.training.history import History
from zeroinit.bench.training.observers import Observer, TrainState, undisturbed
from zeroinit.bench.training.optimizers import OPTIMIZERS, build_optimizers
from zeroinit.bench.training.steps.execution import EXECUTIONS, ExecutionWarning
from zeroinit.bench.training.steps.layout import LAYOUTS
from zeroinit.bench.training.steps.precision import PRECISIONS
from zeroinit.bench.training.tensorboard import TensorBoardObserver

__all__ = [
    "EXECUTIONS",
    "LAYOUTS",
    "OPTIMIZERS",
    "PRECISIONS",
    "STACKINGS",
    "Checkpoint",
    "CheckpointWarning",
    "ExecutionWarning",
    "History",
    "Observer",
    "OutOfTime",
    "TensorBoardObserver",
    "TrainState",
    "build_optimizers",
    "choose_stacking",
    "evaluate",
    "fit",
    "undisturbed",
]
