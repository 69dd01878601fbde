"""The Trainer's callback: one inspection before the first update, then numbers where the Trainer's own go."""

import pickle

import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from zeroinit import InputError  # noqa: E402
from zeroinit.integrations import SymmetryError  # noqa: E402
from zeroinit.integrations import transformers as callbacks  # noqa: E402
from zeroinit.integrations.transformers import InspectCallback  # noqa: E402


def tiny(broken: bool = False) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(config)
    if broken:
        nn.init.zeros_(model.transformer.h[0].mlp.c_fc.weight)
        nn.init.zeros_(model.transformer.h[0].mlp.c_proj.weight)
    return model


def examples(count: int = 24) -> list[dict]:
    words = torch.randint(32, (count, 8), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": each, "labels": each} for each in words]


def trainer(folder, model, callbacks, evaluated=None, kind=transformers.Trainer, **settings) -> "transformers.Trainer":
    settings = {"max_steps": 3, "per_device_train_batch_size": 4, **settings}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, **settings
    )
    return kind(model=model, args=arguments, train_dataset=examples(), eval_dataset=evaluated, callbacks=callbacks)


class Reporter(transformers.TrainerCallback):
    """Stands where TensorBoard's callback stands: before those of the user."""

    def __init__(self):
        self.seen = []

    def on_log(self, args, state, control, logs=None, **others):
        self.seen.append((state.global_step, dict(logs)))


def hooks(model: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())


def test_it_inspects_once_and_says_so(tmp_path):
    shown, model = [], tiny()
    callback = InspectCallback(show=shown.append, steps=4)
    trainer(tmp_path, model, [callback]).train()
    seen = "zeroinit: After 3 updates: no units are identical, and each of 28 parameters had a gradient."
    assert shown == [f"zeroinit: {callback.report.verdict}", seen]
    assert shown[0].startswith("zeroinit: Will learn: ")
    assert callback.report.loss == "the output's own loss"
    assert hooks(model) == 0


def test_it_goes_to_processes_that_are_spawned(tmp_path):
    """With its settings; a launcher pickles it."""
    callback = pickle.loads(pickle.dumps(InspectCallback(strict=True, ignore=["ZI005"], steps=4)))
    with pytest.raises(SymmetryError, match="strict=True: training stops"):
        trainer(tmp_path, tiny(broken=True), [callback]).train()


def test_strict_stops_before_the_first_update(tmp_path):
    shown, model = [], tiny(broken=True)
    before = [each.detach().clone() for each in model.parameters()]
    callback = InspectCallback(strict=True, show=shown.append)
    with pytest.raises(SymmetryError) as caught:
        trainer(tmp_path, model, [callback]).train()
    message = str(caught.value)
    assert message.startswith(
        "strict=True: training stops before its first update. 5 of 28 parameters will not learn: "
    )
    assert "`transformer.h.0.mlp.c_fc.weight`" in message
    assert message.endswith("To train nevertheless: strict=False, or ignore=['ZI006', 'ZI007']")
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))
    assert message.count("nn.init.normal_(model.transformer.h[0].mlp.c_fc.weight, std=0.02)") == 1
    assert hooks(model) == 0
    assert shown == []


def test_without_strict_the_whole_report_is_shown_and_training_goes_on(tmp_path):
    shown = []
    callback = InspectCallback(show=shown.append)
    assert trainer(tmp_path, tiny(broken=True), [callback]).train().global_step == 3
    assert shown[0] == f"zeroinit: {callback.report}"
    assert "ZI006 warning" in shown[0]
    assert "5 of 28 parameters (`transformer.h.0.ln_2.bias`, " in shown[1]


def test_what_is_ignored_does_not_stop_it(tmp_path):
    callback = InspectCallback(strict=True, ignore=["ZI006", "ZI007"], show=lambda text: None)
    assert trainer(tmp_path, tiny(broken=True), [callback]).train().global_step == 3


