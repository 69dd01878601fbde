"""Boards: from the rules of each network in the catalogue to the protocols of comparisons."""

from collections.abc import Callable, Sequence

from zeroinit._common import InputError, lookup
from zeroinit.bench.catalogue.boards import BOARDS
from zeroinit.bench.comparison.compare import make_protocol
from zeroinit.bench.comparison.entries import check_entry
from zeroinit.bench.comparison.protocol import OF_ENTRIES, Protocol
from zeroinit.bench.comparison.results import Comparison, build_comparison
from zeroinit.bench.running.schedule import Task, missing
from zeroinit.bench.store import Store

__all__ = ["folder_of", "open_board", "read_board", "stored_tasks", "verdict_on"]


def open_board(
    name: str, own: Sequence[str | Callable] = (), seeds: Sequence[int] | None = None
) -> dict[str, Protocol]:
    """Return the protocol of each network of a board; your own entries are tried on each.

    Args:
        name: A key of ``BOARDS``; with the name of one network behind a colon, that network alone.
        own: Further entries, beside those of the board.
        seeds: Of the final runs; those of the board if ``None``.

    Raises:
        InputError: An unknown board, network or entry, or an entry that a network cannot have.

    Example:
        >>> [entry.label for entry in open_board("headlines:Fixup")["Fixup"].entries]
        ['kaiming_normal', 'fixup']
    """
    board, _, chosen = name.partition(":")
    tracks = lookup(BOARDS, board, "board").tracks
    protocols = {}
    for title, track in ({chosen: lookup(tracks, chosen, f"board={board!r}, network")} if chosen else tracks).items():
        settings = {
            key: value for key, value in track.run.to_dict().items() if key not in OF_ENTRIES and value is not None
        }
        reference, *others = track.entries
        chosen_seeds = range(track.num_seeds) if seeds is None else seeds
        fixed = (track.learning_rates, track.margin, track.target, None, settings)
        protocols[title] = protocol = make_protocol([*others, *own], reference, chosen_seeds, *fixed)
        try:
            for entry in protocol.entries[len(track.entries) :]:
                check_entry(entry, protocol.run)
        except InputError as error:
            raise InputError(f"{title}: {error}") from error
    return protocols


def read_board(name: str, store: Store) -> dict[str, Comparison | None]:
    """Judge what is stored of a board; ``None`` stands for a network of which runs are missing.

    Raises:
        InputError: An unknown board.
    """
    return {
        title: build_comparison(protocol, store) if stored_tasks(protocol, store) else None
        for title, protocol in open_board(name).items()
    }


def stored_tasks(protocol: Protocol, store: Store) -> list[Task]:
    """List all runs of a comparison, those that chose the rates first; none if one of them is not stored."""
    found: list[Task] = []
    for entry in protocol.entries:
        tuning = protocol.tuning_tasks(entry, store)
        if missing(tuning, store):
            return []
        found += [*tuning, *protocol.final_tasks(entry, protocol.tuned(entry, store).rate)]
    return [] if missing(found, store) else found


def verdict_on(headline_holds: Sequence[str], verdict: str) -> str:
    """Return what a verdict of ``compare`` says about a headline.

    Example:
        >>> [verdict_on(("better", "as good"), each) for each in ("as good", "worse", "undecided")]
        ['holds', 'does not hold', 'undecided']
    """
    if verdict in ("undecided", "one seed"):
        return "undecided"
    return "holds" if verdict in headline_holds else "does not hold"


def folder_of(title: str) -> str:
    """Return the name of a network's folder.

    Example:
        >>> folder_of("MNIST 8-layer net")
        'mnist-8-layer-net'
    """
    return title.lower().replace(" ", "-")
