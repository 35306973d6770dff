"""Learned optimizers compared with their controls."""
