"""Names beside curves: no legend, no name over another."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from zeroinit.bench.plots.style import color_of

__all__ = ["leave_empty", "name_curves", "spread_out"]


def name_curves(
    axes: Axes, source: Axes, ends: dict[str, float], *, labels: Sequence[str], heights: dict[str, float] | None = None
) -> None:
    """Write the name of each curve into axes at the right of its own, with a line from the curve's end to its name.

    Args:
        axes: Where to write; nothing else is drawn there.
        source: The curves' axes, as high as ``axes``.
        ends: The last value of each curve.
        labels: All labels, for their colors.
        heights: Where each name stands, as a share of the height; as near to the end as the others allow if ``None``.
    """
    leave_empty(axes)
    source.set_ylim(source.get_ylim())
    places = {label: float(source.transLimits.transform(_scaled(source, value))[1]) for label, value in ends.items()}
    if heights is None:
        gap = 0.21 * axes.figure.dpi / axes.bbox.height
        heights = spread_out(places, gap)
    for label, start in places.items():
        color = color_of(label, labels)
        curve = f"curve-{list(labels).index(label)}-name"
        lead = axes.plot([0, 0.25], [start, heights[label]], color=color, linewidth=0.8, clip_on=False)[0]
        lead.set_gid(curve)
        axes.text(0.3, heights[label], label, va="center", color=color, gid=curve)
    axes.set(xlim=(0, 2.5), ylim=(0, 1))


def _scaled(axes: Axes, value: float) -> tuple[float, float]:
    return tuple(axes.transScale.transform((axes.get_xlim()[0], value)))


def leave_empty(axes: Axes) -> None:
    """Take away everything that axes have of their own."""
    axes.set_axis_off()
    axes.grid(visible=False)


def spread_out(places: dict[str, float], gap: float) -> dict[str, float]:
    """Move places apart until neighbors have a gap; the order stays.

    Example:
        >>> {label: round(place, 2) for label, place in spread_out({"a": 0.5, "b": 0.5, "c": 0.9}, 0.1).items()}
        {'a': 0.45, 'b': 0.55, 'c': 0.9}
    """
    order = sorted(places, key=lambda label: places[label])
    found = [places[label] for label in order]
    for _ in range(200):
        for low, high in zip(range(len(found)), range(1, len(found)), strict=False):
            lack = gap - (found[high] - found[low])
            if lack > 1e-9:
                found[low], found[high] = found[low] - lack / 2, found[high] + lack / 2
    return dict(zip(order, found, strict=True))
