"""Trains a copy of a model for a few steps and records it; the model itself stays as it is."""
