"""Lightning's callback: one inspection of training_step before the first update, then numbers for the loggers."""

import pickle

import pytest
import torch
from torch import nn

lightning = pytest.importorskip("lightning")

from lightning.pytorch.loggers import Logger  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import zeroinit  # noqa: E402
from zeroinit import InputError  # noqa: E402
from zeroinit.integrations import SymmetryError  # noqa: E402
from zeroinit.integrations.lightning import InspectCallback  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*litlogger"),
    pytest.mark.filterwarnings("ignore:.*training_step. returned .None"),
]


class Net(lightning.LightningModule):
    def __init__(self, broken: bool = False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
        if broken:
            for parameter in self.net.parameters():
                nn.init.zeros_(parameter)
        self.num_calls = 0

    def forward(self, inputs):
        return self.net(inputs)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        self.num_calls += 1
        loss = nn.functional.cross_entropy(self(inputs), targets)
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.log_dict({"epoch_now": float(self.current_epoch), "steps": float(self.trainer.global_step)})
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("validation", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Kept(Logger):
    def __init__(self):
        super().__init__()
        self.seen = []

    @property
    def name(self):
        return "kept"

    @property
    def version(self):
        return 0

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, dict(metrics)))

    def log_hyperparams(self, *arguments, **named):
        pass


def loader(count: int = 20) -> DataLoader:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(inputs, (torch.arange(count) % 3 == 0).long()), batch_size=4)


def trainer(folder, callbacks, logger=False, **settings) -> "lightning.Trainer":
    settings = {"max_steps": 3, **settings}
    return lightning.Trainer(
        accelerator="cpu", devices=1, default_root_dir=folder, callbacks=callbacks, logger=logger,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
        **settings,
    )  # fmt: skip


def all_hooks(model: nn.Module) -> int:
    from torch.optim import optimizer

    of_model = sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())
    return of_model + len(optimizer._global_optimizer_pre_hooks) + len(optimizer._global_optimizer_post_hooks)


def test_it_inspects_training_step_once_and_leaves_the_module_as_it_was(tmp_path):
    shown, model, logger = [], Net(), Kept()
    before = set(vars(model))
    callback = InspectCallback(show=shown.append)
    trainer(tmp_path, [callback], logger).fit(model, loader(), loader(4))
    assert shown == [f"zeroinit: {callback.report.verdict}", f"zeroinit: {callback.watch}"]
    assert shown[0] == "zeroinit: Will learn: all 4 parameters get a gradient by step 1."
    assert callback.report.parameters[0].name == "net.0.weight"
    assert model.num_calls == 3
    assert set(vars(model)) - before <= {"_trainer", "_hparams"}
    assert all_hooks(model) == 0
    alone = Kept()
    trainer(tmp_path, [], alone).fit(Net(), loader(), loader(4))
    ours = [(step, logs) for step, logs in logger.seen if not any(name.startswith("zeroinit/") for name in logs)]
    assert ours == alone.seen
    assert sum("loss_step" in logs for _, logs in ours) == 3
    assert sum("loss_epoch" in logs for _, logs in ours) == 1


def test_what_a_copy_logs_goes_nowhere(tmp_path):
    class Speaks(Net):
        def training_step(self, batch, batch_idx):
            self.log("own" if self is model else "of_a_copy", 1.0)
            return super().training_step(batch, batch_idx)

    model, logger = Speaks(), Kept()
    trainer(tmp_path, [InspectCallback(show=lambda text: None)], logger).fit(model, loader())
    names = {name for _, logs in logger.seen for name in logs}
    assert "own" in names
    assert "of_a_copy" not in names


class Written(Kept):
    """A logger with an experiment of its own, as that of Weights & Biases; also a folder and an index."""

    log_dir = "runs/first"

    def __init__(self):
        super().__init__()
        self.calls = []

    @property
    def experiment(self):
        return self

    def log(self, values):
        self.calls.append(values)
        return self

    def __getitem__(self, name):
        self.calls.append(name)
        return self.calls

    def __setitem__(self, name, value):
        self.calls.append((name, value))


