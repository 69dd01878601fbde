"""A Trainer that computes its own loss is inspected with that loss, and what its loss changes stays as it was."""

import copy
import types
from collections import defaultdict

import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from zeroinit.integrations import SymmetryError  # noqa: E402
from zeroinit.integrations import transformers as callbacks  # noqa: E402
from zeroinit.integrations.transformers import InspectCallback  # noqa: E402


class TwoTasks(transformers.BertForSequenceClassification):
    """Returns the loss of its classes; a second head is there for the Trainer."""

    def __init__(self, has_spare: bool = False):
        config = transformers.BertConfig(
            vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(config)
            self.second = nn.Linear(16, 4)
            if has_spare:
                self.spare = nn.Linear(16, 4)
            self.post_init()


class Multitask(transformers.Trainer):
    """Adds a loss of a head that the model itself does not use; keeps numbers, and logs them."""

    way = ""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.num_calls, self.numbers = 0, defaultdict(list)
        self.criterion = nn.BatchNorm1d(4, affine=self.way == "has parameters")
        self.draws = iter(range(1000))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.num_calls += 1
        second = inputs.pop("second")
        if self.way == "reads an iterator":
            next(self.draws)
        output = model(**inputs, output_hidden_states=True)
        scores = self.model.second(output.hidden_states[-1][:, 0])
        own = nn.functional.cross_entropy(self.criterion(scores), second)
        self.numbers["own"].append(own.item())
        self.log({"own": own.item()})
        loss = output.loss + own
        return (loss, output) if return_outputs else loss


def run(folder, callbacks, model=None, kind=Multitask, **settings):
    generator = torch.Generator().manual_seed(1)
    data = [
        {"input_ids": torch.randint(32, (8,), generator=generator), "labels": number % 2, "second": number % 4}
        for number in range(16)
    ]
    named = {key: settings.pop(key) for key in ("compute_loss_func",) if key in settings}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, max_steps=2,
        per_device_train_batch_size=4, remove_unused_columns=False, **settings,
    )  # fmt: skip
    model = TwoTasks() if model is None else model
    return kind(model=model, args=arguments, train_dataset=data, callbacks=callbacks, **named)


def test_a_head_that_the_trainers_own_loss_uses_is_no_alarm(tmp_path):
    shown = []
    callback = InspectCallback(strict=True, show=shown.append)
    trainer = run(tmp_path, [callback])
    trainer.train()
    assert callback.report.loss == "compute_loss"
    assert callback.report.first_gradient_steps["second.weight"] == 1
    assert shown[0] == f"zeroinit: {callback.report.verdict}"
    assert "compute_loss" not in vars(trainer)


def test_a_head_that_no_loss_uses_stops_a_strict_run(tmp_path):
    trainer = run(tmp_path, [InspectCallback(strict=True)], TwoTasks(has_spare=True))
    with pytest.raises(SymmetryError, match=r"does not use `spare.weight` and `spare.bias`") as caught:
        trainer.train()
    assert "second" not in str(caught.value)
    assert trainer.num_calls == 0
    assert "compute_loss" not in vars(trainer)
    assert "forward" not in vars(trainer.model)
    assert not trainer.model._forward_pre_hooks


class Counter(transformers.TrainerCallback):
    """Stands for a reporter."""

    def __init__(self):
        self.num_logs = 0

    def on_log(self, args, state, control, logs=None, **others):
        self.num_logs += "own" in logs


def test_a_forward_of_the_models_own_object_is_the_one_that_copies_call(tmp_path):
    model, callback = TwoTasks(), InspectCallback(show=lambda text: None)
    own = model.forward
    model.forward = lambda **named: own(**{**named, "labels": 1 - named["labels"]})
    patch = model.forward
    run(tmp_path, [callback], model).train()
    assert model.forward is patch
    del model.forward
    other = InspectCallback(show=lambda text: None)
    run(tmp_path, [other], TwoTasks()).train()
    assert callback.report.losses[0] != other.report.losses[0]


