"""Update rules of the shadow training: small, in place, and blind to everything but the gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, lookup, real_number
from zeroinit._modules.arguments import name_of
from zeroinit._modules.batch import describe
from zeroinit._modules.copying import copier_of
from zeroinit.symmetry.shadow.memory.frugal import is_large

__all__ = [
    "LEARNING_RATES",
    "build_updates",
    "check_updates",
    "held_by",
    "options_of",
    "rebind",
    "scale_rates",
    "sparse_by_choice",
    "take_step",
]

LEARNING_RATES = {"adam": 1e-3, "sgd": 0.1}
"""Learning rate of each rule where the user names none."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
LARGE = 2**18
"""Values beyond which a parameter's moments are stored in bfloat16, in large models."""
CHUNK = 2**17
"""Values updated at a time, so that an update needs little memory and finds it in a cache."""


class PlainSGD:
    """``p -= learning_rate * gradient``."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        self.parameters, self.learning_rate = list(parameters), learning_rate

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-self.learning_rate)


class SmallAdam:
    """Adam whose moments are kept only for parameters that have had a gradient; in large models many in bfloat16.

    Each update is computed in the gradient's own precision and rounded on storing, so that the first one is exact.
    Equal gradients give equal updates, and opposite ones opposite updates, all the same.

    Source:
        Kingma and Ba 2015, "Adam", algorithm 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        self.parameters, self.learning_rate = list(parameters), learning_rate
        self.moments: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        self.steps: dict[nn.Parameter, int] = {}
        self._narrow = is_large(self.parameters)

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has, or has had, a gradient that is not zero."""
        moving = [each for each in self.parameters if self._moves(each)]
        for parameter in moving:  # all memory first, so that short-lived memory of updates leaves no gaps in between
            if parameter not in self.moments:
                dtype = torch.bfloat16 if self._narrow and parameter.numel() > LARGE else parameter.dtype
                zeros = torch.zeros(parameter.shape, dtype=dtype, device=parameter.device)
                self.moments[parameter] = zeros, zeros.clone()
                self.steps[parameter] = 0
        for parameter in moving:
            self.steps[parameter] += 1
            assert parameter.grad is not None
            parts = map(_chunks, (parameter, parameter.grad, *self.moments[parameter]))
            for value, gradient, first, second in zip(*parts, strict=True):
                self._update(value, gradient, first, second, self.steps[parameter])

    def _moves(self, parameter: nn.Parameter) -> bool:
        return parameter.grad is not None and (parameter in self.moments or bool(parameter.grad.any()))

    def _update(self, value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, count: int) -> None:
        beta1, beta2 = BETAS
        mean = first.to(gradient.dtype).lerp_(gradient, 1 - beta1)  # the moments themselves if of the same type
        square = second.to(gradient.dtype).mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if mean is not first:
            first.copy_(mean)
            second.copy_(square)
        size = square.div(1 - beta2**count).sqrt_().add_(EPSILON)
        value.addcdiv_(mean, size, value=-self.learning_rate / (1 - beta1**count))


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Split along the first axis into views of about ``CHUNK`` values."""
    if tensor.numel() <= CHUNK or not tensor.dim():
        return (tensor,)
    return tensor.split(max(1, CHUNK * len(tensor) // tensor.numel()))


RULES: dict[str, Callable] = {"adam": SmallAdam, "sgd": PlainSGD}
FORMS = f"must be one of {', '.join(sorted(RULES))}, a torch optimizer, or a function from a list of parameters to one"


def build_updates(optimizer: str | Callable, learning_rate: float | None, parameters: Iterable[nn.Parameter]) -> Any:
    """Build what updates a shadow.

    Args:
        optimizer: A key of ``LEARNING_RATES``, or a function from parameters to a ``torch.optim.Optimizer``.
        learning_rate: That of ``LEARNING_RATES`` if ``None``; not used with a function.
        parameters: What is trained.

    Returns:
        Something with a method ``step``.

    Raises:
        InputError: An unknown name, a learning rate that is not positive, or a function whose result cannot step.
    """
    check_updates(optimizer, learning_rate)
    if isinstance(optimizer, str):
        return RULES[optimizer](parameters, LEARNING_RATES[optimizer] if learning_rate is None else learning_rate)
    try:
        built = optimizer(list(parameters))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise InputError(f"optimizer={name_of(optimizer)}: failed ({said}); {FORMS}") from error
    if not callable(getattr(built, "step", None)):
        raise InputError(f"optimizer={_shown(optimizer)}: {FORMS}{_inner(optimizer)}")
    return built


def check_updates(optimizer: Any, learning_rate: Any) -> None:
    """Refuse what ``build_updates`` would refuse, as far as it can be told without parameters.

    Raises:
        InputError: As ``build_updates``.

    Example:
        >>> check_updates("adam", 0.1)
    """
    if learning_rate is not None:
        real_number(learning_rate, "learning_rate", above=0)
    if isinstance(optimizer, str):
        lookup(RULES, optimizer, "optimizer")
    elif not callable(optimizer) and not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer={_shown(optimizer)}: {FORMS}{_inner(optimizer)}")


def _shown(optimizer: Any) -> str:
    """Write what was handed over; some wrappers write themselves as the optimizer that they hold."""
    return repr(optimizer) if isinstance(optimizer, str | int | float) else describe(optimizer)


def _inner(optimizer: Any) -> str:
    """Name the torch optimizer that an object holds, as a hint."""
    held = vars(optimizer).items() if hasattr(optimizer, "__dict__") else ()
    names = [name for name, each in held if isinstance(each, torch.optim.Optimizer)]
    return f"; hand over its .{names[0]}, a torch optimizer" if names else ""


def scale_rates(updates: Any, factor: float) -> None:
    """Multiply the learning rates of what ``build_updates`` returned."""
    if hasattr(updates, "learning_rate"):
        updates.learning_rate *= factor
    for group in getattr(updates, "param_groups", ()) if factor != 1 else ():
        if "lr" in group:
            group["lr"] = group["lr"] * factor


def rebind(updates: Any, replica: nn.Module) -> None:
    """Let an optimizer that was built over the model work on the copy. Parameters of neither are left out."""
    copier = copier_of(replica)
    if copier is None or not isinstance(updates, torch.optim.Optimizer):
        return
    own = {id(each) for each in replica.parameters()}
    for group in updates.param_groups:
        copies = [copier.memo.get(id(each), each) for each in group["params"]]
        group["params"] = [each for each in copies if id(each) in own or not each.requires_grad]


def held_by(updates: Any, named: dict[str, nn.Parameter]) -> dict[str, float] | None:
    """Return the learning rates of the parameters that an optimizer's groups hold, by name."""
    groups = getattr(updates, "param_groups", None)
    if not groups:
        return None
    names = {id(each): name for name, each in named.items()}
    rates = {id(each): group.get("lr") for group in groups for each in group["params"]}
    return {names[each]: 1.0 if rate is None else float(rate) for each, rate in rates.items() if each in names}


def options_of(updates: Any, named: dict[str, nn.Parameter]) -> dict[str, dict[str, float]]:
    """Return the numbers in an optimizer's groups, as its weight decay, for each parameter by name."""
    names = {id(each): name for name, each in named.items()}
    found: dict[str, dict[str, float]] = {}
    for group in getattr(updates, "param_groups", None) or ():
        numbers = {key: float(value) for key, value in group.items() if isinstance(value, int | float)}
        found |= {names[id(each)]: numbers for each in group["params"] if id(each) in names}
    return found


def sparse_by_choice(replica: nn.Module, optimizer: Any) -> set[int]:
    """Return the identities of weights whose gradients the user's own optimizer is to see sparse."""
    if isinstance(optimizer, str):
        return set()
    return {id(each.weight) for each in replica.modules() if getattr(each, "sparse", False) is True}


def take_step(updates: Any) -> None:
    """Take one step.

    Raises:
        InputError: The optimizer failed; its error is chained.
    """
    try:
        updates.step()
    except Exception as error:
        inner = getattr(updates, "optimizer", getattr(updates, "base_optimizer", None))
        out = (
            f"pass the {type(inner).__name__} that it wraps" if hasattr(inner, "step") else "optimizer.step() must run"
        )
        raise InputError(
            f"optimizer={type(updates).__name__}: its step failed on a copy of the model ({type(error).__name__}: "
            f"{error}); {out}, or leave optimizer= out"
        ) from error
