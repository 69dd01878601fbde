"""Experiments: settings, runs, stored results, figures, claims and the report; the room that knows the others."""
