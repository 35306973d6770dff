"""Our rebuilt tasks against the real Safety-Gymnasium: equal seeds, equal actions, equal states.

``python -m benchmarks.safety_gym --peer PYTHON``, where PYTHON is the interpreter of an environment that has
Safety-Gymnasium (safety-gymnasium 1.0.0 installs on Python 3.8 to 3.10). Nothing is installed here.

The peer plays one episode and records every state. Then ours, put into the state that the peer was in before
each step and given its action, must reach the same state, reward and cost. Goal tasks are also played from
the seed alone, without correction. Speeds are CPU time of the same actions.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

import sim.registration
from benchmarks.record import Ratio, report
from benchmarks.safety_gym_peer import NOT_INSTALLED

CHILD = Path(__file__).with_name("safety_gym_peer.py")
TASKS = {
    "SafetyPointGoal1-v0": "SafetyPointGoal1-v0",
    "SafetyCarGoal1-v0": "SafetyCarGoal1-v0",
    "SafetyHopperVelocity-v0": "SafetyHopperVelocity-v1",
    "SafetyWalker2dVelocity-v0": "SafetyWalker2dVelocity-v1",
    "SafetyAntVelocity-v0": "SafetyAntVelocity-v1",
    "SafetyHalfCheetahVelocity-v0": "SafetyHalfCheetahVelocity-v1",
    "SafetySwimmerVelocity-v0": "SafetySwimmerVelocity-v1",
    "SafetyHumanoidVelocity-v0": "SafetyHumanoidVelocity-v1",
}
"""Name without ``spillguard/`` here, and there."""

SAME = 1e-6  # reward and cost after equal states
# The solver stops at the 50th iteration; one more changes a step by as much as the difference to the peer.
SAME_HUMANOID = 1e-4
ALIKE = 1e-6  # [m, rad] of two states that count as one
STILL = 1e-6  # [m/s, rad/s] of a vase at rest

Record = dict[str, NDArray[Any]]


class PeerError(RuntimeError):
    """The peer could not be run. The message says what to do."""


@dataclass(frozen=True)
class SafetyGymArguments:
    """Compare our tasks with Safety-Gymnasium's."""

    peer: str  # interpreter of an environment that has Safety-Gymnasium
    tasks: tuple[str, ...] = tuple(TASKS)
    seeds: int = 3
    steps: int = 1000


def play_peer(python: str, task: str, seed: int, steps: int) -> Record:
    """One episode of the peer. Raises `PeerError`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.npz"
        command = [python, str(CHILD), str(path), task, str(seed), str(steps)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise PeerError(
                f"{python} does not start ({error}); --peer takes a Python interpreter"
            ) from error
        if done.returncode == NOT_INSTALLED:
            raise PeerError(
                f"{done.stderr.strip()}\nGive --peer the Python of an environment that has it: version 1.0.0 "
                "installs on Python 3.8 to 3.10 with pip."
            )
        if done.returncode != 0:
            raise PeerError(f"the peer failed on {task}:\n{done.stderr.strip()[-2000:]}")
        with np.load(path) as arrays:
            return dict(arrays)


def _set_state(env: Any, record: Record, t: int) -> None:
    if "goal" in record:
        env.set_state(record["qpos"][t], record["qvel"][t], record["goal"][t])
    else:
        env.set_state(record["qpos"][t], record["qvel"][t])
    env.data.qacc_warmstart[:] = record["warmstart"][t]
    if "goal" not in record:
        # Speeds are read from these, which after a step lag its positions by one of MuJoCo's own.
        env.data.xpos[:], env.data.xipos[:] = record["xpos"][t], record["xipos"][t]


def differences(env: Any, seed: int, record: Record, scale: float) -> dict[str, float]:
    """Largest differences one step after equal states; `scale` turns the peer's action into ours.

    Steps in which a vase is pushed are separate, because collisions of boxes differ between versions of
    MuJoCo.
    """
    env.reset(seed=seed)
    worst: dict[str, float] = {}
    for t in range(len(record["reward"])):
        _set_state(env, record, t)
        obs, reward, _, _, info = env.step(record["action"][t] * scale)
        now = {
            "qpos": np.abs(env.data.qpos - record["next_qpos"][t]).max(),
            "reward": abs(reward - record["reward"][t]),
            "cost": abs(info["cost"] - record["cost"][t]),
        }
        if obs.shape == record["obs"][t].shape:
            now["obs"] = np.abs(obs - record["obs"][t]).max()
        vase = np.abs([record["qvel"][t][-6:], record["next_qvel"][t][-6:]])
        pushed = "goal" in record and vase.max() > STILL
        for name, value in now.items():
            key = name + (", vase pushed" if pushed else "")
            worst[key] = max(worst.get(key, 0.0), float(value))
    return worst


def steps_alike(env: Any, seed: int, record: Record) -> int:
    """How long both stay within `ALIKE`, given seed and actions alone."""
    env.reset(seed=seed)
    for t, action in enumerate(record["action"]):
        env.step(action)
        if np.abs(env.data.qpos - record["next_qpos"][t]).max() > ALIKE:
            return t
    return len(record["action"])


def step_seconds(env: Any, seed: int, record: Record, scale: float) -> float:
    """CPU time [s] of one of our steps under the peer's actions, resets left out."""
    env.reset(seed=seed)
    spent = 0.0
    for action in record["action"] * scale:
        start = time.process_time()
        _, _, terminated, truncated, _ = env.step(action)
        spent += time.process_time() - start
        if terminated or truncated:
            env.reset()
    return spent / len(record["action"])


