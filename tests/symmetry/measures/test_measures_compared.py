"""What a loss compares: ranges of outputs are known through operations that choose, and through no others."""

import pytest
import torch
from torch import Tensor

from zeroinit.symmetry.measures.compared import Pairs, broadcast, out_of_reach

HIGH = torch.full((4,), 5.0)


def scores() -> Tensor:
    return torch.linspace(-1, 1, 12).reshape(4, 3).requires_grad_() * 1.0


@pytest.mark.parametrize(
    ("output", "range_of"),
    [
        (lambda x: x.softmax(-1).gather(1, torch.zeros(4, 1, dtype=torch.long)).squeeze(1), ("softmax", 0.0, 1.0)),
        (lambda x: x.sigmoid()[:, 0].double(), ("sigmoid", 0.0, 1.0)),
        (lambda x: x.tanh().max(1).values, ("tanh", -1.0, 1.0)),
        (lambda x: x.log_softmax(-1).mean(1), ("log softmax", -float("inf"), 0.0)),
    ],
)
def test_ranges_of_outputs(output, range_of):
    found = out_of_reach((output(scores()), HIGH), {})
    assert found is not None
    assert (found.operation, found.low, found.high) == range_of
    assert (found.share, found.targets) == (1.0, (5.0, 5.0))
    assert out_of_reach((HIGH,), {"target": output(scores())}) == found


def test_outputs_without_a_range():
    x = scores()
    assert out_of_reach((10 * x.sigmoid()[:, 0], HIGH), {}) is None
    assert out_of_reach((x[:, 0], HIGH), {}) is None
    assert out_of_reach((x.relu()[:, 0], HIGH), {}) is None
    assert out_of_reach((x.relu()[:, 0], -HIGH), {}).operation == "ReLU"
    assert out_of_reach((x.sigmoid()[:, 0], 2 * x[:, 1]), {}) is None  # a target that is learned


def test_a_few_targets_may_lie_outside():
    output = scores().sigmoid()[:, 0]
    assert out_of_reach((output, torch.tensor([0.0, 0.5, 1.0, 1.1])), {}) is None
    assert out_of_reach((output, torch.tensor([0.0, 0.5, -1.0, 1.1])), {}).share == 0.5


def test_shapes_that_are_broadcast():
    assert broadcast((torch.zeros(4, 1), torch.zeros(4)), {}) == ((4, 1), (4,))
    assert broadcast((torch.zeros(4, 1),), {"target": torch.zeros(4, 1)}) is None
    assert broadcast((torch.zeros(4, 1), torch.zeros(3, 2)), {}) is None
    assert broadcast((torch.zeros(4, 2), torch.zeros(2)), {}) is None
    assert broadcast((torch.zeros(4, 1), torch.zeros(4, 3)), {}) == ((4, 1), (4, 3))
    assert broadcast((torch.zeros(4, 1), scores()), {}) == ((4, 3), (4, 1))  # the output comes first
    assert broadcast((torch.zeros(1, 3), torch.zeros(4, 3)), {}) is None  # one constant for the batch
    pairs = torch.zeros(4, 3, 1), torch.zeros(4, 1, 3)
    assert broadcast(pairs, {}) == ((4, 3, 1), (4, 1, 3))
    assert broadcast(pairs, {"reduction": "none"}) is None


def test_what_is_subtracted_from_an_output():
    output, targets = scores()[:, :1], torch.zeros(4)
    pairs = Pairs([output])
    detached, row, column = output.detach(), output.squeeze(1), targets[:, None]
    pairs.follow(torch.Tensor.detach, (output,), [detached])
    pairs.follow(torch.squeeze, (output, 1), [row])
    pairs.follow(torch.Tensor.__getitem__, (targets,), [column])
    for one in (output, detached):
        assert pairs.found(torch.sub, (one, targets)) == pairs.found(torch.rsub, (targets, one)) == ((4, 1), (4,))
    assert pairs.found(torch.add, (output, targets)) is None
    assert pairs.found(torch.sub, (output, row)) is None
    assert pairs.found(torch.sub, (output, torch.zeros(3))) is None
    assert Pairs([row]).found(torch.sub, (row, column)) == ((4,), (4, 1))
    pairs = Pairs([row])
    pairs.follow(torch.Tensor.__getitem__, (targets,), [column])
    assert pairs.found(torch.sub, (row, column)) is None
