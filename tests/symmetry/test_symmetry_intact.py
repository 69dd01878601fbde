"""A property: ``inspect`` leaves any model as it was, bit for bit, also after an error; on random module trees."""

import random
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from zeroinit import InputError
from zeroinit.symmetry import inspect

pytestmark = [
    pytest.mark.usefixtures("without_type_checks"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated"),
]

WIDTH = 6


class Residual(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Keeps(nn.Module):
    """Keeps what passes through it, counts its calls, and draws from three random states and one of its own."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.seen, self.calls = inner, [], 0
        self.generator = torch.Generator().manual_seed(1)
        self.register_buffer("running", torch.zeros(WIDTH))
        self.factor = torch.ones(WIDTH)

    def forward(self, x):
        y = self.inner(x) * self.factor.clone()
        noise = random.random() + float(np.random.rand()) + torch.rand(()) + torch.rand((), generator=self.generator)  # noqa: NPY002
        self.seen.append(y)
        self.calls += 1
        self.factor.mul_(1.01)
        self.running.add_(y.detach().mean(0))
        return y + 0.01 * noise


class Fails(nn.Module):
    """Fails on its ``number``-th call, after having changed what it could."""

    def __init__(self, number: int):
        super().__init__()
        self.number, self.calls, self.weight = number, 0, nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        self.calls += 1
        if self.calls >= self.number:
            raise RuntimeError("on purpose")
        return x * self.weight


class Moves(nn.Module):
    """Writes to a frozen weight in its forward pass, as a momentum encoder does."""

    def __init__(self):
        super().__init__()
        self.moved, self.weight = nn.Parameter(torch.ones(WIDTH), requires_grad=False), nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        with torch.no_grad():
            self.moved.data.mul_(0.9).add_(0.1 * self.weight)
        return x * self.weight + self.moved


def dense(change: Callable[[nn.Module], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layer = nn.Linear(WIDTH, WIDTH)
        changed = change(layer)
        return changed if isinstance(changed, nn.Module) else layer

    return make


LEAVES: dict[str, Callable[[], nn.Module]] = {
    "dense": dense(lambda layer: None),
    "zero": dense(lambda layer: [nn.init.zeros_(each) for each in layer.parameters()]),
    "frozen": dense(lambda layer: layer.requires_grad_(False)),
    "equal": dense(lambda layer: nn.init.constant_(layer.weight, 0.1)),
    "in eval mode": dense(lambda layer: layer.eval()),
    "with gradient": dense(lambda layer: setattr(layer.weight, "grad", torch.ones(WIDTH, WIDTH))),
    "old weight norm": dense(lambda layer: nn.utils.weight_norm(layer)),
    "old spectral norm": dense(lambda layer: nn.utils.spectral_norm(layer)),
    "weight norm": dense(lambda layer: parametrizations.weight_norm(layer)),
    "orthogonal": dense(lambda layer: parametrizations.orthogonal(layer)),
    "pruned": dense(lambda layer: prune.random_unstructured(layer, "weight", 0.3)),
    "hooked": dense(lambda layer: layer.weight.register_hook(lambda gradient: 2 * gradient) and None),
    "hooked module": dense(lambda layer: layer.register_forward_hook(lambda m, a, output: output * 2) and None),
    "double": dense(lambda layer: layer.double() and Cast(layer)),
    "batch norm": lambda: nn.BatchNorm1d(WIDTH),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "group norm": lambda: nn.GroupNorm(2, WIDTH),
    "dropout": lambda: nn.Dropout(0.3),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "prelu": nn.PReLU,
    "moves": Moves,
    "fails at once": lambda: Fails(1),
    "fails later": lambda: Fails(3),
    "fails in the end": lambda: Fails(5),
}  # fmt: skip


class Cast(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.to(self.layer.weight.dtype)).to(x.dtype)


def tied(parts: list[nn.Module]) -> nn.Module:
    """The first part twice."""
    return nn.Sequential(*parts, parts[0])


WRAPS: dict[str, Callable[[list[nn.Module]], nn.Module]] = {
    "sequence": lambda parts: nn.Sequential(*parts),
    "residual": lambda parts: Residual(nn.Sequential(*parts)),
    "keeps": lambda parts: Keeps(nn.Sequential(*parts)),
    "tied": tied,
    "closure": lambda parts: Closed(nn.Sequential(*parts)),
}


class Closed(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.call = lambda x: self.inner(x)

    def forward(self, x):
        return self.call(x)


TREES = st.recursive(
    st.sampled_from(sorted(LEAVES)),
    lambda children: st.tuples(st.sampled_from(sorted(WRAPS)), st.lists(children, min_size=1, max_size=3)),
    max_leaves=6,
)


def build(tree) -> nn.Module:
    if isinstance(tree, str):
        return LEAVES[tree]()
    return WRAPS[tree[0]]([build(each) for each in tree[1]])


def bits(value: Tensor) -> list[int]:
    flat = value.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).tolist() if flat.numel() else []


def state(value, seen: dict[int, int]):
    """All of a model that can be compared: values bit for bit, identities, versions, attributes, hooks."""
    if isinstance(value, Tensor):
        extra = (id(value), value.data_ptr(), value._version, value.requires_grad, value.is_leaf)
        grad = state(value.grad, seen) if value.is_leaf else None
        return (*extra, bits(value), grad)
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, dict):
        return [(str(key), state(each, seen)) for key, each in value.items()]
    if isinstance(value, list | tuple | set):
        return [state(each, seen) for each in value]
    if isinstance(value, nn.Module):
        if id(value) in seen:
            return seen[id(value)]
        seen[id(value)] = len(seen)
        hooks = [list((each._backward_hooks or {}).keys()) for each in value._parameters.values() if each is not None]
        return id(value), type(value), hooks, state(value.__dict__, seen)
    return value if isinstance(value, bool | int | float | str | type(None)) else id(value)


def random_states() -> tuple:
    numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy[1].tolist(), numpy[2]


def settings_of_torch() -> tuple:
    return torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()


X = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))


def check(tree, training: bool, warm: bool, own_loss: bool, optimizer: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), build(tree), nn.Linear(WIDTH, 3)).train(training)
        x = X.clone()
        if warm:  # a pass that leaves activations and gradients behind
            with suppress(RuntimeError):
                model(x).square().mean().backward()
        before = state(model, {}), random_states(), settings_of_torch(), state(x, {})

        def loss(output):
            return output.square().mean() + 0.1 * model[0].weight.square().mean()

        try:
            inspect(model, x, loss_fn=loss if own_loss else None, optimizer=optimizer)
        except InputError as error:
            assert "on purpose" in str(error) or "no trainable" in str(error)  # noqa: PT017
        assert (state(model, {}), random_states(), settings_of_torch(), state(x, {})) == before


ARGUMENTS = {
    "tree": TREES,
    "training": st.booleans(),
    "warm": st.booleans(),
    "own_loss": st.booleans(),
    "optimizer": st.sampled_from(["adam", "sgd"]),
}
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}


@settings(max_examples=50, **QUIET)
@given(**ARGUMENTS)
@example(("keeps", ["moves", "fails later"]), True, True, True, "adam")
@example(("tied", ["old weight norm", "pruned"]), False, True, False, "sgd")
def test_any_model_is_as_before(tree, training, warm, own_loss, optimizer):
    check(tree, training, warm, own_loss, optimizer)


@pytest.mark.slow
@settings(max_examples=400, **{**QUIET, "derandomize": False})
@given(**ARGUMENTS)
def test_any_model_is_as_before_at_length(tree, training, warm, own_loss, optimizer):
    check(tree, training, warm, own_loss, optimizer)


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_each_kind_of_leaf(leaf):
    check(leaf, True, True, True, "adam")


def test_what_is_read_in_place_is_as_before(monkeypatch):
    from zeroinit.symmetry.shadow.memory import sharing

    monkeypatch.setattr(sharing, "LARGE", 0)
    for tree in (("keeps", ["frozen", "moves"]), ("residual", ["moves", "fails later"]), "frozen"):
        check(tree, True, True, False, "adam")


def test_the_comparison_sees_changes():
    """Each thing that is compared, changed by hand."""

    def at_once(model):
        model[0].weight.data[0, 0] += 1e-7

    changes = [
        at_once,
        lambda model: model[0].weight.data.zero_(),
        lambda model: setattr(model[0].weight, "grad", torch.zeros(WIDTH, WIDTH)),
        lambda model: model[1].eval(),
        lambda model: model[1].seen.append(1),
        lambda model: torch.rand((), generator=model[1].generator),
        lambda model: model[1].running.add_(0),
        lambda model: model[0].register_forward_hook(print),
        lambda model: model[0].weight.register_hook(print),
        lambda model: model[0].requires_grad_(False),
    ]
    for change in changes:
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Keeps(nn.Identity()))
        before = state(model, {})
        assert state(model, {}) == before
        change(model)
        assert state(model, {}) != before


@pytest.mark.parametrize("where", ["its own", "another model's"])
def test_an_optimizer_over_other_parameters_than_the_copy_s_moves_none_of_them(where):
    """A function that returns an optimizer over the model itself trains the copy; over another model, nothing."""
    torch.manual_seed(0)
    model, other = nn.Sequential(nn.Linear(WIDTH, 4), nn.Tanh(), nn.Linear(4, 3)), nn.Linear(WIDTH, 3)
    held = model[0] if where == "its own" else other
    for parameter in held.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = [each.detach().clone() for each in (*model.parameters(), *other.parameters())]
    report = inspect(model, torch.randn(8, WIDTH), optimizer=lambda _: torch.optim.SGD(held.parameters(), lr=0.1))
    assert all(torch.equal(*pair) for pair in zip(before, (*model.parameters(), *other.parameters()), strict=True))
    missing = {name for each in report.warnings if each.code == "ZI018" for name in each.parameters}
    own = {"2.weight", "2.bias"}
    assert missing == (own if where == "its own" else own | {"0.weight", "0.bias"})
