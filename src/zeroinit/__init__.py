"""zeroinit: neural-network initialization and symmetry breaking.

The public names. Rooms: ``init``, ``models``, ``data``, ``training``, ``remedies``, ``stats``, ``plots``,
``experiments``.
"""

from zeroinit._common import InputError, __version__
from zeroinit.data import DATASETS, Dataset, load_dataset
from zeroinit.init import INITIALIZERS, InitRecord, SymmetryWarning, initialize_
from zeroinit.models import MODELS, build_model
from zeroinit.remedies import REMEDIES, affine_norms
from zeroinit.training import OPTIMIZERS, PRECISIONS, Checkpoint, History, Observer, TensorBoardObserver, evaluate, fit

__all__ = [
    "DATASETS",
    "INITIALIZERS",
    "MODELS",
    "OPTIMIZERS",
    "PRECISIONS",
    "REMEDIES",
    "Checkpoint",
    "Dataset",
    "History",
    "InitRecord",
    "InputError",
    "Observer",
    "SymmetryWarning",
    "TensorBoardObserver",
    "__version__",
    "affine_norms",
    "build_model",
    "evaluate",
    "fit",
    "initialize_",
    "load_dataset",
]
