"""Episodes of the transfer report: one line of JSON each, appended as they finish, so that a report that was
interrupted goes on where it was.
"""

import json
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from policy_training.deployment.transfer.conditions import (
    ENDS,
    SEEDS,
    TransferCondition,
    conditions,
    driven_arm,
    scenario,
)
from policy_training.files import write_atomically
from policy_training.pool import Pool, ordered
from sim.pouring.cell import PourCell
from sim.pouring.deployed_config import deployed_config, pouring_bundle
from sim.pouring.domain import NOMINAL, QUANTITIES, Domain
from sim.pouring.fluid import FluidCell
from sim.pouring.guarded import Pour, Rule, Stack
from sim.pouring.scripted import pour_controller
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.decision import GateConfig, Mode

ON, OFF, SCRIPTED = "monitor on", "monitor off", "scripted, monitor on"
WAYS = (ON, OFF, SCRIPTED)
CHUNK = 5  # episodes that a process takes at a time
BLOCK = 20  # seeds that every condition has before any has more, so that a report cut short is an even one
MOST = 1e9  # of any number in a line
AT_REST = 0.02  # [rad/s] of the fastest joint

TOLD: Mapping[str, tuple[type, ...]] = {
    "condition": (str,), "way": (str,), "seed": (int,), "success": (bool,), "spill": (bool,),
    "contact": (bool,), "limit": (bool,), "seconds": (int, float), "upright": (bool,), "at_rest": (bool,),
    "stopped": (bool,), "reason": (str,), "total": (int,), "landed": (int,), "tilt": (int, float),
    "domain": (dict,), "bundle": (str,), "commit": (str,),
}  # fmt: skip
"""What every line has to tell, and how; `tilt` [rad] of the cup at the end, `domain` what is not nominal."""

Row = dict[str, Any]
Watch = Callable[[PourCell], None]
"""Called with the cell whenever the policy acts."""


class Job(NamedTuple):
    """Episodes that one process makes in one go."""

    bundle: Path
    condition: str
    way: str
    seeds: tuple[int, ...]


@cache
def _known() -> dict[str, TransferCondition]:
    return {condition.name: condition for condition in conditions()}


@cache
def _deployed(path: Path) -> tuple[Bundle, GateConfig]:
    bundle = pouring_bundle(path)
    return bundle, deployed_config(bundle, bundle.manifest.threshold.value)


def identity(path: Path) -> str:
    """A bundle's fingerprint: of its manifest, which holds those of its files."""
    return sha256((path / "manifest.json").read_bytes()).hexdigest()[:12]


def episode(path: Path, condition: TransferCondition, way: str, seed: int, watch: Watch | None = None) -> Row:
    """One pour of a bundle, or of the scripted controller behind the bundle's monitor."""
    bundle, config = _deployed(path)
    pour = scenario(condition, seed)
    stack = Stack(
        bundle.models(config), config, guarded=way != OFF,
        arm=driven_arm(pour.domain) if condition.driven else None,
        cell=FluidCell() if condition.fluid else None,
    )  # fmt: skip
    policy: Rule = pour_controller if way == SCRIPTED else lambda obs: bundle.policy(obs[None])[0]

    def rule(obs: Any) -> Any:
        if watch is not None:
            watch(stack.cell)
        return policy(obs)

    found = stack.pour(rule, pour)
    row = {"condition": condition.name, "way": way, "seed": seed, **_happened(stack, found, way != OFF)}
    return row | {"domain": differences(pour.domain)}


def _happened(stack: Stack, pour: Pour, guarded: bool) -> Row:
    """How a pour ended."""
    cell, decision = stack.cell, stack.decision
    outcome, q, qd = cell.outcome(), cell.data.qpos[:7], cell.data.qvel[:7]
    lip = cell.kinematics.pose(q)
    return {
        "success": bool(pour.success), "spill": bool(pour.spill), "contact": bool(pour.contact),
        "limit": bool(pour.limit), "seconds": round(pour.seconds, 2),
        "upright": bool(outcome.upright), "at_rest": bool(np.abs(qd).max() < AT_REST),
        "stopped": guarded and decision.mode is Mode.STOPPED,
        "reason": decision.reason.name if guarded else "", "detail": decision.detail if guarded else "",
        "total": outcome.total, "landed": outcome.landed, "spilled": outcome.spilled,
        "tilt": round(float(lip.tilt), 3), "offset": (lip.position - cell.target).round(4).tolist(),
        "replaced": round(pour.replaced, 4), "limited": round(pour.limited, 4), "held": round(pour.held, 4),
    }  # fmt: skip


