"""The update rules are torch's own, within rounding; a user's optimizer keeps its rates."""

import pytest
import torch
from torch import nn

from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.shadow.updates import build_updates

from ..zoo import drawn


@pytest.mark.parametrize(
    ("name", "reference"),
    [("adam", lambda of: torch.optim.Adam(of, lr=1e-2)), ("sgd", lambda of: torch.optim.SGD(of, lr=1e-2))],
)
def test_update_rules_are_those_of_torch(name, reference):
    values = [nn.Parameter(drawn(5, 4).double()) for _ in range(2)]
    rules = build_updates(name, 1e-2, values[:1]), reference(values[1:])
    for step in range(20):
        for value, rule in zip(values, rules, strict=True):
            value.grad = drawn(5, 4, seed=step).double() * 10.0 ** (step % 4 - 2)
            rule.step()
    assert torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-7)


def test_large_parameters_with_rounded_moments_stay_close_to_adam():
    values = [nn.Parameter(drawn(600, 500).double()) for _ in range(2)]
    values[0].data[1], values[0].data[2] = values[0].data[0], -values[0].data[0]
    values[1].data.copy_(values[0].data)
    start = values[0].detach().clone()
    rules = build_updates("adam", 1e-2, values[:1]), torch.optim.Adam(values[1:], lr=1e-2)
    for step in range(10):
        gradient = drawn(600, 500, seed=step).double()
        gradient[1], gradient[2] = gradient[0], -gradient[0]
        for value, rule in zip(values, rules, strict=True):
            value.grad = gradient
            rule.step()
        assert (values[0] - values[1]).abs().max() < (1e-8 if step == 0 else 1e-2 * (values[1] - start).abs().max())
    assert torch.equal(values[0][1], values[0][0])
    assert torch.equal(values[0][2], -values[0][0])


@pytest.mark.parametrize(("rate", "peak", "taken"), [(0.0, 0.1, 0.1), (0.05, 0.1, 0.05), (0.0, 0.0, 0.0)])
def test_a_schedule_that_starts_at_zero_is_taken_at_its_peak(rate, peak, taken):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    optimizer.param_groups[0]["initial_lr"] = peak
    own = OwnOptimizer(optimizer, model)
    assert own.held == {"weight": taken, "bias": taken}
    assert own(list(model.parameters())).param_groups[0]["lr"] == taken
    assert optimizer.param_groups[0]["lr"] == rate
