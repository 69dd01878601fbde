"""zeroinit: neural-network initialization and symmetry breaking."""

__version__ = "0.1.0"
