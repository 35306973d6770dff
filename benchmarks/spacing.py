"""Decisions 1 to 200 ms apart near every limit, then silence: how many sequences broke one?

Not a speed: the limit is zero. Every sequence passes the gate with the deployed parameters
(`sim/pouring/spacing.py`); the critic accepts everything, so that only the hard limits act.
"""

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import RESULTS, commit, machine
from benchmarks.sequences import SequenceArgs, hard_limits_alone, shared_out
from sim.pouring.spacing import KINDS, SPACINGS, Passage, run

CHUNK = 100  # sequences that one process runs from one seed
EDGE = 0.005  # [m, rad] closer to a limit than this counts as at its edge


def passages(bundle: Path, sequences: int, seed: int) -> list[Passage]:
    """The outcomes of `sequences` of one seed."""
    return list(run(*hard_limits_alone(bundle), sequences, seed))


def _seed(seed: int, chunk: int) -> int:
    """Of one chunk."""
    return 10_000 * seed + chunk


def main() -> int:
    """Exit status 0 only if nothing was broken."""
    args, console, start = tyro.cli(SequenceArgs), Console(), time.monotonic()
    running = shared_out(passages, args, CHUNK, partial(_seed, args.seed))
    found = list(track(running, "sequences", total=args.sequences, console=console))
    headings = ("limit", "up to [ms]", "sequences", "at its edge", "smallest margin", "unsafe")
    rows, table = [], Table(*headings)
    for kind in KINDS:
        for spacing in SPACINGS:
            mine = [p for p in found if (p.kind, p.spacing) == (kind, spacing)]
            if mine:
                edge, least = sum(p.margin() < EDGE for p in mine), min(p.margin() for p in mine)
                values = (kind, round(1e3 * spacing), len(mine), edge, round(least, 5))
                rows.append(dict(zip(headings, (*values, sum(not p.safe for p in mine)), strict=True)))
                table.add_row(*map(str, rows[-1].values()))
    console.print(table)
    unsafe = sum(not p.safe for p in found)
    for number, passage in enumerate(found):
        if not passage.safe:
            console.print(f"sequence {number % CHUNK} of seed {_seed(args.seed, number // CHUNK)}: {passage}")
    console.print(f"{unsafe} of {len(found)} sequences broke something")
    record = {
        "benchmark": "spacing", "command": f"python -m benchmarks.spacing --sequences {args.sequences} "
        f"--seed {args.seed}", "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(), "seconds": round(time.monotonic() - start), "unsafe": unsafe, "rows": rows,
    }  # fmt: skip
    (RESULTS / "spacing.json").write_text(json.dumps(record, indent=2) + "\n")
    return 1 if unsafe else 0


if __name__ == "__main__":
    raise SystemExit(main())
