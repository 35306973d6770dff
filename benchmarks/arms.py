"""Three arms, three kinds of action, decisions 1 to 200 ms apart, then silence: how many sequences broke a
limit?

Not a speed: the limit is zero. Every sequence passes the gate with the deployed parameters
(`sim/reaching/sequences.py`), the hard limits alone; no physics is simulated.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import numpy as np
import tyro
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import RESULTS, commit, machine
from policy_training.deployment.wrap.command import wrap
from policy_training.deployment.wrap.contract import contract_of
from policy_training.pool import Pool, ordered
from sim.reaching.sequences import Sequence, run
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.robot.arm import load_robot

ARMS = ("gen3", "ur5e", "fr3")
KINDS = {"reach": "twist", "joint_velocities": "velocity", "joint_positions": "position"}
CHUNK = 100  # sequences that one process runs from one seed
EDGE = 0.005  # [m, rad] closer to a limit than this counts as at its edge


@dataclass
class ArmsArguments:
    """Random sequences on every arm."""

    sequences: int = 20_000
    """On each arm, an equal share with each kind of action."""
    seed: int = 0
    """Seed."""
    arms: tuple[str, ...] = ARMS
    """Names, or folders with a robot.yaml and a model.xml."""
    pool: Annotated[Pool, tyro.conf.arg(prefix_name=False)] = field(default_factory=Pool)
    """Where they run."""


@cache
def still(arm: str, task: str) -> Bundle:
    """A bundle whose policy asks for nothing: here others propose."""
    joints = len(load_robot(arm).joint_names)
    zeros = numpy_helper.from_array(np.zeros((joints, 6 if task == "reach" else joints), np.float32), "w")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
             for name, size in zip(("x", "y"), zeros.dims, strict=True)]  # fmt: skip
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "still", ports[:1], ports[1:], [zeros])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    raw = {"robot": arm, "task": task, "policy_rate": 20.0, "observation": ["joint_position"],
           "action": {"kind": KINDS[task]}}  # fmt: skip
    out = Path(mkdtemp()) / "bundle"
    wrap(model.SerializeToString(), contract_of(raw, Path.cwd()), out)
    return load_bundle(out, load_robot(arm))


def sequences(arm: str, task: str, count: int, seed: int) -> list[Sequence]:
    """The outcomes of `count` of one seed."""
    return list(run(still(arm, task), count, seed))


def _jobs(args: ArmsArguments) -> Iterator[tuple[str, str, int, int]]:
    share = -(-args.sequences // len(KINDS))
    for arm in args.arms:
        for task in KINDS:
            for first in range(0, share, CHUNK):
                yield arm, task, min(CHUNK, share - first), 100_000 * args.seed + first // CHUNK


def main() -> int:
    """Exit status 0 only if nothing was broken."""
    args, console, start = tyro.cli(ArmsArguments), Console(), time.monotonic()
    jobs = list(_jobs(args))
    running = track(ordered(sequences, jobs, args.pool), "chunks of sequences", len(jobs), console=console)
    headings = ("arm", "action", "sequences", "at an edge", "smallest margin", "moved [rad]", "unsafe")
    found: dict[tuple[str, str], list[Sequence]] = {}
    for (arm, task, _, seed), chunk in zip(jobs, running, strict=True):
        found.setdefault((Path(arm).name, task), []).extend(chunk)
        for number, one in enumerate(chunk):
            if not one.safe:
                console.print(f"{arm}, {task}, sequence {number} of seed {seed}: {one}")
    table, rows = Table(*headings), []
    for (arm, task), mine in found.items():
        least = [min(one.joint, one.workspace, one.clearance) for one in mine]
        moved = float(np.median([one.moved for one in mine]))
        values = (arm, task, len(mine), sum(value < EDGE for value in least), round(min(least), 5),
                  round(moved, 3), sum(not one.safe for one in mine))  # fmt: skip
        rows.append(dict(zip(headings, values, strict=True)))
        table.add_row(*map(str, values))
    console.print(table)
    unsafe, total = sum(row["unsafe"] for row in rows), sum(row["sequences"] for row in rows)  # type: ignore[misc]
    console.print(f"{unsafe} of {total} sequences broke something")
    record = {
        "benchmark": "arms", "command": f"python -m benchmarks.arms --sequences {args.sequences} "
        f"--seed {args.seed}", "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(), "seconds": round(time.monotonic() - start), "unsafe": unsafe, "rows": rows,
    }  # fmt: skip
    (RESULTS / "arms.json").write_text(json.dumps(record, indent=2) + "\n")
    return 1 if unsafe else 0


if __name__ == "__main__":
    raise SystemExit(main())
