"""A short run of an on-policy algorithm on the point among obstacles: it arrives, and keeps to its limit."""

from dataclasses import replace
from pathlib import Path

import pytest

from policy_training.algorithms import ON_POLICY
from policy_training.experience.episodes import HELD_OUT_SEEDS, run_episodes
from policy_training.loops.on_policy import train_on_policy
from policy_training.networks.plain import plain_policy
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D, preset
from policy_training.runs.trained import load_policy

# Seeds that did not arrive with as much random motion at the start as the others begin with.
HARDER = [("cpo", 8), ("pcpo", 4)]


@pytest.mark.parametrize(("algo", "seed"), [*((algo, 1) for algo in ON_POLICY), *HARDER])
def test_a_short_run_arrives_and_keeps_to_its_limit(algo: str, seed: int, tmp_path: Path) -> None:
    config = preset(algo, NAV2D, seed=seed)
    config = replace(config, loop=replace(config.loop, progress=False))
    run = create_run(config, tmp_path)
    assert train_on_policy(config, run)
    policy = plain_policy(load_policy(run).policy.actor)
    episodes = run_episodes(NAV2D, policy, range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 50))
    assert episodes.success.mean() >= 0.7
    # Allowed are 0.1; of 50 episodes, 10 violations are what that rate exceeds once in a hundred times.
    assert (episodes.costs > 0.0).mean() <= 0.2
