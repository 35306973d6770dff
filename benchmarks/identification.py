"""Perturbed arms, excited behind the gate and identified: how often does a 95 % interval cover the truth?

Not a speed. Every twin is drawn from the whole range of every quantity, with noise and unknown zeros on its
torque sensors; the gate, the controller and the servos are the program's own, not those of the fit
(`sim/identification/twin.py`). Intervals are counted where they are pinned; what is not keeps its range.

One twin after the other is kept in a folder, so that an interrupted run goes on.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bundles import SHIPPED
from benchmarks.record import RESULTS, commit, machine
from benchmarks.sequences import hard_limits_alone
from sim.identification.fit import identify
from sim.identification.twin import TorqueSensors, excited
from sim.pouring.domain import FULL, sample

NOISE, ZERO = (0.02, 0.2), (-0.2, 0.2)  # [N m] of the torque sensors; assumed
AIM = 0.9  # share of the intervals that have to cover the truth


@dataclass
class IdentificationArgs:
    """Identify perturbed twins and count the intervals that cover the truth."""

    twins: int = 100
    """Twins, each of a seed of its own."""
    seed: int = 1000
    """Of the first."""
    effort: bool = True
    """Torques are reported and used; off: positions and velocities alone."""
    kept: Path = Path("runs/identification")
    """Folder of what each twin gave."""
    bundle: Path = SHIPPED
    """Bundle whose limits and world model the gate uses."""


def one(seed: int, args: IdentificationArgs) -> dict[str, Any]:
    """Excite and identify the twin of this seed."""
    rng, start = np.random.default_rng(seed), time.monotonic()
    domain = sample(rng, FULL)
    sensors = TorqueSensors(float(rng.uniform(*NOISE)), tuple(rng.uniform(*ZERO, 7).tolist()))
    moved = excited(domain, *hard_limits_alone(args.bundle), seed, torque_sensors=sensors)
    found = identify(moved.motion if args.effort else replace(moved.motion, effort=None))
    estimates = [
        e._asdict() | {"truth": float(np.atleast_1d(getattr(domain, e.name))[e.joint or 0])}
        for e in found.estimates
    ]
    return {
        "seed": seed, "commit": commit(), "violations": moved.violations, "stopped": moved.stopped,
        "unchanged": moved.share, "misfit": found.misfit, "seconds": time.monotonic() - start,
        "estimates": estimates,
    }  # fmt: skip


def rows_of(twins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By quantity: how many intervals are pinned, how many of these cover, how wide they are."""
    every = [estimate for twin in twins for estimate in twin["estimates"]]
    rows = []
    for name in dict.fromkeys(estimate["name"] for estimate in every):
        mine = [e for e in every if e["name"] == name]
        pinned = [e for e in mine if e["pinned"]]
        cover = [e["low"] <= e["truth"] <= e["high"] for e in pinned]
        widths = [e["high"] - e["low"] for e in pinned]
        rows.append({
            "quantity": name, "intervals": len(mine), "pinned": len(pinned), "cover": sum(cover),
            "share": round(float(np.mean(cover)), 3) if cover else None,
            "median width": float(f"{np.median(widths):.3g}") if widths else None,
        })  # fmt: skip
    return rows


def main() -> int:
    """Exit status 0 only if enough intervals cover the truth and no limit was broken."""
    args, console = tyro.cli(IdentificationArgs), Console()
    folder = args.kept / ("torques" if args.effort else "positions")
    folder.mkdir(parents=True, exist_ok=True)
    twins = []
    for seed in track(range(args.seed, args.seed + args.twins), "twins", console=console):
        place = folder / f"{seed}.json"
        if not place.exists():
            part = place.with_suffix(".part")
            part.write_text(json.dumps(one(seed, args)))
            part.replace(place)
        twins.append(json.loads(place.read_text()))
    rows = rows_of(twins)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)
    pinned, cover = sum(row["pinned"] for row in rows), sum(row["cover"] for row in rows)
    share = cover / pinned
    violations = sum(twin["violations"] for twin in twins)
    stopped = Counter(twin["stopped"] for twin in twins if twin["stopped"])
    console.print(f"{cover} of {pinned} intervals cover the truth: {share:.1%}, {AIM:.0%} needed")
    console.print(f"{violations} cycles outside a limit, {sum(stopped.values())} twins stopped by the gate")
    name = "identification" if args.effort else "identification_positions"
    record = {
        "benchmark": name,
        "command": f"python -m benchmarks.identification --twins {args.twins} --seed {args.seed}"
        + ("" if args.effort else " --no-effort"),
        "commit": commit(), "twins made at": sorted({twin["commit"] for twin in twins}),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine(),
        "twins": len(twins), "intervals": pinned, "cover": cover, "share": round(share, 4), "aim": AIM,
        "share by twin, 10th percentile": round(float(np.percentile([shares(t) for t in twins], 10)), 3),
        "violations": violations, "stopped": dict(stopped),
        "median seconds a twin": round(float(np.median([twin["seconds"] for twin in twins])), 1),
        "rows": rows,
    }  # fmt: skip
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0 if share >= AIM and not violations else 1


def shares(twin: dict[str, Any]) -> float:
    """Of one twin's pinned intervals, those that cover."""
    told = [e["low"] <= e["truth"] <= e["high"] for e in twin["estimates"] if e["pinned"]]
    return float(np.mean(told)) if told else 1.0


if __name__ == "__main__":
    raise SystemExit(main())
