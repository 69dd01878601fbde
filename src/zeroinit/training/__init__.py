"""Training: ``fit`` and what attaches to it.

To add an optimizer: one function in ``optimizers.py`` and one line in ``OPTIMIZERS``. To watch training: subclass
``Observer``; the loop itself never changes.
"""

from zeroinit.training.checkpoint import Checkpoint, CheckpointWarning, OutOfTime
from zeroinit.training.evaluate import evaluate
from zeroinit.training.execution import EXECUTIONS, ExecutionWarning
from zeroinit.training.fit import STACKINGS, choose_stacking, fit
from zeroinit.training.history import History
from zeroinit.training.layout import LAYOUTS
from zeroinit.training.observers import Observer, TrainState, undisturbed
from zeroinit.training.optimizers import OPTIMIZERS, build_optimizers
from zeroinit.training.precision import PRECISIONS
from zeroinit.training.tensorboard import TensorBoardObserver

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
