"""Candidates for the reason why a parameter has no gradient, from one pass."""
