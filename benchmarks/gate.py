"""One decision (observation, policy, critic, limits) over the bare onnxruntime and MuJoCo calls in it.

The bundle pours in the simulated cell. Every cycle is timed twice: as it runs on the robot, and as the bare
calls of the previous decision, with tensors and postures prepared. Both in one thread, processor time.
"""

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from benchmarks.bare import noted
from benchmarks.bundles import SHIPPED, make_bundle
from benchmarks.record import Ratio, report
from sim.pouring.cell import PourCell
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import seen_at_rest
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.gate.decision import Decision, Inputs, Proposal, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.task import observe
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE

LONGEST = 500e-6  # [s] limit of a decision, in 99 of 100 cases


@dataclass
class GateBenchArguments:
    """Benchmark of one gate decision."""

    bundle: Path | None = None
    """Bundle to run; the shipped one by default, else untrained networks of the usual size."""
    repeats: int = 9
    """Repeats."""
    cycles: int = 500
    """Decisions in a repeat."""


class GatedCell:
    """The simulated cell, and the gate that moves its arm."""

    def __init__(self, bundle: Bundle, clearance: bool) -> None:
        self.bundle, self.config = bundle, deployed_config(bundle, bundle.manifest.threshold.value)
        models = bundle.models(self.config)
        self.models = models if clearance else replace(models, world=None)
        self.kinematics = models.tool
        self.world, self.rng = PourCell(), np.random.default_rng(0)
        self.restart()

    def restart(self) -> None:
        """The next cup; the gate is reset and resumed."""
        self.world.reset(sample_scenario(self.rng))
        self.now, self.measured = 100.0, self.world.measure()
        self.decision = seen_at_rest(self.measured, self.config, self.models, self.now)
        for request in (Request.RESET, Request.RESUME):
            self.follow(self.decide(np.zeros(4), (request,)))
        with noted() as self.bare:
            self.cycle()

    def decide(self, twist: Vec, requests: tuple[Request, ...] = ()) -> Decision:
        """The gate's answer to a fresh proposal."""
        proposal = Proposal(twist, self.now, self.now)
        inputs = Inputs(self.now, self.measured, self.now, self.now, self.now, proposal, requests)
        return decide(inputs, self.decision, self.config, self.models)

    def cycle(self) -> Decision:
        """A whole cycle: the policy's proposal and the gate's decision."""
        obs = observe(self.bundle.task, self.bundle.terms, self.measured, self.kinematics)
        (action,) = self.bundle.policy(obs[None])
        return self.decide(np.asarray(action * ACTION_SCALE, dtype=np.float64))

    def follow(self, decision: Decision) -> None:
        """One period later."""
        self.decision, self.now = decision, self.now + self.config.period
        if decision.send:
            self.world.advance(decision.q[None], decision.qd[None])
        self.measured = self.world.measure()

    def over(self) -> bool:
        """Whether it is poured, failed, or held."""
        outcome = self.world.outcome()
        return outcome.success or outcome.violated or self.decision.verdict >= Verdict.HOLD


@dataclass(frozen=True)
class Times:
    """[s] of one cycle."""

    decision: float  # of the processor
    onnx: float
    mujoco: float
    wall: float  # of the decision, on the clock


def timed_cycle(cell: GatedCell, bare_first: bool) -> tuple[Times, Decision]:
    """The second one finds the weights in the cache, so the order has to alternate."""
    bare = cell.bare.seconds() if bare_first else (0.0, 0.0)
    wall, start = time.perf_counter(), time.process_time()
    decision = cell.cycle()
    whole, wall = time.process_time() - start, time.perf_counter() - wall
    bare = bare if bare_first else cell.bare.seconds()
    with noted() as cell.bare:  # for the next cycle; equal inputs make equal calls
        cell.cycle()
    return Times(whole, *bare, wall), decision


