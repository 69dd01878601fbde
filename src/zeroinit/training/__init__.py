"""Training: ``fit`` and what attaches to it.

To add an optimizer: one function in ``optimizers.py`` and one line in ``OPTIMIZERS``. To watch training: subclass
``Observer``; the loop itself never changes.
"""

from zeroinit.training.evaluate import evaluate
from zeroinit.training.fit import fit
from zeroinit.training.history import History
from zeroinit.training.observers import Moment, Observer, undisturbed
from zeroinit.training.optimizers import OPTIMIZERS, build_optimizers
from zeroinit.training.tensorboard import TensorBoardObserver

__all__ = [
    "OPTIMIZERS",
    "History",
    "Moment",
    "Observer",
    "TensorBoardObserver",
    "build_optimizers",
    "evaluate",
    "fit",
    "undisturbed",
]
