"""zeroinit: neural-network initialization and symmetry breaking.

The public names. Rooms: ``init``, ``models``, ``data``, ``training``, ``remedies``, ``symmetry``, ``stats``,
``plots``, ``zero_start``, ``experiments``.
"""

from zeroinit._common import InputError, __version__
from zeroinit.data import DATASETS, Dataset, load_dataset
from zeroinit.init import INITIALIZERS, InitRecord, InitWarning, SymmetryWarning, initialize_
from zeroinit.models import MODELS, build_model
from zeroinit.remedies import REMEDIES, RemedyWarning, affine_norms, make_remedy
from zeroinit.symmetry import DIAGNOSTICS, Finding, SymmetryObserver, SymmetryReport, assert_symmetry_broken, inspect
from zeroinit.training import OPTIMIZERS, PRECISIONS, Checkpoint, History, Observer, TensorBoardObserver, evaluate, fit
from zeroinit.zero_start import ZeroStart, zero_start_

__all__ = [
    "DATASETS",
    "DIAGNOSTICS",
    "INITIALIZERS",
    "MODELS",
    "OPTIMIZERS",
    "PRECISIONS",
    "REMEDIES",
    "Checkpoint",
    "Dataset",
    "Finding",
    "History",
    "InitRecord",
    "InitWarning",
    "InputError",
    "Observer",
    "RemedyWarning",
    "SymmetryObserver",
    "SymmetryReport",
    "SymmetryWarning",
    "TensorBoardObserver",
    "ZeroStart",
    "__version__",
    "affine_norms",
    "assert_symmetry_broken",
    "build_model",
    "evaluate",
    "fit",
    "initialize_",
    "inspect",
    "load_dataset",
    "make_remedy",
    "zero_start_",
]
