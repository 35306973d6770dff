"""A policy of Stable-Baselines3 that reaches with any arm: train.py ROBOT FOLDER [STEPS] [ENVIRONMENT].

Writes policy.zip and vecnormalize.pkl, and source.npz: some of its answers by the names of joints and terms,
for `spillguard contract-test`.
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import sim.registration  # noqa: F401 (makes the environment known)

robot, folder = sys.argv[1], Path(sys.argv[2])
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
name = sys.argv[4] if len(sys.argv) > 4 else "spillguard/Reach-v0"


def make() -> gymnasium.Env:
    """One arm."""
    return gymnasium.make(name, robot=robot)


arms = VecNormalize(DummyVecEnv([make] * 4), gamma=0.95)
model = PPO(
    "MlpPolicy", arms, learning_rate=1e-3, n_steps=512, batch_size=256, gamma=0.95, seed=0, device="cpu",
    policy_kwargs={"net_arch": [64, 64], "log_std_init": -1.0},
)  # fmt: skip
model.learn(steps)
folder.mkdir(exist_ok=True)
model.save(folder / "policy.zip")
arms.save(str(folder / "vecnormalize.pkl"))

env = make()
arm = env.unwrapped
seen, asked, number, reached = [], [], [], 0
for episode in range(20):
    (obs, _), ended, late = env.reset(seed=1_000 + episode), False, False
    while not (ended or late):
        action, _ = model.predict(arms.normalize_obs(obs), deterministic=True)
        seen.append(obs)
        rest = np.zeros(len(arm.task.action) - len(action))  # of the tool's turning, if the task has it
        asked.append(np.append(action, rest) * arm.task.scale)  # [m/s, rad/s]
        number.append(episode)
        obs, _, ended, late, info = env.step(action)
    reached += info["success"]
goal, q, qd = np.split(np.array(seen), [3, 3 + len(arm.robot.joint_names)], axis=1)
np.savez(
    folder / "source.npz", joint_names=arm.robot.joint_names, tool_to_goal=goal, joint_position=q,
    joint_velocity=qd, action_names=[axis.name for axis in arm.task.action], action=asked, episode=number,
)  # fmt: skip
print(f"reached {reached} of 20 goals, without the monitor")  # noqa: T201
