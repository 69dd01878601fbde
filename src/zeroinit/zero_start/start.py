"""``zero_start_`` and what it returns: remedies that act during the first updates of a model with zero weights."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from zeroinit._common import InputError, derive_seed
from zeroinit._modules.layers import weights_of
from zeroinit._modules.norms import find_canceling_norms
from zeroinit._modules.state import unwrapped
from zeroinit.init import InitRecord, SymmetryWarning, initialize_
from zeroinit.remedies import Combination, Remedy
from zeroinit.remedies.combination import make_parts
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import FEWEST_STEPS, UntilMoved
from zeroinit.remedies.weight_rescale import WeightRemedy, WeightRescale
from zeroinit.zero_start.choice import PARTS, SCALE, choose_parts, num_first_steps, remedy_text
from zeroinit.zero_start.known_weights import KnownWeights, replaced_text
from zeroinit.zero_start.own_zeros import OwnZeros, find_own_zeros, matches, open_gammas
from zeroinit.zero_start.refusals import refuse, refuse_computed, warn_of_norms
from zeroinit.zero_start.sharing import share
from zeroinit.zero_start.unused import Unused

__all__ = ["ZeroStart", "zero_start_"]


class ZeroStart(Combination):
    """Remedies that help a model with zero weights during its first updates; see ``zero_start_``.

    Use it as a context manager around the training loop, or as an observer of ``fit``. ``print`` shows what was set,
    what acts and why, and how many updates are done.

    Attributes:
        record: What was set, as ``initialize_`` returns it.
        reasons: Each choice and why it was made.
        steps: The number of updates in which it acts. Until all weights have moved, this is an upper limit.
        remaining: How many of these updates are still to come.
    """

    _label = "zero start: "

    def __init__(self, record: InitRecord, parts: Sequence[Remedy], reasons: dict[str, str]):
        super().__init__(parts)
        self.record = record
        self.reasons = reasons
        self._unused: Unused | None = Unused(self, parts[0]._model)

    def __getstate__(self) -> dict:
        """Leave out the watch over this object: a copy is not attached, and nobody has to use it."""
        return vars(self) | {"_unused": None}

    def attach(self) -> None:
        """Hook the remedies into the model.

        Raises:
            InputError: The model's parameters are not those that ``zero_start_`` set.
        """
        self._begin()
        super().attach()

    def on_start(self, state) -> None:
        """Attach when ``fit`` starts; raises an ``InputError`` if it trains another model."""
        self._begin()
        super().on_start(state)

    def _begin(self) -> None:
        if self._unused is not None:
            self._unused.end()
        gone = self._known.replaced() if self.remaining else []
        if gone:
            raise InputError(f"model: {replaced_text(gone)}")

    @property
    def _known(self) -> KnownWeights:
        return next(part for part in self.parts if isinstance(part, KnownWeights))

    @property
    def drawn(self) -> list[str]:
        """Weights that could not leave zero and so got PyTorch's default, by name."""
        return [name for part in self.parts if isinstance(part, DrawStuck) for name in part.drawn]

    @property
    def unmoved(self) -> dict[str, str]:
        """Weights that did not move in the first updates, by name, and why."""
        return {name: why for part in self.parts if isinstance(part, DrawStuck) for name, why in part.unmoved.items()}

    @property
    def revived(self) -> dict[str, int]:
        """How many entries of each bias or β it made positive, by name: units that a rectifier had cut off."""
        return {name: num for part in self.parts if isinstance(part, ReviveUnits) for name, num in part.revived.items()}

    @property
    def unmoved_units(self) -> dict[str, tuple[int, int]]:
        """How many units of a weight did not move in the first updates, and of how many, by the weight's name."""
        return {name: num for part in self.parts if isinstance(part, ReviveUnits) for name, num in part.unmoved.items()}

    def standing(self) -> str:
        """Say in one line how many updates are done."""
        done = self.steps - self.remaining
        if not self.remaining:
            units = [f"{num} of {total} in {name}" for name, (num, total) in self.unmoved_units.items()]
            return (
                f"done after {done} updates"
                + f"; weights that did not move: {_first(list(self.unmoved))}" * bool(self.unmoved)
                + f"; units that did not move: {_first(units)}" * bool(units)
            )
        if self._known.stopped:
            return f"stopped after {done} of {self.steps} updates: {self._known.stopped}"
        is_acting = any(part._is_attached for part in self.parts)
        if not is_acting:
            begun = f"ended after {done} of {self.steps} updates" if done else "not begun"
            return f"{begun}: nothing acts; train inside `with start:`, or pass observers=[start] to fit"
        skipped = self.parts[0]._updates.num_skipped
        return f"acting: {done} of {self.steps} updates done" + (f", {skipped} steps changed nothing" * bool(skipped))

    def __str__(self) -> str:
        reasons = dict(self.reasons)
        if self.drawn:
            reasons["drawn"] = f"{_first(self.drawn)}: could not leave zero, so they got PyTorch's default"
        if self.revived:
            names = _first([f"{name} ({num})" for name, num in self.revived.items()])
            reasons["revived"] = f"{names}: no gradient came, as behind a rectifier, so these biases became positive"
        helped = next((part for part in self.parts if isinstance(part, WeightRescale) and part.has_helped), None)
        if helped is not None and helped.has_opened:
            reasons["half-way"] = "weights became orthogonal once more, in all directions: steps of some were tiny"
        elif helped is not None:
            reasons["half-way"] = "weights became orthogonal once more: gradients were lost before they reached all"
        width = max(len(choice) for choice in reasons)
        chosen = [f"  {choice:{width}}  {reason}" for choice, reason in reasons.items()]
        return "\n".join([f"zero start, {self.standing()}", *chosen, str(self.record)])


