"""Train a policy for `heater.py`, use it from Python, export it, and run the exported graph without torch.

    cd docs/own_task && python own_policy.py [FOLDER]

A minute at most; runs and graphs go to FOLDER, by default `runs` here.
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime
import torch
from rich.console import Console

from policy_training.deployment.export import main as export
from policy_training.evaluation.evaluate import main as evaluate
from policy_training.runs.trained import load_policy
from policy_training.train import main as train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")

# spillguard train --algo sac_lag --env heater:Heater-v0 ...
settings = "--steps 1000 --warmup 200 --eval-every 500 --hidden 32 32 --gamma 0.9 --eps 0.05 --no-progress"
assert (
    train(["--algo", "sac_lag", "--env", "heater:Heater-v0", "--runs", str(folder), *settings.split()]) == 0
)
run = max(folder.glob("*/*/*"), key=lambda path: path.stat().st_mtime)

# spillguard evaluate RUN
assert evaluate([str(run), "--episodes", "20", "--no-picture"]) == 0

# The policy: observations (B, 2) in, actions (B, 1) out. The safety critic: probability of a violation (B,).
trained = load_policy(run)
env = gymnasium.make("heater:Heater-v0")
obs, _ = env.reset(seed=0)
seen, over = [], False
while not over:
    with torch.no_grad():
        action = trained.policy(torch.as_tensor(obs)[None])
        risk = trained.safety_critic(torch.as_tensor(obs)[None], action)
    seen.append(obs)
    obs, _, terminated, truncated, info = env.step(action[0].numpy())
    over = terminated or truncated
show = Console(soft_wrap=True).print
show(f"room {obs[0]:.1f} degrees, success {info['success']}, risk of the last action {float(risk[0]):.3f}")

# spillguard export RUN -o GRAPHS --graphs
assert export([str(run), "-o", str(folder / "graphs"), "--graphs", "--overwrite"]) == 0
session = onnxruntime.InferenceSession(folder / "graphs" / "policy.onnx")
batch = np.stack(seen)
(found,) = session.run(["action"], {"obs": batch})
with torch.no_grad():
    difference = np.abs(found - trained.policy(torch.as_tensor(batch)).numpy()).max()
show(f"torch and ONNX Runtime differ by {difference:.1e}")
