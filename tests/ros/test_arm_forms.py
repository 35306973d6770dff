"""The graph moves an arm in the forms in which real drivers show it: joint states at 1 kHz, continuous joints
within half a turn, velocities that are always zero, servos that trail more, no enforced limits.

How well it pours in them is measured in simulated time. Here: the arm follows, within its limits.
"""

from collections.abc import Iterator

import pytest

from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage

KORTEX = {"joint_state_rate": 1000, "wrapped": True, "enforce_command_limits": False, "servo_lag": 0.04}
FORMS = {
    "as a Gen3's driver": KORTEX,
    "as mock hardware": {"mock_velocity": True, "servo_lag": 0.0},
    "a stiff arm": {"servo_lag": 0.005},
}
CYCLES = 300


@pytest.fixture(params=FORMS)
def stage(request: pytest.FixtureRequest, make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage() as stage:
        stage.start("sim_arm", **FORMS[request.param])
        stage.start("policy")
        stage.start("safety_monitor", driver_status=CONTROLLERS, driver_parameter=JOINS)
        yield stage


def test_the_arm_follows_within_its_limits(stage: Stage) -> None:
    """A stop by a busy machine is undone; for any other reason there is none."""
    witness, followed = stage.witness, 0
    while followed < CYCLES:
        witness.open_gate()
        witness.heard.clear()
        stage.until(lambda: bool(witness.heard.joints) and witness.travel() > MOVED, PATIENCE, "motion")
        stage.until(lambda: len(witness.heard.status) >= CYCLES or witness.stopped(), PATIENCE, "cycles")
        if stage.status["mode"] == "stopped":
            assert stage.status["reason"] in LATE, (stage.status, stage.logs())
        else:
            followed = len(witness.heard.status)
    assert (witness.outcome["contact"], witness.outcome["limit_broken"]) == ("false", "false")
    witness.bring_to_rest()
