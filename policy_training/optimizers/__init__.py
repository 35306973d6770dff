"""How gradients become updates: a choice of its own."""
