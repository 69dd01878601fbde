"""Which operation makes NaN or infinity, why, and what helps."""
