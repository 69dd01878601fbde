"""What every remedy promises on every model. A new line in ``REMEDIES`` is tested here at once."""

import copy
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

from zeroinit._common import InputError
from zeroinit.bench.models import build_model
from zeroinit.bench.training import Checkpoint, fit
from zeroinit.init import initialize_
from zeroinit.remedies import REMEDIES, AffineNorms, RemedyWarning, make_remedy


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        features = self.stem(images)
        return self.head((features + self.norm(self.conv(features))).mean(dim=(2, 3)))


MODELS = {
    "batch": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ELU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(36, 3)
    ),
    "instance": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.Flatten(), nn.Linear(36, 3)
    ),
    "dense": lambda: nn.Sequential(nn.Flatten(), nn.Linear(75, 8), nn.BatchNorm1d(8), nn.ELU(), nn.Linear(8, 3)),
    "residual": Residual,
    "no_norm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(75, 3)),
    "partly_frozen": lambda: nn.Sequential(
        nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.Flatten(), nn.Linear(36, 3)
    ),
}
STEPS = 3
TOGETHER = "affine_norms+position_signs+early_dropout+gradient_noise+warmup+moment_reset"
NAMES = (*REMEDIES, TOGETHER)
SITES = {"early_dropout", "early_channel_dropout", "unit_masks"} | {name for name in REMEDIES if "signs" in name}
LASTING = {name for name in REMEDIES if name.startswith("weight_")} | {"moment_reset", TOGETHER}
"""What does something after its last update, and so warns if there is none."""
DRAWING = {*SITES, "gradient_noise", TOGETHER}
IDLE = {"until_moved", "draw_stuck", "revive_units"}
"""What tells others when to end, or acts on zero weights alone."""


def kinds_for(name: str) -> list[str]:
    """The kinds of models that differ for a remedy: norms for what changes norms, sites for what changes inputs."""
    if name in {"affine_norms", TOGETHER}:
        return list(MODELS)
    return ["batch", "dense", "residual", "no_norm"] if name in SITES else ["batch", "no_norm"]


def counts(name: str, kind: str) -> bool:
    """Whether a remedy finds anything to hook into."""
    without = {"affine_norms": ("no_norm",), "channel_signs": ("no_norm", "dense")}
    return kind not in without.get(name, ())


def all_count(name: str, kind: str) -> bool:
    return all(counts(part, kind) for part in name.split("+"))


def acts(name: str, kind: str) -> bool:
    """Whether a remedy changes what is learned in three steps."""
    return counts(name, kind) and name not in IDLE and not (name in SITES and kind == "no_norm")


def early(name: str) -> AbstractContextManager:
    """Expects the warning of a remedy that ends too early to do what it is for."""
    return (
        pytest.warns(RemedyWarning, match=r"(is|are|keeps|do) .*: training ended after")
        if name in LASTING
        else nullcontext()
    )


def pytest_generate_tests(metafunc) -> None:
    """Try every remedy on every kind of model on which it can fail apart, unless the test chooses for itself."""
    free = {"name", "kind"} & set(metafunc.fixturenames)
    free -= {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if free == {"name", "kind"}:
        metafunc.parametrize(("name", "kind"), [(name, kind) for name in NAMES for kind in kinds_for(name)])
    elif free:
        metafunc.parametrize(*free, NAMES if free == {"name"} else list(MODELS))


@pytest.fixture
def make(name):
    if name == TOGETHER:
        return lambda model, steps, generator=None: make_remedy(name, model, steps, generator=generator)
    return REMEDIES[name].remedy


@pytest.fixture
def make_model():
    def build(kind: str) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(11)
            return MODELS[kind]()

    return build


@pytest.fixture
def model(make_model, kind) -> nn.Module:
    return make_model(kind)


@pytest.fixture
def images(generator) -> torch.Tensor:
    return 3 + torch.randn(8, 3, 5, 5, generator=generator(1))


def num_hooks(model: nn.Module) -> int:
    """Count hooks on modules, on parameters, and on the steps of all optimizers."""
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_modules = sum(len(getattr(module, hooks)) for module in model.modules() for hooks in kept)
    on_parameters = sum(len(parameter._backward_hooks or ()) for parameter in model.parameters())
    return on_modules + on_parameters + num_optimizer_hooks()


def num_optimizer_hooks() -> int:
    return len(torch_optimizer._global_optimizer_pre_hooks) + len(torch_optimizer._global_optimizer_post_hooks)


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def objects(model: nn.Module) -> list[tuple]:
    """Names and identities of parameters, buffers and modules."""
    kinds = (model.named_parameters(), model.named_buffers(), model.named_modules())
    return [(name, id(value), type(value)) for kind in kinds for name, value in kind]


def train(model: nn.Module, images: torch.Tensor, steps: int, optimizer: torch.optim.Optimizer | None = None) -> None:
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(8) % 3).backward()
        optimizer.step()


