"""A mask the wrong way round: what it lets through is padding alone, and the batch shows it."""

from collections.abc import Iterator

from zeroinit.symmetry.verdict.causes.views import Candidate, View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.trials.masks import masks_in
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["of_mask"]


def of_mask(view: View) -> Iterator[Candidate]:
    """The same batch with the mask inverted is tried, where the mask divides padding from the rest."""
    found = next(masks_in(view.inputs), None)
    if found is None:
        return
    name = f"`{found[0]}`" if found[0] else "the mask"
    change = Change(inputs="flipped masks")
    text = f"Only padding is let through by {name}. With the mask inverted, {{it}} gets a gradient."
    repair = (
        f"Invert {name}: `~mask.bool()`. In torch's attention, True in `key_padding_mask` is a position to leave out."
    )
    yield Candidate(Reason("batch", text, cause="mask"), change, ((change, repair),))
