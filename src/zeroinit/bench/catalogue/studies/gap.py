"""Study: why is there a gap between zero weights and PyTorch's default, and what closes it?

MNIST FNN as in figure 3; MNIST CNN with 12,000 training images and 6 epochs. Five seeds, paired.

Each candidate cause has two interventions. One removes the cause from zero weights with normal biases ("normal"). The
other adds the cause alone to PyTorch's default.

* *Permutation symmetry*: first updates have rank 1. Removed by random signs on the gradient per unit and example, or by
  dropout, during the first 10 updates. Added by default weights of rank 1.
* *Translation symmetry* (CNN): features are constant over positions. So all positions of a kernel and of the first
  dense layer get one gradient. Removed by signs per position. The contrast is signs per channel and example, which
  leave this symmetry. Added by default kernels that are constant over their positions.
* *Size of the first steps*: after some steps of Adam weights are far smaller than the default. Removed by scaling each
  weight to the default's size after 10 updates. Added by default weights × 0.01.
* *Inflated second moments*: the first gradients are large. Removed by resetting the moments after 10 updates, or by a
  warm-up of 100 updates. Cannot be added.
* *Large biases*, ×1: removed by biases × 0.1.

Two more interventions raise the rank and name no symmetry: gradient noise and orthogonal updates. "Orthogonal" is the
last action of a zero start alone, for zero weights and for the default.

We call something a cause only if both hold: removing it alone closes at least half of the gap, and adding it alone
opens one. The interval has to exclude 0.

Hypotheses, written down before the runs: permutation symmetry is a cause in the FNN, translation symmetry in the CNN.
The size of the steps, the moments and the size of the biases are no causes in the FNN. The steps and sizes of a zero
start were chosen on validation accuracy with other seeds (docs/results/what_did_not_work.md).
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import SMALL_CNN, Network, network_curves
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.spec import Claim, Curve, Figure, Run

__all__ = ["GAP"]

FNN = Run(recorder="ranks")
NETWORKS = {"MNIST FNN": FNN, "MNIST CNN": replace(SMALL_CNN, recorder="ranks")}

REMEDIES: dict[str, dict] = {
    "biases ×0.1": {"scale": 0.1},
    "dropout": {"remedy": "early_dropout:10"},
    "signs per example": {"remedy": "example_signs:10"},
    "signs per position": {"remedy": "position_signs:10"},
    "rescaled": {"remedy": "weight_rescale:10"},
    "moments reset": {"remedy": "moment_reset:10"},
    "warm-up": {"warmup_steps": 100},
    "gradient noise": {"remedy": "gradient_noise:10"},
    "orthogonal updates": {"remedy": "early_muon:10"},
    "signs per example, rescaled": {"remedy": "example_signs:10+weight_rescale:10"},
    "signs per channel": {"remedy": "channel_signs:10"},
    "signs per channel, rescaled": {"remedy": "channel_signs:10+weight_rescale:10"},
    "signs per position, rescaled": {"remedy": "position_signs:10+weight_rescale:10"},
    "orthogonal": {"remedy": "weight_orthogonal:10"},
    "signs per position, orthogonal": {"remedy": "position_signs:10+weight_orthogonal:10"},
}
ABLATED = {
    "default, rank 1": {"spoiler": "rank_one"},
    "default, constant kernels": {"spoiler": "constant_kernels"},
    "default × 0.01": {"spoiler": "small"},
    "default, orthogonal": {"remedy": "weight_orthogonal:1"},
}
POINTLESS = {
    "MNIST FNN": {
        *("signs per position", "signs per position, rescaled", "signs per channel", "signs per channel, rescaled"),
        "default, constant kernels",
    },
    "MNIST CNN": {"signs per example", "signs per example, rescaled", "moments reset", "orthogonal updates"},
}
"""In a dense network a unit has one position; in the CNN its channels have to differ from positions."""


def _curves(network: str, run: Run) -> tuple[Curve, ...]:
    chosen = {
        name: {"initializer": "normal_bias"} | settings
        for name, settings in REMEDIES.items()
        if name not in POINTLESS[network]
    } | {name: settings for name, settings in ABLATED.items() if name not in POINTLESS[network]}
    return (
        *network_curves(network, Network(run, num_layers=3)),
        *(Curve(f"{network}: {name}", replace(run, **settings)) for name, settings in chosen.items()),
    )


def _claim(id: str, network: str, statement: str, better: str, worse: str) -> Claim:
    return Claim(id, f"{network}: {statement}", "greater", f"{network}: {better}", f"{network}: {worse}")


QUICK = tuple(
    f"{network}: {name}"
    for network, names in {
        "MNIST FNN": ("dropout", "signs per example", "rescaled", "default, rank 1", "default × 0.01"),
        "MNIST CNN": ("signs per channel, rescaled", "signs per position, rescaled", "default, constant kernels"),
    }.items()
    for name in (PYTORCH, NORMAL, ZERO_START, *names)
)
"""What the quick profile has: each cause once, taken away or given."""

GAP = Figure(
    name="gap",
    title="Why zero weights train less well than PyTorch's default, and what closes the gap",
    curves=tuple(curve for network, run in NETWORKS.items() for curve in _curves(network, run)),
    claims=(
        _claim("G1-fnn-signs", "MNIST FNN", "random signs on ten gradients beat none", "signs per example", NORMAL),
        _claim("G2-fnn-rank", "MNIST FNN", "default weights of rank 1 open a gap", PYTORCH, "default, rank 1"),
        _claim(
            "G3-cnn-positions",
            "MNIST CNN",
            "signs per position beat signs per channel, both rescaled",
            "signs per position, rescaled",
            "signs per channel, rescaled",
        ),
        _claim(
            "G4-cnn-kernels",
            "MNIST CNN",
            "default kernels that are constant over their positions open a gap",
            PYTORCH,
            "default, constant kernels",
        ),
        _claim("G5-cnn-rank", "MNIST CNN", "default weights of rank 1 open a gap", PYTORCH, "default, rank 1"),
    ),
    in_paper=False,
    view="gaps",
    overrides={"quick": {"epochs": 8}},
    subsets={"quick": QUICK},
)
