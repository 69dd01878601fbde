"""One run: what determines it, what must not, and that every setting reaches the training."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from zeroinit._common import InputError, __version__, derive_seed
from zeroinit.bench import network
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.data import load_dataset
from zeroinit.bench.data.augment import CropFlip
from zeroinit.bench.running import device, runner, start
from zeroinit.bench.running.device import choose_device, choose_execution
from zeroinit.bench.running.runner import TRAINED, execute
from zeroinit.bench.spec import Run
from zeroinit.bench.training import History, Observer
from zeroinit.init import hash_tensor
from zeroinit.remedies import AffineNorms


def hashes(model: torch.nn.Module) -> list[str]:
    return [hash_tensor(parameter) for parameter in model.parameters()]


class Recorder(Observer):
    """Keeps the hashes of all parameters before the first and after the last step."""

    def on_start(self, state):
        self.before = hashes(state.model)

    def on_end(self, state):
        self.after = hashes(state.model)


@pytest.fixture
def trainings(monkeypatch):
    """Replaces ``fit`` by one that trains nothing; lists what it was called with."""
    calls = []

    def pretend(model, train, **settings):
        calls.append({"model": model, "train": train, **settings})
        return History(test_accuracy=[0.5] * settings["epochs"])

    monkeypatch.setattr(runner, "fit", pretend)
    return calls


def test_same_settings_and_seed_give_bitwise_the_same_history(run):
    first, second = execute(run, 3), execute(run, 3)
    assert first.history == second.history
    assert first.initial_hash == second.initial_hash
    assert len(set(first.history["train_loss"])) == run.epochs


def test_another_seed_gives_another_history(run):
    assert execute(run, 3).history != execute(run, 4).history
    assert execute(run, 3).initial_hash != execute(run, 4).initial_hash


def test_global_random_state_neither_matters_nor_changes(run):
    first = execute(run, 0)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert execute(run, 0).history == first.history
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_each_purpose_has_a_stream_of_its_own(monkeypatch, run, trainings):
    purposes, stream = [], network.stream

    def listen(seed, purpose):
        purposes.append((seed, purpose))
        return stream(seed, purpose)

    for module in (network, start, runner):
        monkeypatch.setattr(module, "stream", listen)
    execute(replace(run, num_validation=100), 7)
    assert sorted(purposes) == [(7, "augment"), (7, "init"), (7, "order"), (7, "split")]
    assert trainings[0]["generator"].initial_seed() == derive_seed(7, "order")
    assert torch.equal(trainings[0]["generator"].get_state(), stream(7, "order").get_state())


@pytest.mark.parametrize(
    "changes", [{"order": "fixed"}, {"batch_size": 32}, {"epochs": 1}, {"learning_rate": 0.1}, {"num_validation": 100}]
)
def test_other_training_leaves_the_initial_weights(run, changes):
    assert execute(replace(run, **changes), 0).initial_hash == execute(run, 0).initial_hash


@pytest.mark.parametrize("changes", [{"scale": 2.0}, {"initializer": "uniform_bias"}, {"model": "logistic_regression"}])
def test_other_initialization_changes_the_initial_weights(run, changes):
    assert execute(replace(run, **changes), 0).initial_hash != execute(run, 0).initial_hash


def test_initial_hash_is_that_of_the_model_which_is_trained(run, trainings):
    result = execute(run, 0)
    model = network.start_model(run, 0)
    assert hashes(model) == hashes(trainings[0]["model"])
    assert result.initial_hash == network.hash_model(model)


def test_fixed_and_fresh_order_share_the_first_epoch_only(run):
    fresh, fixed = (execute(replace(run, order=order), 0).history for order in ("fresh", "fixed"))
    assert fresh["train_loss"][0] == fixed["train_loss"][0]
    assert fresh["train_loss"][1] != fixed["train_loss"][1]


def test_a_longer_run_begins_as_the_shorter_one(run):
    short, long = execute(run, 1).history, execute(replace(run, epochs=3), 1).history
    assert long["test_accuracy"][:2] == short["test_accuracy"]
    assert long["train_loss"][:2] == short["train_loss"]


def test_an_optimizer_over_a_copy_trains_nothing(run):
    recorder = Recorder()
    history = execute(replace(run, trained="copy"), 0, observers=[recorder]).history
    assert recorder.after == recorder.before
    assert len(set(history["test_accuracy"])) == len(set(history["test_loss"])) == 1
    assert history["num_steps"] > 0


def test_an_optimizer_over_the_model_trains_every_tensor(run):
    recorder = Recorder()
    execute(run, 0, observers=[recorder])
    assert not set(recorder.after) & set(recorder.before)


OTHER = {
    "epochs": 3,
    "batch_size": 17,
    "optimizer": "rmsprop",
    "learning_rate": 0.25,
    "momentum": 0.5,
    "warmup_steps": 7,
    "reduction": "mean",
    "order": "fixed",
    "max_steps": 3,
    "precision": "float64",
    "evaluation_mode": "train",
}


@pytest.mark.parametrize("name", OTHER)
def test_every_training_setting_reaches_fit(run, trainings, name):
    execute(run, 0)
    execute(replace(run, **{name: OTHER[name]}), 0)
    assert trainings[0][name] == getattr(run, name)
    assert trainings[1][name] == OTHER[name]


def test_the_automatic_scale_reaches_the_initializer(run):
    model = network.start_model(replace(run, auto_scale=True), 0)
    plain = network.start_model(run, 0)
    assert torch.allclose(model.dense_1.bias, plain.dense_1.bias * 3 / 500**0.5)
    assert torch.allclose(model.dense_2.bias, plain.dense_2.bias * 0.01)


@pytest.mark.parametrize("other", [{"scale": 2.0}, {"output_scale": 0.0}, {"offset_scale": 1.0}])
def test_the_automatic_scale_allows_no_other(run, other):
    with pytest.raises(InputError, match=r"^auto_scale=True: chooses the scale of every layer; leave the other scales"):
        execute(replace(run, auto_scale=True, **other), 0)


def test_every_other_setting_reaches_what_it_names(run, trainings):
    handled_here = {"dataset", "model", "activation", "initializer", "scale", "pixels", "num_validation", "trained"}
    handled_below = {"norm_aware", "remedy", "remedy_steps", "augmentation", "include", "norm", "num_train", "recorder"}
    handled_below |= {"num_test", "hidden", "output_scale", "offset_scale", "spoiler", "auto_scale"}
    assert handled_here | handled_below | set(OTHER) == set(Run().to_dict())
    other = replace(run, model="mnist_cnn", activation="sigmoid", pixels="standardized", num_validation=47, scale=3.0)
    execute(other, 0)
    model = network.start_model(other, 0)
    call = trainings[0]
    assert str(call["model"]) == str(model)
    assert "Sigmoid" in str(model)
    assert "Conv2d" in str(model)
    assert hashes(call["model"]) == hashes(model)
    assert repr(call["transform"]).startswith("StandardizedPixels")
    assert len(call["validation"][1]) == 47
    assert len(call["train"][1]) == 1347 - 47


@pytest.fixture
def with_norms(run):
    return replace(run, model="cifar_cnn", initializer="normal_bias")


def test_norm_aware_reaches_the_initializer(with_norms, trainings):
    execute(with_norms, 0)
    execute(replace(with_norms, norm_aware=True), 0)
    plain, aware = (dict(call["model"].named_parameters()) for call in trainings)
    differing = [name for name in plain if not torch.equal(plain[name], aware[name])]
    assert differing == ["norm_1.bias", "norm_2.bias", "norm_3.bias"]


def test_a_remedy_reaches_the_model_for_its_steps(with_norms, trainings):
    execute(with_norms, 0)
    execute(replace(with_norms, remedy="affine_norms", remedy_steps=5), 0)
    assert trainings[0]["observers"] == []
    (remedy,) = trainings[1]["observers"]
    assert (type(remedy), remedy.remaining) == (AffineNorms, 5)


def test_remedies_together_draw_from_the_stream_of_their_name(with_norms, trainings):
    execute(replace(with_norms, remedy="affine_norms+early_dropout:7:0.3", remedy_steps=5), 0)
    execute(replace(with_norms, remedy="early_dropout", remedy_steps=7), 0)
    execute(replace(with_norms, remedy="early_dropout", remedy_steps=7), 1)
    (together,), (alone,), (other_seed,) = (call["observers"] for call in trainings)
    assert [part.remaining for part in together.parts] == [5, 7]
    states = [each.state_dict()["generator"].tolist() for each in (together.parts[1], alone, other_seed)]
    assert states[0] == states[1] != states[2]


def test_a_remedy_changes_the_history_and_not_the_initial_weights(with_norms):
    short = replace(with_norms, epochs=1, num_validation=1347 - 64, batch_size=8)
    plain, helped = execute(short, 0), execute(replace(short, remedy="affine_norms", remedy_steps=8), 0)
    assert plain.initial_hash == helped.initial_hash
    assert plain.history != helped.history


def test_an_augmentation_draws_from_the_seed_and_concerns_training_alone(run, trainings):
    execute(run, 5)
    execute(replace(run, augmentation="crop_flip"), 5)
    assert trainings[0]["augment"] is None
    assert isinstance(trainings[1]["augment"], CropFlip)
    assert trainings[1]["augment"].generator.initial_seed() == derive_seed(5, "augment")
    assert repr(trainings[1]["transform"]) == repr(trainings[0]["transform"])


def test_pixels_are_standardized_by_the_training_part_alone(run, trainings):
    execute(replace(run, pixels="standardized", num_validation=1000), 0)
    train, transform = trainings[0]["train"], trainings[0]["transform"]
    assert transform.mean == pytest.approx((train[0].double().mean().item(),))


def test_the_split_never_touches_test_images(run, trainings):
    execute(replace(run, num_validation=300), 5)
    digits, call = load_dataset("digits"), trainings[0]
    held_in = sorted(image.numpy().tobytes() for part in ("train", "validation") for image in call[part][0])
    assert held_in == sorted(image.numpy().tobytes() for image in digits.train_images)
    assert not set(held_in) & {image.numpy().tobytes() for image in digits.test_images}
    assert torch.equal(call["test"][0], digits.test_images)
    assert torch.equal(call["test"][1], digits.test_labels)


def test_the_split_depends_on_the_seed_alone(run, trainings):
    held_out = replace(run, num_validation=300)
    for settings, seed in ((held_out, 0), (replace(held_out, initializer="zero", order="fixed"), 0), (held_out, 1)):
        execute(settings, seed)
    first, same, other = (call["validation"][0] for call in trainings)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_data_sets_own_split_is_the_default(run, trainings):
    execute(run, 0)
    assert len(trainings[0]["validation"][1]) == load_dataset("digits").num_validation
    assert len(trainings[0]["train"][1]) == 1347


def test_the_result_says_what_ran_where(run):
    epochs = []
    result = execute(run, 2, device="cpu", on_epoch=epochs.append)
    assert (result.run, result.seed) == (run, 2)
    assert result.environment["zeroinit"] == __version__
    assert result.environment["torch"] == torch.__version__
    assert result.environment["device"] == "cpu"
    assert result.environment["threads"] == torch.get_num_threads()
    assert result.seconds > 0
    assert len(epochs) == run.epochs


def test_the_result_says_what_made_it(run, monkeypatch, tmp_path):
    """The sums are those of independent tools, and another byte of source or another pixel changes them."""
    before = datetime.now(UTC).replace(microsecond=0)
    made = execute(run, 0).origin
    assert before <= datetime.fromisoformat(made["started"]) <= datetime.now(UTC)
    digits, whole = load_dataset("digits"), hashlib.sha256()
    for images in ("train_images", "train_labels", "test_images", "test_labels"):
        values = getattr(digits, images)
        whole.update(f"{values.dtype} {tuple(values.shape)}\n".encode() + bytes(values.numpy().tobytes()))
    assert made["data"] == digits.checksum == whole.hexdigest()
    changed = replace(digits, test_labels=digits.test_labels.flip(0))
    assert changed.checksum != digits.checksum

    hash_of_source = device._hash_of_source.__wrapped__
    assert made["source"] == hash_of_source()
    monkeypatch.setattr(device, "PACKAGE", tmp_path)
    sums = []
    for change in (lambda: (tmp_path / "a.py").write_text("x = 1"), lambda: (tmp_path / "a.py").write_text("x = 2")):
        change()
        sums.append(hash_of_source())
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({*sums, hash_of_source(), made["source"]}) == 4


def test_a_machine_without_facts_of_its_processor_is_named_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "CPU_FACTS", tmp_path / "none")
    assert device._processor.__wrapped__().endswith(f", {torch.backends.cpu.get_cpu_capability()}")


def test_divergence_is_an_outcome_and_no_error(diverging):
    history = execute(diverging, 0).history
    assert history["outcome"] == "diverged"
    assert 1 <= len(history["test_accuracy"]) < diverging.epochs
    assert all(0 <= accuracy <= 1 for accuracy in history["test_accuracy"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mnits"}, r"dataset='mnits': did you mean 'mnist'\? It must be one of cifar10, digits, mnist"),
        ({"model": "fnn"}, r"model='fnn': did you mean 'mnist_fnn'\? It must be one of"),
        ({"activation": "elo"}, r"activation='elo': did you mean 'elu'\? It must be one of"),
        ({"initializer": "normal"}, r"initializer='normal': did you mean 'normal_bias'\? It must be one of"),
        ({"scale": -1.0}, "scale=-1.0: must be"),
        ({"pixels": "raw"}, "pixels='raw': must be one of cifar10, standardized, unit"),
        ({"pixels": "cifar10"}, "pixels='cifar10': is for images with 3 channels"),
        (
            {"augmentation": "crop"},
            r"augmentation='crop': did you mean 'crop_flip'\? It must be one of crop_flip, none",
        ),
        ({"remedy": "affine"}, r"remedy='affine': did you mean 'affine_norms'\? It must be one of affine_norms, .*"),
        ({"remedy": "affine_norms+warm"}, r"remedy='warm': did you mean 'warmup'\? It must be one of affine_norms, .*"),
        ({"remedy": "warmup:x"}, "remedy='warmup:x': 'warmup:x' must be a name, name:steps or name:steps:strength"),
        ({"remedy_steps": 3}, "remedy_steps=3: there is no remedy to take steps"),
        ({"remedy": "affine_norms", "remedy_steps": -1}, "steps=-1: must be at least 0"),
        ({"norm_aware": True, "initializer": "pytorch"}, "norm_aware=True: "),
        ({"num_validation": 1347}, "num_validation=1347: must be from 0 to 1346"),
        ({"epochs": -1}, "epochs=-1: must be at least 0"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"optimizer": "adan"}, r"optimizer='adan': did you mean 'adam'\? It must be one of .*"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: must be"),
        ({"reduction": "max"}, r"reduction='max': did you mean 'mean'\? It must be one of mean, sum"),
        ({"order": "random"}, "order='random': must be one of fixed, fresh"),
        ({"evaluation_mode": "test"}, "evaluation_mode='test': must be one of eval, train"),
        ({"trained": "twin"}, "trained='twin': must be one of copy, model"),
    ],
)
def test_a_setting_that_is_not_known_is_named(run, changes, message):
    with pytest.raises(InputError, match=message):
        execute(replace(run, **changes), 0)


def test_negative_seed(run):
    with pytest.raises(InputError, match="seed=-1: must be at least 0"):
        execute(run, -1)


def test_the_table_of_what_is_trained():
    model = torch.nn.Linear(2, 2)
    assert TRAINED["model"](model) is model
    copied = TRAINED["copy"](model)
    assert copied is not model
    assert hashes(copied) == hashes(model)


@pytest.mark.parametrize("device", ["tpu", "gpu", "", "cpu:0", "auto:1", "cuda:x", "cuda:", "cuda:-1"])
def test_unknown_device(device, run):
    with pytest.raises(
        InputError, match=rf"^device='{device}': .*must be one of auto, cpu(, cuda.*)? on this machine$"
    ):
        execute(run, 0, device=device)


@pytest.mark.parametrize(("device", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there(monkeypatch, device, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(
        InputError,
        match=rf"^device='{device}': .*must be one of auto, cpu{', cuda, cuda:0, cuda:1' if count else ''} on",
    ):
        choose_device(device)


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.gpu
def test_a_gpu_starts_from_the_same_weights_and_ends_close(run):
    here, there = execute(run, 0, device="cpu"), execute(run, 0, device="cuda")
    assert there.initial_hash == here.initial_hash
    assert there.environment["device"] != "cpu"
    assert there.history["test_accuracy"][-1] == pytest.approx(here.history["test_accuracy"][-1], abs=0.05)


def test_long_runs_on_a_cuda_device_are_compiled():
    long, short = FIGURES["fig11"].curves[0].run, FIGURES["fig9"].curves[1].run
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [choose_execution(run, cuda) for run in (long, short)] == ["compiled", "auto"]
    assert choose_execution(long, cpu) == "auto"
    assert choose_execution(replace(long, precision="float64"), cuda) == "auto"
    assert choose_execution(replace(long, batch_size=0), cuda) == "auto"
