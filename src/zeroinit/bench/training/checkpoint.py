"""Checkpoints: the state of a run on disk, from which a killed run resumes as if nothing had happened."""

import io
import math
import re
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from zeroinit._common import InputError, read_regular, real_number, write_atomically
from zeroinit._modules.arguments import as_path
from zeroinit.bench.training.stopping import is_over

__all__ = ["Checkpoint", "CheckpointWarning", "OutOfTime", "random_state", "restore_random_state"]

KEPT = 2
MOST_BYTES = 2**36
WORDS = {"threads": "number of threads", "seeds": "choice of seeds", "initial_hashes": "start"}
"""What the parts of an identity are called; others by their own names."""

PATTERN = re.compile(r"step-([0-9]+)\.pt")


class CheckpointWarning(UserWarning):
    """A checkpoint could not be used; an older one, or a fresh start, takes its place."""


class OutOfTime(Exception):
    """A run's time is over. Its state is saved, and the same call resumes from there."""


class Checkpoint:
    """Where and how often ``fit`` saves its state. The last two states are kept, each file whole or absent.

    With the same model, data and settings ``fit`` resumes from the newest state. On the CPU of the same machine, with
    the same number of threads, results are bitwise those without the break. The folder belongs to one run; call
    ``remove`` when the result is safe. A state that is damaged, impossible or of another run is renamed to ``.bad``,
    with a ``CheckpointWarning``. A save that fails is such a warning, too, and training goes on.

    Args:
        folder: Made at the first save.
        every: Seconds between saves, at least 0; the first comes so many seconds after the start. At 0 each step saves.
        deadline: When the run has to end, by ``time.monotonic``. The run then saves its state, and ``fit`` raises
            ``OutOfTime``. Never if ``None``. The same happens when a signal asks the process to end.
        identity: Whose state it is, as strings, numbers, lists and dicts: settings, seed, versions. A saved state of
            another identity is set aside. If ``None``, ``fit`` compares its own settings and refuses others.

    Raises:
        InputError: ``every`` is negative.
    """

    def __init__(
        self,
        folder: Path | str,
        every: float = 60.0,
        deadline: float | None = None,
        identity: dict[str, Any] | None = None,
    ) -> None:
        if every != math.inf:
            real_number(every, "every", least=0)
        self.folder = as_path(folder, "folder")
        self.every = every
        self.deadline = deadline
        self.identity = identity
        self._last = time.monotonic()
        self._is_readable = False
        self._is_writable = True

    def start(self) -> None:
        """Count the seconds from now, and remove the files of a killed save.

        Raises:
            InputError: The folder is a link: files would be written and removed elsewhere.
        """
        if self.folder.is_symlink():
            raise InputError(f"{self.folder}: is a link; states are saved in folders alone, so remove it")
        self._remove_unfinished()
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self.every or self._is_over()

    def _is_over(self) -> bool:
        return is_over(self.deadline)

    def save(self, step: int, state: dict) -> None:
        """Write the state after ``step`` updates and drop all but the last two.

        A folder that cannot be written to is a warning, once: the run goes on without its state.

        Raises:
            InputError: The state could not be read back.
            OutOfTime: The deadline has passed or the process is to end; the state is written if it can be.
        """
        stream = io.BytesIO()
        torch.save(state | {"identity": self.identity}, stream)
        self._check_readable(stream)
        self._last = time.monotonic()
        try:
            write_atomically(self.folder / f"step-{step}.pt", stream.getvalue())
        except InputError as error:
            if self._is_writable:
                warnings.warn(f"{error}; training goes on, without a saved state", CheckpointWarning, stacklevel=2)
            self._is_writable = False
            if self._is_over():
                raise OutOfTime(f"the state after {step} updates could not be saved") from error
            return
        files = self._files()
        kept = [path for path in files if _step(path) <= step][:KEPT]  # later ones are from before a restart
        for path in set(files) - set(kept):
            path.unlink(missing_ok=True)
        if self._is_over():
            raise OutOfTime(f"the state after {step} updates is saved in {self.folder}")

    def _check_readable(self, stream: io.BytesIO) -> None:
        """Read the first saved state once. After a kill it would be too late to find an error."""
        if self._is_readable:
            return
        stream.seek(0)
        try:
            torch.load(stream, weights_only=True)
        except Exception as error:
            raise InputError(
                "observers: the state of one cannot be read from a checkpoint; let its state_dict hold only tensors, "
                "numbers, strings, lists and dicts, or train without a checkpoint"
            ) from error
        self._is_readable = True

    def states(self) -> Iterator[tuple[Path, dict]]:
        """Yield the saved states of this run, newest first; set aside what is damaged or another run's."""
        for path in self._files():
            try:
                state = _read(path)
            except Exception as error:  # torch raises many kinds for a damaged file
                self.set_aside(path, f"cannot be read ({type(error).__name__})")
                continue
            if self.identity is not None and state.get("identity") != self.identity:
                self.set_aside(path, f"is the state of another run ({_difference(state, self.identity)})")
                continue
            yield path, state

    def set_aside(self, path: Path, reason: str) -> None:
        """Rename a state that cannot be used, and say so."""
        path.replace(path.with_name(f"{path.name}.bad"))
        warnings.warn(
            f"{path}: {reason}; renamed to {path.name}.bad; going on from the state before it, or from the start",
            CheckpointWarning,
            stacklevel=2,
        )

    def remove(self) -> None:
        """Delete the files and, if nothing else is in it, the folder; a folder that is a link is left alone."""
        if self.folder.is_symlink():
            return
        self._remove_unfinished()
        for path in [*self._files(), *self.folder.glob("step-*.pt.bad")]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        """List the saved states, newest first."""
        found = {path: PATTERN.fullmatch(path.name) for path in self.folder.glob("step-*.pt")}
        return sorted((path for path, match in found.items() if match), key=_step, reverse=True)

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob(".step-*.pt.*"):  # as write_atomically names them
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    """Read a state whose checksums are right; torch alone would not compare them."""
    data = io.BytesIO(read_regular(path, MOST_BYTES))
    with zipfile.ZipFile(data) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")
    data.seek(0)
    state = torch.load(data, weights_only=True)
    if not isinstance(state, dict):
        raise TypeError("it holds no state")
    return state


def _difference(state: dict, identity: dict[str, Any]) -> str:
    """Name what differs."""
    found = state.get("identity")
    if not isinstance(found, dict):
        return "it does not say whose"
    names = [name for name in {**found, **identity} if found.get(name) != identity.get(name)]
    return f"another {', '.join(WORDS.get(name, str(name)) for name in names)}"


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def random_state(device: torch.device) -> dict:
    """Return the state of torch's global generators of the CPU and of a device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict, device: torch.device) -> None:
    """Put them back."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
