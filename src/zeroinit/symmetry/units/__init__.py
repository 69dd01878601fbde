"""Layers, their units, and what is watched of them while a copy trains."""
