"""Pours behind the gate with arms as drivers move them, in simulated time: how many succeed, how smoothly.

The same cups for every form: what the controller makes of the messages, how far the servos trail, and how old
the measurements are that the policy answers. The first row is the ideal arm, with which to compare.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.bundles import SHIPPED
from benchmarks.record import RESULTS, commit, machine
from policy_training.pool import Pool, ordered
from sim.pouring.arms import Arm, DrivenArm, IdealArm
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import Stack
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import MONITOR_PERIOD

FORMS: dict[str, tuple[Arm, float]] = {
    "ideal": (IdealArm(), 0.0),
    "servo lag 5 ms": (DrivenArm(lag=0.005), 0.0),
    "servo lag 20 ms": (DrivenArm(), 0.0),
    "servo lag 40 ms": (DrivenArm(lag=0.04), 0.0),
    "messages up to 20 ms late": (DrivenArm(delay=(0.0, 0.02)), 0.0),
    "60 ms more latency": (DrivenArm(), 0.06),
    "100 ms more latency": (DrivenArm(), 0.1),
    "not stamped, joined to the last command": (DrivenArm(stamped=False), 0.0),
    "not stamped, joined to the measured state": (DrivenArm(stamped=False, from_desired=False), 0.0),
}
"""Name -> arm, and latency [s] on top of the cell's own."""


@dataclass
class FormArguments:
    """Pours with arms as drivers move them."""

    cups: int = 40
    """Cups of each form."""
    seed: int = 0
    """Of the first cup; the others follow."""
    pool: Annotated[Pool, tyro.conf.arg(prefix_name=False)] = field(default_factory=Pool)
    """Where they run."""
    bundle: Path = SHIPPED
    """Bundle."""


class Poured(NamedTuple):
    """One cup."""

    success: bool
    spill: bool
    broken: bool  # contact or a limit
    stopped: bool
    acceleration: float  # [rad/s^2] root mean square over joints and periods, of the measured arm


def pour(bundle: Path, form: str, seed: int) -> Poured:
    """One cup of this form."""
    loaded, (arm, latency) = load_bundle(bundle), FORMS[form]
    config = deployed_config(loaded, loaded.manifest.threshold.value)
    models = loaded.models(config)
    stack = Stack(models, config, delay=round(latency / MONITOR_PERIOD), arm=arm)
    speeds = [np.zeros(7)]
    follow = arm.follow

    def watched(cell, decision, settings):  # type: ignore[no-untyped-def]
        follow(cell, decision, settings)
        speeds.append(cell.data.qvel[:7].copy())

    arm.follow = watched  # type: ignore[method-assign]
    try:
        done = stack.pour(
            lambda obs: loaded.policy(obs[None])[0], sample_scenario(np.random.default_rng(seed))
        )
    finally:
        arm.follow = follow  # type: ignore[method-assign]
    acceleration = np.diff(speeds, axis=0) / config.period
    stopped = stack.decision.mode.value == "stopped"
    return Poured(done.success, done.spill, done.contact or done.limit, stopped,
                  float(np.sqrt(np.mean(acceleration**2))))  # fmt: skip


def main() -> int:
    """Exit status 0."""
    args, console, start = tyro.cli(FormArguments), Console(), time.monotonic()
    jobs = [(args.bundle, form, args.seed + cup) for form in FORMS for cup in range(args.cups)]
    running = ordered(pour, jobs, args.pool)
    found = list(track(running, "cups", total=len(jobs), console=console))
    columns = ("form", "poured", "95 %", "spilt", "contact or limit", "stopped", "acceleration [rad/s^2]")
    table, rows = Table(*columns, title=f"{args.cups} cups each, monitor on"), []
    for number, form in enumerate(FORMS):
        mine = found[number * args.cups : (number + 1) * args.cups]
        poured = sum(cup.success for cup in mine)
        low, high = binomtest(poured, len(mine)).proportion_ci(method="wilson")
        rows.append({
            "form": form, "poured": poured, "interval": f"{100 * low:.0f} to {100 * high:.0f}",
            "spilt": sum(cup.spill for cup in mine), "contact or limit": sum(cup.broken for cup in mine),
            "stopped": sum(cup.stopped for cup in mine),
            "acceleration": round(float(np.mean([cup.acceleration for cup in mine])), 2),
        })  # fmt: skip
        table.add_row(*map(str, rows[-1].values()))
    console.print(table)
    record = {
        "benchmark": "arm_forms",
        "command": f"python -m benchmarks.arm_forms --cups {args.cups} --seed {args.seed}",
        "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine(),
        "seconds": round(time.monotonic() - start), "cups": args.cups, "rows": rows,
    }  # fmt: skip
    (RESULTS / "arm_forms.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
