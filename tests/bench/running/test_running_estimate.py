"""A dry run: what is left to do, in which order, and how its time follows from the speeds."""

from dataclasses import replace

import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.reproduce import choose_figures
from zeroinit.bench.running import estimate as module
from zeroinit.bench.running import runner, schedule, start
from zeroinit.bench.running import task as one_task
from zeroinit.bench.running.calibrate import Speed, full_batch
from zeroinit.bench.running.estimate import estimate, makespan
from zeroinit.bench.running.schedule import Options
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.work import flops


@pytest.fixture
def calibrated(monkeypatch):
    """Every step takes half a second, however many seeds are stacked, and evaluation nothing; lists what was timed."""
    timed = []

    def pretend(kinds, place, threads):
        timed.append((kinds, place, threads))
        return {(kind, count): Speed(0.5, 0.0, full_batch(kind)) for kind, count in kinds}

    monkeypatch.setattr(module, "calibrate", pretend)
    return timed


@pytest.fixture
def figure(run) -> Figure:
    """Curves of 22 steps per epoch: two, two and six epochs."""
    other = replace(run, initializer="zero")
    return Figure("study", "A study", tuple(map(Curve, ("A", "B", "C"), (run, other, replace(run, epochs=6)))))


@pytest.fixture
def options(store) -> Options:
    return Options(store.root, device="cpu")


def test_rows_say_what_each_setting_costs_the_longest_first(calibrated, figure, options, run):
    plan = estimate([figure], options, seeds=range(3), jobs=1)
    assert [(row.name, row.num_seeds) for row in plan.rows] == [("study: C", 3), ("study: A", 3), ("study: B", 3)]
    assert [row.flops for row in plan.rows] == [flops(row.run) for row in plan.rows]
    assert [row.seconds for row in plan.rows] == [66.0, 22.0, 22.0]
    assert (plan.num_runs, plan.num_stored, plan.jobs, plan.device) == (9, 0, 1, "cpu")
    assert plan.seconds == 3 * (66 + 22 + 22)
    assert len(calibrated[0][0]) == 1  # the three are of one kind


def test_time_grows_with_epochs_and_seeds_and_shrinks_with_processes(calibrated, figure, options, run):
    def total(epochs=2, seeds=2, jobs=1):
        one = replace(figure, curves=(Curve("A", replace(run, epochs=epochs)),))
        return estimate([one], options, seeds=range(seeds), jobs=jobs).seconds

    assert total(epochs=6) == 3 * total()
    assert total(seeds=10) == 5 * total()
    assert total(jobs=2) == total() / 2
    assert total(seeds=3, jobs=2) == total(seeds=4, jobs=2)
    assert total(jobs=50) == total(jobs=2)


def test_evaluation_counts(monkeypatch, figure, options):
    monkeypatch.setattr(module, "calibrate", lambda kinds, *_: {key: Speed(0.0, 0.1, 64) for key in kinds})
    assert [row.seconds for row in estimate([figure], options, seeds=[0]).rows] == pytest.approx([270, 90, 90])


def test_what_is_stored_is_left_out(calibrated, figure, options, store, make_result):
    for seed in range(2):
        store.save(make_result(figure.curves[2].run, seed, [0.5]))
    plan = estimate([figure], options, seeds=range(3), jobs=1)
    assert [(row.name, row.num_seeds) for row in plan.rows] == [("study: C", 1), ("study: A", 3), ("study: B", 3)]
    assert (plan.num_stored, plan.num_runs) == (2, 7)
    assert plan.seconds == 66 + 6 * 22


def test_nothing_to_do_takes_no_time(figure, options, store, make_result):
    for curve in figure.curves:
        store.save(make_result(curve.run, 0, [0.5]))
    plan = estimate([figure], options, seeds=[0])
    assert (plan.rows, plan.num_stored, plan.seconds) == ((), 3, 0.0)
    assert plan.calibration < 0.1


def test_the_protocol_is_that_of_the_runs(calibrated, figure, options):
    for protocol, order in (("corrected", "fresh"), ("published", "fixed")):
        plan = estimate([figure], options, seeds=[0], protocol=protocol)
        assert {row.run.order for row in plan.rows} == {order}


