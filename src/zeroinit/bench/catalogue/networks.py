"""Networks that several studies share, the settings of their zero start, and the claims about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.spec import Claim, Curve, Run

__all__ = [
    "DEEP",
    "QUARTER_CNN",
    "QUARTER_RESNET",
    "RESNET",
    "SMALL_CNN",
    "Network",
    "network_claims",
    "network_curves",
    "parts_of",
    "settings_of",
    "zero_start",
]

RESNET = Run(dataset="cifar10", model="resnet50", epochs=30, augmentation="crop_flip", pixels="cifar10")
"""Figure 11's."""

SMALL_CNN = Run(model="mnist_cnn", num_train=12_000, num_validation=1_000, epochs=6)
"""Figure 5's, as short as a study of many curves needs it."""

QUARTER_CNN = Run(dataset="cifar10", model="cifar_cnn_quarter", num_train=12_000, num_validation=1_000, epochs=12)
"""Figure 9's with a quarter of its channels and units, likewise."""

QUARTER_RESNET = Run(dataset="digits", model="resnet50_quarter", pixels="standardized", epochs=12, batch_size=32)
"""Figure 11's with a quarter of its channels, on the 8x8 digits."""

DEEP, DEEP_WITH_NORMS = 4, 20
"""With more layers than this, weights become orthonormal half-way, too."""


class Network(NamedTuple):
    """A network of a study, with what its zero start depends on.

    Attributes:
        run: PyTorch's default of it.
        num_layers: Its layers with weights.
        has_norms: Whether norms are among them.
        chain: The update in which the last layer moves. Without paths past layers it is the number of layers.
    """

    run: Run
    num_layers: int
    has_norms: bool = False
    chain: int | None = None


def parts_of(num_layers: int, has_norms: bool = False) -> list[str]:
    """Return the remedies of a zero start on a network of so many layers, as ``zero_start_`` chose them for the runs.

    Example:
        >>> parts_of(4)
        ['position_signs', 'moment_reset', 'weight_orthogonal']
    """
    is_deep = num_layers > (DEEP_WITH_NORMS if has_norms else DEEP)
    last = "weight_orthonormal" if is_deep else "weight_orthogonal"
    return [*(["affine_norms"] if has_norms else []), "position_signs", "moment_reset", last]


def zero_start(num_layers: int, has_norms: bool = False, chain: int | None = None) -> dict:
    """Return the settings of ``zero_start_`` on a network of so many layers.

    ``chain`` is the number of updates until the last layer moves. If ``None``, layers move one after the other.
    """
    return settings_of(parts_of(num_layers, has_norms), num_layers if chain is None else chain)


def settings_of(parts: Sequence[str], chain: int) -> dict:
    """Return the settings with certain remedies. They act for 2 (chain + 1) updates, at least 10 and at most 100.

    ``affine_norms`` is always among them, because it does nothing without norms. It ends when weights become
    orthonormal for the first time.

    Example:
        >>> settings_of(["position_signs"], 6)["remedy"]
        'affine_norms:14+position_signs:14'
    """
    steps = min(max(10, 2 * (chain + 1)), 100)
    ends = {"affine_norms": steps // 2} if {"affine_norms", "weight_orthonormal"} <= set(parts) else {}
    named = parts if "affine_norms" in parts else ["affine_norms", *parts]
    remedy = "+".join(f"{part}:{ends.get(part, steps)}" for part in named)
    return {"initializer": "normal_bias", "scale": 0.1, "norm_aware": True, "remedy": remedy}


def network_curves(name: str, network: Network) -> tuple[Curve, ...]:
    """Return PyTorch's default, normal biases and a zero start for one network, with its name before each label."""
    starts: dict[str, dict] = {
        PYTORCH: {},
        NORMAL: {"initializer": "normal_bias"},
        ZERO_START: zero_start(network.num_layers, network.has_norms, network.chain),
    }
    return tuple(Curve(f"{name}: {start}", replace(network.run, **settings)) for start, settings in starts.items())


def network_claims(
    network: str, word: str, ids: tuple[str, str], margin: float, where: str = ""
) -> tuple[Claim, Claim]:
    """Return two claims: a zero start is not worse than PyTorch's default by a margin, and it beats normal biases.

    Args:
        network: What the labels of its curves begin with.
        word: The network's name in an id.
        ids: What the two ids begin with.
        margin: Of the first claim.
        where: What the statements begin with.
    """
    default, normal, ours = (f"{network}: {name}" for name in (PYTORCH, NORMAL, ZERO_START))
    return (
        Claim(
            f"{ids[0]}-{word}-recipe-as-good",
            f"{where}{network}: a zero start is not worse than PyTorch's default",
            "not_worse",
            ours,
            default,
            margin=margin,
        ),
        Claim(
            f"{ids[1]}-{word}-beats-normal",
            f"{where}{network}: a zero start beats the paper's start",
            "greater",
            ours,
            normal,
        ),
    )
