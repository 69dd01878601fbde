"""The bench: data, networks and training, and the studies that reproduce the paper.

Needs the extra packages of ``pip install 'torch-zeroinit[bench]'``. Each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from zeroinit._imports import names_when_used

if TYPE_CHECKING:
    from zeroinit.bench.comparison import Comparison, compare
    from zeroinit.bench.data import DATASETS, Dataset, load_dataset
    from zeroinit.bench.models import MODELS, build_model
    from zeroinit.bench.training import (
        OPTIMIZERS,
        PRECISIONS,
        Checkpoint,
        History,
        Observer,
        TensorBoardObserver,
        evaluate,
        fit,
    )

__all__ = [
    "DATASETS",
    "MODELS",
    "OPTIMIZERS",
    "PRECISIONS",
    "Checkpoint",
    "Comparison",
    "Dataset",
    "History",
    "Observer",
    "TensorBoardObserver",
    "build_model",
    "compare",
    "evaluate",
    "fit",
    "load_dataset",
]

HOMES = {
    "zeroinit.bench.comparison": ["Comparison", "compare"],
    "zeroinit.bench.data": ["DATASETS", "Dataset", "load_dataset"],
    "zeroinit.bench.models": ["MODELS", "build_model"],
    "zeroinit.bench.training": [
        "OPTIMIZERS",
        "PRECISIONS",
        "Checkpoint",
        "History",
        "Observer",
        "TensorBoardObserver",
        "evaluate",
        "fit",
    ],
}
"""Where each name comes from, as the imports above say it to a type checker."""

__getattr__ = names_when_used(__name__, HOMES, ("data", "models", "plots", "stats", "training"))


def __dir__() -> list[str]:
    return [*__all__, "data", "models", "plots", "stats", "training"]
