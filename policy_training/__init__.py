"""Algorithms, loops and the command line. Torch lives in this package and nowhere else."""
