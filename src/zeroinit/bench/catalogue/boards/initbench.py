"""initbench: six small networks on which every initializer has the same budget, tuning and seeds.

The rules are in docs/results/initbench.md and were written down before the runs. Each network trains on a few thousand
images, so that the whole board takes under three hours on two cores.
"""

from dataclasses import replace

from zeroinit.bench.spec import Board, Run, Track

__all__ = ["DENSE", "DIGITS_RESNET", "DIGITS_TRANSFORMER", "INITBENCH", "PLAIN", "QUARTER_CNN", "RATES", "WIDE_RATES"]

RATES = (0.000316, 0.001, 0.00316)
WIDE_RATES = (0.0001, *RATES, 0.01)
"""Each grid is extended once by two rates, at the end where the best one lies."""

DENSE = Run(num_train=12_000, num_validation=2_000, epochs=10)
PLAIN = replace(DENSE, hidden=", ".join(["128"] * 7), activation="relu")
CNN = Run(model="mnist_cnn", num_train=4_000, num_validation=2_000, epochs=3, batch_size=32)
QUARTER_CNN = replace(CNN, dataset="cifar10", model="cifar_cnn_quarter", pixels="cifar10", epochs=5)
DIGITS_RESNET = Run(
    dataset="digits",
    model="resnet8",
    activation="relu",
    pixels="standardized",
    num_validation=300,
    epochs=12,
    batch_size=32,
)
DIGITS_TRANSFORMER = replace(DIGITS_RESNET, model="row_transformer", activation="gelu", epochs=20)

STANDARD = ("pytorch", "xavier_uniform", "kaiming_normal", "lecun_normal", "orthogonal", "lsuv")
ZERO_FAMILY = (
    *("zero", "constant_bias", "normal_bias", "normal_bias*0.1", "uniform_bias", "zero_start"),
    *("zer_o", "idinit", "sinusoidal", "constnet"),
)
ENTRIES = (*STANDARD, *ZERO_FAMILY)
MORE = (*STANDARD, "xavier_normal", "kaiming_uniform", *ZERO_FAMILY)

INITBENCH = Board(
    name="initbench",
    title="initbench: initializers on six small networks, each with its own tuned learning rate",
    tracks={
        "MNIST dense net": Track(DENSE, MORE, WIDE_RATES, num_seeds=10, target=0.9),
        "MNIST 8-layer net": Track(PLAIN, MORE, RATES, num_seeds=10, target=0.9),
        "digits ResNet": Track(DIGITS_RESNET, (*MORE, "zero_branch", "fixup"), RATES, num_seeds=10, target=0.95),
        "digits transformer": Track(DIGITS_TRANSFORMER, (*MORE, "fixup", "mimetic"), RATES, num_seeds=10, target=0.9),
        "MNIST CNN": Track(CNN, ENTRIES, RATES, num_seeds=5, target=0.9),
        "CIFAR-10 CNN": Track(QUARTER_CNN, ENTRIES, RATES, num_seeds=5, target=0.4),
    },
)
