"""Models that ``copy.deepcopy`` refuses or copies wrongly, after public reports: each is run, and stays as it was.

The right answer was written down before the first run. Each kind has a healthy model and one with a planted fault.
"""

import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from zeroinit import InputError
from zeroinit.symmetry import inspect

pytestmark = pytest.mark.usefixtures("without_type_checks")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X, Y = drawn(16, 12), torch.randint(5, (16,), generator=torch.Generator().manual_seed(1))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))


class Body(nn.Module):
    """Two layers; what a kind adds to them is done by ``extra``; with ``fault`` the second starts dead."""

    def __init__(self, fault: bool):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 5)
        if fault:
            nn.init.zeros_(self.second.weight)
            nn.init.constant_(self.second.bias, -1.0)

    def forward(self, x):
        h = F.relu(self.second(self.extra(F.relu(self.first(x)))))
        return self.head(h)

    def extra(self, h):
        return h


class KeepsActivations(Body):
    """pytorch/pytorch#54580, skorch-dev/skorch#833: tensors with a history stay on the module."""

    kept: Tensor | None = None

    def extra(self, h):
        self.kept, self.all = h, [h, {"deep": (h * 2,)}]
        return h


class KeepsByHook(Body):
    """isl-org/MiDaS#251: a hook writes activations where forward reads them; the copy has to write to its own."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.activations = activations = {}

        def hook(module, arguments, output):
            activations["first"] = output

        self.first.register_forward_hook(hook)

    def extra(self, h):
        return h + self.activations["first"]


class Locked(Body):
    """vacancy/Synchronized-BatchNorm-PyTorch#9, Lightning-AI/pytorch-lightning#7379: locks on a module."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.lock, self.condition = threading.Lock(), threading.Condition()

    def extra(self, h):
        with self.lock, self.condition:
            return h


class OwnGenerator(Body):
    """pytorch/pytorch#43672, #71398: a random state of the module's own, which must not move on."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.generator = torch.Generator().manual_seed(3)

    def extra(self, h):
        return h + 0.1 * torch.randn(h.shape, generator=self.generator)


class WeakParent(Body):
    """facebookresearch/fairscale#816: forward goes through a weak reference to the module itself."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.myself = weakref.ref(self)

    def extra(self, h):
        return h + F.relu(self.myself().second(h))


class PatchedForward(Body):
    """huggingface/accelerate#1971: an instance's forward is a partial over the old one."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        old = self.first.forward

        def new_forward(module, x):
            return module.scale * old(x)

        self.first.scale = 2.0
        self.first.forward = partial(new_forward, self.first)


class Closure(Body):
    """cornellius-gp/gpytorch#1360: a function on the module holds the module itself."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.again = lambda h: h + F.relu(self.second(h))

    def extra(self, h):
        return self.again(h)


class Stateful:
    """An object without ``__reduce__``, as one that holds a handle."""

    def __init__(self, module: nn.Module):
        self.count, self.module, self.lock = 0, module, threading.Lock()

    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle this")


class HoldsObject(Body):
    """NVIDIA-NeMo/Speech#2076: objects that refuse to be copied, and lead back to the module."""

    def __init__(self, fault: bool):
        super().__init__(fault)
        self.state = Stateful(self)

    def extra(self, h):
        self.state.count += 1
        return h + F.relu(self.state.module.second(h))


class RefusesCopies(Body):
    """lucidrains/byol-pytorch#95: what is copied inside a model fails at a class of its own."""

    def __deepcopy__(self, memo):
        raise RuntimeError("not me")

    def __getstate__(self):
        raise RuntimeError("nor me")


class CheckpointedByClosure(Body):
    """A pass that is computed again on the way back meets the same casts as the first time."""

    def extra(self, h):
        return torch.utils.checkpoint.checkpoint(lambda x: F.relu(self.second(x.float())), h, use_reentrant=False)


