"""Common parts of all nodes: messages, parameters, sensors, the executor. Imports spillguard_core only."""
