"""The real Safety-Gymnasium, driven for `benchmarks.safety_gym`: states, actions and results.

It needs other packages than this project, so it runs in an interpreter of its own and imports nothing of
ours: ``PYTHON safety_gym_peer.py OUT.npz TASK SEED STEPS``. Goal tasks are driven towards the goal, with
noise; the others at random.
"""

import sys
import time

NOT_INSTALLED = 3  # exit status
RESETS = 3
NOISE = 0.4


def towards_goal(task, obs, rng):
    """An action that seeks the goal by its lidar (16 bins before those of hazards and vase)."""
    goal = obs[-48:-32]
    angles = (np.arange(16) + 0.5) * np.pi / 8.0
    way = np.sum(goal * np.exp(1j * angles))
    if "Car" in task:
        way *= 1j  # the car's nose points along -y
    turn, ahead = np.clip(2.0 * np.angle(way), -1.0, 1.0), max(0.0, np.cos(np.angle(way)))
    action = [ahead + turn, ahead - turn] if "Car" in task else [ahead, turn]
    return np.clip(action + NOISE * rng.standard_normal(2), -1.0, 1.0)


def run(task, seed, steps):
    """Play one episode; its arrays by name."""
    import gymnasium
    import mujoco
    import safety_gymnasium

    env = safety_gymnasium.make(task)
    rng, kept, is_goal = np.random.default_rng(seed), {}, "Goal" in task
    resets = []
    for _ in range(RESETS if is_goal else 1):
        start = time.process_time()
        obs, _ = env.reset(seed=seed)
        resets.append(time.process_time() - start)

    def keep(**values):
        for name, value in values.items():
            kept.setdefault(name, []).append(np.array(value))

    def state():
        world = env.unwrapped.task if is_goal else env.unwrapped
        return world.model, world.data

    spent, ended = 0.0, False
    for _ in range(steps):
        if ended:
            obs, _ = env.reset()
        _, data = state()
        action = (
            towards_goal(task, obs, rng)
            if is_goal
            else env.action_space.low
            + (env.action_space.high - env.action_space.low) * rng.random(env.action_space.shape)
        )
        keep(qpos=data.qpos, qvel=data.qvel, warmstart=data.qacc_warmstart, action=action)
        if is_goal:
            keep(goal=data.body("goal").xpos[:2])
        else:
            keep(xpos=data.xpos, xipos=data.xipos)
        start = time.process_time()
        obs, reward, cost, terminated, truncated, info = env.step(action)
        spent += time.process_time() - start
        ended = terminated or truncated
        keep(obs=obs, reward=reward, cost=cost, ended=ended, met=bool(info.get("goal_met", False)))
        keep(next_qpos=data.qpos, next_qvel=data.qvel)
    versions = (
        f"safety-gymnasium {safety_gymnasium.__version__}, gymnasium {gymnasium.__version__}, "
        f"mujoco {mujoco.__version__}, Python {sys.version.split()[0]}"
    )
    arrays = {name: np.array(values) for name, values in kept.items()}
    return dict(arrays, step_s=spent / steps, reset_s=np.median(resets), versions=versions)


if __name__ == "__main__":
    try:
        import numpy as np
        import safety_gymnasium  # noqa: F401
    except Exception as error:  # an import error, or its own error on Python 3.11
        sys.stderr.write(f"Safety-Gymnasium does not import here: {type(error).__name__}: {error}\n")
        sys.exit(NOT_INSTALLED)
    np.savez(sys.argv[1], **run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
