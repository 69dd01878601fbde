"""``zeroinit report``."""

from pathlib import Path

import typer

from zeroinit.cli.app import app, err
from zeroinit.cli.options import (
    Figures,
    OpenIt,
    ProfileName,
    ProtocolName,
    ReportDir,
    Results,
    Seeds,
    ShowClaims,
    parse_seeds,
)
from zeroinit.cli.tables import print_outcome


@app.command(name="report")
def report_command(
    figures: Figures = None,
    profile: ProfileName = None,
    protocol: ProtocolName = "corrected",
    seeds: Seeds = "5",
    results: Results = "results",
    report: ReportDir = Path("report"),
    claims: ShowClaims = False,
    open_it: OpenIt = False,
) -> None:
    """Write the report again from stored results; nothing is run."""
    from zeroinit.bench.profiles import profile_for
    from zeroinit.bench.progress import Progress

    profile = profile_for(figures) if profile is None else profile
    with Progress(err) as progress:
        progress.begin("loading the program")
        from zeroinit.bench.reporting.report import build_report, write_report
        from zeroinit.bench.reproduce import choose_figures
        from zeroinit.bench.running.remote import open_results
        from zeroinit.bench.store import Store

        progress.begin("reading what is stored")
        chosen = choose_figures(figures, profile)
        folder, remote = open_results(results)
        written = build_report(chosen, Store(folder), parse_seeds(seeds), profile, protocol, remote)
        write_report(written, report, progress.begin)
    print_outcome(written, report, with_claims=claims, open_it=open_it)
    if written.problems:
        raise typer.Exit(1)
