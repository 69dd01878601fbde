"""Reasons that need further passes."""
