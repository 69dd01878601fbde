"""``watch`` in loops of every kind: what it counts, what it sees, and that training is as without it."""

import copy
import gc
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

import zeroinit
from zeroinit import InputError
from zeroinit.integrations import Watch, WatchWarning, watch
from zeroinit.integrations.logs import Log, check_log


def build(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def alike() -> nn.Sequential:
    """All units of the first layer are identical."""
    model = build()
    for parameter in (*model[0].parameters(), model[2].weight):
        nn.init.constant_(parameter, 0.1)
    return model


BATCH = torch.linspace(-1, 1, 15).reshape(5, 3)


def backward(model: nn.Module, factor: float = 1.0) -> None:
    (factor * (model(BATCH) - 1).square().mean()).backward()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> None:
    for _ in range(updates):
        optimizer.zero_grad()
        backward(model)
        optimizer.step()


def hooks_of_all_optimizers() -> int:
    from torch.optim import optimizer

    return len(optimizer._global_optimizer_pre_hooks) + len(optimizer._global_optimizer_post_hooks)


def test_a_healthy_model():
    model, logged = build(), []
    with zeroinit.watch(model, every=4, log=lambda numbers, update: logged.append((update, numbers))) as seen:
        train(model, Adam(model.parameters()), 16)
    assert [update for update, _ in logged] == [*range(1, 11), 12, 16]
    assert sorted({each.step for each in seen.records}) == [*range(1, 11), 12, 16]
    assert str(seen) == "After 16 updates: no units are identical, and each of 4 parameters had a gradient."
    numbers = logged[-1][1]
    assert {name.partition("/")[0] for name in numbers} == {"zeroinit"}
    for what in ("identical_units", "merged_units", "units_without_gradient", "parameters_without_gradient"):
        assert numbers[f"zeroinit/{what}"] == 0
    assert numbers["zeroinit/parameters_not_finite"] == 0
    assert 1 < numbers["zeroinit/effective_rank_weights"] < 3.01
    assert len(seen.to_frame()) == len(seen.records) == 2 * 12
    assert repr(seen) == "Watch(Sequential, 16 updates)"


def test_what_was_seen_can_be_pickled_and_copied_also_while_it_watches():
    model, logged = build(), []
    with watch(model, log=lambda numbers, update: logged.append(update)) as seen:
        train(model, Adam(model.parameters()), 1)
        within = pickle.loads(pickle.dumps(seen))
        copied = copy.deepcopy(seen)
        train(model, Adam(model.parameters()), 1)
    after = pickle.loads(pickle.dumps(seen))
    told = "no units are identical, and each of 4 parameters had a gradient."
    assert [str(within), str(after)] == [f"After 1 update: {told}", f"After 2 updates: {told}"]
    assert [repr(each) for each in (within, copied, after)] == [
        "Watch(Sequential, 1 update)", "Watch(Sequential, 1 update)", "Watch(Sequential, 2 updates)",
    ]  # fmt: skip
    assert after.records == seen.records
    assert after.without_gradient == ()
    assert logged == [1, 2]
    assert hooks_of_all_optimizers() == 0


def test_identical_units_are_counted_and_named():
    model, logged = alike(), []
    with watch(model, log=lambda numbers, _: logged.append(numbers)) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 3)
    assert [numbers["zeroinit/identical_units"] for numbers in logged] == [7, 7, 7]
    assert str(seen) == "After 3 updates: units are identical in 1 of 2 layers (`0`: 1 different of 8)."


def test_units_that_merge_again_are_counted():
    """Units differ at first; a decay of everything but one value makes them equal again."""
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        train(model, optimizer, 2)
        with torch.no_grad():
            model[0].weight[3:6] = model[0].weight[3]
            model[0].bias[3:6] = model[0].bias[3]
            model[2].weight[:, 3:6] = model[2].weight[:, 3:4]
        train(model, optimizer, 1)
    by_step = {each.step: each.num_merged for each in seen.records if each.path == "0"}
    assert by_step == {1: 0, 2: 0, 3: 2}
    assert "units merged again in 1 of 2 layers (`0`)" in str(seen)


def test_units_that_were_never_apart_have_not_merged():
    model = alike()
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 3)
    assert {each.num_merged for each in seen.records} == {0}


