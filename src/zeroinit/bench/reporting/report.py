"""The report: figures, tables, claims with verdicts, as one HTML page, Markdown and JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zeroinit._common import InputError, __version__, counted, lookup, printable, refuse_url, write_atomically
from zeroinit.bench.plots import dark_rules
from zeroinit.bench.profiles import PROFILES, PROTOCOLS
from zeroinit.bench.progress import format_duration
from zeroinit.bench.reporting.analysis import FigureSummary, fingerprint, summarize
from zeroinit.bench.reporting.inspections import inspect_curves
from zeroinit.bench.reporting.measures import MEASURES
from zeroinit.bench.reporting.outcome import check_sentences, outcome_sentences
from zeroinit.bench.reporting.pictures import draw_summary, other_data, pictures_of
from zeroinit.bench.reporting.verdicts import KINDS, VERDICTS, WORDS, Decision, decide_claims
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.spec import Figure
from zeroinit.bench.store import Store

MOST_SENTENCES, MOST_TITLES = 3, 2
HEAD = 1000
"""The number of bytes at the start of a page among which its fingerprint stands."""

__all__ = ["Report", "build_report", "check_figures", "claim_records", "is_written", "write_report"]


@dataclass(frozen=True)
class Report:
    """The content of a report, before it is written; ``problems`` names damaged results and runs that failed.

    ``num_unchecked`` counts results without a checksum: an older version stored them.
    """

    profile: str
    protocol: str
    summaries: tuple[FigureSummary, ...]
    decisions: dict[str, list[Decision]]
    problems: tuple[str, ...] = ()
    num_unchecked: int = 0

    @property
    def title(self) -> str:
        """Headline. For a quick run it says that this is no result of the paper; studies have their own titles."""
        titles = [each.figure.title for each in self.summaries]
        own = "; ".join(titles[:MOST_TITLES]) + (f" and {len(titles) - MOST_TITLES} more" * (len(titles) > MOST_TITLES))
        return f"{PROFILES[self.profile].title if self._is_of_paper else own} ({self.protocol} protocol)"

    @property
    def other_data(self) -> str:
        """Whose data the profile replaces: of the paper, of a study, or an empty text."""
        found = {other_data(each.figure, self.profile, self.protocol) for each in self.summaries}
        return min(found - {""}, default="")

    @property
    def remark(self) -> str:
        """One clause about data and networks."""
        text = PROFILES[self.profile].remark
        if self._is_of_paper:
            return text
        if PROFILES[self.profile].is_paper or self.other_data:
            return text.replace("the paper's", "the study's")
        return f"the study's data, with the settings of the {self.profile} profile"

    @cached_property
    def fingerprint(self) -> str:
        """Stands for everything that the page is made from."""
        return fingerprint(self.summaries, self.profile, self.protocol, *self.problems, self.num_unchecked)

    @property
    def _is_of_paper(self) -> bool:
        return any(each.figure.in_paper for each in self.summaries)

    @property
    def sentences(self) -> list[str]:
        """The sentences that come before everything else: those that figures bring, or lists of accuracies."""
        with_own = [summary for summary in self.summaries if summary.figure.sentences and outcome_sentences(summary)]
        chosen = with_own or self.summaries
        return [sentence for summary in chosen for sentence in outcome_sentences(summary)][:MOST_SENTENCES]

    @property
    def questions(self) -> list[tuple[str, list[FigureSummary]]]:
        """The figures by what they ask; those with one question stand together."""
        return [(name, list(group)) for name, group in groupby(self.summaries, lambda each: each.figure.question)]

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict."""
        verdicts = [each.verdict for decisions in self.decisions.values() for each in decisions]
        return {name: verdicts.count(name) for name in VERDICTS}

    @property
    def effort(self) -> str:
        """How many runs there are and how long they took, in words."""
        seconds = sum(result.seconds for result in self.results)
        return f"{counted(len(self.results), 'run')}, {format_duration(seconds)} of computing"

    @property
    def results(self) -> list:
        """Every stored result that the report uses, each once."""
        return list({(id(r)): r for s in self.summaries for c in s.curves for r in c.results.values()}.values())

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets."""
        return sorted({result.run.dataset for result in self.results})

    @property
    def seeds(self) -> str:
        """The seeds, written shortly."""
        return write_seeds(sorted({result.seed for result in self.results}))

    @property
    def environments(self) -> list[str]:
        """Versions, devices and threads of the results."""
        texts = set()
        for result in self.results:
            versions = {**result.environment}
            device, threads = versions.pop("device"), versions.pop("threads")
            texts.add(
                ", ".join([*(f"{name} {value}" for name, value in versions.items()), f"{device}, {threads} threads"])
            )
        return sorted(texts)


def write_seeds(seeds: Sequence[int]) -> str:
    """Write seeds shortly.

    Example:
        >>> write_seeds([0, 1, 2, 7])
        '0-2, 7'
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def check_figures(figures: Sequence[Figure]) -> None:
    """Check the names that figures use: views, kinds and measures of claims, labels of curves.

    Raises:
        InputError: A name that is not known.
    """
    for figure in figures:
        lookup(VIEWS, figure.view, f"{figure.name}: view")
        labels = {curve.label: curve for curve in figure.curves}
        check_sentences(figure.name, figure.sentences, set(labels))
        for claim in figure.claims:
            lookup(KINDS, claim.kind, f"{claim.id}: kind")
            lookup(MEASURES, claim.measure, f"{claim.id}: measure")
            for label in filter(None, (claim.curve, claim.reference)):
                lookup(labels, label, f"{claim.id}: curve")


