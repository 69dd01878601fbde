"""What every plot asks of its frame."""

from collections.abc import Sequence

import pandas as pd

from zeroinit._common import InputError

__all__ = ["check_frame"]


def check_frame(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a frame that has no row or lacks a column.

    Raises:
        InputError: Names what is absent and what is needed.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent or frame.empty:
        raise InputError(f"frame: has {len(frame)} rows and lacks the columns {absent}; needs {list(columns)}")
