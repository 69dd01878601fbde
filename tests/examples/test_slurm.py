"""The script for Slurm: with the variables that Slurm sets, each job of an array runs its part of a study."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zeroinit.bench.store import Store

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"
STUDY = ["three_starts", "--profile", "quick", "--seeds", "1"]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def submit(tmp_path):
    """Runs one job of an array, with a program in the place of ``zeroinit``."""
    program = tmp_path / "bin" / "zeroinit"
    program.parent.mkdir()

    def job(shell: str, number: int, first: int, last: int, *arguments: str) -> subprocess.CompletedProcess:
        program.write_text(f"#!/usr/bin/env bash\n{shell}\n")
        program.chmod(0o755)
        variables = {
            "SLURM_ARRAY_TASK_ID": number,
            "SLURM_ARRAY_TASK_MIN": first,
            "SLURM_ARRAY_TASK_MAX": last,
            "SLURM_ARRAY_TASK_COUNT": last - first + 1,
            "SLURM_CPUS_PER_TASK": 2,
        }
        environment = {name: str(value) for name, value in variables.items()}
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment, "PATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return job


@pytest.mark.parametrize(("number", "first", "last", "part"), [(1, 1, 8, "1/8"), (8, 1, 8, "8/8"), (0, 0, 3, "1/4")])
def test_each_job_gets_its_part(submit, number, first, last, part):
    ended = submit('printf "%s\\n" "$@"', number, first, last, "fig3", "--seeds", "10")
    words = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert words == [
        *("reproduce", "fig3", "--seeds", "10", "--yes", "--shard", part, "--jobs", "2", "--results", "results"),
    ]


def test_slurms_signal_reaches_the_program(submit):
    """And its exit code reaches Slurm."""
    assert submit("kill -TERM $$", 1, 1, 1).returncode == -signal.SIGTERM
    assert submit("exit 143", 1, 1, 1).returncode == 143


@pytest.mark.slow
def test_two_jobs_make_a_whole_study(submit, tmp_path):
    real = f'exec {sys.executable} -m zeroinit "$@"'
    for number in (1, 2):
        ended = submit(real, number, 1, 2, *STUDY)
        assert ended.returncode == 0, ended.stderr
    assert len(list(Store(tmp_path / "results"))) == 3
