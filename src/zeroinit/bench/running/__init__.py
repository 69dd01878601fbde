"""From settings to stored results: one run, many runs, and what they would cost."""