class Writes(Net):
    def training_step(self, batch, batch_idx):
        assert isinstance(self.logger, Written)
        assert not isinstance(self.trainer.loggers[0], str)
        self.logger.log_metrics({f"{self.logger.log_dir}/{self.logger.name}": float(batch_idx)}, step=batch_idx)
        self.logger.experiment.log({"batch": batch_idx}).log({"further": 1.0})
        self.trainer.loggers[0].experiment["batch"] = batch_idx
        self.logger.experiment["all"].append(batch_idx)
        self.logger.mark = batch_idx
        return super().training_step(batch, batch_idx)


def test_what_a_copy_writes_into_a_logger_goes_nowhere(tmp_path):
    """Also where the step does not use ``self.log``: training itself writes as it does without the callback."""
    seen = []
    for callbacks in ([], [InspectCallback(show=seen.append, every=0)]):
        logger = Written()
        trainer(tmp_path, callbacks, logger=logger, max_steps=3).fit(Writes(), loader())
        assert logger.mark == 2
        seen.append((logger.seen, logger.calls))
    assert seen[0] == seen[2]
    assert len(seen[0][1]) == 5 * 3
    assert seen[1].startswith("zeroinit: Will learn: ")


def test_a_module_without_a_logger_has_none_in_a_copy(tmp_path):
    class Asks(Net):
        def training_step(self, batch, batch_idx):
            assert self.logger is None
            assert self.trainer.loggers == []
            return super().training_step(batch, batch_idx)

    callback = InspectCallback(show=lambda text: None)
    trainer(tmp_path, [callback], max_steps=1).fit(Asks(), loader())
    assert callback.report is not None


def test_the_callback_goes_to_processes_that_are_spawned(tmp_path):
    """Lightning pickles it for ``strategy="ddp_spawn"``."""
    callback = pickle.loads(pickle.dumps(InspectCallback(ignore=["ZI005"], show=print)))
    trainer(tmp_path, [callback], max_steps=1).fit(Net(), loader())
    assert callback.report.verdict.startswith("Will learn")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(InspectCallback(show=lambda text: None))


def test_strict_stops_before_the_first_update(tmp_path):
    model = Net(broken=True)
    before = [each.detach().clone() for each in model.parameters()]
    with pytest.raises(SymmetryError, match="strict=True: training stops before its first update"):
        trainer(tmp_path, [InspectCallback(strict=True, show=lambda text: None)]).fit(model, loader())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))
    assert all_hooks(model) == 0
    assert (
        trainer(tmp_path, [InspectCallback(True, ignore=["ZI"], show=lambda text: None)]).fit(model, loader()) is None
    )


def test_training_is_bit_for_bit_as_without(tmp_path):
    def weights(callbacks) -> list[torch.Tensor]:
        model = Net()
        model.net.append(nn.Dropout(0.5))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            trainer(tmp_path, callbacks, accumulate_grad_batches=2).fit(model, loader())
        return list(model.parameters())

    pairs = zip(weights([InspectCallback(show=lambda text: None)]), weights([]), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_loggers_get_the_numbers(tmp_path):
    logger, model = Kept(), Net(broken=True)
    callback = InspectCallback(every=2, show=lambda text: None)
    trainer(
        tmp_path, [callback], logger, max_steps=14, max_epochs=10, accumulate_grad_batches=2, gradient_clip_val=1.0
    ).fit(model, loader(24), loader(4))
    ours = [(step, logs) for step, logs in logger.seen if "zeroinit/identical_units" in logs]
    assert [step + 1 for step, _ in ours] == [*range(1, 11), 12, 14]
    assert ours[0][1]["zeroinit/identical_units"] == 7
    assert callback.watch.without_gradient == ("net.0.bias", "net.0.weight", "net.2.weight")
    assert "units are identical in 1 of 2 layers (`net.0`: 1 different of 8)" in str(callback.watch)


def test_a_mixed_precision_run(tmp_path):
    logger = Kept()
    trainer(tmp_path, [InspectCallback(True, show=lambda text: None)], logger, precision="bf16-mixed").fit(
        Net(), loader()
    )
    assert [step for step, logs in logger.seen if "zeroinit/identical_units" in logs] == [0, 1, 2]


def test_after_an_error_nothing_stays_behind(tmp_path):
    class Fails(Net):
        def training_step(self, batch, batch_idx):
            if batch_idx == 2:
                raise KeyError("in the middle")
            return super().training_step(batch, batch_idx)

    model = Fails()
    before = set(vars(model))
    with pytest.raises(KeyError, match="in the middle"):
        trainer(tmp_path, [InspectCallback(show=lambda text: None)]).fit(model, loader())
    assert all_hooks(model) == 0
    assert set(vars(model)) - before <= {"_trainer", "_hparams"}


class ByHand(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizers = self.optimizers()
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), 0.1), torch.optim.Adam(self.net[2].parameters())]


