"""How gradients become updates: layouts of optimizers, and update rules, hand-made and learned."""
