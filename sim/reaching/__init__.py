"""Any arm, without a cup: goals for its tool, and whether it stays inside its limits. Imports pouring's
controllers of an arm and `spillguard_core`."""
