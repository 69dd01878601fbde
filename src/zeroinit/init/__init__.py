"""In-place initializers for any ``nn.Module``; each returns a record of the parameters that it set and left.

To add an initializer, combine two distributions of ``distributions.py`` (or write a new one there) and add one line to
``INITIALIZERS``. The contract tests then try it on every model.
"""

from zeroinit.init.initialize import InitWarning, SymmetryWarning, initialize_
from zeroinit.init.initializers import INITIALIZERS, Initializer
from zeroinit.init.record import InitRecord, NormRecord, ParameterRecord, Untouched, hash_tensor

__all__ = [
    "INITIALIZERS",
    "InitRecord",
    "InitWarning",
    "Initializer",
    "NormRecord",
    "ParameterRecord",
    "SymmetryWarning",
    "Untouched",
    "hash_tensor",
    "initialize_",
]
