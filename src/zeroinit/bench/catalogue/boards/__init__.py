"""Boards: networks on which ``zeroinit compare --board`` compares initializers under fixed rules, one file each.

To add one: write a file that makes a ``Board`` and add one line to ``BOARDS``.
"""

from zeroinit.bench.catalogue.boards.headlines import HEADLINES
from zeroinit.bench.catalogue.boards.initbench import INITBENCH
from zeroinit.bench.catalogue.boards.transformers import TRANSFORMERS
from zeroinit.bench.spec import Board

__all__ = ["BOARDS"]

BOARDS: dict[str, Board] = {board.name: board for board in (INITBENCH, HEADLINES, TRANSFORMERS)}