def test_training_is_bit_for_bit_as_without(tmp_path):
    def weights(callbacks) -> list[torch.Tensor]:
        model = tiny().train()
        trainer(tmp_path, model, callbacks, gradient_accumulation_steps=2).train()
        return list(model.parameters())

    pairs = zip(weights([InspectCallback(show=lambda text: None)]), weights([]), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_reporters_and_the_history_get_the_numbers(tmp_path):
    reporter, model = Reporter(), tiny(broken=True)
    callback = InspectCallback(every=2, show=lambda text: None)
    run = trainer(
        tmp_path, model, [reporter, callback], examples(4), max_steps=14, gradient_accumulation_steps=2,
        logging_steps=5, eval_strategy="steps", eval_steps=3,
    )  # fmt: skip
    run.train()
    ours = [(step, logs) for step, logs in reporter.seen if "zeroinit/identical_units" in logs]
    assert [step for step, _ in ours] == [*range(1, 11), 12, 14]
    assert ours[0][1]["zeroinit/parameters_without_gradient"] == 5
    assert [step for step, logs in reporter.seen if "loss" in logs] == [5, 10]
    assert [each["step"] for each in run.state.log_history if "zeroinit/identical_units" in each] == [
        step for step, _ in ours
    ]
    assert callback.recorder.without_gradient == tuple(
        f"transformer.h.0.{name}" for name in ("ln_2.bias", "ln_2.weight", "mlp.c_fc.bias", "mlp.c_fc.weight",
        "mlp.c_proj.weight")
    )  # fmt: skip


def test_updates_that_a_scaler_skips_are_not_recorded(tmp_path):
    callback = InspectCallback(show=lambda text: None)
    run = trainer(tmp_path, tiny(), [callback])
    state, control = run.state, run.control

    class Optimizer:
        param_groups = [{"params": list(run.model.parameters())}]  # noqa: RUF012
        step_was_skipped = True

    state.is_world_process_zero = True
    callback.on_train_begin(run.args, state, control, model=run.model)
    for skipped in (True, False, True, False):
        Optimizer.step_was_skipped = skipped
        for parameter in run.model.parameters():
            parameter.grad = torch.full_like(parameter, 0.0 if skipped else 1.0)
        callback.on_pre_optimizer_step(run.args, state, control, optimizer=Optimizer)
        callback.on_optimizer_step(run.args, state, control, optimizer=Optimizer)
    assert sorted({each.step for each in callback.recorder.records}) == [1, 2]
    assert callback.recorder.num_recorded == 2
    assert callback.recorder.without_gradient == ()
    assert {each.gradient for each in callback.recorder.records} == {1.0}
    callback.on_train_end(run.args, state, control)


def test_a_compiled_model_is_inspected_and_compiled_afterwards(tmp_path):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    shown, model = [], Net()
    callback = InspectCallback(strict=True, show=shown.append)
    trainer(tmp_path, model, [callback], torch_compile=True, torch_compile_backend="eager").train()
    assert shown[0] == f"zeroinit: {callback.report.verdict}"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert hooks(model) == 0
    torch._dynamo.reset()


class Net(nn.Module):
    """Returns a loss, as models of transformers do."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.embed, self.head = nn.Embedding(32, width), nn.Linear(width, 32)

    def forward(self, input_ids, labels):
        scores = self.head(self.embed(input_ids))
        return {"loss": nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten()), "logits": scores}


def test_after_an_error_nothing_stays_behind(tmp_path):
    model = tiny()
    run = trainer(tmp_path, model, [InspectCallback(show=lambda text: None)])

    def fail(*_, **__):
        raise KeyboardInterrupt

    handle = model.lm_head.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    handle.remove()
    assert hooks(model) == 0


def test_what_cannot_be_inspected_is_said_and_stops_a_strict_run(tmp_path):
    shown = []
    callback = InspectCallback(show=shown.append, optimizer=lambda parameters: 1 / 0)
    assert trainer(tmp_path, Net(), [callback]).train().global_step == 3
    failed = "optimizer=<lambda>: failed (ZeroDivisionError: division by zero); must be one of adam, sgd, a torch "
    assert shown[0].startswith(f"zeroinit: the model was not inspected ({failed}")
    callback = InspectCallback(True, show=shown.append, optimizer=lambda parameters: 1 / 0)
    with pytest.raises(SymmetryError, match="strict=True: the model was not inspected"):
        trainer(tmp_path, Net(), [callback]).train()


def test_training_that_goes_on_is_not_inspected_again(tmp_path):
    shown = []
    callback = InspectCallback(show=shown.append)
    run = trainer(tmp_path, tiny(), [callback], max_steps=2)
    run.train()
    run.args.max_steps = 4
    run.state.global_step = 2
    callback.on_train_begin(run.args, run.state, run.control, model=run.model)
    callback.on_step_begin(run.args, run.state, run.control, model=run.model)
    assert len(shown) == 2
    assert hooks(run.model) == 0


def test_every_0_inspects_only(tmp_path):
    reporter = Reporter()
    callback = InspectCallback(every=0, show=lambda text: None)
    trainer(tmp_path, tiny(), [reporter, callback]).train()
    assert callback.report is not None
    assert callback.recorder is None
    assert not any("zeroinit/identical_units" in logs for _, logs in reporter.seen)


@pytest.mark.parametrize("kept_by", ["compute_loss", "compute_loss_func", "nobody"])
def test_a_loss_of_two_arguments_gets_the_labels(tmp_path, kept_by):
    """A Trainer with a loss of its own pops the labels, so the model never sees them."""

    def weighted(outputs, labels, num_items_in_batch=None):
        return nn.functional.cross_entropy(outputs["logits"], labels, weight=torch.tensor([1.0, 3.0]))

    class Own(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            return weighted(model(**inputs), labels)

    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, values, labels=None):
            logits = self.layer(values)
            return (
                {"logits": logits}
                if labels is None
                else {"loss": weighted({"logits": logits}, labels)} | {"logits": logits}
            )

    data = [{"values": torch.full((3,), float(number)), "labels": number % 2} for number in range(8)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=1, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True
    )
    callback = InspectCallback(strict=True, loss_fn=weighted, steps=4, show=lambda text: None)
    kind = Own if kept_by == "compute_loss" else transformers.Trainer
    more = {"compute_loss_func": weighted} if kept_by == "compute_loss_func" else {}
    kind(model=Classes(), args=arguments, train_dataset=data, callbacks=[callback], **more).train()
    assert callback.report.loss == "loss_fn"
    assert callback.report.verdict.startswith("Will learn")


class TwoHeads(nn.Module):
    """Returns the scores of two tasks, and no loss unless it is asked for one; the second head starts at zero."""

    def __init__(self, returns_loss: bool):
        super().__init__()
        self.first, self.second, self.returns_loss = nn.Linear(3, 2), nn.Linear(3, 2), returns_loss
        nn.init.zeros_(self.second.weight)

    def forward(self, values, labels=None):
        scores = {"first": self.first(values), "second": self.second(values)}
        return scores | ({"loss": both(scores, labels)} if self.returns_loss else {})


def both(scores, labels) -> torch.Tensor:
    return sum(nn.functional.cross_entropy(each, labels) for each in scores.values())


class OfTwoTasks(transformers.Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(**inputs)
        return output["loss"] if "loss" in output else both(output, inputs["labels"])


@pytest.mark.parametrize("way", ["own", "nothing", "strict", "loss_fn", "of the model", "of its subclass"])
def test_a_trainer_with_its_own_loss_is_asked_for_it(tmp_path, monkeypatch, way):
    """No other loss takes its place: that one would not use the second head. Copies may be unable to compute it."""
    shown, strict = [], way in ("own", "strict", "loss_fn", "of the model")
    if way != "own":
        monkeypatch.setattr(callbacks, "num_processes", lambda: 2)
    settings = {"loss_fn": both} if way == "loss_fn" else {}
    callback = InspectCallback(strict=strict, show=shown.append, **settings)
    data = [{"values": torch.randn(3), "labels": number % 2} for number in range(8)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=1, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True
    )
    kind = transformers.Trainer if way == "of its subclass" else OfTwoTasks
    whole = kind(model=TwoHeads("of" in way), args=arguments, train_dataset=data, callbacks=[callback])
    said = "loss: your Trainer computes its own, and the model returns none; pass loss_fn="
    if way == "strict":
        with pytest.raises(SymmetryError) as caught:
            whole.train()
        assert said in str(caught.value)
        return
    whole.train()
    assert (said in shown[0]) == (way == "nothing")
    assert (callback.report is None) == (way == "nothing")
    if callback.report is not None:
        assert callback.report.verdict.startswith("Will learn")


class Keys(nn.Module):
    """Attention whose key bias moves all scores of a query alike, so the softmax removes it."""

    def __init__(self, bias: bool):
        super().__init__()
        self.embed = nn.Embedding(32, 8)
        self.query, self.key, self.head = nn.Linear(8, 8), nn.Linear(8, 8, bias=bias), nn.Linear(8, 32)

    def forward(self, input_ids, labels=None):
        x = self.embed(input_ids)
        shares = (self.query(x) @ self.key(x).mT).softmax(-1)
        logits = self.head(shares @ x)
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


@pytest.mark.parametrize("bias", [True, False])
def test_the_first_and_the_last_sentence_agree_on_rounding(tmp_path, bias):
    """The key's bias gets rounding alone: the inspection says that it has no effect, and so does the end."""
    shown = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Keys(bias)
    trainer(tmp_path, model, [InspectCallback(show=shown.append)]).train()
    first, last = shown
    assert ("1 has no effect" in first) is bias
    found = ("and each of 6 parameters had a gradient", "each of 6 parameters had a gradient, and 1 has no effect")[
        bias
    ]
    assert last == f"zeroinit: After 3 updates: no units are identical, {found}."


class Preferred(transformers.Trainer):
    """Compares two inputs, so that a shift of both has no effect."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        one, other = (model(input_ids=words)["logits"] for words in (inputs["input_ids"], inputs["input_ids"].flip(0)))
        loss = -nn.functional.logsigmoid((one - other)[..., 0]).mean()
        return (loss, {}) if return_outputs else loss


class Scored(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(64, 8), nn.Linear(8, 1)

    def forward(self, input_ids, labels=None):
        return {"logits": self.head(self.embed(input_ids).mean(1))}


def test_what_has_no_effect_is_no_fault_at_the_end(tmp_path):
    shown = []
    trainer(tmp_path, Scored(), [InspectCallback(show=shown.append)], kind=Preferred).train()
    first, last = shown
    assert "1 has no effect" in first
    assert last == (
        "zeroinit: After 3 updates: no units are identical, each of 2 parameters had a gradient, and 1 has no effect."
    )


@pytest.mark.parametrize("num_skipped", [6, 2])
def test_at_the_end_a_scaler_that_skips_every_update_is_told(tmp_path, num_skipped):
    """accelerate tells the Trainer whether its scaler has skipped a step."""
    shown = []
    callback = InspectCallback(show=shown.append)
    run = trainer(tmp_path, tiny(), [callback])
    optimizer = torch.optim.SGD(run.model.parameters())
    run.state.is_world_process_zero = True
    callback.on_train_begin(run.args, run.state, run.control, model=run.model)
    for number in range(6):
        optimizer.step_was_skipped = number < num_skipped
        for parameter in run.model.parameters():
            parameter.grad = torch.full_like(parameter, torch.inf if number < num_skipped else 1.0)
        callback.on_pre_optimizer_step(run.args, run.state, run.control, optimizer=optimizer)
        callback.on_optimizer_step(run.args, run.state, run.control, optimizer=optimizer)
    callback.on_train_end(run.args, run.state, run.control)
    (text,) = shown
    if num_skipped == 6:
        assert text.startswith("zeroinit: No update was made: gradients of ")
        assert text.endswith("so a GradScaler skipped all 6 steps; lower the loss, the learning rate or the scale.")
    else:
        assert text.startswith("zeroinit: After 4 updates: ")
        assert "GradScaler" not in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_fn": nn.MSELoss}, r"loss_fn=MSELoss: is a class; make an instance, as MSELoss\(\)"),
        ({"loss_fn": locals}, "loss_fn=locals: must be a function of an output, or of an output and targets"),
        ({"show": locals}, r"show=locals: must be a function \(text\) -> None"),
        ({"ignor": ["ZI006"]}, r"argument='ignor': did you mean 'ignore'\? It must be one of by_layer, every, "),
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"seed": "x"}, "seed='x': must be a whole number"),
        ({"optimizer": "rmsprop"}, "optimizer='rmsprop': .*adam, sgd"),
        ({"optimizer": 3}, "optimizer=3: must be one of adam, sgd, a torch optimizer, or a function"),
        ({"learning_rate": 0}, "learning_rate=0: must be a finite number above 0"),
        ({"learning_rate": "x"}, "learning_rate='x': must be a finite number above 0"),
        ({"loss_fn": 3}, "loss_fn=3: must be a function of an output"),
        ({"strict": "yes"}, "strict='yes': must be True or False"),
        ({"by_layer": 1}, "by_layer=1: must be True or False"),
        ({"show": 3}, r"show=3: must be a function \(text\) -> None"),
        ({"show": None}, r"show=.*: must be a function"),
        ({"ignore": [6]}, "ignore=6: must be a code, such as 'ZI006'"),
        ({"ignore": 6}, "ignore=6: must be a list of codes"),
        ({"ignore": ["XX"]}, "ignore='XX': no code starts like this"),
        ({"every": -1}, "every=-1: must be at least 0"),
    ],
    ids=str,
)
def test_what_is_refused_is_refused_before_the_training(settings, message, without_type_checks):
    with pytest.raises(InputError, match=message):
        InspectCallback(**settings)


@pytest.mark.parametrize("optimizer", ["sgd", torch.optim.RMSprop, torch.optim.SGD(nn.Linear(1, 1).parameters())])
def test_optimizers_that_inspect_takes_are_taken(optimizer):
    assert InspectCallback(optimizer=optimizer, learning_rate=0.5).report is None


def test_what_happens_after_the_last_record_is_seen_at_the_end(tmp_path):
    """Records are due at update 10 and at update 100. The Trainer drops gradients, so its last update is recorded."""

    class Spoils(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **others):
            if state.global_step == 12:
                nn.init.constant_(model.transformer.h[0].mlp.c_fc.bias, torch.nan)

    shown = []
    callback = InspectCallback(show=shown.append, steps=4)
    trainer(tmp_path, tiny(), [callback], max_steps=14).train()
    assert shown[-1] == "zeroinit: After 14 updates: no units are identical, and each of 28 parameters had a gradient."
    assert callback.recorder.records[-1].step == 14
    assert shown[-1] == f"zeroinit: {callback.recorder}"
    assert repr(callback.recorder) == "Recorder(GPT2LMHeadModel, 11 updates recorded)"
    trainer(tmp_path, tiny(), [callback, Spoils()], max_steps=12).train()
    assert (
        "1 of 28 parameters (`transformer.h.0.mlp.c_fc.bias`) became NaN or infinite, first seen after update 12"
        in (shown[-1])
    )


def test_one_code_may_be_ignored_by_its_name():
    assert repr(InspectCallback(ignore="ZI006")) == "InspectCallback(not inspected yet)"


@pytest.mark.filterwarnings("ignore:.*You are adding a")
def test_two_callbacks_inspect_and_watch_each_for_itself(tmp_path):
    shown: list[list[str]] = [[], []]
    callbacks = [InspectCallback(show=shown[0].append), InspectCallback(show=shown[1].append, by_layer=True)]
    model = tiny()
    before = hooks(model)
    trainer(tmp_path, model, callbacks, max_steps=2).train()
    assert shown[0] == shown[1]
    assert [text.partition(":")[0] for text in shown[0]] == ["zeroinit"] * 2
    assert [each.recorder.num_recorded for each in callbacks] == [2, 2]
    assert hooks(model) == before


@pytest.mark.filterwarnings("ignore:.*You are adding a")
def test_two_callbacks_that_show_in_one_place_say_each_sentence_once(tmp_path):
    shown = []
    callbacks = [InspectCallback(show=shown.append), InspectCallback(show=shown.append)]
    whole = trainer(tmp_path, tiny(), callbacks, max_steps=2)
    for count in (2, 4):  # a second training speaks again
        whole.train()
        assert len(shown) == count
    assert shown[:2] == shown[2:]


def test_parameters_that_the_optimizer_does_not_hold_stop_a_strict_run_before_its_first_update(tmp_path):
    def train(model, parameters):
        callback = InspectCallback(strict=True, show=lambda text: None)
        run = trainer(tmp_path, model, [callback], gradient_accumulation_steps=2, warmup_steps=2)
        run.optimizer = torch.optim.AdamW(parameters, lr=1e-3) if parameters is not None else None
        run.train()
        return callback.report.optimizer

    model = tiny()
    before = [each.detach().clone() for each in model.parameters()]
    with pytest.raises(SymmetryError, match=r"4 of 28 parameters will not learn: .* does not hold `transformer\.wte"):
        train(model, model.transformer.h.parameters())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))
    assert hooks(model) == 0
    model = tiny()
    assert train(model, model.parameters()) == "AdamW"
    assert train(tiny(), None) == "AdamW"  # the one that create_optimizer makes


def test_a_rule_that_the_user_names_takes_the_place_of_the_trainers_optimizer(tmp_path):
    model, callback = tiny(), InspectCallback(strict=True, optimizer="sgd", show=lambda text: None)
    run = trainer(tmp_path, model, [callback])
    run.optimizer = torch.optim.AdamW(model.transformer.h.parameters(), lr=1e-3)
    run.train()
    assert callback.report.optimizer == "sgd"
