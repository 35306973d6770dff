"""Evaluation of trained policies: episodes, curves, tables, videos. Imports runs and below."""
