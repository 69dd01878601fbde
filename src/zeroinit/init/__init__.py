"""In-place initializers for any ``nn.Module``; each returns a record of the parameters that it set and left.

To add an initializer, combine two distributions of ``distributions.py`` (or write a new one there) and add one line to
``INITIALIZERS``. The contract tests then try it on every model.
"""

from zeroinit.init.gains import gain
from zeroinit.init.initialize import InitWarning, SymmetryWarning, initialize_
from zeroinit.init.initializers import Initializer, make_initializer
from zeroinit.init.record import InitRecord, NormRecord, ParameterRecord, Untouched, hash_tensor
from zeroinit.init.table import INITIALIZERS

__all__ = [
    "INITIALIZERS",
    "InitRecord",
    "InitWarning",
    "Initializer",
    "NormRecord",
    "ParameterRecord",
    "SymmetryWarning",
    "Untouched",
    "gain",
    "hash_tensor",
    "initialize_",
    "make_initializer",
]
