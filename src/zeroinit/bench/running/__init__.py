"""Running: from settings to stored results, for one run and many, with estimates of the time."""