def chosen_bundle(asked: Path | None, scratch: Path) -> tuple[Bundle, str]:
    """The bundle and its name."""
    path = asked or SHIPPED
    if (path / "manifest.json").exists():
        return load_bundle(path), path.name
    if asked:
        raise FileNotFoundError(f"{asked} holds no manifest.json; give the directory of a bundle")
    return load_bundle(make_bundle(scratch / "bundle")), "untrained networks, 256 x 256"


def measured(cell: GatedCell, cycles: int) -> tuple[list[Times], Counter[str]]:
    """Times of the cycles in which the arm may move, and all verdicts."""
    times, verdicts = [], Counter[str]()
    for cycle in range(cycles):
        taken, decision = timed_cycle(cell, bare_first=bool(cycle % 2))
        verdicts[f"{decision.verdict.name} ({decision.reason.value})"] += 1
        if decision.verdict < Verdict.HOLD:
            times.append(taken)
        cell.follow(decision)
        if cell.over():
            cell.restart()
    if not times:
        raise RuntimeError(f"the arm was never allowed to move, so there is nothing to time: {verdicts}")
    return times, verdicts


def total(times: list[Times], *names: str) -> float:
    """[s] of these parts of all cycles."""
    return sum(getattr(taken, name) for taken in times for name in names)


def rows(name: str, repeats: list[list[Times]], aimed: bool) -> list[Ratio]:
    """The three ratios of one cell, one value per repeat."""
    slowest = [float(np.percentile([taken.decision for taken in times], 99)) for times in repeats]
    both = [total(times, "decision") / total(times, "onnx", "mujoco") for times in repeats]
    onnx = [total(times, "decision") / total(times, "onnx") for times in repeats]
    return [
        Ratio(f"{name}: p99 of a decision over 500 us", [value / LONGEST for value in slowest],
              1.0 if aimed else None, higher_is_better=False),
        Ratio(f"{name}: decision over bare onnxruntime and MuJoCo", both, 2.0 if aimed else None,
              higher_is_better=False),
        Ratio(f"{name}: decision over bare onnxruntime alone", onnx, higher_is_better=False),
    ]  # fmt: skip


def shown(times: list[Times]) -> str:
    """Percentiles for a person [ms]."""
    texts = [f"bare onnxruntime {1e3 * np.median([t.onnx for t in times]):.3f} ms, "
             f"MuJoCo {1e3 * np.median([t.mujoco for t in times]):.3f} ms (medians)"]  # fmt: skip
    for clock, name in (("decision", "processor"), ("wall", "clock")):
        p50, p99 = 1e3 * np.percentile([getattr(taken, clock) for taken in times], [50, 99])
        texts.append(f"{name} p50 {p50:.3f} ms, p99 {p99:.3f} ms")
    return "; ".join(reversed(texts))


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(GateBenchArguments)
    with tempfile.TemporaryDirectory() as scratch:
        bundle, name = chosen_bundle(args.bundle, Path(scratch))
        wide = load_bundle(make_bundle(Path(scratch) / "wide"))
    cells = {
        "with the world model": GatedCell(bundle, True),
        "without": GatedCell(bundle, False),
        # shows how much of the ratio depends on the networks' size: the rest of the decision costs the same
        "networks of 256 x 256": GatedCell(wide, True),
    }
    times: dict[str, list[list[Times]]] = {key: [] for key in cells}
    verdicts = Counter[str]()
    for _ in range(args.repeats):
        for key, cell in cells.items():
            taken, seen = measured(cell, args.cycles)
            times[key].append(taken)
            verdicts += seen
    figures = {
        "bundle": name,
        "verdicts": ", ".join(f"{key} {count}" for key, count in verdicts.most_common()),
    }
    for key, repeats in times.items():
        figures[f"decision {key}"] = shown([taken for repeat in repeats for taken in repeat])
    wide_key = list(cells)[-1]
    ratios = [row for key, repeats in times.items() for row in rows(key, repeats, aimed=key != wide_key)]
    report("gate", ratios, figures, ("onnxruntime", "mujoco", "numpy"))


if __name__ == "__main__":
    main()
