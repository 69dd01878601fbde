"""How a ``History`` shows itself: in one line, as a table in a notebook, as a drawing."""

from typing import TYPE_CHECKING

from zeroinit._common import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from zeroinit.bench.training.history import History

__all__ = ["draw_history", "shown_in_notebook", "summary"]

MEASURES = ("train_loss", "validation_loss", "test_loss", "validation_accuracy", "test_accuracy")


def summary(history: "History") -> str:
    """Return one line: epochs, updates, how the run ended, and the last accuracy.

    Example:
        >>> from zeroinit.bench.training import History
        >>> summary(History(train_loss=[1.5], test_accuracy=[0.9], num_steps=11))
        'History(1 epoch, 11 updates, completed, test accuracy 90.0 %)'
    """
    parts = [counted(history.num_epochs, "epoch"), counted(history.num_steps, "update"), _outcome(history)]
    for split in ("test", "validation"):
        if values := getattr(history, f"{split}_accuracy"):
            return f"History({', '.join(parts)}, {split} accuracy {_written(f'{split}_accuracy', values[-1])})"
    last = [f"train loss {history.train_loss[-1]:.3g}"] if history.train_loss else []
    return f"History({', '.join([*parts, *last])})"


def shown_in_notebook(history: "History") -> str:
    """Return an HTML fragment: first, best and last value of each measure."""
    rows = ""
    for name in MEASURES:
        if values := getattr(history, name):
            best = max(values) if name.endswith("accuracy") else min(values)
            cells = "".join(f"<td>{_written(name, value)}</td>" for value in (values[0], best, values[-1]))
            rows += f"<tr><th>{_words(name)}</th>{cells}</tr>"
    head = f"{counted(history.num_epochs, 'epoch')}, {counted(history.num_steps, 'update')}, {_outcome(history)}"
    return (
        f'<div class="zeroinit"><p><b>History: {head}</b></p><table><thead><tr><th></th><th>first</th><th>best</th>'
        f"<th>last</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def draw_history(history: "History", axes: "Axes | None" = None) -> "Axes":
    """Draw accuracy by epoch in percent; a run without accuracies has its losses drawn.

    Args:
        history: What ``fit`` returned.
        axes: Where to draw; a new figure if ``None``.

    Returns:
        The axes: a line for each measure, labeled.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    if axes is None:
        _, axes = plt.subplots(figsize=(6.4, 3.9), layout="constrained")
    accuracies = [name for name in MEASURES if name.endswith("accuracy") and getattr(history, name)]
    factor = 100 if accuracies else 1
    for name in accuracies or [name for name in MEASURES if getattr(history, name)]:
        values = [factor * value for value in getattr(history, name)]
        axes.plot(range(1, len(values) + 1), values, marker="o" if len(values) <= 30 else "", label=_words(name))
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy (%)" if accuracies else "loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(_outcome(history), fontsize="medium")
    if axes.lines:
        axes.legend()
    return axes


def _words(name: str) -> str:
    return name.replace("_", " ")


def _written(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name.endswith("accuracy") else f"{value:.3g}"


def _outcome(history: "History") -> str:
    at = "" if history.diverged_at_step is None else f" at update {history.diverged_at_step}"
    return f"{history.outcome}{at}"
