"""The two training loops, and what they log, show and validate. Imports runs and below."""
