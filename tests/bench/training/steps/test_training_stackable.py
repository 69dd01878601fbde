"""Which models can be stacked, why others cannot, and what ``fit`` refuses of several models."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.bench.models import MODELS, build_model
from zeroinit.bench.training import Checkpoint, Observer, choose_stacking, fit
from zeroinit.bench.training.steps.stacked import StackedModel, why_not_stackable


def dense() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.ELU(), nn.Linear(5, 3))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.dense(images))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(images) if images.sum() > 0 else -self.dense(images)


class OnlyInTraining(Functional):
    def forward(self, images: Tensor) -> Tensor:
        return F.dropout(self.dense(images)) if self.training else self.dense(images)


class OwnParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.shift = nn.Linear(6, 3), nn.Parameter(torch.zeros(3))

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(images) + self.shift


class Unused(nn.Module):
    """A layer that the forward pass leaves out, as in the paper's code."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.dense, self.spare = nn.Linear(6, 3), layer

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(images)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        images = torch.add(images, self.one(images))
        images += self.one(images)
        return self.two(images) + self.two(images)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def hooked(register: str) -> nn.Module:
    model = dense()
    getattr(model[0], register)(lambda *_: None)
    return model


def tensor_hooked(register: str) -> nn.Module:
    model = dense()
    getattr(model[0].weight, register)(lambda *_: None)
    return model


def with_a_tensor(register: str, path: str) -> nn.Module:
    model = dense()
    value = torch.ones(3)
    getattr(model.get_submodule(path), register)("extra", nn.Parameter(value) if "parameter" in register else value)
    return model


HOOKS = ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook")
REFUSED = {
    **{hook: (lambda hook=hook: hooked(hook), "they carry hooks") for hook in HOOKS},
    "register_full_backward_pre_hook": (lambda: hooked("register_full_backward_pre_hook"), "they carry hooks"),
    "register_hook": (lambda: tensor_hooked("register_hook"), "they carry hooks"),
    "post_accumulate": (lambda: tensor_hooked("register_post_accumulate_grad_hook"), "they carry hooks"),
    "tied": (tied, "they have tied parameters"),
    "dropout": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "'1' (Dropout) has no stacked form"),
    "single": (lambda: nn.LayerNorm(3), "'itself' (LayerNorm) has no stacked form"),
    "nested": (lambda: nn.Sequential(nn.Sequential(nn.PReLU())), "'0.0' (PReLU) has no stacked form"),
    "batch_norm_1d": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
        "'1' (BatchNorm1d) has no stacked form",
    ),
    "flatten": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(2, 2)), "'0' (Flatten) has no stacked form"),
    "functional": (Functional, "the forward pass calls 'relu'"),
    "only_in_training": (lambda: OnlyInTraining().eval(), "the forward pass calls 'dropout'"),
    "own_parameter": (OwnParameter, "'itself' (OwnParameter) holds 'shift'"),
    "branching": (Branching, "the forward pass cannot be traced (TraceError)"),
    "unused": (lambda: Unused(nn.LayerNorm(3)), "'spare' (LayerNorm) has no stacked form"),
    "extra_of_an_activation": (lambda: with_a_tensor("register_parameter", "1"), "'1' (ELU) holds 'extra'"),
    "extra_of_a_layer": (lambda: with_a_tensor("register_buffer", "0"), "'0' (Linear) holds 'extra'"),
    "extra_of_the_whole": (lambda: with_a_tensor("register_parameter", ""), "'itself' (Sequential) holds 'extra'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_why_not(kind):
    make, reason = REFUSED[kind]
    models = [make() for _ in range(2)]
    assert why_not_stackable(models) == reason
    message = f"stacking='stacked': the models cannot be stacked, as {reason}; use 'auto' or 'in_turn'"
    for build in (StackedModel, lambda models: choose_stacking(models, "sgd", "stacked")):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            build(models)


def test_asking_changes_nothing(snapshot):
    models = [dense().eval(), dense().eval()]
    models[0][1].train()
    models[1][1].train()
    modes = [module.training for module in models[0].modules()]
    before = snapshot(models[0])
    assert why_not_stackable(models) is None
    assert [module.training for module in models[0].modules()] == modes
    assert snapshot(models[0]) == before


@pytest.mark.parametrize(
    "other",
    [
        nn.Sequential(nn.Linear(6, 5), nn.ELU(alpha=0.5), nn.Linear(5, 3)),
        nn.Sequential(nn.Linear(6, 4), nn.ELU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(6, 5), nn.ELU(), nn.Linear(5, 3, bias=False)),
        dense().double(),
        dense().to("meta"),
        dense().requires_grad_(False),
        nn.Linear(6, 3),
    ],
)
def test_models_that_differ(other):
    assert why_not_stackable([dense(), other]) == "they differ in their layers"


@pytest.mark.parametrize("make", [dense, Residual, lambda: nn.Linear(3, 2), lambda: Unused(nn.Linear(2, 2))])
def test_what_can_be_stacked(make):
    models = [make() for _ in range(3)]
    assert why_not_stackable(models) is None
    images = torch.randn(3, 7, models[0](torch.zeros(1, 3 if isinstance(models[0], nn.Linear) else 6)).numel() and 6)
    if isinstance(models[0], nn.Linear):
        images = images[..., :3]
    expected = torch.stack([model(each) for model, each in zip(models, images.clone(), strict=True)])
    torch.testing.assert_close(StackedModel(models)(images.clone()), expected)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("without_type_checks")
def test_every_network_without_attention_can_be_stacked(name):
    with torch.device("meta"):
        models = [build_model(name, (1, 8, 8))]
    reason = "'positions' (Embedding) has no stacked form" if name in ("row_transformer", "small_vit") else None
    assert why_not_stackable([*models, *models]) == reason


def test_the_choice(monkeypatch):
    models, conv = [dense(), dense()], [nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)]
    assert choose_stacking(models, "adam", "stacked") == "stacked"
    assert [choose_stacking(models, "adam", name) for name in ("auto", "in_turn")] == ["in_turn"] * 2
    monkeypatch.setattr(nn.Parameter, "is_cuda", True, raising=False)
    assert choose_stacking(models, "adam", "auto") == "stacked"
    assert choose_stacking(models[:1], "adam", "auto") == "in_turn"
    assert choose_stacking(conv, "adam", "auto") == "in_turn"
    assert choose_stacking(models, "muon", "auto") == "in_turn"
    assert choose_stacking([hooked("register_forward_hook")] * 2, "adam", "auto") == "in_turn"
    assert choose_stacking(models, "adam", "in_turn") == "in_turn"


