"""How far a policy's promise reaches: cells inside the ranges of training, outside, and hopeless ones."""
