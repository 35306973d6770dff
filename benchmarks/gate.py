"""One decision (observation, policy, critic, limits) over the bare onnxruntime calls that it makes.

The bundle pours in the simulated cell. Every cycle is timed twice on the same inputs: as it runs on the
robot, and as the two sessions alone with their tensors ready. Both in one thread, processor time.
"""

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from benchmarks.bundles import SHIPPED, make_bundle
from benchmarks.record import Ratio, report
from sim.cell import PourCell
from sim.scenario import sample_scenario
from spillguard_core.arm import ACTION_SCALE, JOINT_NAMES, Vec
from spillguard_core.bundle import Bundle, load_bundle
from spillguard_core.decision import Decision, GateConfig, Inputs, Proposal, Request, Verdict
from spillguard_core.fallback import Critic
from spillguard_core.gate import decide, initial_decision
from spillguard_core.observation import observe

Array32 = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
CLEARANCE = 0.008  # [m]


@dataclass
class Args:
    """Benchmark of one gate decision."""

    bundle: Path | None = None
    """Bundle to run; the shipped one by default, else untrained networks of the usual size."""
    repeats: int = 9
    """Repeats."""
    cycles: int = 500
    """Decisions in a repeat."""


class Noted:
    """A critic that remembers what it was asked."""

    def __init__(self, critic: Critic) -> None:
        self.critic, self.asked = critic, (np.empty(0, np.float32), np.empty(0, np.float32))

    def __call__(self, obs: Array32, action: Array32) -> Array32:
        """As the critic."""
        self.asked = (obs, action)
        return self.critic(obs, action)


class Cell:
    """The simulated cell, and the gate that moves its arm."""

    def __init__(self, bundle: Bundle, clearance: bool) -> None:
        self.bundle, self.critic = bundle, Noted(bundle.critic)
        models = replace(bundle.models(CLEARANCE), critic=self.critic)
        self.models = models if clearance else replace(models, world=None)
        self.kinematics = models.kinematics
        self.config = GateConfig(
            limits=bundle.manifest.limits.arrays(), period=0.01, command_timeout=0.1, teleop_timeout=0.2,
            state_timeout=0.05, sensor_timeout=0.2, position_tolerance=0.01, max_tracking_error=0.05,
            tracking_cycles=3, tracking_lag=0.06, settle_time=1.0, still_speed=0.02, coast_time=0.02,
            clearance=CLEARANCE, critic_threshold=bundle.manifest.threshold.value, critic_release=0.9,
            free_tilt=0.9, max_suspension=60.0,
        )  # fmt: skip
        self.world, self.rng = PourCell(), np.random.default_rng(0)
        self.restart()

    def restart(self) -> None:
        """The next cup; the gate is reset and resumed."""
        self.world.reset(sample_scenario(self.rng))
        self.now, self.decision, self.measured = 100.0, initial_decision(), self.world.measure()
        for request in (Request.RESET, Request.RESUME):
            self.follow(self.decide(np.zeros(4), (request,)))

    def decide(self, twist: Vec, requests: tuple[Request, ...] = ()) -> Decision:
        """The gate's answer to a fresh proposal."""
        proposal = Proposal(twist, self.now, self.now)
        inputs = Inputs(self.now, self.measured, self.now, self.now, self.now, proposal, requests)
        return decide(inputs, self.decision, self.config, self.models)

    def follow(self, decision: Decision) -> None:
        """One period later."""
        self.decision, self.now = decision, self.now + self.config.period
        if decision.send:
            self.world.advance(decision.q[None], decision.qd[None])
        self.measured = self.world.measure()

    def over(self) -> bool:
        """Poured, failed, or held for a reason of its own."""
        outcome = self.world.outcome()
        return outcome.success or outcome.violated or self.decision.verdict >= Verdict.HOLD


