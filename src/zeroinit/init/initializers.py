"""What an initializer is: a distribution for each kind of parameter, and what it does to the model as a whole."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from zeroinit._common import InputError, closest, lookup
from zeroinit.init.arguments import check_options
from zeroinit.init.distributions import NORMAL, ONE, ZERO, Distribution
from zeroinit.init.places import Place

__all__ = ["STANDARD", "Initializer", "initializer", "make_initializer"]


@dataclass(frozen=True)
class Initializer:
    """The distributions of weights and of biases, and the source.

    Attributes:
        weight: For weights of dense, convolutional, attention, recurrent and bilinear layers.
        bias: For their biases.
        summary: What it is, in a line.
        source: The paper and equation.
        others: For further kinds of parameters: ``"embedding"``, ``"gamma"`` and ``"beta"`` of norms, ``"recurrent"``
            (hidden to hidden), ``"gate bias"`` of an LSTM. A kind that is missing has no rule, except that
            ``"recurrent"`` and ``"gate bias"`` follow weight and bias where there is a rule for embeddings.
        finish: What happens after all values are drawn, to the model as a whole; see ``finish.py``.
        needs_batch: Whether ``probe=`` is needed.
        limits: Why it may not train a model, in a sentence; empty if it trains most.
        is_random: Whether anything is drawn; if not, the generator has no effect.
        make: Makes this initializer with other options.
        options: The options that differ from their defaults.
        name: Its key in ``INITIALIZERS``.
        is_function: Whether a function fills each weight, whatever it is.
    """

    weight: Distribution
    bias: Distribution
    summary: str
    source: str
    others: Mapping[str, Distribution] = field(default_factory=dict)
    finish: Callable[[Any], None] | None = None
    needs_batch: bool = False
    limits: str = ""
    is_random: bool = True
    make: Callable[..., "Initializer"] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    is_function: bool = False

    def __reduce__(self) -> Any:
        """One of the table is pickled by its name and options."""
        from zeroinit.init.table import INITIALIZERS

        known = INITIALIZERS.get(self.name)
        is_known = known is not None and repr(known.using(**self.options)) == repr(self)
        return (partial(make_initializer, self.name, **self.options), ()) if is_known else super().__reduce__()

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        values = f"weights {self.weight.text}, biases {self.bias.text}"
        return f"Initializer({self.name or self.summary!r}{options}: {values})"

    @property
    def uses_scale(self) -> bool:
        """Whether ``scale`` changes anything."""
        return self.weight.scaled or self.bias.scaled

    @property
    def draws_biases_alone(self) -> bool:
        """Whether only the biases can break the symmetry: the weights are zero, the biases are not."""
        return self.bias.scaled and not self.weight.scaled

    def of(self, part: str, plain: bool = True) -> Distribution | None:
        """Return the distribution of a kind of parameter; ``None`` if there is no rule for it.

        Args:
            part: The kind.
            plain: Whether it belongs to a dense, convolutional or attention layer. An initializer without
                ``others`` has rules for these alone.

        Example:
            >>> from zeroinit.init import INITIALIZERS
            >>> INITIALIZERS["zero"].of("embedding") is None, INITIALIZERS["kaiming_normal"].of("embedding").text
            (True, 'N(0, 1)')
        """
        if not plain and not self.others:
            return None
        found = {"weight": self.weight, "bias": self.bias, "recurrent": self.weight, "gate bias": self.bias}
        return {**found, **self.others}.get(part)

    def alone(self) -> "Initializer":
        """Return what sets one parameter that a rule names: a function fills it also if it is no weight."""
        if not self.is_function:
            return self
        kinds = dict.fromkeys((*STANDARD, "recurrent", "gate bias"), self.weight)
        return replace(self, bias=self.weight, others=kinds)

    def using(
        self, forget_bias: float | None = None, embedding_std: float | None = None, **options: Any
    ) -> "Initializer":
        """Return this initializer with other options.

        Args:
            forget_bias: Bias of the forget gates of LSTMs, instead of 0 (Gers et al. 2000; Jozefowicz et al. 2015: 1).
            embedding_std: Standard deviation of embeddings, instead of the initializer's own.
            options: The initializer's own options, by name.

        Raises:
            InputError: There is no such option, or its value does not fit.

        Example:
            >>> from zeroinit.init import INITIALIZERS
            >>> INITIALIZERS["kaiming_normal"].using(mode="fan_out").weight.text
            'N(0, 2/fan_out)'
        """
        check_options(Initializer.using, {"forget_bias": forget_bias, "embedding_std": embedding_std})
        made = self if self.make is None else self.make(**self._checked(options))
        if self.make is None and options:
            self._checked(options)
        others, given = dict(made.others), dict(options)
        if forget_bias is not None:
            self._check_kinds("forget_bias")
            others["gate bias"], given["forget_bias"] = _forgetting(forget_bias), forget_bias
        if embedding_std is not None:
            self._check_kinds("embedding_std")
            if embedding_std < 0:
                raise InputError(f"embedding_std={embedding_std!r}: must be at least 0")
            others["embedding"], given["embedding_std"] = _normal(embedding_std), embedding_std
        return replace(made, others=others, options={**self.options, **given}, make=self.make, name=self.name)

    def _check_kinds(self, option: str) -> None:
        if not self.others:
            raise InputError(f"{option}: {self.summary!r} sets dense, convolutional and attention layers alone")

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        known = {} if self.make is None else inspect.signature(self.make).parameters
        for name in options:
            if name not in known:
                names = [*known, "forget_bias", "embedding_std"]
                near = closest(name, names, f"it has {', '.join(names)}")
                raise InputError(f"{name}={options[name]!r}: no such option{near}")
        if self.make is not None:
            check_options(self.make, options)
        return {**self.options, **options} if self.make is None else _kept(self.options, known) | options


def _kept(options: Mapping[str, Any], known: Mapping) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in known}


def _forgetting(value: float) -> Distribution:
    def draw(place: Place) -> Tensor:
        return place.empty().fill_(value if place.block.number == 1 else 0.0)

    return Distribution(f"{value:g} at the forget gate, else 0", draw, scaled=False)


def _normal(std: float) -> Distribution:
    return Distribution(f"N(0, {std:g}^2)", lambda place: place.normal(std))


STANDARD: dict[str, Distribution] = {"embedding": NORMAL, "gamma": ONE, "beta": ZERO}
"""What initializers of weights do to the rest: embeddings of variance 1, as a token reads one row; norms as built."""


def initializer(make: Callable[..., Initializer]) -> Initializer:
    """Return what a function makes with its defaults; options call it again."""
    return replace(make(), make=make)


def make_initializer(name: str | Initializer, **options: Any) -> Initializer:
    """Return an initializer with options.

    Args:
        name: A key of ``INITIALIZERS``, or an initializer with some options already.
        options: Its options. ``forget_bias`` and ``embedding_std`` are options of every initializer that sets recurrent
            layers and embeddings.

    Raises:
        InputError: An unknown name or option, or a value that does not fit.

    Example:
        >>> make_initializer("variance_scaling", scale=2.0, mode="fan_avg", distribution="uniform").weight.text
        'U(-a, a), a^2 = 3 * 2/fan_avg'
    """
    from zeroinit.init.table import INITIALIZERS

    if isinstance(name, Initializer):
        return name.using(**options)
    found = lookup(INITIALIZERS, name, "initializer")
    try:
        return found.using(**options)
    except InputError as error:
        raise InputError(f"initializer={name!r}: {error}") from error
