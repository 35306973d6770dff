"""The safety gate: inputs to decision. Imports tasks and below."""