def test_parameters_without_a_gradient_are_named():
    model = build()
    for parameter in model[2].parameters():
        nn.init.zeros_(parameter)
    model.spare = nn.Linear(2, 2)
    model.forward = lambda inputs: model[2](model[1](model[0](inputs)))
    trained = [*model[0].parameters(), model[2].bias, *model.spare.parameters()]  # all but 2.weight
    with watch(model) as seen:
        train(model, SGD(trained, lr=0.1), 2)
    assert seen.without_gradient == ("0.bias", "0.weight", "spare.bias", "spare.weight")
    assert str(seen).endswith(
        "4 of 6 parameters (`0.bias`, `0.weight`, `spare.bias`, ...) had no gradient, "
        "1 of 6 parameters (`2.weight`) are held by no optimizer."
    )


def test_a_gradient_that_comes_later_counts():
    model = build()
    nn.init.zeros_(model[2].weight)
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 2)
    assert seen.without_gradient == ()
    silent = {each.step: each.num_silent for each in seen.records if each.path == "0"}
    assert silent == {1: 8, 2: 0}


def test_updates_are_counted_not_passes():
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        for number in range(9):
            backward(model)
            model.eval()
            with torch.no_grad():
                model(BATCH)
            model.train()
            if number % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
        optimizer.step()  # without gradients it changes nothing
        assert seen.num_updates == 3
        train(model, optimizer, 1)
    assert [each.step for each in seen.records if each.path == "0"] == [1, 2, 3, 4]
    assert seen.without_gradient == ()


def test_several_optimizers_make_one_update():
    model, logged = build(), []
    optimizers = [SGD(model[0].parameters(), lr=0.1), Adam(model[2].parameters())]
    with watch(model, log=lambda numbers, update: logged.append(update)) as seen:
        for _ in range(4):
            backward(model)
            for optimizer in optimizers:
                optimizer.step()
    assert seen.num_updates == 4
    assert [each.step for each in seen.records if each.path == "0"] == [1, 2, 3, 4]
    assert [each.step for each in seen.records if each.path == "2"] == [1, 2, 3, 4]
    assert seen.without_gradient == ()
    assert logged == [1, 2, 3, 4]


def train_in_turns(model: nn.Sequential, turns: str, log: list | None = None) -> Watch:
    """Step with the optimizer of layer 0 or of layer 2, as the digits say; gradients are of both."""
    optimizers = {name: SGD(model[int(name)].parameters(), lr=0.1) for name in "02"}
    with watch(model, log=None if log is None else lambda numbers, update: log.append(update)) as seen:
        for name in turns:
            backward(model)
            optimizers[name].step()
    return seen


@pytest.mark.parametrize(
    ("turns", "num"),
    [
        ("02020202" + "2222", 8),  # one optimizer is stopped
        ("02" * 3 + "0" * 12 + "02" * 2, 17),  # one rests
        ("0000000000" + "2" + "0000000000" + "2", 20),  # one steps once in ten updates
        ("00002" * 4, 16),  # a critic
        ("2" + "00002" * 4, 16),  # the first two steps are one update
    ],
)
def test_the_busiest_optimizer_makes_the_count(turns, num):
    """An update changes each parameter at most once, and nobody is waited for."""
    logged = []
    seen = train_in_turns(build(), turns, logged)
    assert seen.num_updates == num
    recorded = [update for update in range(1, num + 1) if update <= 10]
    assert logged == recorded  # each once, in order
    assert {each.step for each in seen.records} == {*recorded}
    assert str(seen).startswith(f"After {num} updates: no units are identical, and each of 4 parameters had")


def test_an_update_is_open_until_the_next_one_begins():
    model, logged = build(), []
    first, second = SGD(model[0].parameters(), lr=0.1), SGD(model[2].parameters(), lr=0.1)
    with watch(model, log=lambda numbers, update: logged.append(update)) as seen:
        for optimizer in (first, second, first):
            backward(model)
            optimizer.step()
        assert (seen.num_updates, logged) == (2, [1])  # the second optimizer may follow
    assert (seen.num_updates, logged) == (2, [1, 2])


