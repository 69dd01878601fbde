"""What was asked beyond the paper. Each file says what was expected, written down before the runs."""
