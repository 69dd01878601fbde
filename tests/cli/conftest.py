"""The command line as a user meets it: an exit code and two streams."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from zeroinit.bench import profiles, reproduce
from zeroinit.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def secluded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the user's; results and reports go to a folder of the test."""
    monkeypatch.delenv("ZEROINIT_DATA_DIR", raising=False)
    monkeypatch.setenv("ZEROINIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def zeroinit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command in this process, through ``main``, as the installed program does."""
    monkeypatch.setattr(sys, "argv", ["zeroinit"])

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(stopped.value.code, out, err)

    return run


@pytest.fixture
def two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles on digits that take a moment."""
    quick = profiles.PROFILES["quick"]
    monkeypatch.setitem(
        profiles.PROFILES, "quick", replace(quick, overrides={**quick.overrides, "epochs": 2}, by_model={})
    )
    first = replace(profiles.PROFILES["first"], overrides=profiles.PROFILES["quick"].overrides, by_model={})
    monkeypatch.setitem(profiles.PROFILES, "first", first)


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if anything is run."""
    monkeypatch.setattr(reproduce, "run_all", lambda *_, **__: pytest.fail("a run was started"))
