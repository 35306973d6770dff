"""``spillguard bench``: every benchmark one after the other; one that lacks a package says so."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.record import ROOT

NEEDS = {
    "env": ("gymnasium", "train"),
    "locomotion": ("gymnasium", "train"),
    "training": ("stable_baselines3", "train,bench"),
    "on_policy": ("torch", "train"),
    "optim4rl": ("torch", "train"),
    "gate": ("torch", "train"),
    "latency": ("rclpy", "train,ros"),
}
"""A package that the benchmark cannot do without, and the extras that bring it."""


@dataclass
class Args:
    """Run the benchmarks and keep their results in benchmarks/results."""

    only: tuple[str, ...] = tuple(NEEDS)
    """Which ones."""
    sbx_python: Path | None = None
    """A Python with sbx-rl for the comparison with SBX; its pins differ from ours."""
    omnisafe_python: Path | None = None
    """A Python with OmniSafe for the comparison of the on-policy family; without it there is no ratio."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if a benchmark could not be run."""
    args, console, failed = tyro.cli(Args, args=arguments, prog="spillguard bench"), Console(), []
    for name in args.only:
        if name not in NEEDS:
            console.print(f"no benchmark is called {name!r}; there are {', '.join(NEEDS)}")
            return 2
        package, extras = NEEDS[name]
        if importlib.util.find_spec(package) is None:
            console.print(
                f"{name}: left out, {package} is missing: pip install -c constraints.txt -e '.[{extras}]'"
            )
            continue
        options: list[str] = []
        if name == "training" and args.sbx_python:
            options = ["--sbx-python", str(args.sbx_python)]
        if name == "on_policy" and args.omnisafe_python:
            options = ["--peer", str(args.omnisafe_python)]
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], cwd=ROOT, check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        console.print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
