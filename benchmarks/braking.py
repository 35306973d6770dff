"""Sequences of adversarial proposals that end in silence: how many broke a limit, made contact, or did not
come to rest.

Not a speed: the limit is zero. Every sequence passes the gate with the deployed parameters and moves the arm
of the simulated cell (`sim/pouring/braking.py`); the critic accepts everything, so that only the hard limits
act.
"""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import RESULTS, commit, machine
from benchmarks.sequences import SequenceArgs, hard_limits_alone, shared_out
from sim.pouring.braking import Ending, run

CHUNK = 250  # sequences that one process runs from one seed
EDGE = 0.005  # [m, rad] closer to a limit than this counts as at its edge


def endings(bundle: Path, sequences: int, seed: int) -> list[Ending]:
    """The outcomes of `sequences` of one seed, half of them in a workspace too wide to have an effect."""
    return list(run(*hard_limits_alone(bundle), sequences, seed))


def main() -> int:
    """Exit status 0 only if nothing was broken."""
    args, console, start = tyro.cli(SequenceArgs), Console(), time.monotonic()
    running = shared_out(endings, args, CHUNK, lambda number: 1000 * args.seed + 2 * number)
    found = list(track(running, "sequences", total=args.sequences, console=console))
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