def bare_seconds(cell: Cell) -> float:
    """[s] of the two sessions alone, on the latest tensors."""
    policy, critic = cell.bundle.policy._session, cell.bundle.critic._session
    asked = dict(zip(("obs", "action"), cell.critic.asked, strict=True))
    feed = {"obs": asked["obs"][:1]}
    start = time.process_time()
    policy.run(["action"], feed)
    critic.run(["q_c"], asked)
    return time.process_time() - start


def timed_cycle(cell: Cell, bare_first: bool) -> tuple[float, float, float, Decision]:
    """[s] of the decision, [s] of the bare calls, [s] of the decision on the clock, and the decision.

    Who comes second finds the weights in the cache, so the order has to change.
    """
    bundle, bare = cell.bundle, bare_seconds(cell) if bare_first else 0.0
    wall, start = time.perf_counter(), time.process_time()
    obs = observe(bundle.terms, cell.measured, cell.kinematics)
    (action,) = bundle.policy(obs[None])
    decision = cell.decide(np.asarray(action * ACTION_SCALE, dtype=np.float64))
    whole, wall = time.process_time() - start, time.perf_counter() - wall
    return whole, bare if bare_first else bare_seconds(cell), wall, decision


def chosen_bundle(asked: Path | None, scratch: Path) -> tuple[Bundle, str]:
    """The bundle and what to call it."""
    path = asked or SHIPPED
    if (path / "manifest.json").exists():
        return load_bundle(path, JOINT_NAMES), path.name
    if asked:
        raise FileNotFoundError(f"{asked} holds no manifest.json; give the directory of a bundle")
    return load_bundle(make_bundle(scratch / "bundle"), JOINT_NAMES), "untrained networks, 256 x 256"


def measured(cell: Cell, cycles: int) -> tuple[float, list[float], Counter[str]]:
    """Ratio over cycles in which the arm may move, [s] of each decision on the clock, and all verdicts."""
    whole = bare = 0.0
    walls, verdicts = [], Counter[str]()
    for cycle in range(cycles):
        first, second, wall, decision = timed_cycle(cell, bare_first=bool(cycle % 2))
        verdicts[f"{decision.verdict.name} ({decision.reason.value})"] += 1
        if decision.verdict < Verdict.HOLD:
            whole, bare = whole + first, bare + second
            walls.append(wall)
        cell.follow(decision)
        if cell.over():
            cell.restart()
    if not walls:
        raise RuntimeError(f"the arm was never allowed to move, so there is nothing to time: {verdicts}")
    return whole / bare, walls, verdicts


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as scratch:
        bundle, name = chosen_bundle(args.bundle, Path(scratch))
        wide = load_bundle(make_bundle(Path(scratch) / "wide"), JOINT_NAMES)
    cells = {
        "with the world model": Cell(bundle, True),
        "without": Cell(bundle, False),
        # how much of the ratio is the size of the networks: the rest of the decision costs the same
        "with the world model, networks of 256 x 256": Cell(wide, True),
    }
    ratios: dict[str, list[float]] = {key: [] for key in cells}
    walls: dict[str, list[float]] = {key: [] for key in cells}
    verdicts = Counter[str]()
    for _ in range(args.repeats):
        for key, cell in cells.items():
            ratio, times, seen = measured(cell, args.cycles)
            ratios[key].append(ratio)
            walls[key] += times
            verdicts += seen
    figures = {
        "bundle": name,
        "verdicts": ", ".join(f"{key} {count}" for key, count in verdicts.most_common()),
    }
    for key, values in walls.items():
        p50, p99 = 1e3 * np.percentile(values, [50, 99])
        figures[f"decision on the clock, {key}"] = f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"
    rows = [
        Ratio(f"decision over bare onnxruntime, {key}", values, aim, higher_is_better=False)
        for (key, values), aim in zip(ratios.items(), (2.0, 2.0, None), strict=True)
    ]
    report("gate", rows, figures, ("onnxruntime", "mujoco", "numpy"))


if __name__ == "__main__":
    main()
