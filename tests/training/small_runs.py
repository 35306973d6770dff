"""Runs of a second for every loop, and when two of them ended alike."""

from dataclasses import replace
from pathlib import Path

import torch

from policy_training.checkpoint import load
from policy_training.meta_learning.config import MetaConfig
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.presets import NAV2D, preset

SHORT_LOOP = OnPolicyLoop(steps=1200, samples=200, envs=2, checkpoint_every=2, progress=False)


SMALL_META = MetaConfig(
    units=3, reset_interval=3, iterations=6, inner_updates=2, rollout=5, checkpoint_every=2, progress=False
)


def small_off_policy(algo: str, **loop: object) -> RunConfig:
    """A run of half a second that uses everything a checkpoint must hold."""
    config = preset(algo, NAV2D, seed=3)
    changes = {
        "steps": 360, "warmup": 60, "envs": 2, "prior_episodes": 2, "shaping": 0.5, "ema_decay": 0.9,
        "exploration_noise": "coloured", "eval_every": 150, "eval_episodes": 2, "checkpoint_every": 100,
        "log_every": 50, "progress": False,
    }  # fmt: skip
    return replace(
        config,
        loop=replace(config.loop, **(changes | loop)),
        memory=replace(config.memory, capacity=1000, violation_capacity=100, initial_capacity=50),
        algorithm=replace(config.algorithm, hidden=(16, 16), batch_size=32),
    )


def small_on_policy(algo: str = "ppo_lag", **loop: object) -> RunConfig:
    """A run of a second."""
    config = preset(algo, NAV2D, seed=3)
    settings = replace(config.algorithm, hidden=(8, 8), critic_epochs=2)
    if hasattr(settings, "policy_epochs"):
        settings = replace(settings, policy_epochs=3)
    return replace(config, loop=replace(SHORT_LOOP, **loop), algorithm=settings)


def equal(a: object, b: object, where: str = "") -> None:
    """Equal to the last bit, tensors and containers of them."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def assert_same_end(one: Path, other: Path) -> None:
    """Checkpoints, the best policy and the table of figures."""
    for name in ("checkpoint.pt", "best.pt"):
        equal(load(one / name), load(other / name), name)
    assert (one / "progress.csv").read_text() == (other / "progress.csv").read_text()


def figures(run: Path) -> list[str]:
    """The table of a run without the clocks' columns."""
    rows = [line.split(",") for line in (run / "progress.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(rows[0]) if name not in ("seconds", "cpu_seconds")]
    return [",".join(row[i] for i in kept) for row in rows]
