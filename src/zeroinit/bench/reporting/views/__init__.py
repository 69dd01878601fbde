"""Views: how results are shown, one question in each file: frame, drawing, table and note.

To add one: a file that makes a ``View`` and one line in ``VIEWS``.
"""

from zeroinit.bench.reporting.views import (
    accuracies,
    collapse,
    differences,
    gaps,
    gradients,
    mechanisms,
    symmetries,
    wake_up,
)
from zeroinit.bench.reporting.views.view import View

__all__ = ["VIEWS"]

VIEWS: dict[str, View] = {
    "accuracies": accuracies.VIEW,
    "gradients": gradients.VIEW,
    "wake_up": wake_up.VIEW,
    "gaps": gaps.VIEW,
    "symmetries": symmetries.VIEW,
    "differences": differences.VIEW,
    "collapse": collapse.VIEW,
    "mechanisms": mechanisms.VIEW,
}
