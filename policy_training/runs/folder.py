"""The folder of a run, and where it came from."""

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

from policy_training.files import write_atomically
from policy_training.runs.config import RunConfig

PACKAGES = ("spillguard", "torch", "numpy", "gymnasium", "mujoco", "tyro", "tensorboard")


def create_run(config: RunConfig, root: Path) -> Path:
    """A fresh folder root/<env>/<algo>/<time>-s<seed> with config.json and provenance.json in it."""
    return run_folder(root / config.env.split("/")[-1] / config.algo, config.seed, config.to_json())


def run_folder(parent: Path, seed: int, config: str) -> Path:
    """A fresh folder parent/<time>-s<seed> with config.json and provenance.json in it."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    run = parent / f"{stamp}-s{seed}"
    count = 1
    while run.exists():
        count += 1
        run = parent / f"{stamp}-s{seed}-{count}"
    run.mkdir(parents=True)
    write_atomically(run / "config.json", config.encode())
    write_atomically(run / "provenance.json", json.dumps(provenance(), indent=2).encode())
    return run


def provenance() -> dict[str, object]:
    """Where a run comes from: versions, commit, command line."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(), "versions": versions, "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command": [Path(a).name if a.startswith("/") else a for a in sys.argv],
        "machine": platform.machine(),
    }  # fmt: skip


def _git(*args: str) -> str:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ("git", *args), cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
