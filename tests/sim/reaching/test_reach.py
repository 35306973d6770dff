"""Goals for the tool of any arm: what is drawn, what counts, and what the environment says."""

import gymnasium
import numpy as np
import pytest

import sim.registration  # noqa: F401
from sim.reaching.reach_env import AWAY, CLEAR, ReachEnv, reach_controller
from sim.reaching.scene import ReachScene
from sim.reaching.world import guard_xml
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.tasks.reach import REACHED
from tests.sim.reaching.test_sequences import ARMS, bundle


@pytest.mark.parametrize("arm", ARMS)
def test_straight_to_the_goal_arrives_where_nothing_is_in_the_way(arm: str) -> None:
    env = ReachEnv(arm)
    reached = 0
    for seed in range(6):
        obs, _ = env.reset(seed=seed)
        for _ in range(150):
            obs, reward, ended, _, info = env.step(reach_controller(obs))
            assert np.isfinite(reward)
            if ended:
                break
        reached += info["success"]
        assert info["cost"] == 0.0
        if info["success"]:
            assert np.linalg.norm(obs[:3]) <= REACHED
    assert reached >= 4  # some goals lie where the wrist would have to turn


def test_a_pillar_in_the_way_costs_one_and_ends_the_episode() -> None:
    env, touched = gymnasium.make("spillguard/ReachPillars-v0", robot="gen3"), 0
    for seed in range(12):
        obs, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            obs, _, ended, late, info = env.step(reach_controller(obs))
            if late:
                break
        if info["cost_terms"]["contact"]:
            touched += 1
            assert ended and info["cost"] == 1.0 and not info["success"]
    assert 1 <= touched < 12


def test_equal_seeds_give_equal_episodes() -> None:
    ends = []
    for _ in range(2):
        env = ReachEnv("ur5e", "pillars")
        obs, _ = env.reset(seed=3)
        for _ in range(10):
            obs, *_ = env.step(np.array([0.3, -0.2, 0.5], np.float32))
        ends.append(obs)
    np.testing.assert_array_equal(*ends)


def test_an_action_that_is_no_number_is_refused() -> None:
    env = ReachEnv("ur5e")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.nan, 0.0, 0.0], np.float32))


@pytest.mark.parametrize("arm", ARMS)
def test_starts_and_goals_lie_inside_and_are_free(arm: str) -> None:
    env = ReachEnv(arm, "pillars")
    low, high = env.robot.limits.workspace_min + AWAY, env.robot.limits.workspace_max - AWAY
    for seed in range(10):
        env.reset(seed=seed)
        assert (env._goal >= low).all() and (env._goal <= high).all()
        assert env._world.near([env._servo.q], []).least >= CLEAR


@pytest.mark.parametrize("arm", ARMS)
def test_a_goal_of_the_scene_can_be_reached_from_where_the_arm_is(arm: str) -> None:
    scene = ReachScene(bundle(arm, "reach"), seed=2)
    for number in range(1, 5):
        assert scene.goals == number and scene._can_reach(scene.goal)
        assert not scene.outcome().violated and not scene.outcome().reached
        scene.next_goal()


def test_the_scene_sees_a_contact_and_a_limit() -> None:
    scene = ReachScene(bundle("ur5e", "joint_velocities"), seed=2)
    down = scene.position.copy()
    down[1] += 1.2  # the upper arm falls forward, on to the table
    path = Trajectory(np.array([0.0, 1.0]), np.stack([scene.position, down]), np.zeros((2, 6)))
    scene.controller.accept(path, 0.0, scene.now)
    for _ in range(150):
        scene.advance()
    assert scene.outcome().contact and scene.outcome().limit_broken
    scene_goal = scene.outcome()
    assert scene_goal.violated and not scene_goal.reached


def test_a_scene_that_is_streamed_to_takes_positions_and_no_trajectory() -> None:
    scene = ReachScene(bundle("ur5e", "reach"), seed=2, streamed=True)
    start, by = scene.position.copy(), 0.01 * np.eye(6)[0]
    path = Trajectory(np.array([0.0, 0.1]), np.stack([start, start - by]), np.zeros((2, 6)))
    scene.controller.accept(path, 0.0, scene.now)
    scene.positions.accept(start + by, scene.now)
    for _ in range(50):
        scene.advance()
    np.testing.assert_allclose(scene.position, start + by, atol=1e-6)
    scene.settle(start)
    scene.advance()
    np.testing.assert_array_equal(scene.position, start)
    assert scene.inside and not scene.outcome().violated


def test_pillars_stand_in_the_workspace_of_the_arm() -> None:
    assert guard_xml("fr3", "pillars").count("pillar") == 2
    assert "pillar" not in guard_xml("fr3", "table")


@pytest.mark.parametrize("arm", ARMS)
def test_the_shipped_policies_load(arm: str) -> None:
    from pathlib import Path

    shipped = load_bundle(Path(f"artifacts/reach_{arm}"))
    assert shipped.robot.name == arm and shipped.critic is None
