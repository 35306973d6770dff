"""OmniSafe trained at its defaults, as run folders for `spillguard plot` and `spillguard table`.

``python -m benchmarks.omnisafe_runs --peer PYTHON``, where PYTHON is the interpreter of an environment that
has OmniSafe (0.5.0 with safety-gymnasium 1.0.0 runs on Python 3.8 to 3.10). Nothing is installed here. A
complete training is not repeated; an interrupted one starts again, because OmniSafe cannot resume.

Returns and costs are what OmniSafe logs: means over the last 100 episodes, where ours are over those of an
iteration.
"""

import csv
import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import tyro

from benchmarks.safety_gym import TASKS
from policy_training.files import write_atomically
from policy_training.runs.folder import provenance

logger = logging.getLogger(__name__)

EPOCH = 20_000  # steps; OmniSafe logs and ends at whole ones
CHILD = Path(__file__).with_name("omnisafe_runs_peer.py")
OURS = {theirs: ours for ours, theirs in TASKS.items()}
COLUMNS = {
    "TotalEnvSteps": "step", "Metrics/EpRet": "return", "Metrics/EpCost": "cost",
    "Train/KL": "kl", "Metrics/LagrangeMultiplier": "nu/cost", "Time/Total": "seconds",
}  # fmt: skip
"""OmniSafe's names of columns, and ours."""
PACKAGES = ("omnisafe", "safety-gymnasium", "gymnasium", "mujoco", "torch", "numpy")


@dataclass(frozen=True)
class OmnisafeArguments:
    """Train OmniSafe, for `spillguard plot` and `spillguard table`."""

    peer: Path
    """Python of an environment that has OmniSafe."""
    algos: tuple[str, ...] = ("CPO",)
    """OmniSafe's names."""
    tasks: tuple[str, ...] = ("SafetyHopperVelocity-v1", "SafetyAntVelocity-v1")
    """Safety-Gymnasium's names."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds."""
    steps: int = 1_000_000
    """Environment steps of a run, a multiple of OmniSafe's 20,000 an epoch."""
    workers: int = 2
    """Parallel runs, one process with one thread each."""
    runs: Path = Path("runs/omnisafe")
    """Folder of the runs; OmniSafe's own logs are in raw/ below it."""


def limit_of(settings: Mapping[str, Any]) -> float:
    """The cost limit in a config.json of OmniSafe. ValueError if there is none."""
    for part in ("lagrange_cfgs", "algo_cfgs"):
        if "cost_limit" in settings.get(part, {}):
            return float(settings[part]["cost_limit"])
    raise ValueError(f"OmniSafe's {settings.get('algo')} has no cost limit")


def convert(log: Path, run: Path, origin: Mapping[str, object]) -> None:
    """A run folder from a finished log: config.json, progress.csv and provenance.json."""
    settings = json.loads((log / "config.json").read_text())
    loop = {
        "steps": settings["train_cfgs"]["total_steps"],
        "samples": settings["algo_cfgs"]["steps_per_epoch"],
    }
    config = {
        "algo": f"OmniSafe {settings['algo']}", "env": f"spillguard/{OURS[settings['env_id']]}",
        "seed": settings["seed"], "loop": loop,
        "algorithm": {"cost_limits": [["cost", limit_of(settings)]]}, "peer": settings,
    }  # fmt: skip
    config["peer"]["logger_cfgs"].pop("log_dir", None)
    config["peer"].pop("exp_increment_cfgs", None)
    with (log / "progress.csv").open() as file:
        rows = [
            {ours: row[theirs] for theirs, ours in COLUMNS.items() if theirs in row}
            | {"iteration": str(count), "samples": str(loop["samples"])}
            for count, row in enumerate(csv.DictReader(file), start=1)
        ]
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(run / "progress.csv", text.getvalue().encode())
    write_atomically(run / "provenance.json", json.dumps(origin, indent=2).encode())
    write_atomically(run / "config.json", json.dumps(config, indent=2).encode())


def versions(peer: Path) -> dict[str, str]:
    """Versions of the peer's packages. RuntimeError if one is missing, or if it does not start."""
    program = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    try:
        done = subprocess.run(
            [str(peer), "-c", program, *PACKAGES], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise RuntimeError(f"{peer} does not start ({error}); --peer takes a Python interpreter") from error
    if done.returncode:
        missing = done.stderr.strip().splitlines()[-1]
        raise RuntimeError(f"{missing}; give --peer the Python of an environment that has OmniSafe")
    return dict(zip(PACKAGES, done.stdout.split(), strict=True))


def finished_log(folder: Path, steps: int) -> Path | None:
    """The log in it that has all its steps."""
    for path in sorted(folder.glob("*/seed-*/progress.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        if rows and float(rows[-1]["TotalEnvSteps"]) >= steps:
            return path.parent
    return None


def train(args: OmnisafeArguments, origin: Mapping[str, object], algo: str, task: str, seed: int) -> Path:
    """Train one run. Returns its folder. RuntimeError if OmniSafe fails."""
    raw = args.runs / "raw" / f"{algo}-{task}-s{seed}"
    log = finished_log(raw, args.steps)
    if log is None:
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        words = [str(args.peer), str(CHILD), algo, task, str(seed), str(args.steps), str(raw.resolve())]
        with (raw / "output.txt").open("w") as output:
            done = subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, check=False)
        log = finished_log(raw, args.steps)
        if done.returncode or log is None:
            said = (raw / "output.txt").read_text().strip()[-2000:]
            name = f"OmniSafe's {algo} on {task}, seed {seed},"
            raise RuntimeError(f"{name} did not finish:\n{said}")
    run = args.runs / OURS[task] / f"omnisafe_{algo.lower()}" / f"{args.steps}-s{seed}"
    convert(log, run, origin)
    logger.info("%s", run)
    return run


def main() -> int:
    """Exit status 1 if a training failed."""
    args = tyro.cli(OmnisafeArguments, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    unknown = [task for task in args.tasks if task not in OURS]
    if unknown:
        logger.error("unknown tasks %s; known are %s", ", ".join(unknown), ", ".join(OURS))
        return 2
    if args.steps < EPOCH or args.steps % EPOCH:
        logger.error("steps is %d; it must be a multiple of %d, OmniSafe's epoch", args.steps, EPOCH)
        return 2
    try:
        origin = provenance() | {"versions": versions(args.peer)}
    except RuntimeError as error:
        logger.error("%s", error)
        return 1
    todo = list(product(args.algos, args.tasks, args.seeds))
    with ThreadPoolExecutor(args.workers) as pool:
        waiting = [pool.submit(train, args, origin, *one) for one in todo]
        failed = [str(one.exception()) for one in waiting if one.exception()]
    for reason in failed:
        logger.error("%s", reason)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
