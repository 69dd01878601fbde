"""One forward and backward pass, seen as calls and as a graph."""
