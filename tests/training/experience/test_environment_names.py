"""Environments by name: ours, Gymnasium's, and those of a module."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policy_training.evaluation.evaluate import main as evaluate
from policy_training.experience import environments
from policy_training.runs.trained import load_policy
from policy_training.train import main as train
from tests.training.experience.throttle import short_run


def test_ours_may_be_called_without_their_namespace(tmp_path: Path) -> None:
    assert train(short_run("sac", "--env", "Nav2D-v0", "--runs", str(tmp_path))) == 0
    (run,) = (tmp_path / "Nav2D-v0" / "sac").iterdir()
    assert load_policy(run).config.env == "spillguard/Nav2D-v0"
    assert evaluate(["scripted", "--env", "Nav2D-v0", "--episodes", "2", "--out", str(tmp_path / "e")]) == 0


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ("Nope-v0", "spillguard/Nav2D-v0"), ("LunarLander-v2", "deprecated"), ("LunarLander-v3", "Box2D"),
        ("Hopper-v2", "moved to the gymnasium-robotics project"), ("no_such_module:X-v0", "No module named"),
        ("bad id!", "Malformed"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said_in_one_line(env: str, what: str, capsys: Any, tmp_path: Path) -> None:
    assert train(short_run("sac", "--env", env, "--runs", str(tmp_path))) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert env in said and what in said


MODULE = """
import gymnasium
from gymnasium import spaces
class Own(gymnasium.Env):
    observation_space, action_space = spaces.Box(-1.0, 1.0, (1,)), spaces.Box(0.0, 1.0, (1,))
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}
    def step(self, action):
        return action, 0.0, False, False, {"cost": 0.0}
gymnasium.register("Own-v0", Own, max_episode_steps=5)
"""


def test_a_module_in_the_current_folder_is_found_by_workers_too(tmp_path: Path) -> None:
    (tmp_path / "own_env.py").write_text(MODULE)
    root = Path(__file__).parents[3]
    paths = [p for p in sys.path if p and Path(p) != tmp_path] + [str(root)]
    # as the installed program starts: the current folder is not on the path
    code = f"import sys; sys.path[:] = {paths!r}; from spillguard.cli import main; sys.exit(main())"
    words = ["train", *short_run("sac", "--env", "own_env:Own-v0", "--env-processes", "--steps", "20")]
    done = subprocess.run(
        (sys.executable, "-P", "-c", code, *words), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("env", ["a:b:c", "../odd:X-v0", ".:X-v0", "a b:X-v0"])
def test_a_module_that_cannot_be_one_is_refused(env: str) -> None:
    with pytest.raises(environments.EnvironmentFaultError, match=r"is no module:Id-v0"):
        environments.make_env(env)
