"""Environments, their workers, replay and rollouts. No gradients here.

Imports nothing of the rooms above.
"""
