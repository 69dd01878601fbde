"""Figure 12: the update step in which each layer gets its first gradient, CIFAR-10 FNN."""

from zeroinit.bench.catalogue.parts import GRADIENTS, trio
from zeroinit.bench.labels import NORMAL, PYTORCH
from zeroinit.bench.spec import Claim, Figure, Run

__all__ = ["FIGURE_12"]

FIGURE_12 = Figure(
    name="fig12",
    title="CIFAR-10 FNN: weight gradients of the first five update steps",
    question=GRADIENTS,
    curves=trio(
        Run(dataset="cifar10", model="cifar_fnn", epochs=1, max_steps=5, recorder="gradients"),
        initializers=("pytorch", "normal_bias"),
    ),
    view="gradients",
    inspected=True,
    claims=(
        Claim(
            "C10-one-layer-per-step",
            "CIFAR-10 FNN: with normal biases each update step gives one more layer its first gradient, from output to "
            "input; with PyTorch's default all layers get theirs in the first step",
            "every_seed",
            NORMAL,
            PYTORCH,
            measure="one_layer_per_step",
        ),
    ),
)
