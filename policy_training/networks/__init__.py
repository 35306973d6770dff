"""Actors and critics. Imports experience."""
