"""Runs: configuration, folder, presets, loading. Imports algorithms and below."""
