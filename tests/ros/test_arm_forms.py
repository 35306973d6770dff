"""The graph moves an arm in the forms in which real drivers show it: joint states at 1 kHz, continuous joints
within half a turn, velocities that are always zero, servos that trail more, no enforced limits.

How well it pours in them is measured in simulated time. Here: the arm follows, within its limits.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from tests.ros.harness import MOVED, PATIENCE, MakeStage, Stage

# Parameters, and the lag [s] of the servos; None: an arm and a cell that differ in everything.
KORTEX = {"joint_state_rate": 1000, "wrapped": True, "enforce_command_limits": False}
FORMS = {
    "as a Gen3's driver": (KORTEX, 0.04),
    "as mock hardware": ({"mock_velocity": True}, 0.0),
    "a stiff arm": ({}, 0.005),
    "nothing nominal": ({"joint_state_rate": 500}, None),
}
CYCLES = 300


@pytest.fixture(params=FORMS)
def stage(request: pytest.FixtureRequest, make_stage: MakeStage, tmp_path: Path) -> Iterator[Stage]:
    parameters, lag = FORMS[request.param]
    domain = tmp_path / "domain.yaml"
    domain.write_text(f"schema: 1\nquantities: {{lag: {{value: {lag}}}}}\n")
    with make_stage() as stage:
        stage.start("sim_arm", **parameters, domain="full" if lag is None else str(domain))
        stage.start("policy")
        stage.start("safety_monitor", driver_status=CONTROLLERS, driver_parameter=JOINS)
        yield stage


def test_the_arm_follows_within_its_limits(stage: Stage) -> None:
    """A stop by a busy machine is undone; for any other reason there is none."""
    witness, followed = stage.witness, 0
    moved = lambda: bool(witness.heard.joints) and witness.travel() > MOVED  # noqa: E731
    enough = lambda: len(witness.heard.status) >= CYCLES  # noqa: E731
    while followed < CYCLES:
        witness.open_gate()
        witness.heard.clear()
        stage.until(lambda: moved() or stage.halted_for_being_late(), PATIENCE, "motion")
        stage.until(lambda: enough() or stage.status["mode"] != "following", PATIENCE, "cycles")
        if not stage.halted_for_being_late():
            assert stage.status["mode"] == "following", (stage.status, stage.logs())
            followed = len(witness.heard.status)
    outcome = witness.outcome_now(PATIENCE)
    assert (outcome["contact"], outcome["limit_broken"]) == ("false", "false")
    witness.bring_to_rest()
