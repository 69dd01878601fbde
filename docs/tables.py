"""Write the reports under docs/results and the tables of the pages from the stored runs and benchmark figures.

Run it after new results: `make readme`. The tests check that pages and stored results agree.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import boards
import hero

from zeroinit.bench.profiles import PROTOCOLS
from zeroinit.bench.reporting.report import Report, build_report, write_report
from zeroinit.bench.reporting.verdicts import write_estimate
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
    "plateau": ["plateau"],
}
STUDIES = (
    "recommended",
    "large_bias",
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
FIGURES |= {name: [name] for name in (*STUDIES, "precision")}
ON_GPU = {"gpu_corrected": "corrected", "gpu_published": "published"}
"""Figures 9, 10 and 11 in bfloat16; docs/guides/gpu.md shows their tables."""
FIGURES |= {name: ["fig9", "fig10", "fig11"] for name in ON_GPU}
SEEDS = range(100)


def read_report(name: str) -> Report:
    """Build the report of one protocol, or of a study under the corrected one, from the stored runs."""
    protocol = ON_GPU.get(name, name if name in PROTOCOLS else "corrected")
    profile = "paper_bf16" if name in ON_GPU else "paper"
    return build_report(choose_figures(FIGURES[name]), Store(RUNS), SEEDS, profile, protocol)


def results_table(report: Report, folder: str) -> str:
    """Return one table over all figures, with the drawing of each above it; ``folder`` as seen from the page."""
    parts = []
    for summary in report.summaries:
        name = f"{summary.figure.name}-{report.profile}-{report.protocol}"
        if summary.can_be_drawn:
            parts.append(f"![{summary.figure.title}]({folder}/figures/{name}.svg)\n")
    rows = ["| figure | curve | paper | ours | 95 % interval | seeds |", "|---|---|---|---|---|---|"]
    for summary in report.summaries:
        if summary.figure.view != "accuracies":
            continue
        for entry in summary.curves:
            estimate = entry.estimate
            published = "–" if entry.published is None else f"{entry.published:.3f}"
            interval = "one seed" if estimate.num_seeds == 1 else f"[{estimate.low:.4f}, {estimate.high:.4f}]"
            rows.append(
                f"| {summary.figure.name} | {entry.curve.label} | {published} | {estimate.value:.4f} | {interval} "
                f"| {estimate.num_seeds} |"
            )
        if summary.absent:
            rows.append(f"| {summary.figure.name} | {', '.join(summary.absent)} | | not run yet | | 0 |")
    return "\n".join([*parts, *rows])


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]


def study(report: Report, folder: str) -> str:
    """Return the drawing of a study, its own table and its verdicts; ``folder`` as seen from the page."""
    (summary,) = report.summaries
    name = f"{summary.figure.name}-{report.profile}-{report.protocol}"
    table = VIEWS[summary.figure.view].table(summary, report.profile, report.protocol)
    lines = markdown([cell.text for cell in table.headings], [[cell.text for cell in row] for row in table.rows])
    image = f"![{summary.figure.title}]({folder}/figures/{name}.svg)"
    return "\n".join([image, "", *lines, "", claims_table(report)])


def claims_table(report: Report) -> str:
    """Return the verdicts, each with the interval that it rests on."""
    rows = ["| claim | verdict | estimate | seeds |", "|---|---|---|---|"]
    for summary in report.summaries:
        for decision in report.decisions[summary.figure.name]:
            number = decision.claim.id.split("-")[0]
            estimate = decision.estimate
            numbers = f"{write_estimate(estimate)} | {estimate.num_seeds}" if estimate else "– | 0"
            rows.append(f"| {number}: {decision.claim.statement} | {decision.verdict} | {numbers} |")
    return "\n".join(rows)


def remarks(report: Report) -> str:
    """Return what is said about differences from the paper, figure by figure."""
    return "\n".join(
        f"* {summary.figure.name}: {remark}" for summary in report.summaries for remark in summary.figure.remarks
    )


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
    speed, checks = content["speed"], content["check"]["rows"]
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
    stacks = [[row["network"], str(row["seeds"]), f"{row['ratio']:.2f}"] for row in speed["stacked"]]
    parts += ["", *markdown(["network", "stacked seeds", "time relative to one seed"], stacks), ""]
    parts += [f"* {speed['device']}: {len(checks)} checks against the CPU passed: `benchmarks/results/gpu.json`."]
    second = content["second"]
    passed = [row for row in second["check"] if row["outcome"] == "ok"]
    parts += [f"* {second['device']}: {len(passed)} of {len(second['check'])} checks against the CPU passed."]
    seconds = second["seconds_of_inspect_on_gpt2_small"]
    parts += [f"* {second['device']}: `inspect` takes {seconds:.1f} s on GPT-2 small (2 texts of 64 tokens)."]
    return "\n".join(parts)


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
    figures = {
        name: f"{results_table(reports[name], f'../results/{name}')}\n\n{claims_table(reports[name])}"
        for name in ON_GPU
    }
    precision = claims_table(reports["precision"])
    return {
        **figures,
        "precision": f"{results_table(reports['precision'], '../results/precision')}\n\n{precision}",
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


def tables_and_claims(report: Report, folder: str) -> str:
    """Return the drawings and the table of a report's figures, then its verdicts."""
    return f"{results_table(report, folder)}\n\n{claims_table(report)}"


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
    results = ROOT / "docs" / "results"
    return {
        ROOT / "README.md": readme_blocks(reports),
        ROOT / "docs" / "index.md": {"picture": picture(reports)},
        ROOT / "docs" / "guides" / "gpu.md": gpu_blocks(reports),
        ROOT / "docs" / "reference" / "cost.md": {"speed": speed()},
        ROOT / "docs" / "reference" / "findings.md": {"codes": code_table()},
        results / "paper.md": {
            "corrected": tables_and_claims(reports["corrected"], "corrected"),
            "remarks": remarks(reports["corrected"]),
            "published": results_table(reports["published"], "published"),
        },
        results / "plateau.md": {"plateau": tables_and_claims(reports["plateau"], "plateau")},
        **{results / f"{name}.md": {name: study(reports[name], name)} for name in STUDIES},
        **{results / f"{name}.md": {name: block} for name, block in boards.blocks(Store(RUNS)).items()},
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
