"""How a training step is carried out: precision, layout, stacking, execution."""
