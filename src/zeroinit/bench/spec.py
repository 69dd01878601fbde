"""Runs, claims and figures: frozen settings that hold only strings and numbers."""

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from numbers import Real
from typing import Any, get_args

from zeroinit._common import InputError, lookup, whole_number
from zeroinit.bench.profiles import PROFILES, PROTOCOLS

__all__ = ["Board", "Claim", "Curve", "Figure", "Headline", "Run", "Track"]

LARGEST = 2**63


@dataclass(frozen=True)
class Run:
    """All settings of one training run but its seed.

    A new field does not change the keys of stored results, if its default keeps the old behavior. Each value is
    converted to its field's type, so equal runs have one key: 2 becomes 2.0 in a field of floats.

    Raises:
        InputError: A count is no whole number below 2**63, a number is not finite, or a value has another type than its
            field.

    Attributes:
        dataset: A key of ``DATASETS``.
        model: A key of ``MODELS``; ``activation`` one of ``ACTIVATIONS``.
        initializer: A key of ``INITIALIZERS``, the name of an entry point, or ``"package.module:function"``; ``scale``
            its factor.
        include: Patterns, separated by commas, over the names of the layers that the initializer sets; the others have
            PyTorch's default. All are set if empty.
        norm_aware: Whether the initializer draws the beta of norms, too, that would cancel a constant channel.
        remedy: A key of ``REMEDIES`` that acts during the first ``remedy_steps`` updates, or ``"none"``. Or several, as
            ``make_remedy`` reads them: ``"affine_norms:20+early_dropout:100:0.3"``. Or ``"zero_start"``: then
            ``zero_start_`` sets the network anew and chooses the remedies.
        pixels: A key of ``PIXELS``: ``"unit"`` for [0, 1], ``"standardized"`` or ``"cifar10"``.
        augmentation: A key of ``AUGMENTATIONS``.
        num_validation: Training images held out; the data set's default if ``None``.
        num_train: How many of the other training images are used, drawn at random; all if ``None``.
        num_test: How many of the first test images are measured; all if ``None``. For studies of the first steps, which
            do not ask for the accuracy. With 0 the result has no test accuracy, as for runs that choose a setting.
        max_steps: Training ends after so many updates; after the last epoch if ``None``.
        norm: A key of ``NORMS``: the norm that replaces batch norm.
        precision: A key of ``PRECISIONS``.
        recorder: A key of ``RECORDERS`` that watches the run, or ``"none"``.
        hidden: Units of the hidden layers of a dense network, as in ``"500, 250"``; its own if empty.
        output_scale: The factor of the last layer's biases; ``scale`` if ``None``.
        offset_scale: The features that enter each layer get the constant part that they would have with biases of this
            factor. Units still work where ``scale`` puts them; see ``shift_features``. Nothing is shifted if ``None``.
        spoiler: A key of ``ABLATIONS`` that makes all weights worse after initialization, or ``"none"``. The field
            keeps its old name, which is part of stored keys.
        auto_scale: Whether the initializer gets ``scale="auto"``; ``scale`` and ``output_scale`` stay as they are then.
        trained: ``"model"``, or ``"copy"`` for an optimizer that holds the parameters of a copy, as the paper's SGD
            runs did: nothing trains.
        The others are those of ``fit``.
    """

    dataset: str = "mnist"
    model: str = "mnist_fnn"
    activation: str = "elu"
    initializer: str = "pytorch"
    scale: float = 1.0
    pixels: str = "unit"
    num_validation: int | None = None
    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    warmup_steps: int = 0
    reduction: str = "sum"
    order: str = "fresh"
    evaluation_mode: str = "eval"
    trained: str = "model"
    norm_aware: bool = False
    remedy: str = "none"
    remedy_steps: int = 0
    augmentation: str = "none"
    num_train: int | None = None
    max_steps: int | None = None
    norm: str = "batch"
    precision: str = "float32"
    recorder: str = "none"
    include: str = ""
    num_test: int | None = None
    hidden: str = ""
    output_scale: float | None = None
    offset_scale: float | None = None
    spoiler: str = "none"
    auto_scale: bool = False

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if type(value) is not type(entry.default) or type(value) in (int, float):  # or else it is in form
                object.__setattr__(self, entry.name, _in_form(value, entry.type, entry.name))

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def settings(self) -> dict:
        """The fields that differ from their defaults."""
        return {entry.name: value for entry in fields(self) if (value := getattr(self, entry.name)) != entry.default}

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that name these settings: the folder of their results.

        Example:
            >>> Run().key == Run(scale=1).key, Run().key == Run(scale=2).key
            (True, False)
        """
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """The units of ``hidden``.

        Raises:
            InputError: ``hidden`` is no list of whole numbers.

        Example:
            >>> Run(hidden="500, 250").hidden_units, Run().hidden_units
            ((500, 250), ())
        """
        try:
            return tuple(int(units) for units in self.hidden.split(",")) if self.hidden else ()
        except ValueError as error:
            raise InputError(f"hidden={self.hidden!r}: must be whole numbers, separated by commas") from error

    def to_dict(self) -> dict:
        """Return every field."""
        return asdict(self)


def _in_form(value: object, kind: Any, name: str) -> object:
    """Return a value in its field's type: ``str``, ``bool``, ``int`` or ``float``, or ``None`` where allowed."""
    kinds = get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return None
    if int in kinds:
        if abs(count := whole_number(value, name)) >= LARGEST:
            raise InputError(f"{name}: has {count.bit_length()} bits; must be below 2**63")
        return count
    if bool in kinds and value in (False, True):
        return bool(value)
    if float in kinds and isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number + 0.0  # -0.0 becomes 0.0, as both are equal
    if str in kinds and isinstance(value, str):
        return value
    needed = {bool: "True or False", float: "a finite number", str: "a text"}[kinds[0]]
    raise InputError(f"{name}={value!r}: must be {needed}")


