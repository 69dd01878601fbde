"""Scikit-learn's embedded digits: 1,797 images of 8×8 pixels with 17 gray levels; needs no file and no network.

Source: Alpaydin and Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI machine learning repository (its
test part, as scikit-learn ships it).
"""

from collections.abc import Mapping

import numpy as np

from zeroinit.bench.data.dataset_spec import DatasetSpec, Sizes
from zeroinit.bench.data.files.source import Arrays, Layout

__all__ = ["DIGITS", "NUM_TEST", "SPLIT_SEED"]

NUM_TEST = 450
SPLIT_SEED = 0
"""Seed of the stratified split into training and test images. It is part of the data set: never change it."""


def _decode(contents: Mapping[str, bytes]) -> Arrays:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=NUM_TEST, stratify=labels, random_state=SPLIT_SEED
    )
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


DIGITS = DatasetSpec(
    name="digits",
    layouts=(Layout(files=(), decode=_decode),),
    sizes=Sizes((1, 8, 8), num_train=1347, num_test=450, num_test_majority=46),
    num_classes=10,
    peak=16,
    embedded_in="scikit-learn",
)