def test_manual_optimization_asks_for_a_step_and_counts_several_optimizers_once(tmp_path):
    shown = []
    trainer(tmp_path, [InspectCallback(show=shown.append)]).fit(ByHand(), loader())
    assert shown[0] == (
        "zeroinit: the model was not inspected (automatic_optimization=False: training_step updates the module itself; "
        "pass InspectCallback(step=...), a function (module, batch) -> loss)"
    )
    callback = InspectCallback(
        True, step=lambda module, batch: nn.functional.cross_entropy(module(batch[0]), batch[1]), show=shown.append
    )
    trainer(tmp_path, [callback], max_steps=6).fit(ByHand(), loader())
    assert callback.report.verdict == "Will learn: all 4 parameters get a gradient by step 1."
    assert callback.watch.num_updates == 3
    assert callback.watch.without_gradient == ()


def test_an_optimizer_of_lightning_is_inspected_as_the_one_that_it_wraps(tmp_path):
    verdicts = []

    class Inspects(Net):
        def on_train_start(self):
            optimizer = self.optimizers()
            verdicts.append(zeroinit.inspect(self.net, torch.randn(5, 3), optimizer=optimizer).verdict)
            own = {id(each) for each in self.parameters()}
            assert {id(each) for group in optimizer.param_groups for each in group["params"]} == own

    trainer(tmp_path, [], max_steps=1).fit(Inspects(), loader())
    assert verdicts == ["Will learn: all 4 parameters get a gradient by step 1."]


class Skips(Net):
    """``training_step`` returns ``None`` for the first batches, which Lightning allows: there is no update of them."""

    def __init__(self, num_skipped: int, broken: bool = False):
        super().__init__(broken)
        self.num_skipped = num_skipped

    def training_step(self, batch, batch_idx):
        index = int((batch[0][:, None] == WHOLE).all(-1).float().argmax()) // 4
        return None if index < self.num_skipped else super().training_step(batch, batch_idx)


WHOLE = loader(28).dataset.tensors[0]


@pytest.mark.parametrize("strict", [False, True])
def test_a_batch_that_training_skips_is_followed_by_the_next_one(tmp_path, strict):
    shown = []
    callback = InspectCallback(strict, show=shown.append)
    trainer(tmp_path, [callback], max_steps=7).fit(Skips(4), loader(28))
    assert callback.report.verdict == "Will learn: all 4 parameters get a gradient by step 1."
    assert shown[0] == f"zeroinit: {callback.report.verdict}"
    broken = Skips(2, broken=True)
    callback = InspectCallback(strict, show=shown.append)
    if strict:
        with pytest.raises(SymmetryError, match="training stops before its first update"):
            trainer(tmp_path, [callback], max_steps=7).fit(broken, loader(28))
        assert all(not parameter.any() for parameter in broken.parameters())
    else:
        trainer(tmp_path, [callback], max_steps=7).fit(broken, loader(28))
    assert callback.report.warnings


