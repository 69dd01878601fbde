"""Scikit-learn's embedded digits: 1,797 images of 8×8 pixels with 17 gray levels; needs no file and no network.

Source: Alpaydin and Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI machine learning repository (its
test part, as scikit-learn ships it).
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from zeroinit._imports import MissingExtra, missing
from zeroinit.bench.data.dataset_spec import DatasetSpec, Sizes
from zeroinit.bench.data.files.source import Arrays, Layout

__all__ = ["DIGITS", "SPLIT"]

SPLIT = Path(__file__).with_name("digits_split.txt")
"""Rows of the 450 test images, and of the training images: part of the data set, so never change them.

Drawn by class with scikit-learn's ``train_test_split`` from ``random_state=0``.
"""


def _decode(contents: Mapping[str, bytes]) -> Arrays:
    """Read scikit-learn's file. To import scikit-learn for it would take longer than to import torch."""
    library = find_spec("sklearn")
    if library is None or library.origin is None:
        raise MissingExtra(missing("sklearn", "bench"), name="sklearn")
    table = np.loadtxt(Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz", np.uint8, delimiter=",")
    arrays = {}
    for part, line in zip(("test", "train"), SPLIT.read_text().splitlines(), strict=True):
        rows = table[np.array(line.split(), dtype=int)]
        pixels = np.ascontiguousarray(rows[:, :-1]).reshape(-1, 8, 8, 1)
        arrays[f"{part}_images"] = pixels.transpose(0, 3, 1, 2)  # channels last: convolutions round by this layout
        arrays[f"{part}_labels"] = np.ascontiguousarray(rows[:, -1])
    return arrays


DIGITS = DatasetSpec(
    name="digits",
    layouts=(Layout(files=(), decode=_decode),),
    sizes=Sizes((1, 8, 8), num_train=1347, num_test=450, num_test_majority=46),
    num_classes=10,
    peak=16,
    embedded_in="scikit-learn",
)
