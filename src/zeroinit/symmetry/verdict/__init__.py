"""From evidence to findings, their reasons, and the report."""
