"""Flight recordings: write, read, replay, explain, plot. Imports node and below."""