def build_report(
    figures: Sequence[Figure], store: Store, seeds: Sequence[int], profile: str, protocol: str, place: object = None
) -> Report:
    """Read the stored results of some figures and decide their claims.

    Args:
        figures: The figures.
        store: Where their results are.
        seeds: Which seeds count.
        profile: A key of ``PROFILES``.
        protocol: A key of ``PROTOCOLS``.
        place: Where the user looks for results, for messages; by default the folder of the store.

    Raises:
        InputError: A figure names what is not known, or no result is stored for any of them that can be read.
    """
    check_figures(figures)
    questions = list(dict.fromkeys(figure.question for figure in figures))
    figures = sorted(figures, key=lambda figure: questions.index(figure.question))
    summaries = tuple(summarize(figure, store, seeds, profile, protocol) for figure in figures)
    problems = tuple(dict.fromkeys(store.problems.values()))
    if not any(summary.curves for summary in summaries):
        named = "".join(f" {figure.name}" for figure in figures) if len(figures) <= 3 else ""
        reasons = problems or (f"run `zeroinit reproduce{named} --profile {profile}` first",)
        raise InputError(
            f"results={str(place or store.root)!r}: holds no result of {', '.join(figure.name for figure in figures)} "
            f"({profile} profile, {protocol} protocol, seeds {write_seeds(seeds)}); {'; '.join(reasons)}"
        )
    return Report(profile, protocol, summaries, decide_claims(summaries, profile), problems, len(store.unchecked))


def claim_records(report: Report) -> list[dict]:
    """Return the claims as plain dictionaries: the content of ``claims.json``."""
    records = []
    for summary in report.summaries:
        curves = summary.figure.at(report.profile, report.protocol)
        datasets = ", ".join(sorted({curve.run.dataset for curve in curves}))
        for decision in report.decisions[summary.figure.name]:
            estimate = decision.estimate
            records.append(
                {
                    "id": decision.claim.id,
                    "figure": summary.figure.name,
                    "statement": decision.claim.statement,
                    "verdict": decision.verdict,
                    "reason": decision.reason,
                    "estimate": None if estimate is None else estimate.value,
                    "interval": None if estimate is None else [estimate.to_dict()["low"], estimate.to_dict()["high"]],
                    "level": None if estimate is None else estimate.level,
                    "shares": [each.value for each in decision.shares],
                    "num_seeds": 0 if estimate is None else estimate.num_seeds,
                    "dataset": datasets,
                    "profile": report.profile,
                    "protocol": report.protocol,
                }
            )
    return records


def write_report(report: Report, folder: Path, tell: Callable[[str], None] = lambda text: None) -> Path:
    """Write ``index.html`` (self-contained), ``report.md``, ``claims.json`` and ``figures/``.

    Args:
        report: What to write.
        folder: Where.
        tell: Called before each figure with a few words.

    Returns:
        The path of ``index.html``.

    Raises:
        InputError: The folder cannot be written to.
    """
    refuse_url(folder)
    pictures, tables, inspections = {}, {}, {}
    for number, summary in enumerate(report.summaries, 1):
        tell(f"drawing the report: {summary.figure.name}, {number} of {len(report.summaries)}")
        if summary.curves:
            name, table = summary.figure.name, VIEWS[summary.figure.view].table
            pictures[name] = draw_summary(summary, report.profile, report.protocol, folder / "figures")
            tables[name] = table(summary, report.profile, report.protocol)
            if summary.figure.inspected:
                inspections[name] = [(label, Markup(html)) for label, html in inspect_curves(summary.curves)]
    write_atomically(folder / "claims.json", json.dumps(claim_records(report), indent=1, allow_nan=False) + "\n")
    content = {
        "report": report,
        "profile": PROFILES[report.profile],
        "protocol": PROTOCOLS[report.protocol],
        "version": __version__,
        "words": WORDS,
        "pictures": pictures,
        "dark_rules": {
            "preferred": Markup(dark_rules(":root:not([data-theme=light]) figure ")),
            "asked": Markup(dark_rules(":root[data-theme=dark] figure ")),
        },
        "tables": tables,
        "inspections": inspections,
        "notes": {name: view.note for name, view in VIEWS.items()},
    }
    for template, path in (("report.md.j2", "report.md"), ("report.html.j2", "index.html")):
        write_atomically(folder / path, _render(template, content))
    return folder / "index.html"


def is_written(report: Report, folder: Path) -> bool:
    """Whether a folder holds this report already, made from the same by the same program."""
    try:
        with (folder / "index.html").open("rb") as page:  # which is written last
            is_same = report.fingerprint.encode() in page.read(HEAD)
    except OSError:
        return False
    names = [
        f"figures/{stem}{suffix}"
        for summary in report.summaries
        for stem in pictures_of(summary, report.profile, report.protocol)
        for suffix in (".svg", ".png")
    ]
    return is_same and all((folder / name).is_file() for name in ("claims.json", "report.md", *names))


def for_markdown(value: object) -> object:
    r"""Return a text that stands on one line and in one cell of a table, and is no HTML; everything else as it is.

    Example:
        >>> print(for_markdown("a|b <i>"))
        a\|b &lt;i>
    """
    if not isinstance(value, str):
        return value
    return printable(" ".join(value.split("\n"))).replace("\\", "\\\\").replace("|", r"\|").replace("<", "&lt;")


def _render(template: str, content: dict) -> str:
    environment = Environment(
        loader=PackageLoader("zeroinit.bench.reporting"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=None if template.endswith(".html.j2") else for_markdown,
    )
    return environment.get_template(template).render(**content)
