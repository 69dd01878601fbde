"""The ledger of headlines: published statements on zero and near-zero starts, each on one small network.

Each track was written down before its runs: the statement, the network, the verdicts under which it holds, the margin
and ten paired seeds. docs/results/headlines.md has the rules. Both entries have their own tuned learning rate, which is
what most of the papers left out. A small network can only say whether a statement holds there.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.boards.initbench import (
    DENSE,
    DIGITS_RESNET,
    DIGITS_TRANSFORMER,
    PLAIN,
    QUARTER_CNN,
    RATES,
    WIDE_RATES,
)
from zeroinit.bench.spec import Board, Headline, Run, Track

__all__ = ["HEADLINES"]

RESIDUAL = replace(DENSE, model="residual_fnn", activation="relu")
UNDERFITTING = replace(DENSE, hidden="16")
"""Sixteen units, which cannot fit the training images."""

BETTER, NOT_WORSE = ("better",), ("better", "as good")


def _track(run: Run, reference: str, entry: str, holds: tuple[str, ...], statement: str, source: str) -> Track:
    grid = WIDE_RATES if run.hidden == "" and run.model == "mnist_fnn" else RATES
    target = 0.4 if run.dataset == "cifar10" else 0.9
    return Track(run, (reference, entry), grid, 10, target, headline=Headline(statement, source, holds))


HEADLINES = Board(
    name="headlines",
    title="The ledger of headlines: published statements on zero and near-zero starts, at CPU size",
    tracks={
        "zero weights": _track(
            *(DENSE, "pytorch", "normal_bias", NOT_WORSE),
            "Zero weights with normal biases come close to PyTorch's default.",
            "Schicho 2023",
        ),
        "ZerO": _track(
            *(DIGITS_RESNET, "kaiming_normal", "zer_o", NOT_WORSE),
            "Zeros and ones train a residual network as well as random weights.",
            "Zhao et al. 2022",
        ),
        "ZerO without shortcuts": _track(
            *(PLAIN, "kaiming_normal", "zer_o", NOT_WORSE),
            "Zeros and ones train a deep network as well as random weights.",
            "Zhao et al. 2022",
        ),
        "ConstNet": _track(
            *(DIGITS_RESNET, "kaiming_normal", "constnet+early_dropout:200:0.1", NOT_WORSE),
            "Units that start identical train as well as random ones, if noise makes them differ.",
            "Blumenfeld et al. 2020",
        ),
        "Fixup": _track(
            *(RESIDUAL, "kaiming_normal", "fixup", BETTER),
            "Without norms, Fixup trains 32 residual layers better than He weights.",
            "Zhang et al. 2019",
        ),
        "zero-gamma": _track(
            *(DIGITS_RESNET, "kaiming_normal", "zero_branch", BETTER),
            "Residual branches that start at zero give a better residual network.",
            "Goyal et al. 2017",
        ),
        "IDInit": _track(
            *(DIGITS_RESNET, "kaiming_normal", "idinit", BETTER),
            "Padded identities train a residual network better than He weights.",
            "Pan et al. 2025",
        ),
        "sinusoidal": _track(
            *(QUARTER_CNN, "kaiming_normal", "sinusoidal", BETTER),
            "Sine waves end at a higher accuracy than He weights.",
            "Fernandez-Hernandez et al. 2025",
        ),
        "mimetic": _track(
            *(DIGITS_TRANSFORMER, "pytorch", "mimetic", BETTER),
            "Attention that starts like a trained one gives a better transformer on few images.",
            "Trockman and Kolter 2023",
        ),
        "early dropout": _track(
            *(UNDERFITTING, "pytorch", "pytorch+early_dropout:200:0.1", BETTER),
            "Dropout in the first updates gives a better network that underfits.",
            "Liu et al. 2023, arXiv 2303.01500",
        ),
        "dropout breaks symmetry": _track(
            *(DENSE, "constant_bias", "constant_bias+early_dropout:200:0.1", BETTER),
            "Dropout in the first updates is enough to make identical units differ.",
            "Blumenfeld et al. 2020, section 3",
        ),
    },
)
