"""Runs on a Ray cluster: what each asks for, and a real cluster of two nodes that loses a node or its driver."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from zeroinit._common import InputError
from zeroinit.bench.running import cluster as cluster_module
from zeroinit.bench.running.cluster import _refuse_silence, needs, taken
from zeroinit.bench.running.remote import open_results
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.running.task import Attempt
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.work import memory_of


def test_an_address_where_nobody_listens_is_refused_at_once():
    with socket.socket() as taken:  # bound, and it takes no connection
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for given in (address, f"ray://{address}"):
            with pytest.raises(InputError, match=r"^address='(ray://)?127.*: no Ray cluster answers \(.*refused"):
                _refuse_silence(given)
        taken.listen()
        _refuse_silence(address)
    _refuse_silence("auto")
    _refuse_silence("")


RUN = Run(dataset="digits", initializer="normal_bias", epochs=150, batch_size=64)
NUM_RUNS = 8
NO_RAY = "Ray is not installed: pip install 'torch-zeroinit[cluster]'"

PROGRAM = f"""
import sys
from pathlib import Path
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Run

if __name__ == "__main__":
    root, address = Path(sys.argv[1]), sys.argv[2]
    tasks = [Task({RUN!r}, seed) for seed in range({NUM_RUNS})]
    options = Options(root, checkpoint_every=0.5, executor="ray", address=address)
    run_all(tasks, options, progress=lambda task, epoch: print("done", task.seed, epoch, flush=True))
"""


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one CPU each, on this machine's loopback."""
    pytest.importorskip("ray", reason=NO_RAY)
    from ray.cluster_utils import Cluster

    for name, value in {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}.items():
        monkeypatch.setenv(name, value)
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    found.second = found.add_node(**size)
    yield found
    found.shutdown()