KINDS = [
    KeepsActivations, KeepsByHook, Locked, OwnGenerator, WeakParent, PatchedForward, Closure, HoldsObject,
    RefusesCopies, CheckpointedByClosure,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_model_is_run_and_is_as_before(kind: Callable[[bool], Body]):
    torch.manual_seed(0)
    model = kind(False)
    model(X)
    before = everything(model)
    report = inspect(model, X, Y)
    assert report.warnings == ()
    assert report.notes == ()
    assert set(report.first_gradient_steps.values()) == {1}
    assert_same(before, everything(model))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_it_is_found(kind: Callable[[bool], Body]):
    torch.manual_seed(0)
    model = kind(True)
    model(X)
    assert "second" in {finding.path for finding in inspect(model, X, Y).warnings}


def everything(model: nn.Module) -> dict:
    """What must not change: tensors bit for bit, their places, generators, hooks, and the attributes themselves."""
    found: dict = {}
    for path, module in model.named_modules():
        for name, value in module.__dict__.items():
            found[path, name] = freeze(value)
    for name, parameter in model.named_parameters():
        found[name] = freeze(parameter), parameter.data_ptr(), freeze(parameter.grad)
    return found


def freeze(value):
    if isinstance(value, Tensor):
        return id(value), value._version, value.detach().clone(), value.requires_grad
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, dict):
        return {key: freeze(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [freeze(each) for each in value]
    if isinstance(value, Stateful):
        return value.count
    return id(value)


def assert_same(before, after) -> None:
    assert type(before) is type(after)
    if isinstance(before, dict):
        assert list(before) == list(after)
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, list | tuple):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    elif isinstance(before, Tensor):
        assert torch.equal(before, after)
    else:
        assert before == after


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("dead", [False, True])
def test_old_weight_norm(dead):
    """pytorch/pytorch#28594, #102981, descriptinc/descript-audio-codec#81, locuslab/deq#23."""
    torch.manual_seed(0)
    layers = [nn.utils.weight_norm(nn.Conv1d(4, 8, 3)), nn.LeakyReLU(0.1), nn.utils.weight_norm(nn.Conv1d(8, 2, 3))]
    model, x = nn.Sequential(*layers), drawn(8, 4, 16)
    if dead:
        nn.init.zeros_(layers[2].weight_g)
    model(x)
    before = everything(model)
    report = inspect(model, x, drawn(8, 2, 12))
    assert_same(before, everything(model))
    assert report.warnings == ()
    assert report.first_gradient_steps["0.weight_v"] == (2 if dead else 1)


def test_old_spectral_norm_and_pruning():
    """pytorch/pytorch#37322: what they compute before each pass is computed by the copy, from the copy's weights."""
    torch.manual_seed(0)
    model = mlp()
    nn.utils.spectral_norm(model[0])
    prune.l1_unstructured(model[2], "weight", 0.5)
    model(X)
    before = everything(model)
    report = inspect(model, X, Y)
    assert report.warnings == ()
    assert report.first_gradient_steps == {"0.weight_orig": 1, "0.bias": 1, "2.weight_orig": 1, "2.bias": 1}
    assert_same(before, everything(model))


def test_all_of_a_layer_pruned():
    torch.manual_seed(0)
    model = mlp()
    prune.random_unstructured(model[2], "weight", 1.0)
    assert {"0", "2"} <= {finding.path for finding in inspect(model, X, Y).warnings}


def test_a_gradient_hook_is_carried_over():
    torch.manual_seed(0)
    model = mlp()
    for parameter in model[0].parameters():
        parameter.register_hook(torch.zeros_like)
    report = inspect(model, X, Y)
    assert report.first_gradient_steps == {"0.weight": None, "0.bias": None, "2.weight": 1, "2.bias": 1}
    assert "a hook on `0.weight` sets its gradient to zero" in report.verdict
    calls = []
    model = mlp()
    model[0].weight.register_hook(lambda gradient: calls.append(gradient.shape) or 2 * gradient)
    assert inspect(model, X, Y).warnings == ()
    assert calls == []  # the copy's hook has a list of its own


def test_a_momentum_encoder_that_is_written_to(monkeypatch):
    """facebookresearch/moco#70: frozen weights that forward moves in place must not be moved in the model itself."""
    from zeroinit.symmetry.shadow.memory import sharing

    monkeypatch.setattr(sharing, "LARGE", 0)

    class Momentum(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(12, 5), nn.Linear(12, 5).requires_grad_(False)

        def forward(self, x):
            with torch.no_grad():
                for moved, source in zip(self.key.parameters(), self.query.parameters(), strict=True):
                    moved.data.mul_(0.9).add_(0.1 * source)
            return self.query(x) + self.key(x)

    model = Momentum()
    before = everything(model)
    assert inspect(model, X, Y).warnings == ()
    assert_same(before, everything(model))


class Trainer:
    """A model, and a loss that is a method."""

    def __init__(self, model: nn.Module):
        self.model, self.steps = model, 0

    def loss(self, output, targets):
        self.steps += 1
        return F.cross_entropy(output, targets) + 0.1 * ((self.model.centers[targets] - self.model.hidden) ** 2).mean()


class WithCenters(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(12, 16), nn.Linear(16, 5)
        self.centers = nn.Parameter(drawn(5, 16))
        self.hidden: Tensor | None = None

    def forward(self, x):
        self.hidden = F.relu(self.first(x))
        return self.head(self.hidden)


GLOBAL = WithCenters()


def loss_with_a_global(output, targets):
    return F.cross_entropy(output, targets) + 0.1 * ((GLOBAL.centers[targets] - GLOBAL.hidden) ** 2).mean()


def losses_that_hold(model: WithCenters) -> dict[str, Callable]:
    def closure(output, targets):
        return F.cross_entropy(output, targets) + 0.1 * ((model.centers[targets] - model.hidden) ** 2).mean()

    def given(model, output, targets):
        return F.cross_entropy(output, targets) + 0.1 * ((model.centers[targets] - model.hidden) ** 2).mean()

    trainer = Trainer(model)
    return {
        "closure": closure,
        "partial": partial(given, model),
        "method": trainer.loss,
        "inner": lambda *a: closure(*a),
    }


@pytest.mark.parametrize("how", ["closure", "partial", "method", "inner", "global"])
def test_a_loss_that_holds_the_model_gets_the_copy(how):
    torch.manual_seed(0)
    model = GLOBAL if how == "global" else WithCenters()
    loss = loss_with_a_global if how == "global" else losses_that_hold(model)[how]
    model(X)
    before = everything(model)
    report = inspect(model, X, Y, loss_fn=loss)
    assert report.warnings == ()
    assert report.first_gradient_steps["centers"] == 1
    assert_same(before, everything(model))
    if how == "method":
        assert loss.__self__.steps == 0


def test_a_loss_whose_model_cannot_be_seen_is_refused():
    model = WithCenters()
    model(X)
    hidden = iter([model] * 100)  # nobody can look inside
    with pytest.raises(InputError, match=r"loss_fn works on centers of the model that was handed over, and a copy"):
        inspect(model, X, Y, loss_fn=lambda o, t: F.cross_entropy(o, t) + next(hidden).centers.square().mean())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_trained_criterion_is_copied_as_well():
    """Its own parameters get no gradient by an inspection."""
    criterion = nn.Bilinear(5, 5, 1)
    model = mlp()
    report = inspect(model, X, loss_fn=lambda output: criterion(output, output).square().mean())
    assert report.warnings == ()
    assert all(parameter.grad is None for parameter in criterion.parameters())


def test_plain_tensors_and_batch_objects_on_a_module():
    """SimonThomine/RememberingNormality#7, gdalsanto/flamo#30: constants are float64 where all else is."""

    class Graph:
        def __init__(self):
            self.weights, self.nodes = drawn(16, 16), {"mask": torch.ones(16)}

    class Memory(nn.Module):
        def __init__(self, fault: bool):
            super().__init__()
            self.keys, self.graph = drawn(10, 16), Graph()
            self.first, self.head = nn.Linear(12, 16), nn.Linear(16, 5)
            self.values = torch.zeros(10, 5) if fault else drawn(10, 5, seed=2)

        def forward(self, x):
            h = self.first(x) @ self.graph.weights * self.graph.nodes["mask"]
            return (h @ self.keys.T).softmax(-1) @ self.values + 0 * self.head(h)

    torch.manual_seed(0)
    report = inspect(Memory(False), X, Y)
    assert report.notes == ()
    assert report.first_gradient_steps["first.weight"] == 1
    report = inspect(Memory(True), X, Y)
    assert (report.notes, report.first_gradient_steps["first.weight"]) == ((), None)


def test_what_cannot_be_copied_is_named():
    """A generator object cannot be copied by anybody; it is used as it is, and the report says so."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.noise = nn.Linear(12, 5), (0.1 for _ in iter(int, 1))

        def forward(self, x):
            return self.head(x + next(self.noise))

    report = inspect(Noisy(), X, Y)
    assert report.warnings == ()
    assert report.notes == ("cannot be copied and was used itself: noise (generator)",)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_torchscript_is_refused_in_words():
    """pytorch/pytorch#44951."""
    scripted = torch.jit.script(mlp())
    for model in (scripted, nn.Sequential(scripted, nn.Linear(5, 5))):
        with pytest.raises(InputError, match=r"is TorchScript .* inspect the torch.nn.Module it was made from"):
            inspect(model, X, Y)


compiled = partial(torch.compile, backend="eager")  # the default backend takes seconds to be imported


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel, lambda inner: nn.DataParallel(compiled(inner))])
def test_wrappers_are_taken_off(wrap):
    """pytorch/pytorch#128121, huggingface/transformers#23138."""
    torch.manual_seed(0)
    inner = mlp()
    assert inspect(wrap(inner), X, Y).first_gradient_steps == {"0.weight": 1, "0.bias": 1, "2.weight": 1, "2.bias": 1}
    nn.init.zeros_(inner[0].weight)
    nn.init.constant_(inner[0].bias, -1.0)
    assert "0" in {finding.path for finding in inspect(wrap(inner), X, Y).warnings}


def test_a_compiled_part_is_not_compiled_again():
    torch.manual_seed(0)
    model = nn.Sequential(compiled(nn.Linear(12, 16)), nn.ReLU(), nn.Linear(16, 5))
    whole = mlp()
    whole.compile(backend="eager")
    assert inspect(model, X, Y).warnings == ()
    assert inspect(whole, X, Y).warnings == ()
