"""BibTeX: the papers of the initializers and remedies of a comparison, and this software."""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

from zeroinit._common import __version__
from zeroinit.bench.comparison.entries import ZERO_START, Entry
from zeroinit.init import INITIALIZERS
from zeroinit.remedies import REMEDIES

__all__ = ["OWN", "PAPERS", "bibliography", "papers_of"]

OWN = "this package"
SOURCES: Mapping[str, str] = {
    **{name: entry.source for name, entry in REMEDIES.items()},
    **{name: entry.source for name, entry in INITIALIZERS.items()},
    "pytorch": "LeCun et al. 1998",
    "constant_bias": "Schicho 2023",
    ZERO_START: "Schicho 2023; Saxe et al. 2014",
}
"""By the name of an initializer or a remedy: who proposed it."""


def _read_papers() -> dict[str, str]:
    text = files("zeroinit.bench.comparison").joinpath("papers.bib").read_text(encoding="utf-8")
    entries = text.replace("{VERSION}", f"{{{__version__}}}").rstrip("\n").split("\n\n")
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in entries}


PAPERS: Mapping[str, str] = _read_papers()
"""BibTeX by key; a key is the first author, the year and a word."""


def papers_of(source: str) -> list[str]:
    """Return the keys of the papers that a source names.

    Example:
        >>> papers_of("Glorot and Bengio 2010; He et al. 2015, equation 10")
        ['glorot2010understanding', 'he2015delving']
    """
    named = re.findall(r"([A-Z][\w-]+)(?: and [A-Z][\w-]+| et al\.)? (\d{4})", source)
    starts = [f"{author.lower().replace('-', '')}{year}" for author, year in named]
    return [key for start in starts for key in PAPERS if key.startswith(start)]


def bibliography(entries: Iterable[Entry]) -> str:
    """Return BibTeX for a comparison: this software, then the papers; a comment for what has none here.

    Example:
        >>> print(bibliography([Entry("own:start", {}, "own:start")]).splitlines()[-1])
        % own:start: cite its source yourself
    """
    keys, comments = ["zeroinit"], []
    for entry in entries:
        remedies = entry.settings.get("remedy", "").split("+")
        initializer = entry.initializer
        if initializer.startswith("torch.nn.init:"):
            initializer = initializer.removeprefix("torch.nn.init:").rstrip("_")
        for name in (initializer, *(each.partition(":")[0] for each in remedies if each)):
            found = papers_of(SOURCES.get(name, ""))
            keys += found
            if not found and OWN not in SOURCES.get(name, ""):
                comments.append(f"% {entry.initializer}: cite its source yourself")
    return "\n".join([*(PAPERS[key] for key in dict.fromkeys(keys)), *dict.fromkeys(comments)])
