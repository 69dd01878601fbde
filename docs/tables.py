"""Write the reports under docs/results and the tables of the pages from the stored runs and benchmark figures.

Run it after new results: `make readme`. The tests check that pages and stored results agree.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import boards
import hero

from zeroinit.bench.profiles import PROTOCOLS
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.report import Report, build_report, write_report
from zeroinit.bench.reporting.verdicts import VERDICTS, WORDS
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reproduce import choose_figures
from zeroinit.bench.store import Store
from zeroinit.symmetry import CODES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
RUNS = RESULTS / "runs"
BENCHMARKS = ROOT / "benchmarks" / "results"
FIGURES = {
    "corrected": None,
    "published": ["fig3", "fig8"],
}
STUDIES = (
    "recommended",
    "large_bias",
    "plateau",
    "gap",
    "remaining",
    "transfer",
    "residual",
    "large_bias_grid",
    "large_bias_cnn",
    "first_gradients",
    "three_starts",
)
"""Studies with a page of their own, docs/results/<name>.md."""
FIGURES |= {name: [name] for name in (*STUDIES, "precision", "full_width")}
ON_GPU = {"gpu_corrected": ("corrected", 3), "gpu_published": ("published", 4)}
"""Figures 9, 10 and 11 in bfloat16: protocol, and level of the headings in docs/guides/gpu.md."""
FIGURES |= {name: ["fig9", "fig10", "fig11"] for name in ON_GPU}
IN_BFLOAT16 = (*ON_GPU, "full_width")
SEEDS = range(100)
MOST_CURVES = 60
"""A figure with more curves does not list each seed."""


def read_report(name: str) -> Report:
    """Build the report of one protocol, or of a study under the corrected one, from the stored runs."""
    protocol, _ = ON_GPU.get(name, (name if name in PROTOCOLS else "corrected", 0))
    profile = "paper_bf16" if name in IN_BFLOAT16 else "paper"
    return build_report(choose_figures(FIGURES[name]), Store(RUNS), SEEDS, profile, protocol)


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]


def drawing(report: Report, summary: FigureSummary, folder: str) -> list[str]:
    """Return the lines of a figure's picture, none if too few curves were run; ``folder`` as seen from the page."""
    name = f"{summary.figure.name}-{report.profile}-{report.protocol}"
    return [f"![{summary.figure.title}]({folder}/figures/{name}.svg)", ""] if summary.can_be_drawn else []


def own_table(report: Report, summary: FigureSummary) -> list[str]:
    """Return the lines of a figure's own table, and what was not run."""
    absent = [f"Not run yet: {', '.join(summary.absent)}.", ""] if summary.absent else []
    if not summary.curves:
        return absent
    table = VIEWS[summary.figure.view].table(summary, report.profile, report.protocol)
    lines = markdown([cell.text for cell in table.headings], [[cell.text for cell in row] for row in table.rows])
    return [*lines, "", *absent]


def claims_table(report: Report, summary: FigureSummary) -> list[str]:
    """Return the lines of a figure's verdicts, each behind the numbers that it rests on; none without claims."""
    cells = [
        [
            f"{decision.claim.id.split('-')[0]}: {decision.claim.statement}",
            decision.numbers,
            decision.difference if decision.shares else "",
            decision.word,
            str(decision.estimate.num_seeds if decision.estimate else 0),
        ]
        for decision in report.decisions[summary.figure.name]
    ]
    return [*markdown(["claim", "numbers", "difference", "verdict", "seeds"], cells), ""] if cells else []


def each_seed(summary: FigureSummary) -> list[str]:
    """Return the lines of a folded table with the final accuracy of each seed; none if runs end after a few updates."""
    ended = [entry for entry in summary.curves if entry.curve.run.max_steps is None]
    if not ended or len(ended) > MOST_CURVES:
        return []
    cells = [
        [entry.curve.label, ", ".join(f"{seed}: {100 * value:.1f}" for seed, value in sorted(entry.final.items()))]
        for entry in ended
    ]
    lines = markdown(["curve", "seed: final test accuracy, %"], cells)
    return ["<details><summary>Each seed</summary>", "", *lines, "", "</details>", ""]