def test_a_step_that_skips_by_the_number_of_the_batch(tmp_path):
    class ByNumber(Net):
        def training_step(self, batch, batch_idx):
            return None if batch_idx < 2 else super().training_step(batch, batch_idx)

    callback = InspectCallback(show=lambda text: None)
    trainer(tmp_path, [callback], max_steps=7).fit(ByNumber(), loader(28))
    assert callback.report.verdict == "Will learn: all 4 parameters get a gradient by step 1."


def test_training_that_skips_all_batches_is_told(tmp_path):
    shown = []
    trainer(tmp_path, [InspectCallback(show=shown.append)], max_steps=7).fit(Skips(5), loader(28))
    assert shown[0] == (
        "zeroinit: the model was not inspected (training_step: returned None for each of the first 5 batches; "
        "return the loss)"
    )
    shown.clear()
    trainer(tmp_path, [InspectCallback(show=shown.append)], max_epochs=1, max_steps=-1).fit(Skips(9), loader(12))
    assert shown == [
        "zeroinit: the model was not inspected (its training skipped all batches)",
        "zeroinit: No update was made: training_step returned None for each batch; return the loss.",
    ]
    with pytest.raises(SymmetryError, match="returned None for each of the first 5 batches"):
        trainer(tmp_path, [InspectCallback(strict=True)], max_steps=7).fit(Skips(5), loader(28))


def test_with_step_a_training_step_that_returns_nothing_is_named(tmp_path):
    shown = []

    def step(module, batch):
        return nn.functional.cross_entropy(module(batch[0]), batch[1])

    callback = InspectCallback(True, step=step, show=shown.append)
    trainer(tmp_path, [callback], max_epochs=1, max_steps=-1).fit(Skips(99), loader(24))
    assert shown[1:] == [
        "zeroinit: training_step returned None for each of the first 5 batches; return the loss",
        "zeroinit: No update was made: training_step returned None for each batch; return the loss.",
    ]
    shown.clear()
    callback = InspectCallback(True, step=step, show=shown.append)
    trainer(tmp_path, [callback], max_epochs=1, max_steps=-1).fit(Skips(2), loader(24))
    assert "None" not in "".join(shown)


def test_a_callback_of_another_framework_is_told(tmp_path):
    pytest.importorskip("transformers")
    from zeroinit.integrations.transformers import InspectCallback as Other

    with pytest.raises(AttributeError, match=r"this Trainer takes zeroinit.integrations.lightning's"):
        trainer(tmp_path, [Other()]).fit(Net(), loader())
    with pytest.raises(AttributeError, match=r"^'InspectCallback' object has no attribute 'nothing'"):
        _ = Other().nothing


def test_a_layer_made_in_training_step_is_named_by_it(tmp_path):
    class Anew(Net):
        def training_step(self, batch, batch_idx):
            head = nn.Linear(2, 2)
            return nn.functional.cross_entropy(head(self(batch[0])), batch[1])

    callback = InspectCallback(show=lambda text: None)
    trainer(tmp_path, [callback]).fit(Anew(), loader())
    text = " ".join(str(callback.report).split())
    assert "inside `Anew.training_step`" in text
    assert "only call it in `training_step`" in text


def test_an_error_of_the_module_itself_comes_without_advice_on_inputs(tmp_path):
    class Fails(Net):
        def training_step(self, batch, batch_idx):
            raise ValueError("my own bug")

    shown = []
    with pytest.raises(ValueError, match="my own bug"):
        trainer(tmp_path, [InspectCallback(show=shown.append)]).fit(Fails(), loader())
    assert shown == [
        "zeroinit: the model was not inspected (training_step: the forward pass failed (ValueError: my own bug); pass "
        "InspectCallback(step=...), a function (module, batch) -> loss)"
    ]


def test_an_error_of_step_names_step(tmp_path, without_type_checks):
    shown = []
    callback = InspectCallback(step=lambda module, batch: module.nothing, show=shown.append)
    trainer(tmp_path, [callback]).fit(Net(), loader())
    assert shown[0].startswith("zeroinit: the model was not inspected (step: the forward pass failed (AttributeError: ")
    for step in (lambda batch: 0, lambda module, batch, more: 0, torch.nn.MSELoss, "training_step"):
        with pytest.raises(
            InputError, match=r"^step=.*: (must be a function \(module, batch\) -> loss|is a class; make)"
        ):
            InspectCallback(step=step)


