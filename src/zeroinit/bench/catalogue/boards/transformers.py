"""The zero start on two small vision transformers that played no part in its design, under the rules of initbench.

Written down before the runs: on both, the zero start is better than PyTorch's default or as good. The paper's start,
zero weights with normal biases, is worse. The rules are in docs/results/transformers.md. A control is PyTorch's
default, made orthonormal after its first update. If it leads by as much, then orthonormal weights explain the lead.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.boards.initbench import DIGITS_TRANSFORMER, QUARTER_CNN, RATES
from zeroinit.bench.spec import Board, Track

__all__ = ["TRANSFORMERS"]

ENTRIES = ("pytorch", "zero_start", "normal_bias", "pytorch+weight_orthonormal:1", "mimetic")

TRANSFORMERS = Board(
    name="transformers",
    title="The zero start on two small vision transformers",
    tracks={
        "digits ViT": Track(
            replace(DIGITS_TRANSFORMER, model="small_vit", epochs=12), ENTRIES, RATES, num_seeds=10, target=0.9
        ),
        "CIFAR-10 ViT": Track(
            replace(QUARTER_CNN, model="small_vit", activation="gelu"), ENTRIES, RATES, num_seeds=10, target=0.3
        ),
    },
)