def test_two_networks_that_freeze_each_other_are_both_counted():
    """Lightning's toggle_optimizer and pix2pix's set_requires_grad freeze one while the other is trained."""
    model = build()
    optimizers = [SGD(model[0].parameters(), lr=0.1), SGD(model[2].parameters(), lr=0.1)]
    with watch(model) as seen:
        for _ in range(2):
            for number, optimizer in enumerate(optimizers):
                model[0].requires_grad_(number == 0)
                model[2].requires_grad_(number == 1)
                model.zero_grad()
                backward(model)
                optimizer.step()
    assert str(seen) == "After 2 updates: no units are identical, and each of 4 parameters had a gradient."


def test_a_model_that_becomes_nan_has_no_identical_units():
    model, logged = build(), []
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model, log=lambda numbers, update: logged.append(numbers)) as seen:
        for factor in (1.0, float("nan"), 1.0):
            optimizer.zero_grad()
            backward(model, factor)
            optimizer.step()
    assert str(seen) == (
        "After 3 updates: 4 of 4 parameters (`0.bias`, `0.weight`, `2.bias`, ...) became NaN or infinite, "
        "first seen after update 2."
    )
    assert seen._recorder.not_finite == dict.fromkeys(("0.bias", "0.weight", "2.bias", "2.weight"), 2)
    assert [numbers["zeroinit/parameters_not_finite"] for numbers in logged] == [0, 0, 4]
    assert [numbers["zeroinit/identical_units"] for numbers in logged] == [0, 0, 0]
    assert [numbers["zeroinit/merged_units"] for numbers in logged] == [0, 0, 0]


def test_what_happens_after_the_last_record_is_seen_at_the_end():
    """A record is due at update 10 and at update 100; training ends after update 20."""
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        train(model, optimizer, 13)
        optimizer.zero_grad()
        backward(model, float("nan"))
        optimizer.step()
        train(model, optimizer, 6)
        assert str(seen).endswith("each of 4 parameters had a gradient (gradients were last seen at update 10).")
    assert str(seen).startswith("After 20 updates: 4 of 4 parameters (`0.bias`, `0.weight`, `2.bias`, ...) became NaN")
    assert str(seen).endswith("first seen after update 20.")
    assert {each.step for each in seen.records} == {*range(1, 11)}  # the last look is no record


@pytest.mark.parametrize("zeroed", [None, True, False])
def test_a_layer_that_dies_after_the_last_record_is_named(zeroed):
    """Who removes gradients after a step, or makes them zero, leaves nothing to see: then the sentence says so."""
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(model[0].bias, 5)
    optimizer = SGD(model.parameters(), lr=0.001)
    with watch(model) as seen:
        train(model, optimizer, 13)
        with torch.no_grad():
            model[0].bias.fill_(-100)
        train(model, optimizer, 2)
        if zeroed is not None:
            optimizer.zero_grad(set_to_none=zeroed)
    if zeroed is None:
        text = "3 of 4 parameters (`0.bias`, `0.weight`, `2.weight`) lost their gradient, first seen at update 15."
        assert str(seen) == f"After 15 updates: {text}"
    else:
        healthy = "no units are identical, and each of 4 parameters had a gradient"
        assert str(seen) == f"After 15 updates: {healthy} (gradients were last seen at update 10)."


def test_a_gradient_that_comes_and_goes_is_not_lost():
    """Heads that learn in turns, or experts that rest, have no gradient now and then, at the end as well."""
    model = build()
    model.other = nn.Linear(8, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        for update in range(15):
            optimizer.zero_grad(set_to_none=False)
            hidden = model[1](model[0](BATCH))
            (model[2] if update % 2 else model.other)(hidden).square().mean().backward()
            optimizer.step()
    assert str(seen) == "After 15 updates: no units are identical, and each of 6 parameters had a gradient."


def test_a_last_look_at_a_model_that_was_taken_apart_keeps_what_was_seen():
    model = alike()
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 12)
        model.to_empty(device="meta")
    assert str(seen).startswith("After 12 updates: units are identical in 1 of 2 layers (`0`: 1 different of 8)")


def test_a_last_look_does_not_hide_your_own_error():
    model = build()

    def fail() -> None:
        with watch(model):
            train(model, SGD(model.parameters(), lr=0.1), 12)
            model.to_empty(device="meta")
            raise KeyError

    with pytest.raises(KeyError):
        fail()


