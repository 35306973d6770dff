"""How gradients become updates, a choice of its own: update rules, hand-made and learned."""
