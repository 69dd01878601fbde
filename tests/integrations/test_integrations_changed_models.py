"""``watch`` of models that change while they train, and of layers whose weight is computed from other parameters."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim import SGD, Adam

import zeroinit
from zeroinit.integrations import Watch, watch

BATCH = torch.linspace(-1, 1, 15).reshape(5, 3)
HEALTHY = "After {} updates: no units are identical, and each of {} parameters had a gradient."


def build(is_constant: bool = False) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    for parameter in [*model[0].parameters(), model[2].weight] if is_constant else []:
        nn.init.constant_(parameter, 0.1)
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> None:
    for _ in range(updates):
        optimizer.zero_grad()
        (model(BATCH) - 1).square().mean().backward()
        optimizer.step()


def train_and_change(change, first: int = 12, then: int = 12) -> tuple[nn.Sequential, Watch]:
    """Train, change the model, and go on with the optimizer that the change returns, or the same one."""
    model = build()
    optimizer = Adam(model.parameters())
    with watch(model, every=10) as seen:
        train(model, optimizer, first)
        train(model, change(model) or optimizer, then)
    return model, seen


def other_head(model: nn.Sequential) -> None:
    model[2] = nn.Linear(8, 2)


def wider_head(model: nn.Sequential) -> Adam:
    model[2] = nn.Linear(8, 5)
    return Adam(model.parameters())


def wider_in_place(model: nn.Sequential) -> Adam:
    model[0].weight.data, model[0].bias.data = torch.randn(32, 3), torch.zeros(32)
    model[2].weight.data = torch.randn(2, 32)
    return Adam(model.parameters())


def fewer_layers(model: nn.Sequential) -> Adam:
    model[0], model[2] = nn.Identity(), nn.Linear(3, 2)
    return Adam(model.parameters())


@pytest.mark.parametrize(("change", "parameters"), [(wider_head, 4), (wider_in_place, 4), (fewer_layers, 2)])
def test_a_layer_may_get_another_size_or_go(change, parameters):
    model, seen = train_and_change(change)
    assert str(seen) == HEALTHY.format(24, parameters)
    latest = {each.path: each.num_units for each in seen.records if each.step == 20}
    assert latest == {name: len(each.weight) for name, each in model.named_children() if hasattr(each, "weight")}


@pytest.mark.parametrize("first", [3, 12])
def test_a_head_that_replaces_another_after_its_updates_is_in_no_optimizer(first):
    _, seen = train_and_change(other_head, first)
    assert "2 of 4 parameters (`2.weight`, `2.bias`) are held by no optimizer" in str(seen)


def test_a_head_that_replaces_another_has_a_start_of_its_own():
    """Its updates are measured from its own first weights, and its units have not merged with those of the old one."""

    def change(model: nn.Sequential) -> SGD:
        model[2] = nn.Linear(8, 2)
        nn.init.constant_(model[2].weight, 0.1)
        return SGD(model.parameters(), lr=0.1)

    _, seen = train_and_change(change)
    new = [each for each in seen.records if each.path == "2" and each.step > 12]
    assert new[0].step == 13  # the first update with new parameters is recorded
    assert new[0].diversity["effective_rank_updates"] == 0
    assert {each.num_merged for each in seen.records} == {0}


def test_a_model_that_is_replaced_whole_is_told_without_a_claim():
    def change(model: nn.Sequential) -> None:
        other_head(model)
        model[0] = nn.Linear(3, 8)

    _, seen = train_and_change(change)
    assert str(seen) == "After 12 updates: all parameters were replaced after the last record."


KINDS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "pruning": lambda layer: prune.random_unstructured(layer, "weight", amount=0.0),
    "old spectral_norm": nn.utils.spectral_norm,
}


@pytest.mark.parametrize("is_constant", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_with_a_computed_weight_are_looked_at(kind, is_constant):
    model = build(is_constant)
    KINDS[kind](model[0])
    KINDS[kind](model[2])
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 3)
    assert {each.path for each in seen.records} == {"0", "2"}
    assert ("units are identical in 1 of 2 layers (`0`: 1 different of 8)" in str(seen)) == is_constant
    assert ("no units are identical" in str(seen)) != is_constant


def test_a_convolution_under_weight_norm_has_its_channels_as_units():
    model = nn.Sequential(nn.ConvTranspose1d(4, 6, 2, groups=2), nn.Flatten(), nn.Linear(24, 2))
    parametrizations.weight_norm(model[0], dim=1)
    with watch(model) as seen:
        model(torch.randn(3, 4, 3)).sum().backward()
        SGD(model.parameters(), lr=0.1).step()
    assert {each.path: each.num_units for each in seen.records} == {"0": 6, "2": 2}


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def test_a_weight_that_other_code_computes_is_told_as_not_looked_at():
    model = build(is_constant=True)
    parametrize.register_parametrization(model[0], "weight", Doubled())
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 3)
    assert str(seen) == (
        "After 3 updates: no units are identical, and each of 4 parameters had a gradient, 1 layer (`0`) not looked at."
    )


def test_pruning_while_it_trains_does_not_count_a_weight_twice():
    def change(model: nn.Sequential) -> Adam:
        prune.ln_structured(model[0], "weight", amount=2, n=2, dim=0)
        return Adam(model.parameters())

    _, seen = train_and_change(change)
    assert str(seen) == HEALTHY.format(24, 4)


def test_a_learning_rate_of_0_is_told():
    model = build()
    with watch(model) as seen:
        train(model, SGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}], lr=0.1), 3)
    assert str(seen) == "After 3 updates: 2 of 4 parameters (`0.weight`, `0.bias`) had a learning rate of 0."


def test_a_learning_rate_that_warms_up_from_0_is_none():
    model = build()
    optimizer = SGD(model.parameters(), lr=torch.tensor(0.0))
    with watch(model) as seen:
        train(model, optimizer, 1)
        optimizer.param_groups[0]["lr"].fill_(0.1)
        train(model, optimizer, 2)
    assert str(seen) == HEALTHY.format(3, 4)


def test_one_parameter_is_not_told_as_many():
    model = nn.Linear(3, 2, bias=False)
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 1)
    assert str(seen) == "After 1 update: no units are identical, and its one parameter had a gradient."


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_step_calls_the_hooks_as_they_are():
    """Dynamo traces nothing of the record, so all that it breaks at is the call itself."""
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    step = torch.compile(optimizer.step, backend="eager")
    with zeroinit.watch(model) as seen:
        for _ in range(2):
            (model(BATCH) - 1).square().mean().backward()
            step()
    assert seen.num_updates == 2
    assert not [reason for reason in torch._dynamo.utils.counters["graph_break"] if "zeroinit/" in reason]
