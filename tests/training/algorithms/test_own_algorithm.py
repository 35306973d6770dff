"""The recipe of CONTRIBUTING.md: an algorithm is one file, also one outside of the package."""

import subprocess
import sys
from pathlib import Path

import pytest

from policy_training.algorithms import ALGORITHMS, CONFIGS, ON_POLICY, resolve

ROOT = Path(__file__).parents[3]
OFF = """
from dataclasses import dataclass

from policy_training.algorithms.sac_lag import SacLag, SacLagConfig
from policy_training.experience.spaces import Spaces


@dataclass(frozen=True)
class TimidConfig(SacLagConfig):
    timidity: float = 2.0
    "Times as much as a violation counts."


class Timid(SacLag):
    def __init__(self, spaces: Spaces, config: TimidConfig, seed: int) -> None:
        super().__init__(spaces, config, seed)
        self.timidity = config.timidity
"""
ON = """
from dataclasses import dataclass

from policy_training.algorithms.ppo_lag import PpoLag, PpoLagConfig
from policy_training.experience.spaces import Spaces


@dataclass(frozen=True)
class CalmConfig(PpoLagConfig):
    calm: float = 1.0


class Calm(PpoLag):
    def __init__(self, spaces: Spaces, config: CalmConfig, seed: int) -> None:
        super().__init__(spaces, config, seed)
"""
SHORT = "--env Nav2D-v0 --hidden 8 --no-progress"
OFF_SHORT = (
    "--steps 120 --warmup 60 --log-every 40 --eval-every 60 --eval-episodes 1 --batch-size 8 --timidity 3"
)
ON_SHORT = "--steps 400 --iterations 0 --samples 200 --envs 1 --policy-epochs 1 --critic-epochs 1 --calm 0.5"


def spillguard(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a folder of somebody's own."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from spillguard.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "short", "more"),
    [("mine:Timid", OFF, OFF_SHORT, "160"), ("mine:Calm", ON, ON_SHORT, "600")],
)
def test_an_algorithm_outside_of_the_package_trains_resumes_and_is_evaluated(
    tmp_path: Path, name: str, text: str, short: str, more: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    done = spillguard(tmp_path, "train", "--algo", name, *SHORT.split(), *short.split())
    assert done.returncode == 0, done.stderr
    (run,) = (file.parent for file in tmp_path.glob("runs/*/*/*/checkpoint.pt"))
    done = spillguard(tmp_path, "train", "--resume", str(run), "--steps", more)
    assert done.returncode == 0, done.stderr
    last = (run / "progress.csv").read_text().splitlines()[-1]
    assert last.split(",")[0] == more
    done = spillguard(tmp_path, "evaluate", str(run), "--episodes", "2", "--no-picture")
    assert done.returncode == 0, done.stderr
    done = spillguard(tmp_path, "train", "--algo", name, "--help")
    assert ("timidity" in done.stdout) == (name == "mine:Timid")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("saq", "known are"), ("json:loads", "the constructor takes (spaces, config, seed)"),
        ("json:Nothing", "no attribute"), ("no_such_module:X", "No module named"),
        ("a:b:c", "yours is module:Class"), ("../x:Y", "yours is module:Class"),
    ],
)  # fmt: skip
def test_what_is_no_algorithm_is_refused(tmp_path: Path, name: str, said: str) -> None:
    done = spillguard(tmp_path, "train", "--algo", name)
    assert done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert said in done.stderr


def test_every_file_is_an_algorithm() -> None:
    assert len(ALGORITHMS) >= 11 and ALGORITHMS.keys() == CONFIGS.keys()
    assert {name for name in ALGORITHMS if resolve(name).on_policy} == set(ON_POLICY)
    assert {"ppo_lag", "trpo_lag", "cpo", "pcpo", "cup", "crpo", "pcrpo", "espo"} == set(ON_POLICY)
