"""Profiles (how large) and protocols (how): mappings of settings that replace those of a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = ["PROFILES", "PROTOCOLS", "Profile", "Protocol", "profile_for"]


@dataclass(frozen=True)
class Profile:
    """How large: settings that replace those of a figure, and what the report says about it.

    Attributes:
        overrides: Settings that replace those of a figure.
        is_paper: Whether data and networks are the paper's.
        margin_factor: Widens the claims' margins where there are few test images.
        title: Headline of the report.
        remark: One clause about data and networks.
        by_model: Further settings for one network, by its name.
        figures: What runs if no figure is named; the figures of the paper if empty.
        base: The profile whose settings for single figures hold here, too.
    """

    overrides: Mapping
    is_paper: bool
    margin_factor: float
    title: str
    remark: str
    by_model: Mapping = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True)
class Protocol:
    """How: settings that replace those of a figure, and the interval that its bands show."""

    overrides: Mapping
    interval: str
    remark: str


_PAPER_TITLE = "Zero weights, random biases: the paper's figures"
_QUICK = Profile(
    {"dataset": "digits", "epochs": 30, "batch_size": 32, "num_train": None, "num_validation": None},
    False,
    2.0,
    "Zero weights, random biases: the paper's figures on small digits",
    "8x8 digits (1,347 training and 450 test images) instead of the paper's data, and a ResNet-18 on 400 "
    "images instead of the ResNet-50: a look, not a reproduction",
    by_model={
        "mnist_cnn": {"epochs": 20},
        "cifar_cnn": {"epochs": 5},
        "cifar_cnn_quarter": {"epochs": 5},
        "resnet50": {"model": "resnet18", "epochs": 2, "num_train": 400, "pixels": "standardized"},
    },
)

PROFILES = {
    "first": replace(
        _QUICK,
        title="Zero weights, random biases: a first look",
        remark="8x8 digits (1,347 training and 450 test images) instead of the paper's data",
        figures=("starts", "starts_cnn", "fig12"),
        base="quick",
    ),
    "quick": _QUICK,
    "paper": Profile({}, True, 1.0, _PAPER_TITLE, "the paper's data, networks and number of epochs"),
    "paper_bf16": Profile(
        {"precision": "bf16"},
        True,
        1.0,
        _PAPER_TITLE,
        "the paper's data, networks and number of epochs, forward and backward passes in bfloat16 (for GPUs; the study "
        "`precision` tells whether that changes an accuracy)",
    ),
}
PROTOCOLS = {
    "corrected": Protocol(
        {}, "t", "as the paper meant it: fresh order in every epoch, evaluation in eval mode, t intervals"
    ),
    "published": Protocol(
        {"order": "fixed", "evaluation_mode": "train"},
        "percentile_bootstrap",
        "as the paper's code did it: one order for all epochs, evaluation in train mode, percentile bootstrap over "
        "the seeds (true coverage about 83 % at 5 seeds)",
    ),
}


def profile_for(figures: Sequence[str] | None) -> str:
    """Return the profile that runs if none is named: figures by name at full length, else the first command.

    Example:
        >>> profile_for(["fig3"]), profile_for([])
        ('paper', 'first')
    """
    return "paper" if figures else "first"
