"""``zero_start_``: set a model to zero, and choose the remedies that help it train."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from zeroinit._common import derive_seed, whole_number
from zeroinit._modules.arguments import check_generator
from zeroinit._modules.layers import weights_of
from zeroinit._modules.norms import find_canceling_norms
from zeroinit._modules.state import unwrapped
from zeroinit.init import SymmetryWarning, initialize_
from zeroinit.init.choice import excluded_paths
from zeroinit.init.names import Names
from zeroinit.remedies import AffineNorms, Remedy
from zeroinit.remedies.combination import make_parts
from zeroinit.remedies.draw_stuck import DrawStuck
from zeroinit.remedies.revive_units import ReviveUnits
from zeroinit.remedies.until_moved import FEWEST_STEPS, UntilMoved
from zeroinit.remedies.weight_rescale import WeightRemedy, WeightRescale
from zeroinit.zero_start.choice import PARTS, SCALE, choose_parts, num_affine_steps, num_first_steps
from zeroinit.zero_start.known_weights import KnownWeights
from zeroinit.zero_start.own_zeros import OwnZeros, find_own_zeros, open_gammas
from zeroinit.zero_start.refusals import refuse, refuse_computed, warn_of_norms
from zeroinit.zero_start.sharing import share
from zeroinit.zero_start.start import ZeroStart, first

__all__ = ["zero_start_"]


def zero_start_(
    model: nn.Module,
    *,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    exclude: str | Sequence[str] | None = None,
) -> ZeroStart:
    """Set all weights of ``model`` to zero, in place, and return a context manager that helps the model train.

    Train inside the context manager. On three of the six networks of ``docs/results/recommended.md``, this start is not
    worse than PyTorch's default; the other three are undecided. With small learning rates the default is better
    (``docs/reference/zero_start.md``). Biases become N(0, 1) × 0.1, and so does β of norms that would cancel a constant
    channel. Some of ``PARTS`` act during the first updates and then remove themselves. They need no further passes.

    An update is an optimizer step that changes the model. You may accumulate gradients. A step that a ``GradScaler``
    skips does not count.

    With zero weights, the output of a unit is its bias. So a negative bias before a ReLU means a dead unit. Once
    gradients reach no further parameter, dead units get a positive bias, and their norms a positive β. Smooth
    activations pass a gradient everywhere, so nothing changes there.

    In two cases weights also become orthogonal half-way. Small weights may lose the gradient on its way to the first
    layers. Or steps may shrink from layer to layer, as with plain SGD.

    Every weight has to leave zero, also if the model has zeros of its own. A norm with γ = 0 gets γ = 1. Its branch
    still puts out 0, because the weights before the norm are zero. Weights that the model itself starts at zero, such
    as LoRA's B, are not resized at the end. If nothing leaves zero in three updates, weights with a gradient of exactly
    zero get PyTorch's default.

    Args:
        model: Any module with dense, convolutional or attention layers. Frozen parameters stay as they are. So do
            parameters that a module without a rule shares, such as an embedding tied to a head.
        steps: The number of updates in which the parts act, at least 1. If ``None``, the parts act for twice as many
            updates as every weight needs to leave zero. This number is at least 10, at most 2 (n + 1) for n layers, and
            at most 100. For a ResNet-50 it is 16. With rectifiers it is 4 to 8 larger, because revived units have to
            move, too. The zero start does not wait for a weight that is not used in these updates.
        generator: Source of the biases and the random signs. If ``None``, biases come from torch's global generator,
            and signs from a new generator with seed 0.
        exclude: Pattern or patterns over the names of modules to leave as they are, as in ``initialize_``.

    Returns:
        A context manager, which is also an observer of ``fit``. ``print`` shows what was done and why.

    Raises:
        InputError: As ``initialize_`` raises, or ``steps`` is out of range. A norm keeps no running statistics and is
            not excluded. A weight is computed from others, as under weight norm or pruning. A parameter is lazy, or a
            layer is compiled by TorchScript. The model is then unchanged.

    Warns:
        InitWarning: As ``initialize_`` warns.
        RemedyWarning: Training ends before the last of the first updates, or the return value is not used. A weight, or
            more than a tenth of a layer's units, does not leave zero in the first updates. Weights hold values that no
            counted update made, as after ``load_state_dict``; the zero start then ends and leaves them as they are. You
            exclude a norm that cancels constant channels.

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
    check_generator(generator)
    model = unwrapped(model)
    trained = [weight for weight in weights_of(model).values() if weight.parameter.requires_grad]
    steps = None if steps is None else whole_number(steps, "steps", 1)
    chosen = num_first_steps(len(trained)) if steps is None else steps
    signs = None
    if generator is not None:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        signs = torch.Generator().manual_seed(derive_seed(seed, "zero_start_"))
    norms = find_canceling_norms(model)
    excluded = excluded_paths(Names(model), exclude, norms) if exclude is not None else set[str]()
    parts = choose_parts(len(trained), has_norms=not excluded.issuperset(norms))
    care = ["revive_units", *(["until_moved"] if steps is None else []), "draw_stuck"]
    others = [part for part in [*parts, *care] if part != "affine_norms"]
    refuse_computed(model, excluded)
    acting = make_parts("+".join(others), model, chosen, generator=signs)
    if "affine_norms" in parts:
        acting.insert(0, AffineNorms(model, num_affine_steps(parts, chosen), exclude=excluded))
    acting.insert(0, KnownWeights(model, chosen))
    own = find_own_zeros(model, excluded)
    with warnings.catch_warnings():  # signs on the gradient make units without a bias differ
        warnings.simplefilter("ignore", SymmetryWarning)
        record = initialize_(model, "normal_bias", scale=SCALE, generator=generator, norm_aware=True, exclude=exclude)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    zeroed = {each.name: parameters[each.name] for each in record.parameters if each.rule == "0"}
    drawn = {each.name: parameters[each.name] for each in record.parameters if each.rule != "0"}
    record = open_gammas(record, own.gammas)
    warn_of_norms({path: norm for path, norm in norms.items() if path in excluded})
    share(model, record.parameters)
    _look_after(acting, zeroed, set(drawn.values()), own)
    return ZeroStart(record, acting, _reasons(parts, chosen, steps, own))


def _look_after(
    parts: Sequence[Remedy], zeroed: dict[str, nn.Parameter], drawn: set[nn.Parameter], own: OwnZeros
) -> None:
    """Tell each part which parameters it may change: those that were set; the model's own zeros are not resized."""
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
        {f"up to {chosen} updates": f"twice the updates that all weights need to leave zero, {FEWEST_STEPS} at least"}
        if steps is None
        else {f"{chosen} updates": "steps= as you gave it"}
    )
    reasons = {
        "normal_bias": f"weights 0, biases N(0, 1) × {SCALE:g}: the model would have to unlearn larger biases",
        **length,
        **{name: PARTS[name] for name in parts},
    }
    if own.gammas:
        reasons["γ = 1"] = f"{first(list(own.gammas))}: with γ = 0 after zero weights, neither would ever move"
    if own.weights:
        reasons["kept small"] = (
            f"{first(list(own.weights))}: the model itself starts these weights at zero, so they are not resized"
        )
    return reasons