def reset_seconds(env: Any, resets: int = 50) -> float:
    """CPU time [s] of one of our resets."""
    start = time.process_time()
    for _ in range(resets):
        env.reset()
    return (time.process_time() - start) / resets


def compare(config: SafetyGymArguments, task: str) -> tuple[list[Ratio], dict[str, str]]:
    """One task over all seeds."""
    rows: dict[str, list[float]] = {}
    goal = "Goal" in task
    for seed in range(config.seeds):
        record = play_peer(config.peer, TASKS[task], seed, config.steps)
        env: Any = gymnasium.make(f"spillguard/{task}").unwrapped
        scale = 1.0 / 0.4 if "Humanoid" in task else 1.0  # ours takes [-1, 1] everywhere
        found = differences(env, seed, record, scale)
        ours = step_seconds(env, seed, record, scale), reset_seconds(env)
        theirs = float(record["step_s"]), float(record["reset_s"])
        found |= {"steps/s": 1.0 / ours[0], "reset ms": 1e3 * ours[1]}
        found |= {"peer's steps/s": 1.0 / theirs[0], "peer's reset ms": 1e3 * theirs[1]}
        if goal:
            found["steps alike from the seed"] = steps_alike(env, seed, record)
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    faster = [a / b for a, b in zip(rows["steps/s"], rows["peer's steps/s"], strict=True)]
    resets = [a / b for a, b in zip(rows["peer's reset ms"], rows["reset ms"], strict=True)]
    ratios = [
        Ratio(f"{task}: steps/s over the peer's", faster, 2.0 if goal else None),
        Ratio(f"{task}: resets/s over the peer's", resets, 100.0 if goal else None),
    ]
    figures = {
        f"{task}: {name}": ", ".join(f"{value:.3g}" for value in values) for name, values in rows.items()
    }
    same = SAME_HUMANOID if "Humanoid" in task else SAME
    for name in ("reward", "cost"):
        excess = [value / same for value in rows[name]]
        ratios.append(Ratio(f"{task}: {name} difference over {same:g}", excess, 1.0, higher_is_better=False))
    return ratios, figures | {"peer": str(record["versions"])}


def main() -> None:
    """Compare, print and keep."""
    config = tyro.cli(SafetyGymArguments, description=__doc__)
    sim.registration.ensure_registered()
    unknown = [task for task in config.tasks if f"spillguard/{task}" not in gymnasium.registry]
    ratios: list[Ratio] = []
    figures: dict[str, str] = {}
    try:
        for task in config.tasks:
            if task not in TASKS or task in unknown:
                raise PeerError(f"unknown task {task!r}; known are {', '.join(TASKS)}")
            new_ratios, new_figures = compare(config, task)
            ratios, figures = ratios + new_ratios, figures | new_figures
    except PeerError as error:
        Console(stderr=True).print(str(error), highlight=False)
        sys.exit(1)
    report("safety_gym", ratios, figures, ("gymnasium", "mujoco", "numpy"))


if __name__ == "__main__":
    main()
