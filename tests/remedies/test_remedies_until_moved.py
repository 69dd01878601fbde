"""``until_moved``: the phase ends two steps after twice the steps that the last weight took to leave zero."""

import copy
import itertools

import pytest
import torch
from torch import nn

from zeroinit import initialize_
from zeroinit.bench.models import build_model
from zeroinit.remedies import RemedyWarning, UntilMoved, make_remedy
from zeroinit.remedies.until_moved import FEWEST_STEPS

WIDTH = 64
"""In narrow deep networks the first gradients of float32 are too small to be above 0."""


def chain(depth: int) -> nn.Sequential:
    """Dense layers one after the other: the network needs as many updates as it has layers."""
    layers = [each for pair in itertools.pairwise([WIDTH] * depth) for each in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 3))


class Shortcut(nn.Module):
    """Layers beside a path past each of them: all have a gradient as soon as the head is not zero."""

    def __init__(self, depth: int):
        super().__init__()
        self.layers, self.head = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(depth)), nn.Linear(WIDTH, 3)

    def forward(self, inputs):
        for layer in self.layers:
            inputs = inputs + layer(inputs)
        return self.head(inputs)


def zero(model: nn.Module, generator) -> nn.Module:
    initialize_(model, "normal_bias", scale=0.1, norm_aware=True, generator=generator(0))
    return model


def train(model: nn.Module, inputs: torch.Tensor, steps: int) -> None:
    optimizers = [
        torch.optim.Adam([value for name, value in model.named_parameters() if name.endswith(kind)], lr=1e-2)
        for kind in ("weight", "bias")
    ]
    for _ in range(steps):
        model.zero_grad()
        nn.functional.cross_entropy(model(inputs), torch.arange(len(inputs)) % 3).backward()
        for optimizer in optimizers:
            optimizer.step()


def length(model: nn.Module, inputs: torch.Tensor, steps: int = 60) -> int:
    """Return how many steps the phase has in the end."""
    with make_remedy("until_moved+position_signs+affine_norms", model, steps) as remedy:
        train(model, inputs, 20)
    assert {part.steps for part in remedy.parts[:2]} == {remedy.steps}
    return remedy.steps


@pytest.fixture
def inputs(generator) -> torch.Tensor:
    return torch.randn(12, WIDTH, generator=generator(1))


@pytest.mark.parametrize("depth", [1, 4, 5, 9])
def test_a_chain_takes_two_steps_more_than_twice_its_layers(depth, inputs, generator):
    assert length(zero(chain(depth), generator), inputs) == max(FEWEST_STEPS, 2 * (depth + 1))


def test_a_network_with_paths_past_its_layers_takes_the_fewest(inputs, generator):
    assert length(zero(Shortcut(9), generator), inputs) == FEWEST_STEPS


def test_a_resnet_50_takes_sixteen(generator):
    """Seven updates until the last of 54 layers has a signal."""
    model = zero(build_model("resnet50_quarter", (3, 8, 8), 3), generator)
    assert length(model, torch.rand(4, 3, 8, 8, generator=generator(1)), steps=100) == 16


def test_a_weight_that_is_never_reached_leaves_the_phase_as_it_is(inputs, generator):
    model = zero(chain(3), generator)
    model.unused = nn.Linear(WIDTH, WIDTH)
    nn.init.zeros_(model.unused.weight)
    model.forward = lambda inputs: model[:-1](inputs)
    assert length(model, inputs) == 60
    model.unused.weight.requires_grad_(False)
    assert length(model, inputs) == FEWEST_STEPS


def test_a_shorter_phase_is_not_made_longer(inputs, generator):
    assert length(zero(chain(9), generator), inputs, steps=12) == 12


def test_each_part_is_shortened_by_the_same_factor(inputs, generator):
    model = zero(chain(7), generator)
    remedy = make_remedy("position_signs:60+unit_signs:30+moment_reset:120+until_moved:60", model, 1)
    with pytest.warns(RemedyWarning, match="^the optimizer keeps its moments: .* after 7 of 32 updates"), remedy:
        train(model, inputs, 7)
    assert [part.steps for part in remedy.parts] == [16, 8, 32, 16]
    assert [part.remaining for part in remedy.parts] == [9, 1, 25, 9]


def test_what_would_have_ended_has_one_pass_to_come(inputs, generator):
    model = zero(chain(7), generator)
    with make_remedy("unit_signs:16+until_moved:60", model, 1) as remedy:
        train(model, inputs, 7)
        assert (remedy.parts[0].steps, remedy.parts[0].remaining) == (5, 1)
        train(model, inputs, 1)
        assert remedy.parts[0].remaining == 0


def test_alone_it_does_nothing(inputs, generator):
    first, second = (zero(chain(3), generator) for _ in range(2))
    with UntilMoved(first, 50):
        train(first, inputs, 12)
    train(second, inputs, 12)
    assert torch.equal(first[0].weight, second[0].weight)


def test_a_checkpoint_keeps_the_length(inputs, generator):
    model = zero(chain(7), generator)
    with make_remedy("until_moved+unit_signs", model, 60) as remedy:
        train(model, inputs, 8)
    again = make_remedy("until_moved+unit_signs", model, 60)
    again.load_state_dict(remedy.state_dict())
    assert [(part.steps, part.remaining) for part in again.parts] == [(16, 8), (16, 8)]


def test_a_copy_shortens_its_own_parts(inputs, generator):
    model = zero(chain(7), generator)
    with make_remedy("until_moved+unit_signs", model, 60) as remedy:
        train(model, inputs, 1)
        duplicate = copy.deepcopy(model)
    train(duplicate, inputs, 16)
    assert [part.steps for part in remedy.parts] == [60, 60]
    assert not any(module._forward_hooks for module in duplicate.modules())
