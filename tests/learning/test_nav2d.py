"""A short run on the point among obstacles: it arrives, and it keeps to its limit."""

from dataclasses import replace
from pathlib import Path

import pytest

from policy_training.experience.episodes import HELD_OUT_SEEDS, run_episodes
from policy_training.loops.off_policy import train
from policy_training.networks.plain import plain_policy
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D, preset
from policy_training.runs.trained import load_policy


@pytest.mark.parametrize("algo", ["sac_lag", "meta_sac_lag", "rcpo", "sqrl"])
def test_a_short_run_arrives_and_keeps_to_its_limit(algo: str, tmp_path: Path) -> None:
    config = preset(algo, NAV2D, seed=1)
    loop = replace(
        config.loop,
        steps=2_400,
        warmup=200,
        prior_episodes=40,
        eval_every=400,
        eval_episodes=20,
        progress=False,
    )
    config = replace(config, loop=loop)
    run = create_run(config, tmp_path)
    train(config, run)
    policy = plain_policy(load_policy(run).policy.actor)
    episodes = run_episodes(NAV2D, policy, range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 50))
    assert episodes.success.mean() >= 0.7
    # Allowed are 0.1; of 50 episodes, 10 violations are what that rate exceeds once in a hundred times.
    assert (episodes.costs > 0.0).mean() <= 0.2