def test_a_gan_that_toggles_its_optimizers_has_all_its_parameters_counted(tmp_path):
    class Toggles(ByHand):
        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers():
                self.toggle_optimizer(optimizer)
                optimizer.zero_grad()
                self.manual_backward(nn.functional.cross_entropy(self(batch[0]), batch[1]))
                optimizer.step()
                self.untoggle_optimizer(optimizer)

    callback = InspectCallback(
        step=lambda module, batch: nn.functional.cross_entropy(module(batch[0]), batch[1]), show=lambda text: None
    )
    trainer(tmp_path, [callback], max_steps=6).fit(Toggles(), loader())
    assert str(callback.watch) == ("After 3 updates: no units are identical, and each of 4 parameters had a gradient.")


def test_a_compiled_module_is_inspected_and_compiled_afterwards(tmp_path):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = Net()
    callback = InspectCallback(True, show=lambda text: None)
    model.net = torch.compile(model.net, backend="eager")
    trainer(tmp_path, [callback]).fit(model, loader())
    assert callback.report.verdict == "Will learn: all 4 parameters get a gradient by step 1."
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert callback.watch.num_updates == 3
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignore": ["XX"]}, "ignore='XX': no code starts like this"),
        ({"every": -1}, "every=-1: must be at least 0"),
        ({"step": 3}, r"step=3: must be a function \(module, batch\) -> loss"),
        ({"stpe": print}, r"argument='stpe': did you mean 'step'\?"),
        ({"loss_fn": print}, "loss_fn=.*: training_step returns the loss; pass step="),
    ],
    ids=str,
)
def test_what_is_refused_is_refused_before_the_training(settings, message, without_type_checks):
    with pytest.raises(InputError, match=message):
        InspectCallback(**settings)


class Holds(Net):
    """A net whose optimizers hold some of its layers each."""

    def __init__(self, *kinds_and_layers):
        super().__init__()
        self.parts = kinds_and_layers
        self.automatic_optimization = len(kinds_and_layers) == 1

    def configure_optimizers(self):
        return [kind(nn.ModuleList(self.net[at] for at in layers).parameters(), lr=0.1) for kind, layers in self.parts]


def a_loss(module, batch):
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


def test_parameters_that_no_optimizer_holds_stop_a_strict_run_before_its_first_update(tmp_path):
    model = Holds((torch.optim.SGD, [0]))
    before = [each.detach().clone() for each in model.parameters()]
    with pytest.raises(SymmetryError, match=r"does not hold `net\.2\.weight` and `net\.2\.bias`"):
        trainer(tmp_path, [InspectCallback(strict=True)]).fit(model, loader())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))
    whole = InspectCallback(strict=True, show=lambda text: None)
    trainer(tmp_path, [whole]).fit(Holds((torch.optim.SGD, [0, 2])), loader())
    assert whole.report.optimizer == "SGD"


def test_one_of_several_optimizers_has_to_hold_a_parameter(tmp_path):
    sgd, adam = (torch.optim.SGD, [0]), (torch.optim.Adam, [2])
    both = InspectCallback(strict=True, step=a_loss, show=lambda text: None, every=0)
    with pytest.raises(AttributeError, match="stop"):  # strict lets it pass; this module then trains by hand
        trainer(tmp_path, [both]).fit(_Stops(sgd, adam), loader())
    assert both.report.optimizer == "SGD and Adam"
    gap = InspectCallback(strict=True, step=a_loss, every=0)
    with pytest.raises(SymmetryError, match=r"does not hold `net\.2\.weight`"):
        trainer(tmp_path, [gap]).fit(_Stops(sgd, (torch.optim.Adam, [1, 0])), loader())


class _Stops(Holds):
    def training_step(self, batch, batch_idx):
        raise AttributeError("stop")


