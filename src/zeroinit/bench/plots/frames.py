"""What every plot begins with: a check of its frame, and the project's style."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
from matplotlib import pyplot as plt

from zeroinit._common import InputError
from zeroinit.bench.plots.style import STYLE

__all__ = ["styled"]


@contextmanager
def styled(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[None]:
    """Draw in the project's style inside, after a check of the frame.

    Raises:
        InputError: A column is missing or there is no row; the message names both.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent or frame.empty:
        raise InputError(f"frame: has {len(frame)} rows and lacks the columns {absent}; needs {list(columns)}")
    with plt.style.context(STYLE):
        yield
