"""Steps/s of PourCoffee over the bare ``mj_step`` loop: same model, start and commands, same physics.

Processor time, which other processes disturb less than wall time; all in one thread.
"""

import time
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import gymnasium
import mujoco
import numpy as np
import tyro
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from benchmarks.record import Ratio, report
from sim.registration import ensure_registered
from sim.scripted import CONTROLLERS

ENV = "spillguard/PourCoffee-v0"
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
TURN = 20  # control steps, one second of the task
AIMS = {"nominal": 0.9, "full": 0.8}  # by the domain of the cells
Array = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedPour:
    """One scripted pour: the environment's actions and its commands to MuJoCo."""

    seed: int
    actions: list[NDArray[np.float32]]
    start: Array  # MuJoCo's integration state after reset
    controls: list[Array]  # (7,) each, one per physics step
    end: Array


@dataclass
class EnvBenchArguments:
    """Benchmark of the environment."""

    repeats: int = 5
    """Repeats, each the pours through the environment and the same pours in the bare loop."""
    episodes: int = 20
    """Different pours (seeds). Few of them have more, or fewer, granules than the task has on average."""


def _state(data: mujoco.MjData, model: mujoco.MjModel) -> Array:
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    return state


def recorded(env: gymnasium.Env, seed: int) -> RecordedPour:
    """Pour once with the scripted controller and record the command of every physics step."""
    controller = CONTROLLERS[ENV]
    obs, _ = env.reset(seed=seed)
    cell = env.unwrapped.cell  # type: ignore[attr-defined]
    episode = RecordedPour(seed, [], _state(cell.data, cell.model), [], np.empty(0))
    run = Rollout.rollout

    def noted(self: Rollout, model: Any, data: Any, initial_state: Any, control: Any, **more: Any) -> Any:
        episode.controls.extend(control[0].copy())
        return run(self, model, data, initial_state, control, **more)

    done = False
    with mock.patch.object(Rollout, "rollout", noted):
        while not done:
            action = np.asarray(controller(obs), np.float32)
            episode.actions.append(action)
            obs, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
    return replace(episode, end=_state(cell.data, cell.model))


def seconds(env: gymnasium.Env, episode: RecordedPour, bare_first: bool) -> tuple[float, float]:
    """[s] for the steps of one episode, in the environment and in the bare loop; the reset is left out.

    They alternate every `TURN` control steps, because the speed of a shared machine varies within seconds. An
    error if the physics is not bit-equal.
    """
    env.reset(seed=episode.seed)
    model: mujoco.MjModel = env.unwrapped.cell.model  # type: ignore[attr-defined]
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, episode.start, STATE)
    env_step, bare_step, ctrl = env.step, mujoco.mj_step, data.ctrl

    def inside(actions: list[NDArray[np.float32]]) -> float:
        start = time.process_time()
        for action in actions:
            env_step(action)
        return time.process_time() - start

    def bare(controls: list[Array]) -> float:
        start = time.process_time()
        for control in controls:
            ctrl[:] = control
            bare_step(model, data)
        return time.process_time() - start

    passed_inside = passed_bare = 0.0
    for first in range(0, len(episode.actions), TURN):
        actions = episode.actions[first : first + TURN]
        # Control steps may differ in length where the policy's rate is not nominal.
        steps = [
            round(at / len(episode.actions) * len(episode.controls)) for at in (first, first + len(actions))
        ]
        controls = episode.controls[steps[0] : steps[1]]
        if bare_first:
            passed_bare += bare(controls)
        passed_inside += inside(actions)
        if not bare_first:
            passed_bare += bare(controls)
    if not np.array_equal(_state(data, model), episode.end):
        raise RuntimeError("the bare loop ended in another state than the environment: not the same physics")
    return passed_inside, passed_bare


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(EnvBenchArguments)
    ensure_registered()
    ratios: list[Ratio] = []
    figures: dict[str, str] = {}
    for domain, aim in AIMS.items():
        env = gymnasium.make(ENV, disable_env_checker=True, domain=domain)  # made as in training
        episodes = [recorded(env, seed) for seed in range(args.episodes)]
        shares, rates = [], []
        for repeat in range(args.repeats):
            times = np.array([seconds(env, episode, repeat % 2 == 1) for episode in episodes])
            inside, bare = times.sum(axis=0)
            shares.append(bare / inside)
            rates.append(sum(len(e.actions) for e in episodes) / inside)
        ratios.append(Ratio(f"environment over bare mj_step, {domain}", shares, aim=aim))
        steps, actions = (
            sum(map(len, each)) for each in zip(*((e.controls, e.actions) for e in episodes), strict=True)
        )
        figures |= {
            f"control steps/s (median), {domain}": f"{np.median(rates):.0f}",
            f"physics steps a repeat, {domain}": f"{steps} in {actions} control steps",
        }
    report("env", ratios, figures, ("mujoco", "gymnasium", "numpy"))


if __name__ == "__main__":
    main()
