"""Checkpoints: the state of a run on disk, from which a killed run resumes as if nothing had happened."""

import io
import re
import time
import warnings
from pathlib import Path

import torch

from zeroinit._common import InputError, write_atomically

__all__ = ["Checkpoint", "CheckpointWarning", "OutOfTime", "random_state", "restore_random_state"]

KEPT = 2
PATTERN = re.compile(r"step-(\d+)\.pt")


class CheckpointWarning(UserWarning):
    """A checkpoint could not be used; an older one, or a fresh start, takes its place."""


class OutOfTime(Exception):
    """A run's time is over. Its state is saved, and the same call resumes from there."""


class Checkpoint:
    """Where and how often ``fit`` saves its state. The last two states are kept, each file whole or absent.

    With the same model, data and settings ``fit`` resumes from the newest state. On the CPU of the same machine, with
    the same number of threads, results are bitwise those without the break. The folder belongs to one run; call
    ``remove`` when the result is safe.

    Args:
        folder: Made at the first save.
        every: Seconds between saves, at least 0; the first comes so many seconds after the start. At 0 each step saves.
        deadline: When the run has to end, in seconds as of ``time.time``. The run then saves its state, and ``fit``
            raises ``OutOfTime``. Never if ``None``.

    Raises:
        InputError: ``every`` is negative.
    """

    def __init__(self, folder: Path | str, every: float = 60.0, deadline: float | None = None) -> None:
        if not every >= 0:
            raise InputError(f"every={every}: must be at least 0 seconds")
        self.folder = Path(folder)
        self.every = every
        self.deadline = deadline
        self._last = time.monotonic()
        self._is_readable = False

    def start(self) -> None:
        """Count the seconds from now, and remove the files of a killed save."""
        self._remove_unfinished()
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self.every or self._is_over()

    def _is_over(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline

    def save(self, step: int, state: dict) -> None:
        """Write the state after ``step`` updates and drop all but the last two.

        Raises:
            InputError: The folder cannot be written to, or the state could not be read back.
            OutOfTime: The deadline has passed; the state is written.
        """
        stream = io.BytesIO()
        torch.save(state, stream)
        self._check_readable(stream)
        write_atomically(self.folder / f"step-{step}.pt", stream.getvalue())
        files = self._files()
        kept = [path for path in files if _step(path) <= step][
            :KEPT
        ]  # later files are damaged, or from before a restart
        for path in set(files) - set(kept):
            path.unlink(missing_ok=True)
        self._last = time.monotonic()
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

    def load(self) -> dict | None:
        """Return the newest state that can be read; ``None`` if there is none."""
        for path in self._files():
            try:
                return torch.load(path, weights_only=True)
            except Exception as error:  # torch raises many kinds for a damaged file
                warnings.warn(
                    f"{path}: cannot be read ({type(error).__name__}); going on from the state before it",
                    CheckpointWarning,
                    stacklevel=2,
                )
        return None

    def remove(self) -> None:
        """Delete the files and, if nothing else is in it, the folder."""
        self._remove_unfinished()
        for path in self._files():
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