@pytest.fixture
def drive(tmp_path, cluster):
    """Starts a driver in a process of its own."""
    path, processes = tmp_path / "program.py", []
    path.write_text(PROGRAM)

    def start() -> subprocess.Popen:
        command = [sys.executable, str(path), str(tmp_path / "results"), cluster.address]
        with (tmp_path / f"errors-{len(processes)}").open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(store: Store, number: int, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while len(list(store.root.glob("*/seed-*.json"))) < number:
        assert time.monotonic() < end
        time.sleep(0.05)


def told(out: str) -> list[str]:
    """Return what the program says of its runs; Ray says something of lost nodes."""
    return sorted(line for line in out.splitlines() if line.startswith("done "))


def check_whole(store: Store) -> None:
    tasks = [Task(RUN, seed) for seed in range(NUM_RUNS)]
    assert missing(tasks, store) == []
    assert sorted(path.name for path in store.root.rglob("*") if path.is_file()) == [
        f"seed-{seed}.json" for seed in range(NUM_RUNS)
    ]
    results = [store.load(RUN, seed) for seed in range(NUM_RUNS)]
    assert {result.environment["threads"] for result in results} == {1}


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_a_node_is_killed_and_the_study_ends_complete(cluster, drive, tmp_path, one_thread):
    store, process = Store(tmp_path / "results"), drive()
    wait_for(store, 2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, (tmp_path / "errors-0").read_text()[-3000:]
    assert told(out) == [f"done {seed} {RUN.epochs}" for seed in range(NUM_RUNS)]
    check_whole(store)
    for seed in (0, NUM_RUNS - 1):  # the same bits as here
        assert store.load(RUN, seed).history == execute(RUN, seed).history


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_the_driver_is_killed_and_the_next_one_goes_on(cluster, drive, tmp_path):
    store, first = Store(tmp_path / "results"), drive()
    wait_for(store, 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    stored = {path: path.stat().st_mtime_ns for path in store.root.glob("*/seed-*.json")}
    second = drive()
    out, _ = second.communicate(timeout=400)
    assert second.returncode == 0, (tmp_path / "errors-1").read_text()[-3000:]
    assert len(told(out)) == NUM_RUNS - len(stored)
    check_whole(store)
    assert stored.items() <= {path: path.stat().st_mtime_ns for path in store.root.glob("*/seed-*.json")}.items()


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_asked_to_end_the_driver_saves_the_runs_on_their_nodes(cluster, drive, tmp_path):
    store, process = Store(tmp_path / "results"), drive()
    wait_for(store, 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert "KeyboardInterrupt: 15" in (tmp_path / "errors-0").read_text()
    states = {path.parent.name for path in store.root.glob("*/*.checkpoint/step-*.pt")}
    assert 1 <= len(states) <= 2
    assert not list(store.root.glob("*/*.failed"))


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_what_fails_there_is_written_down_and_a_refusal_ends_it(cluster, tmp_path, monkeypatch):
    (tmp_path / "dies_there.py").write_text(
        "import os\n\n\ndef dies(weight, generator):\n    os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.chdir(tmp_path)
    store, failed = Store(tmp_path / "results"), []
    good, bad = replace(RUN, epochs=1), replace(RUN, epochs=1, initializer="dies_there:dies")
    options = Options(store.root, executor="ray", address=cluster.address)
    run_all([Task(bad, 0), Task(good, 0)], options, tell=lambda task, words: failed.append((task.run, words)))
    assert store.has(good, 0)
    assert [reason.split(":")[0] for reason in store.failure(bad, 0).reasons] == ["WorkerCrashedError"] * 3
    assert [run for run, _ in failed] == [bad]
    with pytest.raises(InputError, match=r"^optimizer='adan': did you mean 'adam'"):
        run_all([Task(replace(good, optimizer="adan"), 0)], options)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_nodes_that_share_nothing_but_a_url(cluster, monkeypatch, tmp_path):
    """The nodes keep results in a folder that the driver does not know, and send them."""
    there, nodes = tmp_path / "there", Path(os.environ["ZEROINIT_CACHE_DIR"])
    monkeypatch.setenv("ZEROINIT_CACHE_DIR", str(tmp_path / "driver"))
    folder, remote = open_results(f"local://{there}")
    tasks = [Task(replace(RUN, epochs=1), seed) for seed in range(4)]
    run_all(tasks, Options(folder, executor="ray", address=cluster.address, remote=remote))
    for root in (folder, there):
        assert missing(tasks, Store(root)) == []
    assert not nodes.is_relative_to(tmp_path / "driver")
    assert len(list(nodes.glob("results/*/*/seed-*.json"))) == 4


def test_what_a_run_asks_for():
    large, small = Run(model="resnet50", dataset="cifar10", batch_size=512), Run(dataset="digits")
    nodes = [{"CPU": 4.0, "memory": 2.0**40}, {"CPU": 16.0, "GPU": 2.0, "memory": 2.0**36}]
    assert needs(small, nodes, "auto")["num_gpus"] == 0.25
    assert 0.25 < needs(large, nodes, "auto")["num_gpus"] <= 1
    assert "num_gpus" not in needs(large, nodes, "cpu")
    assert "num_gpus" not in needs(large, nodes[:1], "auto")
    assert needs(small, nodes, "cpu") == {"num_cpus": 1, "memory": 2**29 + memory_of(small)}
    assert needs(large, [{"CPU": 4.0, "memory": 1e8}], "cpu")["memory"] == 10**8  # else no node could ever take it
    assert needs(large, [{}], "cpu")["memory"] == 2**29 + memory_of(large)


def test_memory_by_hand():
    """Images in float32; weights, gradients and two moments; a batch's activations and their gradients."""
    run = Run(dataset="digits", model="logistic_regression", batch_size=100)
    assert memory_of(run) == 4 * (1797 * 64 + 4 * (64 * 10 + 10) + 2 * 100 * (64 + 10))


def test_what_is_asked_for_is_checked_at_once(tmp_path):
    with pytest.raises(InputError, match=r"^executor='rai': did you mean 'ray'\? It must be one of processes, ray$"):
        Options(tmp_path, executor="rai")
    with pytest.raises(InputError, match=r"^address='auto': needs --executor ray$"):
        Options(tmp_path, address="auto")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_says_what_to_type(tmp_path, run):
    with pytest.raises(InputError, match=r"^ray is not installed; type: pip install 'torch-zeroinit\[cluster\]'$"):
        run_all([Task(run, 0)], Options(tmp_path, executor="ray"))
    assert list(Path(tmp_path).iterdir()) == []


class FullCluster:
    """What Ray says of a cluster of 4 CPUs, some of which become free at a later question."""

    def __init__(self, free: list[float]):
        self.free = free

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "memory": 2.0**34}

    def available_resources(self) -> dict[str, float]:
        free = self.free.pop(0) if len(self.free) > 1 else self.free[0]
        return {"memory": 2.0**33, **({"CPU": free} if free else {})}


def test_a_cluster_without_a_free_place_is_told(monkeypatch):
    monkeypatch.setattr(cluster_module, "WAIT", 0.1)
    monkeypatch.setattr(cluster_module.time, "sleep", lambda seconds: None)
    needed = {"num_cpus": 1, "memory": 2**29}
    with pytest.warns(cluster_module.ClusterWarning, match=r"the first one waits for 1 CPU \(0 of 4 are free\)$"):
        cluster_module._tell_what_is_taken(FullCluster([0.0]), needed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster_module._tell_what_is_taken(FullCluster([0.0, 0.0, 1.0]), needed)
        cluster_module._tell_what_is_taken(FullCluster([4.0]), needed)
    lacking = taken({"num_gpus": 0.25, "memory": 2**35}, {"memory": 2.0**33}, {"memory": 2.0**36, "GPU": 2.0})
    assert lacking == "0.25 GPU (0 of 2 are free), 32 GiB of memory (8 of 64 are free)"


@pytest.mark.cluster
def test_runs_that_wait_for_others_of_the_cluster(cluster, monkeypatch, tmp_path):
    import ray

    monkeypatch.setattr(cluster_module, "WAIT", 1.0)
    ray.init(cluster.address, log_to_driver=False)
    try:
        others = [ray.remote(num_cpus=1)(lambda: time.sleep(8)).remote() for _ in range(2)]
        time.sleep(2)
        with pytest.warns(cluster_module.ClusterWarning, match=r"waits for 1 CPU \(0 of 2 are free\)$"):
            run_all([Task(replace(RUN, epochs=1), 0)], Options(tmp_path, executor="ray", address=cluster.address))
        ray.get(others)
    finally:
        ray.shutdown()
    assert Store(tmp_path).has(replace(RUN, epochs=1), 0)


def test_nodes_get_the_deadline_by_the_clock_of_the_day(tmp_path):
    """Only that clock is the same on all machines."""
    for_nodes = cluster_module._absolute(Options(tmp_path, deadline=time.monotonic() + 60))
    assert abs(for_nodes.deadline - time.time() - 60) < 5
    assert cluster_module._absolute(Options(tmp_path)).deadline is None
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "outcome_of", lambda attempt, options, progress: (seen.append(options.deadline),))
        cluster_module._work(Attempt((Task(RUN, 0),), 1), for_nodes)
    assert abs(seen[0] - time.monotonic() - 60) < 5
