"""From a run to the robot: export, thresholds, campaigns. Imports evaluation and below."""
