"""The table of the monitor's states, computed from the gate."""
