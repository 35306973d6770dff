"""Steps/s of PourCoffee over the bare ``mj_step`` loop: same model, start and commands, same physics.

Time is the processor's, which a busy neighbour disturbs less; all runs in one thread.
"""

import time
from dataclasses import dataclass, replace
from unittest import mock

import gymnasium
import mujoco
import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.record import Ratio, report
from sim.registration import ensure_registered
from sim.scripted import CONTROLLERS

ENV = "spillguard/PourCoffee-v0"
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Episode:
    """One scripted pour: what the environment was given and what it gave to MuJoCo."""

    seed: int
    actions: list[NDArray[np.float32]]
    start: Array  # MuJoCo's integration state after reset
    controls: list[Array]  # one a physics call
    substeps: list[int]  # physics steps of each call
    end: Array


@dataclass
class Args:
    """Benchmark of the environment."""

    repeats: int = 9
    """Repeats, each a pour through the environment and the same pour in the bare loop."""
    episodes: int = 3
    """Different pours (seeds)."""


def _state(data: mujoco.MjData, model: mujoco.MjModel) -> Array:
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    return state


def recorded(env: gymnasium.Env, seed: int) -> Episode:
    """Pour once with the scripted controller and note every call of ``mj_step``."""
    controller = CONTROLLERS[ENV]
    obs, _ = env.reset(seed=seed)
    cell = env.unwrapped.cell  # type: ignore[attr-defined]
    episode = Episode(seed, [], _state(cell.data, cell.model), [], [], np.empty(0))
    bare_step = mujoco.mj_step

    def noted_step(model: mujoco.MjModel, data: mujoco.MjData, nstep: int = 1) -> None:
        episode.controls.append(data.ctrl.copy())
        episode.substeps.append(nstep)
        bare_step(model, data, nstep)

    done = False
    with mock.patch.object(mujoco, "mj_step", noted_step):
        while not done:
            action = np.asarray(controller(obs), np.float32)
            episode.actions.append(action)
            obs, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
    return replace(episode, end=_state(cell.data, cell.model))


def seconds_in_env(env: gymnasium.Env, episode: Episode) -> float:
    """[s] for the steps of one episode, the reset left out."""
    env.reset(seed=episode.seed)
    step = env.step
    start = time.process_time()
    for action in episode.actions:
        step(action)
    return time.process_time() - start


def seconds_bare(env: gymnasium.Env, episode: Episode) -> float:
    """[s] for the same physics without anything around it; refuses if it was not the same."""
    model: mujoco.MjModel = env.unwrapped.cell.model  # type: ignore[attr-defined]
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, episode.start, STATE)
    step, ctrl, calls = mujoco.mj_step, data.ctrl, list(zip(episode.controls, episode.substeps, strict=True))
    start = time.process_time()
    for control, substeps in calls:
        ctrl[:] = control
        step(model, data, substeps)
    passed = time.process_time() - start
    if not np.array_equal(_state(data, model), episode.end):
        raise RuntimeError("the bare loop ended in another state than the environment: not the same physics")
    return passed


def main() -> None:
    """Print the ratio."""
    args = tyro.cli(Args)
    ensure_registered()
    env = gymnasium.make(ENV)
    episodes = [recorded(env, seed) for seed in range(args.episodes)]
    ratios, rates = [], []
    for repeat in range(args.repeats):
        inside = bare = 0.0
        for episode in episodes:
            env.reset(seed=episode.seed)
            if repeat % 2:
                bare += seconds_bare(env, episode)
                inside += seconds_in_env(env, episode)
            else:
                inside += seconds_in_env(env, episode)
                bare += seconds_bare(env, episode)
        ratios.append(bare / inside)
        rates.append(sum(len(e.actions) for e in episodes) / inside)
    steps = sum(sum(e.substeps) for e in episodes)
    figures = {
        "control steps/s (median)": f"{np.median(rates):.0f}",
        "physics steps a repeat": f"{steps} in {sum(len(e.actions) for e in episodes)} control steps",
    }
    report(
        "env",
        [Ratio("environment over bare mj_step", ratios, aim=0.9)],
        figures,
        ("mujoco", "gymnasium", "numpy"),
    )


if __name__ == "__main__":
    main()
