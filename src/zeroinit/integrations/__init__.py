"""zeroinit in your own training script: ``watch`` for a loop, callbacks for the Trainer of transformers and Lightning.

``zeroinit.integrations.transformers.InspectCallback`` and ``zeroinit.integrations.lightning.InspectCallback`` import
their framework when you import them; nothing else does.
"""

from zeroinit.integrations.inspection import SymmetryError
from zeroinit.integrations.own_loop import Watch, WatchWarning, watch

__all__ = ["SymmetryError", "Watch", "WatchWarning", "watch"]
