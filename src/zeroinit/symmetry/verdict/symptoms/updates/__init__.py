"""Updates that do not stay, or hardly move anything."""