def learned(model: nn.Module, images: torch.Tensor) -> list:
    """Train on; return the parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        train(model, images, 2)
    return [parameter.tolist() for parameter in model.parameters()]


def output(model: nn.Module, images: torch.Tensor) -> list:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return model(images).tolist()


def test_after_its_steps_a_remedy_is_gone(name, make, make_model, model, kind, images):
    """At once from the layers; what counts updates goes when the next training pass begins."""
    names, before = objects(model), modes(model)
    with make(model, STEPS) as remedy:
        train(model, images, STEPS)
        assert num_hooks(model) == (4 if counts(name, kind) else 0)
        untouched = make_model(kind)
        untouched.load_state_dict(model.state_dict())
        assert output(model, images) == output(untouched, images)
        assert num_hooks(model) == 0
        assert (objects(model), modes(model)) == (names, before)
        assert [value.tolist() for value in model.buffers()] == [value.tolist() for value in untouched.buffers()]
        assert learned(model, images) == learned(untouched, images)
    assert remedy.remaining == (0 if all_count(name, kind) else STEPS)


@pytest.mark.parametrize("done", [0, 1])
def test_leaving_early_takes_it_off(name, make, make_model, model, kind, images, done):
    names, before = objects(model), modes(model)
    with early(name), make(model, STEPS) as remedy:
        train(model, images, done)
        assert num_hooks(model) > 0 or not counts(name, kind)
    assert remedy.remaining == STEPS - done * all_count(name, kind)
    assert (num_hooks(model), objects(model), modes(model)) == (0, names, before)
    untouched = make_model(kind)
    untouched.load_state_dict(model.state_dict())
    assert output(model, images) == output(untouched, images)


def test_an_error_inside_takes_it_off(make, model, images):
    def fail() -> None:
        with make(model, STEPS):
            train(model, images, 1)
            raise ZeroDivisionError

    before = modes(model)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert (num_hooks(model), modes(model)) == (0, before)


def test_a_pass_that_fails_leaves_the_modes_and_does_not_count(make, model, kind, images):
    before = modes(model)
    with make(model, STEPS) as remedy:
        for _ in range(STEPS + 1):
            with pytest.raises(RuntimeError):
                model(images[:, :2])
            assert modes(model) == before
        assert remedy.remaining == STEPS
        train(model, images, STEPS)
    assert (num_hooks(model), modes(model)) == (0, before)


def test_an_interrupted_pass_leaves_the_modes_on_leaving(name, make, model, images):
    before = modes(model)

    def interrupt(*_):
        raise KeyboardInterrupt

    last = list(model.modules())[-1]
    handle = last.register_forward_pre_hook(interrupt)
    with early(name), make(model, STEPS):
        with pytest.raises(KeyboardInterrupt):
            model(images)
        handle.remove()
        train(model, images, 1)
        handle = last.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            model(images)
    handle.remove()
    assert (num_hooks(model), modes(model)) == (0, before)


def test_no_steps_attach_nothing(make, make_model, model, kind, images):
    with make(model, 0):
        assert num_hooks(model) == 0
        assert output(model, images) == output(make_model(kind), images)


@pytest.mark.parametrize("kind", ["batch"])
@pytest.mark.parametrize("steps", [-1, -100])
def test_negative_steps(make, model, steps):
    with pytest.raises(InputError, match=f"steps={steps}: must be at least 0"):
        make(model, steps)
    assert num_hooks(model) == 0


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("kind", ["batch"])
@pytest.mark.parametrize("steps", [2.5, "3", None])
def test_steps_that_are_no_count(make, model, steps):
    with pytest.raises(InputError, match=f"steps={steps!r}: must be a whole number, such as 1"):
        make(model, steps)


def test_only_updates_count(name, make, model, kind, images):
    with early(name), make(model, STEPS) as remedy:
        with torch.no_grad():
            model(images)
        model(images)
        training = modes(model)
        model.eval()
        model(images)
        assert remedy.remaining == STEPS
        for module, mode in zip(model.modules(), training, strict=True):
            module.training = mode
        train(model, images, 1)
        assert remedy.remaining == STEPS - all_count(name, kind)


def test_a_copy_made_inside_is_a_plain_model(name, make, make_model, model, kind, images):
    """Whoever keeps the best model or an average wants no hooks on it."""
    with early(name), make(model, STEPS) as remedy:
        train(model, images, 1)
        duplicate = copy.deepcopy(model)
        untouched = make_model(kind)
        untouched.load_state_dict(duplicate.state_dict())
        assert num_hooks(duplicate) == num_optimizer_hooks()
        assert output(duplicate, images) == output(untouched, images)
        assert learned(duplicate, images) == learned(untouched, images)
        assert remedy.remaining == STEPS - all_count(name, kind)
    assert (num_hooks(duplicate), modes(duplicate)) == (0, modes(model))
    assert "__getstate__" not in {each for module in model.modules() for each in vars(module)}


@pytest.mark.parametrize("kind", ["batch", "dense", "residual"])
def test_fit_takes_a_remedy_as_an_observer(name, make, make_model, kind, images, generator):
    labels = torch.arange(8) % 3
    settings = {"epochs": 3, "batch_size": 4, "optimizer": "adam", "learning_rate": 1e-3}
    found = []
    for way in ("observer", "context", "none"):
        model = make_model(kind)
        remedy = make(model, STEPS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if way == "context":
                with remedy:
                    fit(model, (images, labels), generator=generator(0), **settings)
            else:
                watching = [remedy] if way == "observer" else []
                fit(model, (images, labels), generator=generator(0), observers=watching, **settings)
        assert num_hooks(model) == 0
        assert remedy.remaining == (STEPS if way == "none" or not counts(name, kind) else 0)
        found.append([value.tolist() for value in model.state_dict().values()])
    assert found[0] == found[1]
    assert (found[0] != found[2]) == acts(name, kind)


@pytest.mark.parametrize("kind", ["batch"])
def test_fit_on_another_model_is_refused(make, model, images, generator):
    message = "observers: a remedy was made for another model; make the remedy for the model that fit trains"
    with pytest.raises(InputError, match=message):
        fit(copy.deepcopy(model), (images, torch.arange(8) % 3), epochs=1, observers=[make(model, STEPS)])
    assert num_hooks(model) == 0


@pytest.mark.parametrize("kind", ["batch", "no_norm"])
def test_a_short_fit_ends_it(name, make, model, images, generator):
    with early(name):
        fit(model, (images, torch.arange(8) % 3), epochs=1, generator=generator(0), observers=[make(model, 100)])
    assert num_hooks(model) == 0


def test_norms_are_affine_during_the_steps(make_model, images, generator):
    """What ``affine_norms`` does, written out plainly; running statistics wait for batch statistics."""
    model = make_model("batch")
    norm = model[1]
    norm.weight.data.copy_(torch.randn(4, generator=generator(2)))
    norm.bias.data.copy_(torch.randn(4, generator=generator(3)))
    seen = []
    norm.register_forward_hook(lambda module, inputs, result: seen.append((inputs[0], result)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with AffineNorms(model, 2):
        for _ in range(3):
            model(images).sum().backward()
            optimizer.step()
            statistics = norm.running_mean.tolist(), norm.running_var.tolist(), norm.num_batches_tracked.item()
            assert (statistics == ([0.0] * 4, [1.0] * 4, 0)) == (len(seen) < 3)
    for inputs, result in seen:
        affine = inputs * norm.weight[:, None, None] + norm.bias[:, None, None]
        assert torch.allclose(result, affine, rtol=1e-4, atol=1e-4) == (result is not seen[2][1])


def test_parts_called_alone_are_affine_too_but_not_to_evaluate(make_model, images):
    model = make_model("batch")
    with AffineNorms(model, STEPS):
        model[1](model[0](images))
        assert model[1].num_batches_tracked == 0
        with torch.no_grad():
            model[1](model[0](images))
        assert model[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (
            nn.InstanceNorm2d(4),
            r"model: 2.0 \(InstanceNorm2d\) cannot act as an affine map: .*; build it with track_running_stats=True",
        ),
        (
            nn.BatchNorm2d(4, track_running_stats=False),
            r"model: 2.0 \(BatchNorm2d\) cannot act as an affine map: the norm keeps no running statistics; "
            "build it with track_running_stats=True",
        ),
        (nn.GroupNorm(4, 4), r"model: 2.0 \(GroupNorm\) .* keeps no running statistics; use a batch norm"),
    ],
)
def test_norms_without_running_statistics(norm, message):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Sequential(norm))
    with pytest.raises(InputError, match=message):
        AffineNorms(model, STEPS)
    assert num_hooks(model) == 0


@pytest.mark.parametrize("norm", [nn.LayerNorm((4, 3, 3)), nn.GroupNorm(1, 4), nn.GroupNorm(2, 4)])
def test_other_norms_are_let_be(norm):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    with AffineNorms(model, STEPS):
        assert num_hooks(model) == 0


def trained(make, model: nn.Module, images: torch.Tensor, *, steps: int = STEPS, seed: int | None = None) -> list:
    """Train with a remedy; return the parameters."""
    given = {} if seed is None else {"generator": torch.Generator().manual_seed(seed)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        with make(model, steps, **given):
            train(model, images, STEPS + 1)
    return [parameter.tolist() for parameter in model.parameters()]


def test_what_it_does_follows_from_its_generator_alone(name, make, make_model, kind, images):
    results = [trained(make, make_model(kind), images, seed=seed) for seed in (1, 1, 2)]
    assert results[0] == results[1]
    assert (results[0] != results[2]) == (name in DRAWING and acts(name, kind))
    assert trained(make, make_model(kind), images) == trained(make, make_model(kind), images)


def test_it_acts(name, make, make_model, kind, images):
    with_it, without = (trained(make, make_model(kind), images, steps=steps) for steps in (STEPS, 0))
    assert (with_it != without) == acts(name, kind)


def test_torch_random_state_is_untouched(make, make_model, kind, images):
    """The dropout of the model draws the same numbers as without a remedy."""
    states = []
    for steps in (0, STEPS):
        model = make_model(kind)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            with make(model, steps):
                train(model, images, STEPS)
            states.append(torch.get_rng_state().tolist())
    assert states[0] == states[1]


def test_the_forward_pass_is_changed_by_dropout_and_norms_alone(name, make, make_model, kind, images):
    plain = output(make_model(kind), images)
    with early(name), make(model := make_model(kind), STEPS):
        inside = output(model, images)
    changing = any(part in name for part in ("dropout", "affine_norms"))
    assert (plain != inside) == (changing and acts("early_dropout" if name == TOGETHER else name, kind))


def test_no_gradients_are_left_behind(name, make, model, images):
    """A remedy neither sets nor clears what the loop owns."""
    with early(name), make(model, STEPS):
        model(images)
    assert all(parameter.grad is None for parameter in model.parameters())


def drawn(remedy) -> list:
    """Return the states of the generators."""
    states = [part.state_dict().get("generator") for part in getattr(remedy, "parts", [remedy])]
    return [None if state is None else state.tolist() for state in states]


def test_layers_called_alone_draw_in_training_only(name, make, make_model, images):
    model = make_model("dense")
    hidden = torch.ones(2, 8, requires_grad=True)
    with early(name), make(model, STEPS) as remedy:
        train(model, images, 1)
        before = drawn(remedy)
        with torch.no_grad():
            model[4](hidden)
        model.eval()
        model[4](hidden)
        assert drawn(remedy) == before
        model.train()
        model[4](hidden).sum().backward()
        assert (drawn(remedy) != before) == (name in DRAWING - {"channel_signs", "class_signs", "fixed_position_signs"})


class Ended(Exception):
    pass


class Ending(Checkpoint):
    """Saves at every step and ends the run just after one."""

    def __init__(self, folder, step: int):
        super().__init__(folder, every=0)
        self.step = step

    def save(self, step, state):
        super().save(step, state)
        if step == self.step:
            raise Ended


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "precision": "float32", "layout": "channels_last"},
        {"optimizer": "muon", "precision": "float64"},
    ],
    ids=["adam", "muon"],
)
def test_a_run_that_ended_goes_on_bitwise(name, make, make_model, images, generator, tmp_path, settings):
    def run(checkpoint: Checkpoint | None, seed: int, steps: int = STEPS + 1) -> list:
        model = make_model("batch")
        remedy = make(model, steps, generator=generator(6))
        with torch.random.fork_rng(devices=[]), remedy:
            torch.manual_seed(seed)
            data = (images, torch.arange(8) % 3)
            settings_of_all = {"epochs": 3, "batch_size": 4, "generator": generator(7)}
            history = fit(model, data, observers=[remedy], checkpoint=checkpoint, **settings_of_all, **settings)
        return [repr(history), *(value.tolist() for value in model.state_dict().values())]

    expected = run(None, 8)
    for step in (1, STEPS, STEPS + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Ended):
            run(Ending(folder, step), 8)
        assert num_optimizer_hooks() == 0
        assert run(Checkpoint(folder), 9) == expected
    assert (run(None, 8, steps=0) != expected) == acts(name, "batch")


@pytest.mark.parametrize(("network", "shape"), [("mnist_fnn", (1, 28, 28)), ("mnist_cnn", (1, 28, 28))])
def test_on_the_networks_of_the_paper(name, make, generator, network, shape):
    model = build_model(network, shape, 10)
    initialize_(model, "normal_bias", generator=generator(0))
    images, labels = torch.rand(4, *shape, generator=generator(1)), torch.arange(4)
    unmoved = pytest.warns(RemedyWarning, match="^1 weight does not move in the first 2 updates: 'conv_1.weight'")
    with unmoved if (name, network) == ("draw_stuck", "mnist_cnn") else nullcontext(), make(model, 2) as remedy:
        fit(model, (images, labels), epochs=2, batch_size=4, generator=generator(2), observers=[remedy])
    is_counting = all_count(name, "no_norm") or (name, network) == ("channel_signs", "mnist_cnn")
    assert (remedy.remaining, num_hooks(model)) == (0 if is_counting else 2, 0)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("network", ["cifar_cnn_quarter", "resnet18"])
def test_on_wide_networks(name, make, generator, network):
    model = build_model(network, (3, 32, 32), 10)
    initialize_(model, "normal_bias", generator=generator(0), norm_aware=True)
    images, labels = torch.rand(2, 3, 32, 32, generator=generator(1)), torch.arange(2)
    unmoved = (
        pytest.warns(RemedyWarning, match="not move in the first 2 updates") if name == "draw_stuck" else nullcontext()
    )
    with unmoved, make(model, 2) as remedy:
        fit(model, (images, labels), epochs=2, batch_size=2, generator=generator(2), observers=[remedy])
    assert (remedy.remaining, num_hooks(model)) == (0, 0)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["bf16", "float64"])
def test_in_other_precisions(name, make, make_model, images, generator, precision):
    """The gradients keep the type of the parameters, whatever the activations are."""
    model = make_model("dense" if counts(name, "dense") else "residual")
    with make(model, 2) as remedy:
        data = (images, torch.arange(8) % 3)
        fit(model, data, epochs=2, batch_size=8, precision=precision, generator=generator(0), observers=[remedy])
    assert remedy.remaining == 0
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", sorted(name for name in REMEDIES if REMEDIES[name].remedy.default_strength is None))
def test_a_strength_where_there_is_none(name, make, make_model):
    with pytest.raises(InputError, match=rf"strength=0\.5: {name} takes no strength; leave strength out"):
        make(make_model("dense"), STEPS, strength=0.5)


@pytest.mark.parametrize(
    "name", sorted(name for name in REMEDIES if REMEDIES[name].remedy.default_strength is not None)
)
@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_a_strength_out_of_range(name, make, make_model, strength):
    with pytest.raises(InputError, match=rf"strength={strength}: must be a finite number of at least 0"):
        make(make_model("dense"), STEPS, strength=strength)


@pytest.mark.parametrize(
    "name",
    sorted(name for name in REMEDIES if REMEDIES[name].remedy.default_strength is not None and "weight" not in name),
)
def test_a_strength_of_zero_changes_nothing(name, make, make_model, images):
    def without_strength(model, steps):
        return make(model, steps, strength=0.0)

    plain = trained(make, make_model("dense"), images, steps=0)
    assert trained(without_strength, make_model("dense"), images) == plain
