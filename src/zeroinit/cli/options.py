"""Options that several commands share, and how texts become values."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import InputError, whole_number
from zeroinit.cli.completion import complete_figures, complete_keys

__all__ = [
    "DataDir",
    "Device",
    "DryRun",
    "Figures",
    "Jobs",
    "OpenIt",
    "ProfileName",
    "ProtocolName",
    "ReportDir",
    "Results",
    "Seeds",
    "Shard",
    "ShowClaims",
    "TimeLimit",
    "Yes",
    "check_jobs",
    "parse_duration",
    "parse_seeds",
    "parse_shard",
]

Figures = Annotated[
    list[str] | None,
    typer.Argument(
        help="Figures and studies by name; those of the profile if none is named.", autocompletion=complete_figures
    ),
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="first: a minute, on small digits. quick: minutes, on small digits. paper: the paper's data and length. "
        "Without it: first; paper if figures are named.",
        autocompletion=complete_keys("bench/profiles.py", "PROFILES"),
    ),
]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="corrected, or published (as the paper's code did it).",
        autocompletion=complete_keys("bench/profiles.py", "PROTOCOLS"),
    ),
]
Seeds = Annotated[str, typer.Option("--seeds", help="A count (5), a range (0-9) or a list (0,3,7).")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        help="Processes that share the cores; one per core by default. With 1 job, the run uses all cores, so bits may "
        "differ between 1 and more jobs.",
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        help="End after this time, as 90s, 8m or 1.5h; the same command goes on from there. The exit code is then 0, "
        "with --shard 1.",
    ),
]
Shard = Annotated[
    str,
    typer.Option("--shard", help="Run one part of all runs, as 2/8, and write no report: for one of several machines."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Data as torchvision stores it; else $ZEROINIT_DATA_DIR, else a download."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Yes = Annotated[bool, typer.Option("--yes", help="Begin more than an hour of work without being asked.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Tell what would run and about how long it takes; run and write nothing."),
]
Results = Annotated[str, typer.Option("--results", help="Folder of stored results, or a URL that fsspec knows.")]
ReportDir = Annotated[Path, typer.Option("--report", help="Folder for the report.")]
OpenIt = Annotated[bool, typer.Option("--open", help="Open the report in the browser.")]
ShowClaims = Annotated[bool, typer.Option("--claims", help="Print every claim with its verdict.")]

MOST_DIGITS, MOST_SEEDS = 18, 100_000


def check_jobs(jobs: int | None) -> None:
    """Refuse a number of processes that cannot be used, before anything is loaded.

    Raises:
        InputError: It is below 1.

    Example:
        >>> check_jobs(None)
    """
    if jobs is not None:
        whole_number(jobs, "jobs", least=1)


def parse_seeds(text: str) -> list[int]:
    """Turn ``"5"`` (a count), ``"0-9"`` (a range) or ``"0,3,7"`` (a list) into seeds.

    Raises:
        InputError: Another form, a range that runs backwards, a seed named twice, no seed, or more than 100 000.

    Example:
        >>> parse_seeds("3"), parse_seeds("7-9"), parse_seeds("0,4")
        ([0, 1, 2], [7, 8, 9], [0, 4])
    """
    help_text = "write a count (5), a range (0-9) or a list (0,3,7)"
    if any(len(number) > MOST_DIGITS for number in re.findall(r"[0-9]+", text)):
        raise InputError(f"seeds={text[:60]!r}: a number has at most {MOST_DIGITS} digits; {help_text}")
    seeds: Sequence[int]
    if re.fullmatch(r"[0-9]+", text):
        seeds = range(int(text))
    elif match := re.fullmatch(r"([0-9]+)-([0-9]+)", text):
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise InputError(f"seeds={text!r}: the range runs backwards; did you mean {last}-{first}?")
        seeds = range(first, last + 1)
    elif re.fullmatch(r"[0-9]+(,[0-9]+)+", text):
        seeds = [int(part) for part in text.split(",")]
        if len(seeds) > len(set(seeds)):
            raise InputError(f"seeds={text[:60]!r}: names a seed twice; {help_text}")
    else:
        raise InputError(f"seeds={text!r}: {help_text}")
    if not seeds:
        raise InputError(f"seeds={text!r}: leaves no seed; {help_text}")
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"seeds={text[:60]!r}: are {len(seeds):,}, more than {MOST_SEEDS:,}; {help_text}")
    return list(seeds)


def parse_duration(text: str) -> float:
    """Turn ``"90s"``, ``"8m"`` or ``"1.5h"`` into seconds.

    Raises:
        InputError: Another form, or no time at all.

    Example:
        >>> parse_duration("90s"), parse_duration("8m"), parse_duration("1.5h")
        (90.0, 480.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds:
        raise InputError(f"time-limit={text!r}: must be a number above 0 with its unit, as 90s, 8m or 1.5h")
    return seconds


def parse_shard(text: str) -> tuple[int, int]:
    """Turn ``"2/8"`` into the number of a part and how many parts there are.

    Raises:
        InputError: Another form, or a part that does not exist.

    Example:
        >>> parse_shard("2/8")
        (2, 8)
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"shard={text!r}: write a part and how many there are, from 1/8 to 8/8")
    return number, count
