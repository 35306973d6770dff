"""Learning an optimizer on many small agents."""
