"""Run folders with known curves, written as a training run writes them."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

MakeRun = Callable[..., Path]


def run_maker(root: Path) -> MakeRun:
    """make(algo, seed, rows, env=..., limits=..., command=...) -> folder; rows are dicts with a step."""

    def make(
        algo: str,
        seed: int,
        rows: Sequence[dict[str, float]],
        env: str = "spillguard/SafetyHopperVelocity-v1",
        limits: dict[str, float] | list[list[object]] | None = None,
        command: Sequence[str] = (),
    ) -> Path:
        folder = root / "runs" / env.split("/")[-1] / algo / f"s{seed}"
        folder.mkdir(parents=True)
        algorithm = {} if limits is None else {"cost_limits": limits, "not_known_to_any_release": 1}
        config = {"algo": algo, "env": env, "seed": seed, "loop": {"novel": True}, "algorithm": algorithm}
        (folder / "config.json").write_text(json.dumps(config))
        facts = {"commit": "0123456789abcdef", "command": list(command)}
        (folder / "provenance.json").write_text(json.dumps(facts))
        with (folder / "progress.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(k for row in rows for k in row)), restval="")
            writer.writeheader()
            writer.writerows(rows)
        return folder

    return make
