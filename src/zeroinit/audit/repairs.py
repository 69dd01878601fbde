"""What to type: a rule once more, with its options, for all of a parameter or for some of its rows."""

from torch import Tensor

from zeroinit.audit.memory import Write
from zeroinit.audit.rules import GENERATOR

__all__ = ["UNIFORM", "constant_again", "given_again", "rows_of", "rule_again", "with_std"]

UNIFORM = ("uniform_", "rand", "rand_like")


def rule_again(write: Write, target: str) -> str:
    """Return the call that writes the same to a target: by its function, else by its distribution; ``""`` if unknown.

    Example:
        >>> from zeroinit.audit.rules import Rule
        >>> rule_again(Write(0, "draw", Rule("xavier_uniform_", shape=(2, 2), options=", gain=0.5")), "model.w")
        'nn.init.xavier_uniform_(model.w, gain=0.5)'
    """
    rule = write.rule
    if rule.shape is not None and "." not in rule.label:
        return f"nn.init.{rule.label}({target}{rule.options})"
    if write.kind == "draw" and write.std:
        return with_std(write, target, write.std)
    return constant_again(write.value, target) if write.kind == "constant" and write.value is not None else ""


def with_std(write: Write, target: str, std: float) -> str:
    """Return the call that draws as a write does, with another standard deviation."""
    generator = GENERATOR * (write.own_generator or GENERATOR in write.rule.options)
    if write.operation in UNIFORM:
        bound = f"{std * 3**0.5:.3g}"
        return f"nn.init.uniform_({target}, -{bound}, {bound}{generator})"
    return f"nn.init.normal_({target}, std={std:.3g}{generator})"


def constant_again(value: float, target: str) -> str:
    """Return the call that fills a target with one number."""
    known = {0.0: "zeros_({})", 1.0: "ones_({})"}.get(value, f"constant_({{}}, {value:.6g})")
    return f"nn.init.{known.format(target)}"


def given_again(target: str, missing: Tensor) -> str:
    """Say how values get into the rest of a parameter that is loaded in part, as a scale for each of several parts.

    Example:
        >>> import torch
        >>> given_again("model.scale", torch.tensor([False, True, True]))
        'Load all values of `model.scale`, or copy the loaded one: `model.scale.data[1:3] = model.scale.data[0:1]`.'
    """
    axis, numbers = rows_of(missing)
    loaded = [at for at in range(missing.shape[axis]) if at not in numbers] if missing.dim() else []
    first, before = loaded[0] if loaded else 0, ":, " * axis
    copied = ""
    if numbers and len(loaded) == 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        parts = [
            f"{target}.data[{before}{low}:{high}]" for low, high in ((numbers[0], numbers[-1] + 1), (first, first + 1))
        ]
        copied = f", or copy the loaded one: `{parts[0]} = {parts[1]}`"
    return f"Load all values of `{target}`{copied}."


def rows_of(missing: Tensor) -> tuple[int, list[int]]:
    """Return the axis, 0 or 1, and the numbers of the rows or columns that a mask is made of; none if it is not.

    Example:
        >>> import torch
        >>> rows_of(torch.tensor([[False, True], [False, True]]))
        (1, [1])
    """
    for axis in range(min(missing.dim(), 2)):
        lines = missing.movedim(axis, 0).flatten(1).all(1) if missing.dim() > 1 else missing
        numbers = lines.nonzero().flatten().tolist()
        if numbers and int(missing.sum()) == len(numbers) * (missing.numel() // len(lines)):
            return axis, numbers
    return 0, []
