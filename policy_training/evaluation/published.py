"""Published results of others, at their own budgets, from reference/*.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "reference"
Spread = tuple[float, float]  # mean, standard deviation over runs


@dataclass(frozen=True)
class Published:
    """One published result."""

    env: str
    algorithm: str
    steps: int  # of the whole training
    score: Spread | None = None  # return
    cost: Spread | None = None  # per episode
    limit: float | None = None
    minutes: float | None = None
    modes: Mapping[str, int] = field(default_factory=dict)  # updates by mode
    iterations: int | None = None
    conflicts: int | None = None  # iterations in conflict
    remark: str = ""


@dataclass(frozen=True)
class Reference:
    """A set of published results."""

    name: str
    source: str
    note: str
    rows: tuple[Published, ...]

    def of(self, env: str) -> list[Published]:
        """Results in an environment of that name, whatever its version."""
        return [row for row in self.rows if unversioned(row.env) == unversioned(env)]


def same_algorithm(a: str, b: str) -> bool:
    """Whether two names mean the same algorithm, such as ppo_lag and PPOLag."""
    return a.lower().replace("_", "").replace("-", "") == b.lower().replace("_", "").replace("-", "")


def unversioned(env: str) -> str:
    """SafetyHopperVelocity-v1 -> SafetyHopperVelocity."""
    name, dash, version = env.rpartition("-v")
    return name if dash and version.isdigit() else env


def read_reference(name: str) -> Reference:
    """A file of reference/ by its name."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise ValueError(f"unknown reference {name!r}; known are {known}")
    raw = json.loads(path.read_text())
    rows = tuple(
        Published(
            r["env"], r["algorithm"], r["steps"],
            tuple(r["return"]) if "return" in r else None, tuple(r["cost"]) if "cost" in r else None,
            r.get("limit"), r.get("minutes"), r.get("modes", {}), r.get("iterations"), r.get("conflicts"),
            r.get("remark", ""),
        )
        for r in raw["rows"]
    )  # fmt: skip
    return Reference(raw["name"], raw["source"], raw["note"], rows)
