"""Arrays in, numbers out: which rows are equal, how diverse they are."""