@pytest.mark.parametrize(("updates", "dead", "is_named"), [(12, 7, True), (12, 4, False), (9, 7, False)])
def test_units_that_never_had_a_gradient_are_named(updates, dead, is_named):
    """Half of the units may be dead from the start, and fewer than ten records tell little about units that rest."""
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(model[0].bias, -50)
    nn.init.constant_(model[0].bias[dead:], 5)
    with watch(model) as seen:
        train(model, Adam(model.parameters()), updates)
    text = "units had no gradient in any record in 1 of 2 layers (`0`: 7 of 8)"
    healthy = "no units are identical, and each of 4 parameters had a gradient"
    assert str(seen) == f"After {updates} updates: {text if is_named else healthy}."
    assert seen.without_gradient == ()


def test_parts_that_are_compiled_have_the_names_of_the_model():
    model, logged = alike(), []
    model = nn.Sequential(torch.compile(model[:2], backend="eager"), torch.compile(model[2], backend="eager"))
    model.spare = torch.compile(nn.Linear(2, 2), backend="eager")
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model, log=lambda numbers, _: logged.extend(numbers), by_layer=True) as seen:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.spare._orig_mod.weight.grad = None
        optimizer.step()
    assert [each.path for each in seen.records] == ["0.0", "1", "spare"]
    assert seen.without_gradient == ("spare.weight",)
    assert not [name for name in logged if "_orig_mod" in name]
    assert "(`0.0`: 1 different of 8" in str(seen)


def test_units_that_had_a_gradient_once_are_not_named():
    """Each unit of the first layer rests at all updates but one."""
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = SGD(model.parameters(), lr=0.0)
    with watch(model) as seen:
        for update in range(10):
            with torch.no_grad():
                model[0].bias.fill_(-50)
                model[0].bias[update % 8] = 5
            train(model, optimizer, 1)
    assert [each.num_silent for each in seen.records if each.path == "0"] == [7] * 10
    assert "no gradient" not in str(seen)


def test_parameters_in_no_optimizer_count_as_without_gradient():
    model, logged = build(), []
    model.spare = nn.Linear(2, 2)
    model.forward = lambda inputs: model[2](model[1](model[0](inputs)))
    with watch(model, log=lambda numbers, _: logged.append(numbers["zeroinit/parameters_without_gradient"])) as seen:
        train(model, SGD(model[0].parameters(), lr=0.1), 3)
    assert seen.without_gradient == ("spare.bias", "spare.weight")  # layer 2 is in no optimizer, and has a gradient
    assert logged == [0, 2, 2]  # at the first update, another optimizer may follow
    assert "4 of 6 parameters (`2.weight`, `2.bias`, `spare.weight`, ...) are held by no optimizer" in str(seen)


def test_units_that_are_identical_beside_one_that_is_nan():
    model = alike()
    with torch.no_grad():
        model[0].weight[3] = torch.nan
    with watch(model) as seen:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        SGD(model.parameters(), lr=0.1).step()
    assert [(each.num_units, each.num_driven_apart) for each in seen.records] == [(8, 2), (2, 2)]


def test_complex_weights_are_watched():
    model = nn.Sequential(nn.Linear(3, 4, dtype=torch.complex64), nn.Linear(4, 2, dtype=torch.complex64))
    nn.init.constant_(model[0].weight, 0.1 + 0.2j)
    nn.init.zeros_(model[0].bias)
    nn.init.constant_(model[1].weight, 0.5)
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        (model(BATCH.to(torch.complex64)) - 1).abs().square().mean().backward()
        optimizer.step()
    assert str(seen) == "After 1 update: units are identical in 1 of 2 layers (`0`: 1 different of 4)."


def test_a_gradient_between_two_records_may_have_been_missed():
    model, spare = build(), nn.Linear(2, 2)
    model.spare = spare
    model.forward = lambda inputs: model[2](model[1](model[0](inputs)))
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        train(model, optimizer, 10)
        spare.weight.grad = torch.ones(2, 2)
        optimizer.step()
        optimizer.zero_grad()
    text = "2 of 6 parameters (`spare.bias`, `spare.weight`) had no gradient at the recorded updates."
    assert str(seen) == f"After 11 updates: {text[:-1]} (gradients were last seen at update 10)."


def test_a_watch_that_is_not_started_says_so():
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)
    seen = watch(model)
    assert str(seen).startswith("Not started: watch(model) sees nothing before it is started; train inside `with")
    with pytest.warns(WatchWarning, match=r"sees nothing before it is started; train inside `with zeroinit\.watch"):
        train(model, optimizer, 1)
    train(model, optimizer, 1)  # it is told once
    with pytest.warns(WatchWarning, match="sees nothing"):
        watch(model)
    started = watch(model)
    started.start()
    train(model, optimizer, 1)
    started.detach()
    assert str(started).startswith("After 1 update:")


