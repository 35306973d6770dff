"""Targets, advantages and critics. Imports optimizers and below."""