def zero_start_(
    model: nn.Module,
    *,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    exclude: str | Sequence[str] | None = None,
) -> ZeroStart:
    """Set all weights of ``model`` to zero and return a context manager that helps the model train from there.

    On the networks of ``docs/findings.md`` it trains as well as from PyTorch's default. Weights become zero, in place.
    Biases become N(0, 1) × 0.1, and so does β in norms that would cancel a constant channel. Then some of ``PARTS`` act
    during the first updates. They need no further passes. Afterwards nothing is left on the model. With small learning
    rates the default is better (``docs/zero_start.md``). An update is an optimizer step that changes the model. You may
    accumulate gradients, and a step that a ``GradScaler`` skips does not count.

    With zero weights a unit puts out its bias, so that behind a ReLU a negative bias means a dead unit. Where a unit
    has had no gradient by the time gradients reach nothing new, its bias (and its norm's β) becomes positive. Smooth
    activations pass a gradient everywhere, so nothing changes there. If small weights lose the gradient on its way to
    the first layers, or if steps shrink from layer to layer as with plain SGD, weights become orthogonal half-way, too.

    Every weight has to leave zero, also beside zeros that the model brings along. A norm whose γ is zero gets γ = 1:
    its branch is silent as it is, since the weights in front of the norm are zero. Weights that the model itself starts
    at zero, such as LoRA's B, stay as small as they learn to be. If nothing leaves zero in three updates, weights with
    a gradient of exactly zero get PyTorch's default. After the last update weights that are still zero are named in a
    warning, and so are layers with more than a tenth of their units at zero.

    Args:
        model: Any module with dense, convolutional or attention layers. Frozen parameters stay as they are, and so do
            parameters that a module without a rule shares (an embedding tied to a head).
        steps: The number of updates in which they act, at least 1. If ``None``, they end once every weight has
            moved, and as many updates again: with n layers in a chain after 2 (n + 1), with a ResNet-50 after 16. They
            end after at least 10 and at most 2 (n + 1) or 100 updates; a weight without any gradient is not waited
            for. Units that became positive have to move, too: with rectifiers 4 to 8 more.
        generator: Source of the biases and signs; torch's global one for the biases if ``None``.
        exclude: Pattern or patterns over the names of modules to leave as they are, as of ``initialize_``.

    Returns:
        A context manager, which is also an observer of ``fit``. ``print`` shows what was done and why.

    Raises:
        InputError: As ``initialize_`` raises, or ``steps`` is out of range. A norm keeps no running statistics and is
            not excluded. A weight is computed from others, as under weight norm or pruning. A parameter is lazy, or a
            layer is compiled by TorchScript. The model is then unchanged.

    Warns:
        InitWarning: As ``initialize_`` warns.
        RemedyWarning: Training ends before the last of the first updates, a weight does not move in them, or nobody
            uses the return value. Or weights hold values that nobody was seen to train, as after ``load_state_dict``;
            the zero start then ends and leaves them as they are. Or you exclude a norm that cancels constant channels.

    Source:
        Schicho 2023 (zero weights, random biases); the parts name theirs; the study ``recommended``.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> with zero_start_(model, generator=torch.Generator().manual_seed(0)) as start:
        ...     for _ in range(start.steps + 1):
        ...         optimizer.zero_grad()
        ...         model(torch.ones(8, 4)).square().sum().backward()
        ...         optimizer.step()
        >>> start.steps, start.remaining, start.standing()
        (10, 0, 'done after 10 updates')
    """
    refuse(model)
    model = unwrapped(model)
    trained = [weight for weight in weights_of(model).values() if weight.parameter.requires_grad]
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise InputError(f"steps={steps!r}: must be a whole number of at least 1, or None to let zeroinit choose")
    chosen = num_first_steps(len(trained)) if steps is None else steps
    signs = None
    if generator is not None:
        drawn = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        signs = torch.Generator().manual_seed(derive_seed(drawn, "zero_start_"))
    left = [exclude] if isinstance(exclude, str) else list(exclude or ())
    refuse_computed(model, left)
    norms = find_canceling_norms(model)
    parts = choose_parts(len(trained), has_norms=any(not matches(path, left) for path in norms))
    care = ["revive_units", *(["until_moved"] if steps is None else []), "draw_stuck"]
    text = "+".join([remedy_text(parts, chosen), *(f"{name}:{chosen}" for name in care)])
    acting = [KnownWeights(model, chosen), *make_parts(text, model, chosen, generator=signs, exclude=left)]
    own = find_own_zeros(model, left)
    with warnings.catch_warnings():  # signs on the gradient make units without a bias differ
        warnings.simplefilter("ignore", SymmetryWarning)
        record = initialize_(model, "normal_bias", scale=SCALE, generator=generator, norm_aware=True, exclude=exclude)
    zeroed = _zeroed(model, record)
    shifts = _drawn(model, record)
    record = open_gammas(record, own.gammas)
    warn_of_norms({path: norm for path, norm in norms.items() if matches(path, left)})
    share(model, record.parameters)
    _look_after(acting, zeroed, shifts, own)
    return ZeroStart(record, acting, _reasons(parts, chosen, steps, own))


