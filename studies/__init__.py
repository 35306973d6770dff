"""Experiments that write the pages of docs/results. Nothing that a robot or a training run loads imports
them."""
