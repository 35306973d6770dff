"""``spillguard bench``: every benchmark one after the other; one that lacks a package reports it."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.record import ROOT
from policy_training.terminal import UsageError, parsed, subcommand

NEEDS = {
    "env": ("gymnasium", "train"),
    "locomotion": ("gymnasium", "train"),
    "training": ("stable_baselines3", "train,bench"),
    "on_policy": ("torch", "train"),
    "optim4rl": ("torch", "train"),
    "gate": ("torch", "train"),
    "arm_speed": ("torch", "train"),
    "latency": ("rclpy", "train,ros"),
    "monitor_load": ("rclpy", "train,ros"),
}
"""A package that the benchmark needs, and the extras that install it."""


@dataclass
class BenchArguments:
    """Run the benchmarks and keep their results in benchmarks/results."""

    only: tuple[str, ...] = tuple(NEEDS)
    """Which ones."""
    sbx_python: Path | None = None
    """A Python with sbx-rl for the comparison with SBX; its pins differ from ours."""
    omnisafe_python: Path | None = None
    """A Python with OmniSafe for the comparison of the on-policy family; without it there is no ratio."""


@subcommand("bench")
def main(words: Sequence[str]) -> int:
    """Exit status 1 if a benchmark could not be run."""
    args, console, failed = parsed(BenchArguments, words, "spillguard bench"), Console(), []
    unknown = [name for name in args.only if name not in NEEDS]
    if unknown:
        raise UsageError(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NEEDS)}")
    for name in args.only:
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