def _zeroed(model: nn.Module, record: InitRecord) -> dict[str, nn.Parameter]:
    """Return the weights that were set to zero, by name."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {each.name: parameters[each.name] for each in record.parameters if each.rule == "0"}


def _drawn(model: nn.Module, record: InitRecord) -> set[nn.Parameter]:
    """Return the biases and shifts that were drawn."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {parameters[each.name] for each in record.parameters if each.rule != "0"}


def _look_after(
    parts: Sequence[Remedy], zeroed: dict[str, nn.Parameter], drawn: set[nn.Parameter], own: OwnZeros
) -> None:
    """Tell the parts which parameters are theirs: none that was not set, and no resizing of the model's own zeros."""
    kept = set(own.weights.values())
    for part in parts:
        if isinstance(part, KnownWeights):
            part.watch(zeroed)
        if isinstance(part, WeightRemedy):
            part.only = set(zeroed.values()) - kept
        elif isinstance(part, UntilMoved | DrawStuck):
            part.only = set(zeroed.values())
        if isinstance(part, DrawStuck):
            part.kept = kept
        if isinstance(part, WeightRescale):
            part.helps_halfway = True
        if isinstance(part, ReviveUnits):
            part.only, part.weights = drawn, set(zeroed.values()) - kept


def _reasons(parts: Sequence[str], chosen: int, steps: int | None, own: OwnZeros) -> dict[str, str]:
    length = (
        {f"up to {chosen} updates": f"twice as many as every weight needs to leave zero, at least {FEWEST_STEPS}"}
        if steps is None
        else {f"{chosen} updates": "steps= as you gave it"}
    )
    reasons = {
        "normal_bias": f"weights 0, biases N(0, 1) × {SCALE:g}: the model would have to unlearn larger biases",
        **length,
        **{name: PARTS[name] for name in parts},
    }
    if own.gammas:
        reasons["γ = 1"] = f"{_first(list(own.gammas))}: with γ = 0 after zero weights, neither would ever move"
    if own.weights:
        reasons["kept small"] = (
            f"{_first(list(own.weights))}: the model itself starts these weights at zero, so they are not resized"
        )
    return reasons


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
