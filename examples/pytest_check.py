"""A test of your own that fails before anybody trains a broken model. Run: pytest pytest_check.py."""

import pytest
import torch
from torch import nn

import zeroinit

device = "cuda" if torch.cuda.is_available() else "cpu"


class Gated(nn.Module):
    """A gate in front of a branch; both may start at zero, but not together."""

    def __init__(self, start_branch_at_zero: bool):
        super().__init__()
        self.stem, self.branch, self.head = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 2)
        self.gate = nn.Parameter(torch.zeros(16))
        if start_branch_at_zero:
            nn.init.zeros_(self.branch.weight)
            nn.init.zeros_(self.branch.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (batch, 6) to scores (batch, 2)."""
        hidden = torch.tanh(self.stem(x))
        return self.head(hidden + self.gate * self.branch(hidden))


@pytest.fixture
def batch() -> torch.Tensor:
    """One batch, as training has it."""
    return torch.randn(32, 6, generator=torch.Generator().manual_seed(0)).to(device)


def test_the_model_will_learn(batch: torch.Tensor) -> None:
    """This test belongs into your own suite; `ignore=["ZI005"]` leaves out what you know and accept."""
    zeroinit.assert_symmetry_broken(Gated(start_branch_at_zero=False).to(device), batch)


def test_a_model_that_will_not_learn_is_noticed(batch: torch.Tensor) -> None:
    """What the test above says if somebody lets the branch start at zero, too."""
    with pytest.raises(AssertionError) as caught:
        zeroinit.assert_symmetry_broken(Gated(start_branch_at_zero=True).to(device), batch)
    print(caught.value)
    assert "ZI006 warning" in str(caught.value)
    assert "Start" in str(caught.value)
