"""Raw files: where they come from, how they are read, where decoded arrays are kept."""
