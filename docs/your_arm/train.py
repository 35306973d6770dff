"""A policy of Stable-Baselines3 that reaches with any arm: train.py ROBOT FOLDER [STEPS].

Writes policy.zip, and source.npz: some of its answers by the names of joints and terms, for
`spillguard contract-test`.
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np
from stable_baselines3 import SAC

import sim.registration  # noqa: F401 (makes the environment known)

robot, folder = sys.argv[1], Path(sys.argv[2])
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
env = gymnasium.make("spillguard/Reach-v0", robot=robot)
model = SAC(
    "MlpPolicy", env, learning_rate=1e-3, batch_size=128, gamma=0.95, ent_coef=0.02, learning_starts=500,
    train_freq=2, gradient_steps=1, policy_kwargs={"net_arch": [64, 64]}, seed=0, device="cpu",
)  # fmt: skip
model.learn(steps, progress_bar=False)
folder.mkdir(exist_ok=True)
model.save(folder / "policy.zip")

arm = env.unwrapped
names = arm.robot.joint_names
obs, _ = env.reset(seed=1_000)
seen, done, reached, episodes = [], [], 0, 0
while episodes < 20:
    action, _ = model.predict(obs, deterministic=True)
    seen.append(obs)
    done.append(action * arm.task.scale)  # [m/s, rad/s]
    obs, _, ended, late, info = env.step(action)
    if ended or late:
        reached, episodes = reached + info["success"], episodes + 1
        obs, _ = env.reset()
goal, q, qd = np.split(np.array(seen), [3, 3 + len(names)], axis=1)
np.savez(
    folder / "source.npz", joint_names=names, tool_to_goal=goal, joint_position=q, joint_velocity=qd,
    action_names=[axis.name for axis in arm.task.action], action=np.array(done),
)  # fmt: skip
print(f"reached {reached} of {episodes} goals without the monitor")  # noqa: T201
