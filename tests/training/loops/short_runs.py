"""Runs of a quarter second, for the tests of this folder."""

from dataclasses import replace

from policy_training.runs.config import RunConfig
from policy_training.runs.presets import NAV2D, preset


def small(algo: str = "sac", env: str = NAV2D, **loop: object) -> RunConfig:
    """A run of a quarter second."""
    config = preset(algo, NAV2D, seed=5)
    changes = {"steps": 200, "warmup": 50, "eval_every": 100, "eval_episodes": 2, "progress": False} | loop
    return replace(
        config,
        env=env,
        loop=replace(config.loop, log_every=50, checkpoint_every=100, **changes),
        memory=replace(config.memory, capacity=1000, violation_capacity=100, initial_capacity=100),
        algorithm=replace(config.algorithm, hidden=(16, 16), batch_size=16),
    )
