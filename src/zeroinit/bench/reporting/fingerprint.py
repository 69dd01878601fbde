"""What a page is made from, as one number: a page whose inputs did not change need not be drawn again."""

import hashlib
import marshal
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import scipy
import torch

from zeroinit.bench.reporting.analysis import FigureSummary

__all__ = ["fingerprint"]

PACKAGE = Path(__file__).parents[2]


def fingerprint(summaries: Sequence[FigureSummary], *others: str | int) -> str:
    """Return a SHA-256 of results, figures, this package with its templates, and the versions of what draws.

    Args:
        summaries: What the page shows.
        others: What else the page says.
    """
    whole = hashlib.sha256(_of_program().encode())
    for part in _parts(summaries):
        whole.update(part)
    whole.update(repr(others).encode())
    return whole.hexdigest()


def _parts(summaries: Sequence[FigureSummary]) -> Iterator[bytes]:
    for summary in summaries:
        yield repr((summary.figure, summary.absent)).encode()
        for entry in summary.curves:
            yield repr(entry.curve).encode()
            for seed, result in entry.results.items():
                made = (result.initial_hash, result.environment, result.seconds, result.origin)
                yield marshal.dumps((seed, result.history, result.recorded, made), 2)  # 2: equal values, equal bytes


@lru_cache(maxsize=1)
def _of_program() -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        whole.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    versions = [module.__version__ for module in (matplotlib, np, pd, scipy, torch)]
    return f"{whole.hexdigest()} {versions}"
