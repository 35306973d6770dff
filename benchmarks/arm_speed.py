"""One decision for the shipped arms of six and seven joints over one of the pouring gate, in the same run.

Observation, policy and gate, as deployed: the arms reach, with the hard limits alone; the cell pours, with
its critic. Processor time, the arms in turn.
"""

import time
from dataclasses import dataclass

import numpy as np
import tyro

from benchmarks.bundles import SHIPPED
from benchmarks.gate import GatedCell
from benchmarks.record import ROOT, Ratio, report
from sim.reaching.guarded import GuardedArm
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.task import observe
from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks.reach import GOAL

ARMS = ("gen3", "ur5e", "fr3")
MOTION = 100  # cycles towards a goal, before the next
NEAR = 0.2  # [m] of the goals


@dataclass
class ArmSpeedArguments:
    """Benchmark of one decision on several arms."""

    repeats: int = 9
    """Repeats."""
    cycles: int = 400
    """Decisions of each arm in a repeat."""


class ReachingArm:
    """A shipped arm that reaches one goal after the other."""

    def __init__(self, name: str) -> None:
        self._bundle = load_bundle(ROOT / f"artifacts/reach_{name}", load_robot(name))
        self._rng, self._tool, self._cycles = np.random.default_rng(0), self._bundle.tool(), 0

    def cycle(self) -> float:
        """Processor time [s] of one."""
        if self._cycles % MOTION == 0:
            rest = self._bundle.robot.rest
            goal = self._tool.pose(rest).position + self._rng.uniform(-NEAR, NEAR, 3)
            self._arm = GuardedArm(self._bundle, rest, {GOAL: goal})
            self._arm.open(np.zeros(6))
        self._cycles += 1
        begun = time.process_time()
        obs = observe(self._bundle.task, self._bundle.terms, self._arm.measured(), self._tool)
        action = self._bundle.actions(self._bundle.policy(obs[None])[0])[0]
        spent = time.process_time() - begun
        self._arm.period(action)
        return spent + self._arm.decided_in


def pouring_cycle(cell: GatedCell) -> float:
    """Processor time [s] of one."""
    begun = time.process_time()
    decision = cell.cycle()
    spent = time.process_time() - begun
    cell.follow(decision)
    if cell.over():
        cell.restart()
    return spent


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(ArmSpeedArguments)
    cell, arms = GatedCell(load_bundle(SHIPPED), True), {name: ReachingArm(name) for name in ARMS}
    pours: list[list[float]] = []
    reaches: dict[str, list[list[float]]] = {name: [] for name in ARMS}
    for _ in range(args.repeats):
        taken: dict[str, list[float]] = {name: [] for name in ("pour", *ARMS)}
        for _ in range(args.cycles):
            taken["pour"].append(pouring_cycle(cell))
            for name, arm in arms.items():
                taken[name].append(arm.cycle())
        pours.append(taken["pour"])
        for name in ARMS:
            reaches[name].append(taken[name])
    ratios = [
        Ratio(f"{name}: median decision over the pouring gate's",
              [float(np.median(mine) / np.median(pour)) for mine, pour in zip(times, pours, strict=True)],
              1.0, higher_is_better=False)
        for name, times in reaches.items()
    ]  # fmt: skip
    figures = {
        name: "p50 {:.3f} ms, p99 {:.3f} ms".format(*(1e3 * np.percentile(np.concatenate(times), [50, 99])))
        for name, times in {"pour": pours, **reaches}.items()
    }
    report("arm_speed", ratios, figures, ("onnxruntime", "mujoco", "numpy"))


if __name__ == "__main__":
    main()
