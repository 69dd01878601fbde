"""The allocator is told where it listens, and left alone elsewhere."""

import ctypes
import sys

import pytest

from zeroinit.bench.running.allocator import keep_freed_memory


class Recorder:
    """A C library whose ``mallopt`` answers as told."""

    def __init__(self, *answers: int):
        self.answers, self.calls = list(answers), []

    def mallopt(self, parameter: int, value: int) -> int:
        self.calls.append((parameter, value))
        return self.answers.pop(0)


@pytest.mark.parametrize(("answers", "told"), [((1, 1), True), ((1, 0), False)])
def test_both_thresholds_are_raised(monkeypatch, answers, told):
    library = Recorder(*answers)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is told
    # The numbers of M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in glibc's malloc.h; a value must fit into an int.
    assert dict(library.calls).keys() == {-3, -1}
    assert all(2**29 < value < 2**31 for _, value in library.calls)


def test_elsewhere_nothing_is_called(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked for the C library"))
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        assert keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