@dataclass(frozen=True)
class Curve:
    """One line of a figure."""

    label: str
    run: Run


@dataclass(frozen=True)
class Claim:
    """A statement that results can support or refute.

    Attributes:
        id: Stable; starts with the paper's number, as in ``"C1-normal-beats-baseline"``.
        statement: One sentence.
        kind: A key of ``KINDS``.
        curve: Label of the curve that the statement is about.
        reference: Label of the curve to compare with, seed by seed; if empty, always the most frequent class.
        margin: The threshold of ``kind``, in the unit of the measure; stated before the runs.
        measure: A key of ``MEASURES``: the value that the statement is about.
    """

    id: str
    statement: str
    kind: str
    curve: str
    reference: str = ""
    margin: float = 0.0
    measure: str = "final_accuracy"


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, or a study: its curves, what was published, and the claims that rest on it.

    Attributes:
        name: The name that you type.
        title: One line.
        curves: In the order of the legend.
        published_results: Final test accuracy by label, read off the paper's figure (good to about 0.005).
        claims: The claims that this figure's runs decide.
        sentences: What the results say first, with the label of a curve in braces where its accuracy stands, and
            ``{one class}`` for the share of the most frequent class.
        question: What a report asks above this figure and others of the same question; none if empty.
        remarks: Why our results differ from the published ones, where they do.
        in_paper: Whether it belongs to the figures that run when none is named.
        view: A key of ``VIEWS``: how its results are shown.
        inspected: Whether the page shows what the inspector says about the curves' starts.
        overrides: Further settings for this figure alone, by the name of a profile or a protocol.
        subsets: Labels of a profile's curves, by the profile's name. Other profiles have all curves.
    """

    name: str
    title: str
    curves: tuple[Curve, ...]
    published_results: Mapping[str, float] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    sentences: tuple[str, ...] = ()
    question: str = ""
    remarks: tuple[str, ...] = ()
    in_paper: bool = True
    view: str = "accuracies"
    inspected: bool = False
    overrides: Mapping[str, Mapping] = field(default_factory=dict)
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, profile: str, protocol: str) -> tuple[Curve, ...]:
        """Return the curves with the settings of a profile and a protocol.

        Later settings win, in this order: the profile, the protocol, the figure's own for the protocol, the profile's
        for a network, the figure's own for the profile.

        Raises:
            InputError: An unknown profile or protocol, or a profile that sets a field in which the curves differ.
        """
        size, manner = lookup(PROFILES, profile, "profile"), lookup(PROTOCOLS, protocol, "protocol")
        common = {**size.overrides, **manner.overrides, **self.overrides.get(protocol, {})}
        own = self.overrides.get(profile, self.overrides.get(size.base, {}))
        labels = self.subsets.get(profile, self.subsets.get(size.base, [curve.label for curve in self.curves]))
        chosen = [curve for curve in self.curves if curve.label in labels]
        curves = tuple(
            Curve(curve.label, replace(curve.run, **{**common, **size.by_model.get(curve.run.model, {}), **own}))
            for curve in chosen
        )
        if len({curve.run for curve in curves}) < len({curve.run for curve in chosen}):
            raise InputError(
                f"profile={profile!r}: makes curves of {self.name!r} the same run, as it sets what they differ in "
                f"({', '.join(common)}); choose another profile"
            )
        return curves


@dataclass(frozen=True)
class Headline:
    """A published statement about the last entry of a track, written down before the runs.

    Attributes:
        statement: One sentence.
        source: Who published it, and where.
        holds: The verdicts of ``compare`` under which it holds; ``undecided`` leaves it open, others refute it.
    """

    statement: str
    source: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Track:
    """One network of a board: what ``compare`` needs to know of it, fixed before the runs.

    Attributes:
        run: The settings that all entries share.
        entries: As in ``compare``; the reference first.
        learning_rates: The grid on which each entry is tuned.
        num_seeds: Of the final runs, from 0 on.
        target: The test accuracy whose first epoch is told.
        margin: The largest difference in accuracy that does not matter.
        headline: A published statement that this track decides, if any.
    """

    run: Run
    entries: tuple[str, ...]
    learning_rates: tuple[float, ...]
    num_seeds: int
    target: float
    margin: float = 0.01
    headline: Headline | None = None


@dataclass(frozen=True)
class Board:
    """Networks on which initializers are compared under fixed rules.

    Attributes:
        name: The name that you type.
        title: One line.
        tracks: By name, in the order of running.
    """

    name: str
    title: str
    tracks: Mapping[str, Track]
