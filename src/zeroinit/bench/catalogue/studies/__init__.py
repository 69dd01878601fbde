"""Studies: questions beyond the paper. Each file states its hypotheses, which were written down before the runs."""
