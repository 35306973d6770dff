"""Speeds as ratios against a peer or a limit, each measured in one run: ``python -m benchmarks.<name>``."""
