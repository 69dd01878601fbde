"""``zeroinit report``."""

from pathlib import Path

from zeroinit.cli.app import app
from zeroinit.cli.options import Figures, ProfileName, ProtocolName, ReportDir, Results, Seeds, parse_seeds
from zeroinit.cli.tables import print_claims


@app.command(name="report")
def report_command(
    figures: Figures = None,
    profile: ProfileName = "paper",
    protocol: ProtocolName = "corrected",
    seeds: Seeds = "5",
    results: Results = Path("results"),
    report: ReportDir = Path("report"),
) -> None:
    """Write the report again from stored results; nothing is run."""
    from zeroinit.bench.reporting.report import build_report, write_report
    from zeroinit.bench.reproduce import choose_figures
    from zeroinit.bench.store import Store

    written = build_report(choose_figures(figures), Store(results), parse_seeds(seeds), profile, protocol)
    write_report(written, report)
    print_claims(written, report)