def differences(domain: Domain) -> dict[str, Any]:
    """What of a domain is not nominal."""
    return {
        f.name: getattr(domain, f.name)
        for f in fields(domain)
        if getattr(domain, f.name) != getattr(NOMINAL, f.name)
    }


def read_rows(path: Path) -> list[Row]:
    """Episodes in a file, each once, without an incomplete last line. ValueError if any other line is damaged
    or tells an episode of an earlier line otherwise."""
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    rows: dict[tuple[str, str, int], Row] = {}
    for number, line in enumerate(lines[:-1], 1):  # the last line is empty, or was never finished
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} is damaged: {error}; delete it") from error
        if wrong := _damage(row):
            raise ValueError(f"{path}, line {number} is damaged: {wrong}; delete it")
        if rows.setdefault(_key(row), row) != row:
            raise ValueError(
                f"{path}, line {number} tells {row['condition']}, {row['way']}, seed {row['seed']} otherwise "
                "than an earlier line; delete one of them"
            )
    return list(rows.values())


def _damage(row: Any) -> str:
    """What is wrong with a line; empty if nothing is."""
    if not isinstance(row, dict) or not set(TOLD) <= row.keys():
        return f"an episode tells {', '.join(TOLD)}"
    for name, kinds in TOLD.items():
        if type(row[name]) not in kinds or (float in kinds and not abs(row[name]) <= MOST):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            return f"{name} has to be {wanted}, got {reprlib.repr(row[name])}"
    if row["way"] not in WAYS:
        return f"way is one of {'; '.join(WAYS)}, got {reprlib.repr(row['way'])}"
    if not 0 <= row["landed"] <= row["total"] or row["total"] == 0:
        return f"landed is 0 to total, total at least 1, got {row['landed']} and {row['total']}"
    for name, value in row["domain"].items():
        if name in QUANTITIES and not _alike(value, getattr(NOMINAL, name)):
            return f"{name} in domain is no such quantity, got {reprlib.repr(value)}"
    return ""


def _alike(value: Any, nominal: Any) -> bool:
    """Whether it is a word, a number or a list of as many numbers, as the nominal one is."""
    if isinstance(nominal, str):
        return isinstance(value, str)
    wanted = len(nominal) if isinstance(nominal, tuple) else None
    if isinstance(value, list) != (wanted is not None) or (wanted is not None and len(value) != wanted):
        return False
    numbers = value if isinstance(value, list) else [value]
    return all(type(number) in (int, float) and abs(number) <= MOST for number in numbers)


def _key(row: Row) -> tuple[str, str, int]:
    return row["condition"], row["way"], row["seed"]


def wanted(
    path: Path, chosen: Iterable[TransferCondition], episodes: int, of_ends: int, done: Iterable[Row]
) -> list[Job]:
    """What is still to be poured: `episodes` in every way, `of_ends` behind the monitor alone where one
    quantity is at an end of its range."""
    known, chosen, jobs = {_key(row) for row in done}, list(chosen), []
    for block in range(0, max(episodes, of_ends), BLOCK):
        for condition in chosen:
            count = of_ends if condition.tier == ENDS else episodes
            numbers = range(SEEDS + block, SEEDS + min(block + BLOCK, count))
            for way in (ON,) if condition.tier == ENDS else WAYS:
                left = [seed for seed in numbers if (condition.name, way, seed) not in known]
                jobs += [
                    Job(path, condition.name, way, tuple(left[i : i + CHUNK]))
                    for i in range(0, len(left), CHUNK)
                ]
    return jobs


def _poured(path: Path, condition: str, way: str, seeds: Sequence[int]) -> list[Row]:
    return [episode(path, _known()[condition], way, seed) for seed in seeds]


def poured(jobs: Sequence[Job], pool: Pool) -> Iterator[Row]:
    """The episodes of these jobs, in order."""
    if pool.here:
        jobs = [job._replace(seeds=(seed,)) for job in jobs for seed in job.seeds]
    yield from chain.from_iterable(ordered(_poured, jobs, pool))


def append(path: Path, rows: Sequence[Row], running: Iterable[Row], facts: Row) -> Iterator[Row]:
    """Write each episode to the file as it comes, with `facts`, after `rows`, which are there already."""
    write_atomically(path, b"".join(_line(row) for row in rows))  # without an incomplete line
    with path.open("ab") as file:
        for row in running:
            row = row | facts
            file.write(_line(row))
            file.flush()
            yield row


def _line(row: Row) -> bytes:
    return json.dumps(row).encode() + b"\n"
