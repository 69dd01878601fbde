"""Compare initializers: rates tuned on validation images, then paired seeds, a table and verdicts."""

from zeroinit.bench.comparison.compare import compare, prepare
from zeroinit.bench.comparison.protocol import Protocol
from zeroinit.bench.comparison.results import Comparison, Row

__all__ = ["Comparison", "Protocol", "Row", "compare", "prepare"]
