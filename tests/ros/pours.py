"""Whole pours through a stage."""

from tests.ros.harness import Stage

POUR_TIME = 200.0  # [s] allowed for a pour that takes five
CUPS = 5  # until one of them succeeds


def pour_a_cup(stage: Stage) -> dict[str, str]:
    """The outcome of the first cup that is poured, the arm at rest again.

    A pour that a busy machine interrupts is resumed, and may spill because of that; then another cup follows.
    """
    witness = stage.witness
    for cup in range(CUPS):
        if cup:
            witness.bring_to_rest()
            witness.insist("sim_arm/new_cup")
            witness.outcome.clear()
        stage.drive()
        stage.until(lambda: poured(stage), POUR_TIME, "a finished pour")
        assert witness.outcome["contact"] == "false", witness.outcome
        if witness.outcome["success"] == "true":
            break
    witness.bring_to_rest()
    return witness.outcome


def poured(stage: Stage) -> bool:
    """The cell has reported the outcome."""
    if stage.halted_for_being_late():
        stage.witness.open_gate()
    seen = stage.witness.outcome
    broken = [name for name in ("contact", "limit_broken") if seen.get(name) == "true"]
    return bool(seen) and bool(seen["success"] == "true" or seen["spilled"] != "0" or broken)
