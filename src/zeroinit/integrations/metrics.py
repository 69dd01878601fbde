"""The records of one update as numbers by name, for a log."""

from zeroinit.symmetry.observer import LayerRecord

__all__ = ["metrics_of"]

RANKS = ("effective_rank_weights", "effective_rank_updates", "effective_rank_gradients")


def metrics_of(
    records: list[LayerRecord], num_without_gradient: int, num_not_finite: int, by_layer: bool = False
) -> dict[str, float]:
    """Sum up the records of one update.

    Args:
        records: One for each layer.
        num_without_gradient: Parameters without a gradient.
        num_not_finite: Parameters that are NaN or infinite.
        by_layer: Give numbers for each layer, too.

    Returns:
        ``zeroinit/identical_units`` counts units that are identical to an earlier one and get identical updates.
        ``zeroinit/merged_units`` counts those among them that differed before. ``zeroinit/units_without_gradient`` and
        ``zeroinit/parameters_without_gradient`` count what gets no gradient, and ``zeroinit/parameters_not_finite``
        what is NaN or infinite. ``zeroinit/effective_rank_weights``, ``_updates`` and ``_gradients`` are means over
        layers, on at most 32 units and inputs.
    """
    found: dict[str, float] = {
        "identical_units": sum(each.num_units - each.num_driven_apart for each in records),
        "merged_units": sum(each.num_merged for each in records),
        "units_without_gradient": sum(each.num_silent for each in records),
        "parameters_without_gradient": num_without_gradient,
        "parameters_not_finite": num_not_finite,
    }
    for name in RANKS if records else ():
        found[name] = sum(each.diversity[name] for each in records) / len(records)
    for each in records if by_layer else ():
        found[f"{each.path or 'model'}/distinct_units"] = each.num_distinct
        found[f"{each.path or 'model'}/units_without_gradient"] = each.num_silent
        found |= {f"{each.path or 'model'}/{name}": each.diversity[name] for name in RANKS}
    return {f"zeroinit/{name}": float(value) for name, value in found.items()}