def test_what_the_loss_changes_is_as_without_an_inspection(tmp_path):
    def after(callbacks):
        counter = Counter()
        trainer = run(tmp_path, [counter, *callbacks])
        trainer.train()
        assert counter.num_logs == 2
        own = [each for each in trainer.state.log_history if "own" in each]
        weights = [each.detach() for each in (*trainer.model.parameters(), *trainer.criterion.buffers())]
        return (trainer.num_calls, dict(trainer.numbers), own, next(trainer.draws)), weights

    seen, weights = after([InspectCallback(show=lambda text: None)])
    expected, without = after([])
    assert seen == expected
    assert seen[0] == 2
    assert all(torch.equal(*pair) for pair in zip(weights, without, strict=True))


def held_by_nobody(monkeypatch, tmp_path, way="has parameters", **settings):
    monkeypatch.setattr(Multitask, "way", way)
    callback = InspectCallback(strict=True, show=lambda text: None)
    return run(tmp_path, [callback], **settings), callback


def test_parameters_of_the_trainer_that_its_optimizer_does_not_hold_are_told(tmp_path, monkeypatch):
    trainer, _ = held_by_nobody(monkeypatch, tmp_path)
    with pytest.raises(SymmetryError, match=r"does not hold `trainer.criterion.weight` and `trainer.criterion.bias`"):
        trainer.train()
    trainer, callback = held_by_nobody(monkeypatch, tmp_path)
    trainer.create_optimizer().add_param_group({"params": trainer.criterion.parameters()})  # as the message says
    trainer.train()
    assert callback.report.warnings == ()
    assert not torch.equal(trainer.criterion.weight, torch.ones(4))


class Scaled(Multitask):
    """Has a parameter by itself, and one in a dictionary."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = super().compute_loss(model, inputs)
        return loss * self.scale * self.inner["scale"]


def test_bare_parameters_of_the_trainer_are_told(tmp_path, monkeypatch):
    trainer, _ = held_by_nobody(monkeypatch, tmp_path, way="", kind=Scaled)
    trainer.scale, trainer.inner = nn.Parameter(torch.ones(())), {"scale": nn.Parameter(torch.ones(()))}
    with pytest.raises(
        SymmetryError, match=r"`trainer.scale` and `trainer.inner.scale`.*\n.*'params': \[trainer.scale\]"
    ):
        trainer.train()


class Distilled(Multitask):
    """Compares with another network, which nobody froze; it sees the inputs alone."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        ids = inputs["input_ids"]
        theirs = self.teacher(nn.functional.one_hot(ids, 32).to(self.teacher[0].weight.dtype).mean(1))
        loss = super().compute_loss(model, inputs)
        return loss + (model(input_ids=ids).logits - theirs).square().mean()


def test_a_teacher_that_nobody_froze_stops_nothing(tmp_path, monkeypatch):
    trainer, callback = held_by_nobody(monkeypatch, tmp_path, way="", kind=Distilled)
    trainer.teacher = nn.Sequential(nn.Linear(32, 4), nn.Tanh(), nn.Linear(4, 2))
    trainer.train()
    assert callback.report.loss == "compute_loss"
    assert any("`trainer.teacher.0.weight`" in note for note in callback.report.notes)
    assert not any(part._forward_pre_hooks for part in trainer.teacher.modules())


@pytest.mark.parametrize("strict", [True, False])
def test_a_loss_that_copies_cannot_compute_is_told_and_stops_nothing(tmp_path, monkeypatch, strict):
    monkeypatch.setattr(Multitask, "way", "reads an iterator")
    shown = []
    callback = InspectCallback(strict=strict, show=shown.append)
    trainer = run(tmp_path, [callback])
    trainer.train()
    assert shown[0].startswith(
        "zeroinit: The loss is the one that the model returns, not the Trainer's own (compute_loss: the forward pass "
        "failed (AttributeError: 'Multitask' object has no attribute 'draws')); pass loss_fn="
    )
    assert shown[1].startswith("zeroinit: Will learn: ")
    assert "second" not in shown[1]
    assert next(trainer.draws) == 2
    assert callback.report.loss == "loss_fn"


