"""The robot's own tool: its pose, what moves it, and the way to a target."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim.reaching.world import guard
from spillguard_core.robot.arm import load_robot
from spillguard_core.robot.motion import step
from spillguard_core.robot.tool import JointSpeeds, ToolKinematics, towards, within

ARMS = ("gen3", "ur5e", "fr3")
RNG = np.random.default_rng(0)


@pytest.fixture(params=ARMS)
def tool(request: pytest.FixtureRequest) -> ToolKinematics:
    return ToolKinematics(guard(request.param, "table"), load_robot(request.param))


@pytest.fixture
def arm(tool: ToolKinematics, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return load_robot(request.node.callspec.params["tool"])


def test_velocities_are_the_derivative_of_the_pose(tool: ToolKinematics, arm) -> None:  # type: ignore[no-untyped-def]
    for _ in range(10):
        q = arm.rest + RNG.uniform(-0.4, 0.4, len(arm.rest))
        qd = RNG.uniform(-1.0, 1.0, len(q))
        state, before, after = tool.state(q, qd), tool.pose(q - 1e-6 * qd), tool.pose(q + 1e-6 * qd)
        np.testing.assert_allclose((after.position - before.position) / 2e-6, state.velocity, atol=1e-6)
        spin = (after.rotation - before.rotation) / 2e-6 @ state.rotation.T
        np.testing.assert_allclose([spin[2, 1], spin[0, 2], spin[1, 0]], state.angular_velocity, atol=1e-6)


def test_the_tool_goes_as_it_is_asked_to(tool: ToolKinematics, arm) -> None:  # type: ignore[no-untyped-def]
    for _ in range(10):
        twist = 0.05 * RNG.uniform(-1.0, 1.0, 6)
        qd = tool.joint_velocity(arm.rest, twist)
        state = tool.state(arm.rest, qd)
        np.testing.assert_allclose(np.hstack([state.velocity, state.angular_velocity]), twist, atol=5e-3)


def test_no_action_asks_for_more_than_the_arm_can(tool: ToolKinematics, arm) -> None:  # type: ignore[no-untyped-def]
    for _ in range(20):
        q = arm.rest + RNG.uniform(-1.0, 1.0, len(arm.rest))
        qd = tool.joint_velocity(q, RNG.uniform(-5.0, 5.0, 6))
        assert (np.abs(qd) <= arm.limits.velocity * (1.0 + 1e-9)).all()
    speeds = JointSpeeds(guard(arm.name, "table"), arm)
    wild = RNG.uniform(-50.0, 50.0, len(arm.rest))
    got = speeds.joint_velocity(arm.rest, wild)
    np.testing.assert_allclose(got / np.linalg.norm(got), wild / np.linalg.norm(wild))
    assert (np.abs(got) <= arm.limits.velocity * (1.0 + 1e-9)).all()


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("far", [0.02, 0.3, 1.0, 2.5])
def test_a_target_is_reached_in_a_straight_line_without_going_beyond(name: str, far: float) -> None:
    """Decided every 10 ms and followed within the acceleration limits."""
    limits = load_robot(name).limits
    q, qd = np.zeros(len(limits.velocity)), np.zeros(len(limits.velocity))
    target = far * RNG.uniform(0.3, 1.0, len(q)) * RNG.choice([-1.0, 1.0], len(q))
    for _ in range(600):
        q, qd = step(q, qd, towards(target, q, limits), limits.acceleration, 0.01)
        along = float(q @ target) / float(target @ target)
        assert along <= 1.0 + 1e-3
        assert np.linalg.norm(q - along * target) <= 1e-3
    np.testing.assert_allclose(q, target, atol=1e-3)


def test_a_joint_without_end_stops_takes_the_shorter_way() -> None:
    limits = load_robot("gen3").limits
    q, target = np.zeros(7), np.zeros(7)
    q[0], target[0] = 3.0, -3.0
    assert towards(target, q, limits)[0] > 0.0  # over the half turn
    q[1], target[1] = 1.0, -1.0
    assert towards(target, q, limits)[1] < 0.0  # it has end stops


def test_a_direction_is_kept() -> None:
    np.testing.assert_allclose(within(np.array([4.0, -1.0]), np.array([2.0, 2.0])), [2.0, -0.5])
    np.testing.assert_allclose(within(np.array([0.4, -1.0]), np.array([2.0, 2.0])), [0.4, -1.0])


def test_a_model_without_the_tool_is_refused() -> None:
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
    with pytest.raises(ValueError, match="needs the joints shoulder_pan_joint"):
        ToolKinematics(model, load_robot("ur5e"))
    assert Path(load_robot("ur5e").folder, "model.xml").is_file()
