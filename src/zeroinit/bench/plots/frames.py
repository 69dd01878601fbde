"""The check that every plot makes of its frame."""

from collections.abc import Sequence

import pandas as pd

from zeroinit._common import InputError

__all__ = ["check_frame"]


def check_frame(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a frame that has no row or lacks a column.

    Raises:
        InputError: A column is missing or there is no row; the message names both.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent or frame.empty:
        raise InputError(f"frame: has {len(frame)} rows and lacks the columns {absent}; needs {list(columns)}")
