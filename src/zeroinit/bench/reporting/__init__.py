"""From stored results to pages: summaries, views, verdicts, the report."""