def section(report: Report, summary: FigureSummary, folder: str) -> list[str]:
    """Return all that a page shows of a figure: its picture, verdicts, its own table, and each seed."""
    parts = (drawing(report, summary, folder), claims_table(report, summary), own_table(report, summary))
    return [line for part in (*parts, each_seed(summary)) for line in part]


def study(report: Report, folder: str) -> str:
    """Return a study; ``folder`` as seen from the page."""
    (summary,) = report.summaries
    return "\n".join(section(report, summary, folder)).strip()


def figure_title(summary: FigureSummary) -> str:
    """Return a figure of the paper as its heading names it."""
    return f"Figure {summary.figure.name.removeprefix('fig')}"


def by_figure(report: Report, folder: str, level: int = 3) -> str:
    """Return the figures of the paper, each under a heading of this level."""
    lines = []
    for summary in report.summaries:
        title = [f"{'#' * level} {figure_title(summary)}", "", f"{summary.figure.title}.", ""]
        lines += [*title, *section(report, summary, folder)]
    return "\n".join(lines).strip()


def by_question(report: Report, folder: str) -> str:
    """Return the figures of the paper under the questions that they ask."""
    groups = [(question, replace(report, summaries=tuple(summaries))) for question, summaries in report.questions]
    return "\n\n".join(f"## {question}\n\n{by_figure(part, folder)}" for question, part in groups)


def remarks(report: Report) -> str:
    """Return what is said about differences from the paper, figure by figure."""
    return "\n".join(f"* {figure_title(each)}: {remark}" for each in report.summaries for remark in each.figure.remarks)


def overview(report: Report) -> str:
    """Return how many claims of each figure have which verdict, with a link to the figure."""
    cells = []
    for summary in report.summaries:
        verdicts = [decision.verdict for decision in report.decisions[summary.figure.name]]
        link = f"[{figure_title(summary)}](#{figure_title(summary).lower().replace(' ', '-')})"
        cells.append([link, summary.figure.title, *(str(verdicts.count(name) or "") for name in VERDICTS)])
    totals = [str(count) for count in report.counts.values()]
    header = ["figure", "what it shows", *(WORDS.get(name, name) for name in VERDICTS)]
    return "\n".join(markdown(header, [*cells, ["all", "", *totals]]))


def figures_alone(report: Report, folder: str) -> str:
    """Return drawings and tables, without verdicts."""
    lines = [drawing(report, each, folder) + own_table(report, each) for each in report.summaries]
    return "\n".join(line for part in lines for line in part).strip()


def speed() -> str:
    """Return the benchmark figures as tables."""
    parts = []
    for name in ("mnist_epoch", "seeds"):
        content = json.loads((BENCHMARKS / f"{name}.json").read_text())
        parts += [f"{content['title']} ({content['threads']} threads), ratio to *{content['reference']}*:", ""]
        parts += ["| | ratio | low-high |", "|---|---|---|"]
        for row in content["rows"]:
            parts.append(f"| {row['name']} | {row['ratio']:.2f} | {row['ratio_low']:.2f}-{row['ratio_high']:.2f} |")
        parts += ["", *(f"* {note}" for note in content["notes"]), ""]
    parts += [*inspector_speed(BENCHMARKS / "inspector.json"), ""]
    return "\n".join([*parts, *paper_speed(BENCHMARKS / "paper_speed.json")]).strip()


