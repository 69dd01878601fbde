"""What a trial does to a copy."""

from dataclasses import dataclass

from zeroinit.symmetry.verdict.passes.calls import Key

__all__ = ["SHRUNK", "Change"]

SHRUNK = 100
"""Parameters are divided by this where no other number is given."""


@dataclass(frozen=True)
class Change:
    """What is done to a copy.

    Attributes:
        draw: Parameters that are drawn at random where they are zero, and disturbed where they are not.
        rows: Parameters of which only the rows that are zero are drawn.
        zero: Parameters that are set to zero; ``ones`` are set to one.
        shrink: Parameters that are divided by ``distance``, or by ``SHRUNK``.
        moved: Parameters all of whose values are moved by ``distance``, up or down at random; the first goes up.
        distance: How far.
        calls: What is done instead of calls: their keys and names of ``ACTIONS``.
        attach: Calls whose result is tied to what went in.
        gradients: Take every ``no_grad`` away.
        hooks: Take hooks on gradients off.
        inputs: A name of ``INPUTS``.
        targets: The same for the targets.
        outputs: Let the loss look at everything that the model computes.
        functions: Autograd functions whose backward pass hands on an error where it hands on nothing.
        unwrap: Use computed tensors themselves where a parameter was made of them on the way.
        uncopied: Use parameters themselves where they are copied on the way.
    """

    draw: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    ones: tuple[str, ...] = ()
    shrink: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    distance: float = 0.0
    calls: tuple[tuple[Key, str], ...] = ()
    attach: tuple[Key, ...] = ()
    gradients: bool = False
    hooks: bool = False
    inputs: str = ""
    targets: str = ""
    outputs: bool = False
    functions: tuple[type, ...] = ()
    unwrap: bool = False
    uncopied: bool = False
