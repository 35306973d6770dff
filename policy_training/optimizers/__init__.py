"""How gradients become updates, a choice of its own: layouts of optimizers, and update rules."""