def inspector_speed(path: Path) -> list[str]:
    """Return the lines about the cost of ``inspect``; none if it was not measured."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    table = markdown(content["header"], content["cells"])
    notes = (f"* {each}" for each in content["notes"])
    return [f"{content['title']} ({content['threads']} threads):", "", *table, "", *notes]


def paper_speed(path: Path) -> list[str]:
    """Return the lines about each network of the paper; none if they were not measured."""
    if not path.exists():
        return []
    content, parts = json.loads(path.read_text()), []
    for table in content["tables"]:
        parts += [f"{table['title']} ({content['device']}, {content['threads']} threads):", ""]
        parts += [*markdown(table["header"], table["cells"]), ""]
    return [*parts, *(f"* {note}" for note in content["notes"])]


def gpu_speed() -> str:
    """Return what benchmarks/gpu measured."""
    content = json.loads((BENCHMARKS / "gpu.json").read_text())
    speed, last = content["speed"], content["last"]
    plain = {
        (row["network"], row["precision"]): row["images_per_second"]
        for row in speed["networks"]
        if row["execution"] == "plain loop"
    }
    peaks = ", ".join(f"{name} {value / 1e12:.0f}" for name, value in speed["peak_operations_per_second"].items())
    parts = [
        f"{speed['device']}, PyTorch {speed['torch']}, {content['date']}, batches of {speed['batch']}. "
        f"Large matrix products reach, in TFLOP/s: {peaks}.",
        "",
    ]
    cells = [
        [
            f"{row['network']}, {row['precision']}, {row['execution']}",
            f"{row['images_per_second']:,.0f}",
            f"{100 * row['share_of_peak']:.1f} %",
            f"{row['images_per_second'] / plain[row['network'], row['precision']]:.2f}",
        ]
        for row in speed["networks"]
    ]
    parts += markdown(["training", "images a second", "share of that peak", "speed relative to a plain loop"], cells)
    stacks = [[row["network"], str(row["seeds"]), f"{row['ratio']:.2f}"] for row in last["stacked"]]
    parts += ["", f"{last['device']}, {last['date']}:", ""]
    parts += [*markdown(["network", "stacked seeds", "time relative to one seed"], stacks), ""]
    passed, at_first = ([row["outcome"] for row in last["check"]].count("ok"), len(last["failed_at_first"]))
    parts += [
        f"* {passed} of {len(last['check'])} checks against the CPU passed, {at_first} of them at the second try: "
        "`benchmarks/results/gpu.json`."
    ]
    seconds = last["seconds_of_inspect_on_gpt2_small"]
    parts += [f"* `inspect` takes {seconds:.1f} s on GPT-2 small (2 texts of 64 tokens)."]
    return "\n".join(parts)


def gpu_again() -> str:
    """Return the runs that were carried out on two cards."""
    rows = [row for row in json.loads((BENCHMARKS / "gpu.json").read_text())["again"] if row["first"] != row["again"]]
    cells = [
        [
            f"Figure {row['figure'].removeprefix('fig')}",
            row["curve"],
            str(row["seed"]),
            f"{100 * row['first']:.1f}",
            f"{100 * row['again']:.1f}",
        ]
        for row in rows
    ]
    header = ["", "curve", "seed", rows[0]["first_device"], rows[0]["again_device"]]
    return "\n".join(markdown(header, cells))


def gpu_kernels() -> str:
    """Return where the time of an update goes."""
    content = json.loads((BENCHMARKS / "gpu.json").read_text())["kernels"]
    ways, kinds = ("plain loop", "fit", "fit, searched"), content["rows"][0]["shares"]
    cells = [
        [
            f"{row['network']}, {row['precision']}, {row['execution']}",
            *(f"{row['milliseconds'][way]:.2f}" if way in row["milliseconds"] else "" for way in ways),
            *(f"{100 * row['shares'][kind]:.0f} %" for kind in kinds),
            f"{100 * row['share_of_peak']:.1f} %",
            f"{100 * row['share_of_peak_of_products']:.1f} %",
        ]
        for row in content["rows"]
    ]
    header = ["training", *(f"{way} (ms)" for way in ways), *kinds, "share of peak", "if products alone took time"]
    rate = content["copied_bytes_per_second"] / 1e12
    parts = [f"{content['device']}, PyTorch {content['torch']}. A large copy moves {rate:.1f} TB/s.", ""]
    return "\n".join([*parts, *markdown(header, cells)])


def gpu_blocks(reports: dict[str, Report]) -> dict[str, str]:
    """Return the content of each of the blocks of docs/guides/gpu.md."""
    return {
        **{name: by_figure(reports[name], f"../results/{name}", level) for name, (_, level) in ON_GPU.items()},
        "precision": study(reports["precision"], "../results/precision"),
        "full_width": study(reports["full_width"], "../results/full_width"),
        "again": gpu_again(),
        "speed": gpu_speed(),
        "kernels": gpu_kernels(),
    }


def fill(text: str, blocks: dict[str, str]) -> str:
    """Replace what stands between each block's marks."""
    for name, content in blocks.items():
        pattern = re.compile(rf"(<!-- results:{name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = pattern.subn(lambda match, new=content: f"{match[1]}{new}\n{match[2]}", text)
        assert count == 1, f"the page has {count} blocks named {name}"
    return text


def readme_blocks(reports: dict[str, Report]) -> dict[str, str]:
    """Return the README's picture and its table."""
    starts, costs, corrected = (reports[name] for name in ("three_starts", "recommended", "corrected"))
    return {
        "hero": hero.block(hero.alt_text(starts, costs, corrected)),
        "results": hero.results(costs, corrected),
    }


def code_table() -> str:
    """Return all codes of findings, each with a link to its page."""
    cells = [
        [f"[{code}](findings/{code}.md)", {"info": "information"}.get(entry.severity, entry.severity), entry.title]
        for code, entry in sorted(CODES.items())
    ]
    return "\n".join(markdown(["code", "severity", "meaning"], cells))


def picture(reports: dict[str, Report]) -> str:
    """Return the README's picture as the site shows it: the theme's own switch chooses the form."""
    alt = hero.alt_text(reports["three_starts"], reports["recommended"], reports["corrected"])
    return "\n".join(f"![{alt}](images/hero-{theme}.svg){{.only-{theme}}}" for theme in hero.THEMES)


def pages(reports: dict[str, Report]) -> dict[Path, dict[str, str]]:
    """Return each page that has blocks, and their contents."""
    results, from_boards = ROOT / "docs" / "results", boards.blocks(Store(RUNS))
    return {
        ROOT / "README.md": readme_blocks(reports),
        ROOT / "docs" / "index.md": {"picture": picture(reports)},
        ROOT / "docs" / "guides" / "gpu.md": gpu_blocks(reports),
        ROOT / "docs" / "reference" / "cost.md": {"speed": speed()},
        ROOT / "docs" / "reference" / "findings.md": {"codes": code_table()},
        results / "paper.md": {
            "overview": overview(reports["corrected"]),
            "corrected": by_question(reports["corrected"], "corrected"),
            "remarks": remarks(reports["corrected"]),
            "published": figures_alone(reports["published"], "published"),
        },
        **{results / f"{name}.md": {name: study(reports[name], name)} for name in STUDIES},
        **{results / f"{name}.md": {name: block} for name, block in from_boards.items()},
        results / "headlines.md": {"headlines": from_boards["headlines"], "statements": boards.statements(BENCHMARKS)},
    }


def main() -> None:
    """Write everything."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    reports = {name: read_report(name) for name in FIGURES}
    for name, report in reports.items():
        print(write_report(report, RESULTS / name))
    boards.save(Store(RUNS), RESULTS)
    hero.write_hero(reports["three_starts"], reports["recommended"], reports["corrected"])
    for path, blocks in pages(reports).items():
        path.write_text(fill(path.read_text(), blocks))


if __name__ == "__main__":
    main()
