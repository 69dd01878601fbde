"""How updates are handed to a device: recorded or not, the results are the same; what cannot be recorded is not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from zeroinit import InputError, RemedyWarning, zero_start_
from zeroinit.bench import build_model, fit
from zeroinit.bench.training import EXECUTIONS, ExecutionWarning
from zeroinit.bench.training import loop as loop_module
from zeroinit.bench.training.steps.execution import WARM_UPS, Forward, Updates, choose_execution

SETTINGS = {"epochs": 3, "batch_size": 8, "reduction": "mean"}


class StandIn:
    """Records as a CUDA graph does: the work runs later, on the same tensors, and its result is always the same one."""

    def __init__(self):
        self.records, self.replays = 0, 0

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.records += 1
        result = torch.empty(())

        def replay() -> None:
            self.replays += 1
            result.resize_(0)  # what was read of it before is gone, as on a device
            value = work()
            result.resize_(value.shape).copy_(value)

        return replay, result


@pytest.fixture
def recorded(monkeypatch) -> StandIn:
    """Let fit record on the CPU, by a stand-in."""
    stand_in = StandIn()
    monkeypatch.setattr(loop_module, "record_cuda_graph", stand_in)
    choose = loop_module.choose_execution

    def on_cpu(execution, model, optimizers, device):
        return choose(execution, model, optimizers, torch.device("cuda"))

    monkeypatch.setattr(loop_module, "choose_execution", on_cpu)
    return stand_in


def data(count: int = 44) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.randint(10, (count,), generator=generator)


def train(model: nn.Module, **changes) -> list[float]:
    return fit(model, data(), generator=torch.Generator().manual_seed(0), **{**SETTINGS, **changes}).train_loss


def test_recorded_updates_give_bitwise_the_same_history_and_weights(recorded):
    here, there = build_model("mnist_fnn", (1, 8, 8)), build_model("mnist_fnn", (1, 8, 8))
    assert train(here, execution="eager") == train(there)
    assert all(torch.equal(*pair) for pair in zip(here.parameters(), there.parameters(), strict=True))
    # 15 full batches and 3 smaller ones: each shape is warmed up on its own.
    assert recorded.records == 1
    assert recorded.replays == 15 - WARM_UPS


def test_each_shape_of_batch_has_a_record(recorded):
    train(build_model("mnist_fnn", (1, 8, 8)), epochs=5)
    assert recorded.records == 2
    assert recorded.replays == 25 - WARM_UPS + 5 - WARM_UPS


def test_eager_records_nothing(recorded):
    train(build_model("mnist_fnn", (1, 8, 8)), execution="eager")
    assert recorded.records == 0


def test_no_update_of_the_warm_up_is_recorded(recorded):
    here, there = build_model("mnist_fnn", (1, 8, 8)), build_model("mnist_fnn", (1, 8, 8))
    assert train(here, warmup_steps=17, execution="eager") == train(there, warmup_steps=17)
    assert recorded.records == 0


def test_observers_of_gradients_are_called_at_each_step(recorded):
    class Counts:
        steps = 0

        def on_gradients(self, state):
            self.steps += 1

    counts = Counts()
    train(build_model("mnist_fnn", (1, 8, 8)), observers=[counts])
    assert (counts.steps, recorded.records) == (18, 0)


def test_a_zero_start_acts_as_ever_and_recording_begins_after_it(recorded):
    histories = []
    for execution in ("eager", "auto"):
        model = build_model("mnist_fnn", (1, 8, 8))
        start = zero_start_(model, steps=6, generator=torch.Generator().manual_seed(0))
        histories.append(train(model, observers=[start], execution=execution))
    assert histories[0] == histories[1]
    assert recorded.records == 1


def test_a_zero_start_of_another_model_does_not_matter(recorded):
    other = build_model("mnist_fnn", (1, 8, 8))
    with pytest.warns(RemedyWarning, match="no optimizer"), zero_start_(other, steps=6):
        train(build_model("mnist_fnn", (1, 8, 8)))
    assert recorded.records == 1


def test_a_hook_on_all_optimizers_is_called_at_each_step(recorded):
    calls = []
    handle = register_optimizer_step_post_hook(lambda *_: calls.append(1))
    try:
        train(build_model("mnist_fnn", (1, 8, 8)))
    finally:
        handle.remove()
    assert (len(calls), recorded.records) == (18, 0)


def test_a_hook_that_comes_later_is_called_though_there_is_a_record(recorded):
    model, calls = build_model("mnist_fnn", (1, 8, 8)), []

    class Hooks:
        def on_epoch(self, state):
            if state.epoch == 2:
                model.dense_1.register_forward_hook(lambda *_: calls.append(1))

    train(model, observers=[Hooks()])
    assert len(calls) == 6
    assert recorded.replays == 10 - WARM_UPS


def test_a_model_with_unknown_python_code_is_not_recorded(recorded):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(64, 10), 0

        def forward(self, images):
            self.calls += 1
            return self.layer(images.flatten(1)) * (1 + self.calls % 2)

    model = Odd()
    train(model)
    assert (model.calls, recorded.records) == (18, 0)


def test_stacked_models_are_recorded(recorded):
    histories = {}
    for execution in ("eager", "auto"):
        models = [build_model("mnist_fnn", (1, 8, 8)) for _ in range(2)]
        generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        found = fit(models, data(), generator=generators, stacking="stacked", execution=execution, **SETTINGS)
        histories[execution] = [each.train_loss for each in found]
    assert histories["eager"] == histories["auto"]
    assert recorded.replays == 15 - WARM_UPS


def test_what_cannot_be_recorded_runs_as_ever_and_says_so():
    def fails(work):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    updates = Updates(lambda inputs, labels: inputs.sum(), nn.Linear(1, 1), [], fails)
    batch = torch.ones(2, 1), torch.zeros(2)
    for _ in range(WARM_UPS):
        assert updates(*batch) == 2
    message = (
        "^updates run one .* recorded as a CUDA graph \\(operation not permitted when stream is capturing\\); pass"
    )
    with pytest.warns(ExecutionWarning, match=message):
        assert updates(*batch) == 2
    assert updates(*batch) == 2


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "muon"])
def test_which_optimizers_are_recorded(name, recorded):
    train(build_model("mnist_fnn", (1, 8, 8)), optimizer=name)
    assert recorded.records == (name != "muon")


def test_graphed_needs_a_cuda_device():
    with pytest.raises(
        InputError, match=r"^execution='graphed': the model is on cpu, and CUDA graphs need a CUDA device; use 'auto'"
    ):
        train(build_model("mnist_fnn", (1, 8, 8)), execution="graphed")


def test_graphed_needs_an_optimizer_that_can_be_recorded():
    optimizer = torch.optim.LBFGS([nn.Parameter(torch.zeros(1))])
    with pytest.raises(InputError, match=r"^execution='graphed': LBFGS cannot be recorded; use 'auto' or 'eager'$"):
        choose_execution("graphed", nn.Linear(1, 1), [optimizer], torch.device("cuda"))


def test_an_unknown_execution_is_refused():
    with pytest.raises(InputError, match=f"^execution='graph': .*must be one of {', '.join(sorted(EXECUTIONS))}"):
        train(build_model("mnist_fnn", (1, 8, 8)), execution="graph")


def test_forward_compiles_full_batches_of_training_alone():
    compiled = []

    def compiler(model, *, dynamic):
        assert dynamic is False
        return lambda inputs: compiled.append(len(inputs)) or model(inputs)

    model = nn.Linear(2, 2)
    forward = Forward(model, 4, compiler)
    forward(torch.ones(4, 2))
    forward(torch.ones(3, 2))
    model.eval()
    forward(torch.ones(4, 2))
    model.train()
    handle = model.register_forward_hook(lambda *_: None)
    forward(torch.ones(4, 2))
    handle.remove()
    forward(torch.ones(4, 2))
    assert compiled == [4, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the compiler imports
def test_a_compiled_model_learns_as_ever():
    here, there = build_model("cifar_cnn_quarter", (1, 8, 8)), build_model("cifar_cnn_quarter", (1, 8, 8))
    assert train(there, execution="compiled") == pytest.approx(train(here, execution="eager"), rel=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_cuda_graph_learns_as_ever(precision):
    losses = {}
    for execution in ("eager", "graphed"):
        model = build_model("cifar_cnn_quarter", (1, 8, 8)).cuda()
        images, labels = data()
        settings = {**SETTINGS, "epochs": 6, "precision": precision, "execution": execution}
        history = fit(model, (images.cuda(), labels.cuda()), generator=torch.Generator().manual_seed(0), **settings)
        losses[execution] = history.train_loss
    assert losses["graphed"] == pytest.approx(losses["eager"], rel=5e-2)


class Noting(nn.Module):
    """Notes whether cuDNN searches."""

    def forward(self, inputs: Tensor) -> Tensor:
        SEARCHED.append(torch.backends.cudnn.benchmark)
        return inputs


SEARCHED: list[bool] = []


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("execution", ["graphed", "eager"])
def test_convolutions_are_searched_where_updates_are_recorded(execution, deterministic, recorded, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", deterministic)
    SEARCHED.clear()
    train(nn.Sequential(Noting(), build_model("mnist_fnn", (1, 8, 8))), execution=execution)
    assert set(SEARCHED) == {execution == "graphed" and not deterministic}
    assert not torch.backends.cudnn.benchmark


class Failing:
    def on_epoch(self, moment) -> None:
        raise ValueError("on purpose")


def test_the_search_is_over_after_an_error(recorded):
    with pytest.raises(ValueError, match="on purpose"):
        train(build_model("mnist_fnn", (1, 8, 8)), execution="graphed", observers=[Failing()])
    assert not torch.backends.cudnn.benchmark
