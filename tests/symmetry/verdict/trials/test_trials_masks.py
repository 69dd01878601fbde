"""A mask is inverted only where it divides padding from the rest."""

import pytest
import torch

from zeroinit.symmetry.verdict.trials.masks import flipped_masks

pytestmark = pytest.mark.usefixtures("without_type_checks")


def test_only_a_mask_that_divides_padding_from_the_rest_is_inverted():
    tokens, keep = torch.tensor([[5, 3, 0], [2, 0, 0]]), torch.tensor([[True, True, False], [True, False, False]])
    assert torch.equal(flipped_masks((tokens, keep))[1], ~keep)
    other = torch.tensor([[True, False, True], [True, True, True]])
    assert torch.equal(flipped_masks((tokens, other))[1], other)
    hide = torch.zeros(2, 3).masked_fill(~keep, -torch.inf)
    assert torch.equal(flipped_masks((tokens, hide))[1] == 0, ~keep)
