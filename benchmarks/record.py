"""The output of a benchmark: ratios with the command, the commit and the machine."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Ratio:
    """One ratio, measured several times in turn with what it is compared to."""

    name: str
    values: list[float]  # one per repeat
    aim: float | None = None  # none: for information
    higher_is_better: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median meets the aim; None without an aim."""
        if self.aim is None:
            return None
        median = float(np.median(self.values))
        return median >= self.aim if self.higher_is_better else median <= self.aim


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    """Short hash, with ``+`` where the tree differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return (_git("rev-parse", "--short", "HEAD") or "no git") + ("+" if changed else "")


def _shown(arguments: list[str]) -> list[str]:
    """Arguments without absolute paths."""
    return [Path(argument).name if argument.startswith("/") else argument for argument in arguments]


def machine() -> dict[str, str]:
    """Processor, cores and load."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] \
        if info.exists() else []  # fmt: skip
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": platform.python_version(),
    }


def report(
    name: str, ratios: list[Ratio], figures: dict[str, str], packages: tuple[str, ...]
) -> dict[str, object]:
    """Print the ratios and figures and write ``results/<name>.json``."""
    table = Table(
        "ratio", "min", "median", "max", "aim", "", title=f"{name}: {len(ratios[0].values)} repeats"
    )
    kept = []
    for ratio in ratios:
        low, middle, high = (float(x) for x in np.percentile(ratio.values, [0, 50, 100]))
        aim = "" if ratio.aim is None else f"{'>=' if ratio.higher_is_better else '<='} {ratio.aim:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[ratio.met]
        table.add_row(ratio.name, f"{low:.2f}", f"{middle:.2f}", f"{high:.2f}", aim, verdict)
        kept.append(
            {"name": ratio.name, "min": low, "median": middle, "max": high, "repeats": len(ratio.values),
             "aim": aim, "met": ratio.met}
        )  # fmt: skip
    for key, value in figures.items():
        table.caption = f"{table.caption or ''}{escape(f'{key}: {value}')}\n"
    Console().print(table)
    result: dict[str, object] = {
        "benchmark": name,
        "command": " ".join(["python -m", f"benchmarks.{name}", *_shown(sys.argv[1:])]),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "packages": {package: version(package) for package in packages},
        "ratios": kept,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    unfinished = RESULTS / f"{name}.json.new"
    unfinished.write_text(json.dumps(result, indent=2) + "\n")
    unfinished.replace(RESULTS / f"{name}.json")
    if any(ratio.met is False for ratio in ratios):
        Console(stderr=True).print(f"{name}: an aim was missed on {sys.platform}; see the table.")
    return result
