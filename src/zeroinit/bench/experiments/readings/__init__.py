"""What stored results say, one question in each file: results in, estimates and frames out."""
