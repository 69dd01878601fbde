"""The initializers of the literature, one file a family; each docstring names paper and equation."""
