"""A plain, non-editable installation: every package and every file it reads, away from the sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ros.harness import PATIENCE

ROOT = Path(__file__).parents[2]
SOURCES = ("launch", "policy_training", "ros_ws", "sim", "spillguard", "studies", "benchmarks")
PACKAGES = (
    "policy_training",
    "sim",
    "spillguard",
    "spillguard_core",
    "spillguard_ros",
    "spillguard_sim",
    "studies",
)
SHORT = ("--steps", "80", "--warmup", "40", "--prior-episodes", "0", "--pretrain", "0", "--no-env-processes",
         "--no-eval-process", "--eval-every", "80", "--eval-episodes", "1", "--log-every", "40",
         "--hidden", "16", "16", "--no-progress")  # fmt: skip


class Installed:
    """The wheel in a separate folder, and an interpreter that finds it there first."""

    def __init__(self, site: Path, home: Path) -> None:
        self.site, self.home = site, home

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter in `home`."""
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.home, env=environment, capture_output=True, text=True,
            timeout=3 * PATIENCE, check=False,
        )  # fmt: skip

    def spillguard(self, *arguments: str) -> str:
        """Run a subcommand that must succeed; returns its output."""
        ended = self.python("-m", "spillguard.cli", *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    left_out = shutil.ignore_patterns("__pycache__", "build", "install", "log", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    )
    subprocess.run([*pip, str(source)], check=True, timeout=3 * PATIENCE)
    shutil.rmtree(source)
    return Installed(site, tmp_path_factory.mktemp("elsewhere"))


def test_every_package_comes_from_the_wheel(installed: Installed) -> None:
    code = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    found = installed.python("-c", code, *PACKAGES).stdout.split()
    assert len(found) == len(PACKAGES)
    assert all(Path(file).is_relative_to(installed.site) for file in found), found


@pytest.fixture(scope="module")
def run(installed: Installed) -> str:
    algo = ("--algo", "meta_sac_lag", "--env", "spillguard/PourCoffee-v0", "--seed", "1")
    installed.spillguard("train", *algo, *SHORT)
    (checkpoint,) = installed.home.glob("runs/*/*/*/checkpoint.pt")
    return str(checkpoint.parent)


def test_train_calibrate_and_export_work(installed: Installed, run: str) -> None:
    installed.spillguard("export", run, "-o", "bundle", "--threshold", "0.1")
    # Nothing can be certified from so few episodes, which is known only after pouring all of them.
    command = ("-m", "spillguard.cli", "calibrate", "bundle", "--episodes", "1", "--workers", "1")
    ended = installed.python(*command)
    assert ended.returncode == 1 and "run more episodes" in ended.stderr, ended.stdout + ended.stderr


def test_demo_works(installed: Installed) -> None:
    bundle = str(ROOT / "artifacts/pour_coffee")
    assert "success" in installed.spillguard("demo", "--bundle", bundle, "--cups", "1", "--required", "0.0")
