"""How a training step is carried out, decided before it starts."""
