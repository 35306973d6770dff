"""Sequences of adversarial proposals that end in silence: how many broke a limit, touched, or did not rest.

Not a speed: the limit is zero. Every sequence passes the gate with the deployed parameters and moves the arm
of the simulated cell (`sim/braking.py`); the critic sees no danger, so that the hard limits alone do it.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bundles import SHIPPED
from benchmarks.record import RESULTS, commit, machine
from policy_training.deployed import deployed_config
from sim.braking import Ending, run
from spillguard_core.arm import JOINT_NAMES
from spillguard_core.bundle import load_bundle

CHUNK = 250  # sequences that one process runs from one seed
EDGE = 0.005  # [m, rad] closer to a limit than this counts as at its edge


@dataclass
class Args:
    """Braking from whatever the gate let through."""

    sequences: int = 20_000
    """Sequences, half in the cell's workspace and half in one too wide to matter."""
    seed: int = 0
    """Seed."""
    workers: int = 2
    """Processes."""
    bundle: Path = SHIPPED
    """Bundle whose limits and world model are used."""


def no_danger(obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
    """A critic that accepts everything: q_c (B,)."""
    del action
    return np.zeros(len(obs), dtype=np.float32)


def endings(bundle: Path, sequences: int, seed: int) -> list[Ending]:
    """What `sequences` of one seed come to."""
    loaded = load_bundle(bundle, JOINT_NAMES)
    config = deployed_config(loaded, None)
    models = replace(loaded.models(config.clearance), critic=no_danger)
    return list(run(models, config, sequences, seed))


def parallel(args: Args) -> Iterator[Ending]:
    """All of them, in processes."""
    with ProcessPoolExecutor(args.workers) as pool:
        sizes = [min(CHUNK, args.sequences - first) for first in range(0, args.sequences, CHUNK)]
        jobs = [
            pool.submit(endings, args.bundle, size, 1000 * args.seed + 2 * n) for n, size in enumerate(sizes)
        ]
        for job in jobs:
            yield from job.result()


def main() -> int:
    """Exit status 0 only if nothing was broken."""
    args, console, start = tyro.cli(Args), Console(), time.monotonic()
    found = list(track(parallel(args), "sequences", total=args.sequences, console=console))
    table = Table(
        "proposals", "sequences", "at an edge", "contact", "beyond a limit", "too fast", "not at rest"
    )
    rows = []
    for kind in sorted({e.kind for e in found}):
        mine = [e for e in found if e.kind == kind]
        rows.append({
            "proposals": kind, "sequences": len(mine), "at an edge": sum(e.edge < EDGE for e in mine),
            "contact": sum(e.contact for e in mine), "beyond a limit": sum(e.beyond for e in mine),
            "too fast": sum(e.too_fast for e in mine), "not at rest": sum(not e.at_rest for e in mine),
        })  # fmt: skip
        table.add_row(*map(str, rows[-1].values()))
    console.print(table)
    unsafe = sum(not e.safe for e in found)
    console.print(f"{unsafe} of {len(found)} sequences broke something")
    record = {
        "benchmark": "braking", "command": f"python -m benchmarks.braking --sequences {args.sequences} "
        f"--seed {args.seed}", "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(), "seconds": round(time.monotonic() - start), "unsafe": unsafe, "rows": rows,
        "kinds of harm": dict(Counter(e.kind for e in found if not e.safe)),
    }  # fmt: skip
    (RESULTS / "braking.json").write_text(json.dumps(record, indent=2) + "\n")
    return 1 if unsafe else 0


if __name__ == "__main__":
    raise SystemExit(main())
