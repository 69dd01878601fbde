"""Profiles (how large) and protocols (how): mappings of settings that replace those of a figure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PROFILES", "PROTOCOLS", "Profile", "Protocol"]


@dataclass(frozen=True)
class Profile:
    """How large: settings that replace those of a figure, and what the report says about it.

    ``margin_factor`` widens the claims' margins where there are few test images; ``by_model`` holds further settings
    for one network.
    """

    overrides: Mapping
    is_paper: bool
    margin_factor: float
    remark: str
    by_model: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How: settings that replace those of a figure, and the interval that its bands show."""

    overrides: Mapping
    interval: str
    remark: str


PROFILES = {
    "quick": Profile(
        {"dataset": "digits", "epochs": 30, "batch_size": 32, "num_train": None, "num_validation": None},
        False,
        2.0,
        "8x8 digits (1,347 training and 450 test images) instead of the paper's data, and a ResNet-18 on 400 "
        "images instead of the ResNet-50: a look, not a reproduction",
        by_model={
            "mnist_cnn": {"epochs": 20},
            "cifar_cnn": {"epochs": 5},
            "cifar_cnn_quarter": {"epochs": 5},
            "resnet50": {"model": "resnet18", "epochs": 2, "num_train": 400, "pixels": "standardized"},
        },
    ),
    "paper": Profile({}, True, 1.0, "the paper's data, networks and number of epochs"),
    "paper_bf16": Profile(
        {"precision": "bf16"},
        True,
        1.0,
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