def test_a_run_that_two_figures_share_is_one_row(calibrated, options):
    plan = estimate([FIGURES["fig3"], FIGURES["fig4"]], options, seeds=[0])
    names = [row.name for row in plan.rows]
    assert "fig3, fig4: zero weights, normal biases" in names
    assert len(names) == len({row.run for row in plan.rows}) == 6


def test_without_names_it_is_the_whole_paper_the_longest_first(calibrated, options, monkeypatch):
    """What is planned is what ``run_all`` then does, in the same order."""
    plan = estimate(choose_figures(None), options, seeds=[0], profile="paper")
    assert [row.flops for row in plan.rows] == sorted((row.flops for row in plan.rows), reverse=True)
    named = {name for row in plan.rows for part in row.name.split("; ") for name in part.split(":")[0].split(", ")}
    assert named == {figure.name for figure in FIGURES.values() if figure.in_paper}
    assert plan.rows[0].run.model == "resnet50"

    done = []
    monkeypatch.setattr(one_task, "carry_out", lambda tasks, *_: not done.extend(task.run for task in tasks))
    tasks = [
        schedule.Task(curve.run, 0) for figure in choose_figures(None) for curve in figure.at("paper", "corrected")
    ]
    schedule.run_all(tasks, options)
    assert done == [row.run for row in plan.rows]


def test_seeds_that_are_stacked_share_their_time(calibrated, monkeypatch, figure, options):
    """On a CUDA device; nothing of it is asked for here."""
    cuda = torch.device("cuda")
    monkeypatch.setattr(module, "choose_device", lambda name: cuda)
    monkeypatch.setattr(schedule, "choose_device", lambda name: cuda)
    plan = estimate([figure], options, seeds=range(4), jobs=2)
    assert calibrated[0][1] == cuda
    assert {count for _, count in calibrated[0][0]} == {4}
    assert [row.seconds for row in plan.rows] == [66 / 4, 22 / 4, 22 / 4]
    assert (plan.device, plan.seconds) == ("cuda", 66 + 22 + 22)


def test_a_smaller_batch_is_owned_up_to(monkeypatch, figure, options):
    monkeypatch.setattr(module, "calibrate", lambda kinds, *_: {key: Speed(0.5, 0.0, 63) for key in kinds})
    assert all(row.is_extrapolated for row in estimate([figure], options, seeds=[0]).rows)


def test_a_smaller_batch_is_not_claimed_where_there_was_none(calibrated, figure, options):
    assert not any(row.is_extrapolated for row in estimate([figure], options, seeds=[0]).rows)


def test_no_data_is_loaded_and_nothing_is_written(monkeypatch, figure, store, tmp_path):
    monkeypatch.setattr(start, "load", lambda *_: pytest.fail("data were loaded"))
    before = set(tmp_path.rglob("*"))
    mnist = replace(figure, curves=(Curve("A", Run(model="logistic_regression")),))
    plan = estimate([mnist], Options(store.root, tmp_path / "nowhere", device="cpu"), seeds=[0])
    assert plan.rows[0].seconds > 0
    assert set(tmp_path.rglob("*")) == before


def test_the_estimate_is_not_far_from_a_real_run(options, run, one_thread):
    """A wide margin, as the machine may do something else meanwhile; see docs/guides/paper.md for what was seen."""
    longer = replace(run, epochs=40)
    plan = estimate([Figure("study", "", (Curve("A", longer),))], options, seeds=[0, 1], jobs=2)
    seconds = runner.execute(longer, 0).seconds
    assert seconds / 4 < plan.rows[0].seconds < seconds * 4


def test_jobs_by_hand():
    assert makespan([], 3) == 0
    assert makespan([5, 1, 1, 1, 1, 1], 2) == 5
    assert makespan([2, 2, 2], 2) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "papr"}, r"^profile='papr': .*must be one of"),
        ({"protocol": "publshed"}, r"^protocol='publshed': .*must be one of"),
        ({"jobs": 0}, "^jobs=0: must be at least 1$"),
    ],
)
def test_bad_input_is_refused(figure, options, changes, message):
    with pytest.raises(InputError, match=message):
        estimate([figure], options, **{"seeds": [0]} | changes)


def test_a_result_that_cannot_be_read_is_found(figure, options, store, make_result):
    store.save(make_result(figure.curves[0].run, 0, [0.5]))
    path = store.path(figure.curves[0].run, 0)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read as a result"):
        estimate([figure], options, seeds=[0])