def test_with_several_processes_the_own_loss_is_left_alone(tmp_path, monkeypatch):
    """It may wait for the others, as a gathering does."""
    monkeypatch.setattr(callbacks, "num_processes", lambda: 2)
    shown = []
    trainer = run(tmp_path, [InspectCallback(strict=True, show=shown.append)])
    trainer.train()
    assert "not the Trainer's own (several processes train, and it may wait for all of them)" in shown[0]
    assert trainer.num_calls == 2


def of_logits(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs["logits"], labels)


@pytest.mark.parametrize(
    "settings",
    [{"compute_loss_func": of_logits}, {"label_smoothing_factor": 0.1}, {"patched": True}],
    ids=["func", "smoothing", "patched"],
)
def test_each_way_to_a_loss_of_ones_own_is_seen(tmp_path, settings):
    class Batches(transformers.Trainer):
        def training_step(self, model, inputs, *others):
            return super().training_step(model, {key: inputs[key] for key in inputs if key != "second"}, *others)

    shown = []
    callback = InspectCallback(show=shown.append)
    is_patched = settings.pop("patched", False)
    trainer = run(tmp_path, [callback], kind=Batches, **settings)
    if is_patched:
        trainer.compute_loss = types.MethodType(lambda self, *given, **named: self.model(**given[1]).loss * 2, trainer)
    patch = vars(trainer).get("compute_loss")
    trainer.train()
    assert callback.report.loss == "compute_loss"
    assert "second.weight" in shown[0]
    assert vars(trainer).get("compute_loss") is patch


def test_two_callbacks_look_at_the_own_loss_one_after_the_other(tmp_path):
    shown: list[list[str]] = [[], []]
    several = [InspectCallback(strict=True, show=each.append) for each in shown]
    trainer = run(tmp_path, several)
    trainer.train()
    assert shown[0] == shown[1]
    assert [each.report.loss for each in several] == ["compute_loss"] * 2
    assert "compute_loss" not in vars(trainer)
    assert trainer.num_calls == 2


def test_the_trainers_own_loss_is_put_back_if_the_training_ends_early(tmp_path):
    trainer = run(tmp_path, [InspectCallback(show=lambda text: None)])
    before = copy.copy(vars(trainer))
    own = callbacks.BeforeLoss(trainer, lambda *_: None)
    assert trainer.compute_loss is own
    own.end()
    assert vars(trainer).keys() == before.keys()


CUTS = {
    "item": (lambda second: second.item(), "Compute with tensors in"),
    "tensor": (lambda second: torch.tensor(float(second)), "Compute with tensors in"),
    "detach": (lambda second: second.detach(), "Remove `detach()` in"),
    "argmax": (lambda second: second.unsqueeze(0).argmax() + 0.0, ""),
    "no_grad": (lambda second: _without(second), "Remove `torch.no_grad()` in"),
}


def _without(second):
    with torch.no_grad():
        return second * 1


@pytest.mark.parametrize("way", CUTS)
def test_a_cut_in_the_own_loss_is_named_by_it(tmp_path, way):
    cut, repair = CUTS[way]

    class Cuts(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            second = inputs.pop("second")
            outputs = model(**inputs, output_hidden_states=True)
            scores = self.model.second(outputs.hidden_states[-1][:, 0])
            loss = outputs.loss + cut(nn.functional.cross_entropy(scores, second))
            return (loss, outputs) if return_outputs else loss

    callback = InspectCallback(show=lambda text: None)
    run(tmp_path, [callback], kind=Cuts).train()
    text = " ".join(str(callback.report).split())
    place = "`Cuts.compute_loss`"
    assert f" in {place}" in text
    assert f"{repair} {place}" in text or not repair
    assert "TwoTasks.forward" not in text
