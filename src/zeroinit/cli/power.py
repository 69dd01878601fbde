"""``zeroinit power``."""

from typing import Annotated

import typer

from zeroinit.cli.app import app, out
from zeroinit.cli.options import ProfileName, ProtocolName, Results


@app.command()
def power(
    claim: Annotated[str, typer.Argument(help="The id of a claim, as C1-normal-beats-baseline.")],
    results: Results = "results",
    profile: ProfileName = None,
    protocol: ProtocolName = "corrected",
    probability: Annotated[float, typer.Option("--power", help="Probability of a decision.")] = 0.8,
) -> None:
    """Tell how many more seeds decide a claim, from its stored differences and its margin."""
    from zeroinit.bench.reporting.power import plan_seeds
    from zeroinit.bench.running.remote import open_results
    from zeroinit.bench.store import Store

    plan = plan_seeds(claim, Store(open_results(results)[0]), profile, protocol, probability)
    out.print(str(plan), markup=False, highlight=False, soft_wrap=True)