@pytest.mark.parametrize("by_name", [False, True])
def test_gradients_that_a_closure_makes_are_seen(by_name):
    """Lightning hands its steps over like that; gradients of the step before would be seen otherwise."""
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(BATCH) - 1).square().mean()
        loss.backward()
        return loss

    with watch(model) as seen:
        for _ in range(2):
            loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
            assert loss > 0
    alone = build()
    backward(alone)
    first = {each.path: each.gradient for each in seen.records if each.step == 1}
    assert first == {path: float(alone[int(path)].weight.grad.abs().max()) for path in "02"}
    assert seen.num_updates == 2
    assert seen.without_gradient == ()


def test_a_step_of_many_passes_is_one_update():
    model = build()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(BATCH) - 1).square().mean()
        loss.backward()
        return loss

    with watch(model) as seen:
        optimizer.step(closure)
        optimizer.step(closure)
    assert seen.num_updates == 2
    assert [each.step for each in seen.records if each.path == "0"] == [1, 2]
    assert seen.records[0].diversity["stable_rank_updates"] == 0  # as it was before the first change


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_are_no_updates(fused):
    model = build()
    optimizer = SGD(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with watch(model) as seen:
        for number in range(4):
            optimizer.zero_grad()
            scaler.scale((model(BATCH) - 1).square().mean() * (torch.inf if number == 1 else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert seen.num_updates == 3
    assert [each.step for each in seen.records if each.path == "0"] == [1, 2, 3]
    alone = build()
    backward(alone)
    first = next(each for each in seen.records if each.path == "0")
    assert first.gradient == pytest.approx(float(alone[0].weight.grad.abs().max()), rel=1e-4)


def test_training_is_bit_for_bit_as_without():
    def weights(watched: bool) -> list[torch.Tensor]:
        model = nn.Sequential(build(), nn.Dropout(0.5), nn.Linear(2, 2))
        for parameter in model[2].parameters():
            nn.init.ones_(parameter)
        optimizer = Adam(model.parameters())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            if watched:
                with watch(model, every=2):
                    train(model, optimizer, 12)
            else:
                train(model, optimizer, 12)
            return [*(each.detach() for each in model.parameters()), torch.rand(1)]

    assert all(torch.equal(*pair) for pair in zip(weights(True), weights(False), strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays_behind_also_after_an_error(fails):
    model, before = build(), hooks_of_all_optimizers()
    optimizer = SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        with watch(model) as seen:
            assert hooks_of_all_optimizers() == before + 2
            assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
            train(model, optimizer, 1)
            if fails:
                raise KeyboardInterrupt
        assert seen.num_updates == 1

    if fails:
        with pytest.raises(KeyboardInterrupt):
            loop()
    else:
        loop()
    assert hooks_of_all_optimizers() == before


def test_a_watch_that_is_forgotten_takes_its_hooks_off():
    before = hooks_of_all_optimizers()
    Watch(build()).start()
    gc.collect()
    assert hooks_of_all_optimizers() == before


def test_another_model_is_no_concern():
    model, other = build(), build(1)
    with pytest.warns(WatchWarning, match="no optimizer of torch updated this Sequential"), watch(model) as seen:
        train(other, SGD(other.parameters(), lr=0.1), 2)
    assert str(seen) == "Nothing was seen: no optimizer of torch has updated this model."
    with watch(model) as seen, watch(other) as beside:
        train(other, SGD(other.parameters(), lr=0.1), 2)
        train(model, SGD(model.parameters(), lr=0.1), 1)
    assert (seen.num_updates, beside.num_updates) == (1, 2)


def test_a_compiled_model_stays_compiled():
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    model = build()
    inside = torch.compile(model, backend=backend)
    with watch(inside) as seen:
        train(inside, SGD(model.parameters(), lr=0.1), 3)
    assert len(compiled) >= 1
    assert seen.num_updates == 3
    assert {each.path for each in seen.records} == {"0", "2"}
    torch._dynamo.reset()


def test_by_layer_there_are_numbers_for_each_layer():
    model, logged = alike(), []
    with watch(model, log=lambda numbers, _: logged.append(numbers), by_layer=True):
        train(model, SGD(model.parameters(), lr=0.1), 1)
    assert logged[0]["zeroinit/0/distinct_units"] == 1
    assert logged[0]["zeroinit/2/distinct_units"] == 2
    assert "zeroinit/0/effective_rank_gradients" in logged[0]


def test_gpts_conv1d_is_a_layer():
    transformers = pytest.importorskip("transformers")
    model = nn.Sequential(transformers.pytorch_utils.Conv1D(8, 3), nn.Tanh(), nn.Linear(8, 2))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.constant_(model[2].weight, 0.1)
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 1)
    assert [(each.num_units, each.num_driven_apart) for each in seen.records] == [(8, 1), (2, 2)]


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = alike()
    with watch(model, log=tmp_path / "run"):
        train(model, SGD(model.parameters(), lr=0.1), 2)
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [(each.step, each.value) for each in events.Scalars("zeroinit/identical_units")] == [(1, 7), (2, 7)]


def test_a_writer_of_yours_stays_open():
    class Writer:
        def __init__(self):
            self.seen = []

        def add_scalar(self, name, value, step):
            self.seen.append((name, value, step))

        def close(self):
            raise AssertionError("closed")

    writer, model = Writer(), build()
    with watch(model, log=writer):
        train(model, SGD(model.parameters(), lr=0.1), 1)
    assert ("zeroinit/identical_units", 0.0, 1) in writer.seen


def test_what_is_refused(without_type_checks, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="every=0: must be at least 1"):
        watch(build(), every=0)
    with pytest.raises(InputError, match=r"model=3: is no nn\.Module"):
        watch(3)
    with pytest.raises(InputError, match="model=ReLU: has no parameters to train"):
        watch(nn.ReLU())
    with pytest.raises(InputError, match=r"model: 0\.weight is lazy; run one forward pass first"):
        watch(nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(InputError, match="by_layer='x': must be True or False"):
        watch(build(), by_layer="x")
    for word in ("all", "gradients"):
        with pytest.raises(InputError, match=f"log='{word}': is a word of wandb.watch; .* hand over a function"):
            watch(build(), log=word)
    check_log(str(tmp_path / "all"))
    for target in (3, "", lambda numbers: None, lambda numbers, *, step: None):
        with pytest.raises(
            InputError, match=r"log=.*: must be a folder for TensorBoard.* function \(numbers, update\)"
        ):
            watch(build(), log=target)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=r"log='.*file': File exists; name a folder to write to"):
        Log(file)
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        InputError, match=r"TensorBoard is not installed; type: pip install 'torch-zeroinit\[tensorboard\]'"
    ):
        Log("runs")


def test_a_copy_of_the_model_is_not_watched():
    model = build()
    with watch(model) as seen:
        train(model, SGD(model.parameters(), lr=0.1), 1)
        other = copy.deepcopy(model)
        train(other, SGD(other.parameters(), lr=0.1), 4)
    assert seen.num_updates == 1


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_are_set_to_zero_before_the_step_are_asked_for(set_to_none):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as caught, watch(model) as seen:
        warnings.simplefilter("always")
        for _ in range(12):
            model(torch.ones(4, 3)).square().mean().backward()
            optimizer.zero_grad(set_to_none=set_to_none)
            optimizer.step()
    ask = (
        "does zero_grad() stand between backward() and step(), or does the loss not reach this model (no_grad, detach)?"
    )
    if set_to_none:
        assert [str(each.message) for each in caught if each.category.__name__ == "WatchWarning"] == [
            f"watch saw no update: optimizer.step() ran 12 times, always without gradients; {ask}"
        ]
        assert str(seen).startswith("Nothing was seen: optimizer.step() ran 12 times")
        assert str(seen).endswith("(no_grad, detach)?")
    else:
        assert "had no gradient at the recorded updates; the gradients are there and are 0; are all labels" in str(seen)
        assert str(seen).endswith("does zero_grad(set_to_none=False) stand between backward() and step()?")
        assert "last seen" not in str(seen)


@pytest.mark.parametrize("label", [-100, 1])
def test_labels_that_are_all_ignored_are_asked_for(label):
    """Their gradients are zeros, which neither ``zero_grad`` nor ``detach`` explains."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(4, 3)), torch.full((4,), label), reduction="sum").backward()
            optimizer.step()
    assert ("are all labels ignored" in str(seen)) is (label == -100)
    assert "no_grad" not in str(seen)


def test_a_loss_that_never_reaches_the_model_is_asked_for():
    model, critic = build(), nn.Linear(2, 1)
    optimizer = SGD(model.parameters(), lr=0.1)

    def train_critic() -> None:
        with watch(model):
            for _ in range(3):
                with torch.no_grad():
                    made = model(BATCH)
                critic(made).mean().backward()
                optimizer.step()

    with pytest.warns(WatchWarning, match="does the loss not reach this model"):
        train_critic()


def train_scaled(
    model: nn.Module, factors: list[float], *optimizers: torch.optim.Optimizer, zero: bool = False
) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for factor in factors:
        model.zero_grad()
        scaler.scale((model(BATCH) - 1).square().mean() * factor).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        if zero:
            model.zero_grad()


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_that_skips_every_step_is_named_as_the_cause(fused, zero):
    model = build()
    seen = watch(model)

    def train_watched() -> None:
        with seen:
            train_scaled(model, [torch.inf] * 12, SGD(model.parameters(), lr=0.1, fused=fused), zero=zero)

    with pytest.warns(WatchWarning) as warned:
        train_watched()
    cause = (
        "gradients of 4 of 4 parameters (`0.weight`, `0.bias`, `2.weight`, ...) are NaN or infinite, so a GradScaler "
        "skipped all 12 steps; lower the loss, the learning rate or the scale"
    )
    assert [str(each.message) for each in warned] == [f"watch saw no update: {cause}"]
    assert str(seen) == f"Nothing was seen: {cause}."


@pytest.mark.parametrize(
    ("factors", "num"),
    [
        ([1.0] * 3 + [torch.nan] * 9, 9),  # to the end
        ([1.0] + [torch.inf, 1.0] * 6, 6),  # every second one
        ([torch.inf] * 9 + [1.0] * 3, 0),  # the scale falls first
        ([1.0] * 10 + [torch.inf] + [1.0] * 5 + [torch.inf], 0),  # a larger scale is tried now and then
        ([1.0, torch.inf, 1.0, torch.inf], 0),  # so few tell nothing
    ],
)
def test_many_skipped_steps_are_told_and_a_few_are_not(factors, num):
    model = build()
    with watch(model) as seen:
        train_scaled(model, factors, SGD(model.parameters(), lr=0.001))
    told = f"so a GradScaler skipped {num} of {len(factors)} steps; lower the loss, the learning rate or the scale"
    assert ("GradScaler" in str(seen)) is bool(num)
    assert not num or told in str(seen)


def test_an_optimizer_of_which_all_steps_are_skipped_beside_another_is_told():
    model = build()
    first, second = SGD(model[0].parameters(), lr=0.1), SGD(model[2].parameters(), lr=0.1)
    model[2].bias.register_hook(lambda gradient: gradient * torch.nan)
    with watch(model) as seen:
        train_scaled(model, [1.0] * 6, first, second)
    assert "(`2.bias`) had gradients that are NaN or infinite, so a GradScaler skipped all 6 steps" in str(seen)
    assert "held by no optimizer" not in str(seen)


@pytest.mark.parametrize("factor", [torch.inf, 1.0])
def test_a_loop_that_makes_no_step_because_clipping_refuses_is_told(factor):
    model = build()
    seen = watch(model)

    def clip() -> None:
        with seen:
            backward(model, factor)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
            SGD(model.parameters(), lr=0.1).step()

    if factor == 1:
        clip()
        assert str(seen).startswith("After 1 update: no units are identical")
        return
    with pytest.raises(RuntimeError, match="non-finite"):
        clip()
    assert str(seen).startswith("Nothing was seen: gradients of 4 of 4 parameters")
    assert str(seen).endswith("are NaN or infinite, and no step was made; lower the loss or the learning rate.")


def test_the_scaler_has_its_own_method_again():
    own = torch.amp.GradScaler.step
    model = build()
    with watch(model), watch(build()) as other:
        assert torch.amp.GradScaler.step is not own
        train_scaled(model, [1.0], SGD(model.parameters(), lr=0.1))
        train_scaled(other._recorder.model, [1.0], SGD(other._recorder.model.parameters(), lr=0.1))
    assert torch.amp.GradScaler.step is own
