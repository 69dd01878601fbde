"""Memory of the copies: how much they need, what they share with the model, what is given back."""