def test_a_rule_that_the_user_names_takes_the_place_of_the_trainers_optimizers(tmp_path):
    for settings in ({"optimizer": "sgd"}, {"learning_rate": 0.01}):
        callback = InspectCallback(strict=True, show=lambda text: None, **settings)
        trainer(tmp_path, [callback]).fit(Holds((torch.optim.SGD, [0])), loader())
        assert callback.report.optimizer == settings.get("optimizer", "adam")


def test_an_optimizer_whose_step_fails_on_a_copy_still_says_what_it_holds(tmp_path):
    class Bound(torch.optim.SGD):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr=lr)
            self.first = id(self.param_groups[0]["params"][0])

        def step(self, closure=None):
            if id(self.param_groups[0]["params"][0]) != self.first:
                raise KeyError("not mine")
            return super().step(closure)

    with pytest.raises(SymmetryError, match=r"does not hold `net\.2\.weight` and `net\.2\.bias`"):
        trainer(tmp_path, [InspectCallback(strict=True)]).fit(Holds((Bound, [0])), loader())
    whole = InspectCallback(strict=True, show=lambda text: None)
    trainer(tmp_path, [whole]).fit(Holds((Bound, [0, 2])), loader())
    assert whole.report.optimizer == "Adam in place of Bound"


@pytest.mark.parametrize("factor", [float("inf"), 1.0])
def test_a_scaler_that_skips_every_step_is_told_at_the_end(tmp_path, factor):
    from lightning.pytorch.plugins import MixedPrecision

    class Scaled(Net):
        def on_before_backward(self, loss):
            loss.mul_(factor)

    shown = []
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
    trainer(tmp_path, [InspectCallback(show=shown.append)], plugins=plugin, max_epochs=1, max_steps=-1).fit(
        Scaled(), loader()
    )
    if factor == 1:
        assert shown[-1].startswith("zeroinit: After 5 updates: no units are identical")
    else:
        assert shown[-1].startswith("zeroinit: Nothing was seen: gradients of 4 of 4 parameters")
        assert shown[-1].endswith("a GradScaler skipped all 5 steps; lower the loss, the learning rate or the scale.")


def in_a_function(module, batch):
    hidden = module.net[:2](batch[0])
    return nn.functional.cross_entropy(module.net[2](hidden.detach()), batch[1])


@pytest.mark.parametrize(("way", "place"), [("training_step", "Cuts.training_step"), ("step", "in_a_function")])
def test_a_cut_is_named_by_the_method_in_which_it_stands(tmp_path, way, place):
    class Cuts(Net):
        def training_step(self, batch, batch_idx):
            return in_a_function(self, batch)

    callback = InspectCallback(show=lambda text: None, step=in_a_function if way == "step" else None)
    trainer(tmp_path, [callback]).fit(Cuts(), loader())
    text = " ".join(str(callback.report).split())
    assert f"`detach()` in `{place}` cuts" in text
    assert f"Remove `detach()` in `{place}`" in text
    assert "forward" not in text


def test_a_cut_in_forward_itself_is_named_by_it(tmp_path):
    class Cuts(Net):
        def forward(self, inputs):
            return self.net[2](self.net[:2](inputs).detach())

    callback = InspectCallback(show=lambda text: None)
    trainer(tmp_path, [callback]).fit(Cuts(), loader())
    assert "`detach()` in `Cuts.forward` cuts" in " ".join(str(callback.report).split())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("broken", [True, False])
def test_a_model_set_up_by_fabric_is_inspected_inside_its_wrapper(precision, broken):
    """The wrapper's own outputs refuse ``loss.backward()`` where the precision is mixed."""
    fabric = lightning.Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    if broken:
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
    model, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters()))
    report = zeroinit.inspect(model, torch.randn(16, 3), optimizer=optimizer)
    assert report.verdict.startswith("Will not learn as it is: " if broken else "Will learn: all 4 parameters")
    assert {each.code for each in report.warnings} == ({"ZI006"} if broken else set())
    assert ("model.module[0].weight" in str(report)) is broken