def test_muon_works_on_whole_matrices():
    message = "^stacking='stacked': the models cannot be stacked, as 'muon' does not work element by element; use"
    with pytest.raises(InputError, match=message):
        choose_stacking([dense(), dense()], "muon", "stacked")


@pytest.fixture
def refused(train, snapshot, generator):
    def refuse(message: str, models=None, **settings) -> None:
        models = [dense().double() for _ in range(2)] if models is None else models
        before = [snapshot(model) for model in models]
        generators = [generator(0), generator(1)]
        settings = {"train": train, "epochs": 1, "generator": generators, "stacking": "stacked"} | settings
        with pytest.raises(InputError, match=message):
            fit(models, **settings)
        assert [snapshot(model) for model in models] == before
        assert torch.equal(generators[0].get_state(), generator(0).get_state())

    return refuse


BOTH = pytest.mark.parametrize("stacking", ["auto", "stacked", "in_turn"])


@BOTH
def test_a_wrong_number_of_entries(refused, train, generator, stacking):
    for name, value in {
        "train": [train],
        "validation": [train] * 3,
        "test": [],
        "generator": [generator(0)],
        "augment": [None, None, None],
    }.items():
        refused(f"^{name}: has {len(value)} entries for 2 models; needs as many$", stacking=stacking, **{name: value})


@BOTH
def test_what_models_cannot_share(refused, train, generator, stacking):
    one = generator(0)
    for shared in (one, [one, one]):
        message = "^generator: is one for 2 models, which would share its numbers; hand over as many"
        refused(message, stacking=stacking, generator=shared)

    class Draws:
        def __init__(self):
            self.generator = one

        def __call__(self, images):
            return images

    same = Draws()
    for augment in (same, [same, same], [Draws(), Draws()]):
        message = "^augment: draws from one generator for 2 models, which would share its numbers; hand over as many"
        refused(message, stacking=stacking, augment=augment)
    model, twin = dense().double(), dense().double()
    refused("^model: holds the same parameters twice; each needs its own", [model, model], stacking=stacking)
    twin[0].weight = model[0].weight
    refused("^model: holds the same parameters twice; each needs its own", [model, twin], stacking=stacking)


@BOTH
def test_what_belongs_to_one_model(refused, stacking):
    settings = {"stacking": stacking}
    refused(
        "^observers: belong to one model, and there are 2; train them one by one$", observers=[Observer()], **settings
    )
    message = "^parameters: belong to one model, and there are 2; train them one by one$"
    refused(message, parameters=dense().parameters(), **settings)


def test_a_checkpoint_in_turn(refused, tmp_path):
    for stacking in ("in_turn", "auto"):
        message = "^checkpoint: holds one run, and these models train in turn; train them one by one"
        refused(message, stacking=stacking, checkpoint=Checkpoint(tmp_path / "state"))
    assert list(tmp_path.iterdir()) == []


def test_no_model_at_all(refused):
    refused("^model: is an empty sequence; needs at least one$", [], generator=None)


def test_numbers_of_images_that_differ(refused, train, generator):
    less = (train[0][:9], train[1][:9])
    for name in ("train", "validation", "test"):
        message = (
            rf"^{name}: the models have \[9, 23\] images; stacked they need as many each, or use stacking='in_turn'"
        )
        refused(message, **{name: [train, less]})
        fit([dense().double(), dense().double()], **{"train": train, name: [train, less]}, epochs=1, stacking="in_turn")
    for name in ("validation", "test"):
        for pairs in ([train, None], [None, train], [(train[0][:0], train[1][:0]), train]):
            message = rf"^{name}: the models have \[0, 23\] images; stacked they need"
            refused(message, **{name: pairs})


def test_auto_does_not_stack_different_numbers_of_images(monkeypatch, train):
    """As it would on a CUDA device."""
    monkeypatch.setitem(fit.__globals__, "choose_stacking", lambda *_: "stacked")
    less = (train[0][:9], train[1][:9])
    histories = fit([dense().double() for _ in range(2)], [train, less], epochs=1, batch_size=8, stacking="auto")
    assert [history.num_steps for history in histories] == [3, 2]


def test_unknown_names_and_data_that_do_not_match(refused, train):
    refused(r"^stacking='stack': did you mean 'stacked'\? It must be one of auto, in_turn, stacked$", stacking="stack")
    refused(
        r"^optimizer='adm': did you mean 'adam'\? It must be one of adam, adamw, muon, rmsprop, sgd$", optimizer="adm"
    )
    refused("^train: has 9 images and 23 labels; needs as many, at least one", train=[train, (train[0][:9], train[1])])
