"""Small tasks and locomotion with costs, for training only."""
