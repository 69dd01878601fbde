"""``zero_start_``: zero weights that train as well as PyTorch's default, in one line."""

from zeroinit.zero_start.choice import DEEP, PARTS, SCALE, choose_parts, num_first_steps
from zeroinit.zero_start.start import ZeroStart
from zeroinit.zero_start.zero_start import zero_start_

__all__ = [
    "DEEP",
    "PARTS",
    "SCALE",
    "ZeroStart",
    "choose_parts",
    "num_first_steps",
    "zero_start_",
]
