"""``zeroinit list``."""

from rich.table import Table

from zeroinit.cli.app import app, out


@app.command(name="list")
def list_command() -> None:
    """List figures, boards, initializers, remedies, data sets, networks and what else a run names."""
    from zeroinit.bench.catalogue import FIGURES
    from zeroinit.bench.catalogue.boards import BOARDS
    from zeroinit.bench.data import AUGMENTATIONS, DATASETS, PIXELS
    from zeroinit.bench.models import ACTIVATIONS, MODELS
    from zeroinit.bench.training import OPTIMIZERS
    from zeroinit.init import INITIALIZERS
    from zeroinit.init.own import plugins
    from zeroinit.remedies import REMEDIES

    figures = {name: figure.title for name, figure in FIGURES.items()}
    boards = {name: board.title for name, board in BOARDS.items()}
    initializers = {name: entry.summary for name, entry in INITIALIZERS.items()}
    initializers |= {name: entry.value for name, entry in plugins().items() if name not in INITIALIZERS}
    remedies = {name: entry.summary for name, entry in REMEDIES.items()}
    tables = {"figure": figures, "board": boards, "initializer": initializers, "remedy": remedies}
    for title, entries in tables.items():
        table = Table(title, "", box=None, pad_edge=False, title_justify="left")
        for name, text in entries.items():
            table.add_row(name, text)
        out.print(table, "")
    for name, entry in plugins().items():
        if name in INITIALIZERS:
            out.print(f"{name} is also {entry.value}, which the built-in one hides; write {entry.value!r}", "")
    for title, names in (
        ("data sets", DATASETS),
        ("networks", MODELS),
        ("activations", ACTIVATIONS),
        ("optimizers", OPTIMIZERS),
        ("pixels", PIXELS),
        ("augmentations", AUGMENTATIONS),
    ):
        out.print(f"{title}: {', '.join(names)}")
