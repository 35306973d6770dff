"""Tuned configurations by environment and algorithm, made with `replace`."""

from dataclasses import replace
from typing import Any

from policy_training.algorithms import ALGORITHMS, CONFIGS, MetaSacLagConfig, SacConfig, SacLagConfig
from policy_training.runs import LoopConfig, RunConfig

NAV2D, POUR = "spillguard/Nav2D-v0", "spillguard/PourCoffee-v0"

_nav2d_loop = LoopConfig(steps=20_000, warmup=1_000, eval_every=2_500, checkpoint_every=5_000)
_pour_loop = LoopConfig(
    steps=100_000, warmup=0, envs=1, env_processes=True, eval_process=True, prior_episodes=60,
    exploration_noise="coloured", ema_decay=0.999, policy_lr_final=0.1, eval_every=2_500, eval_episodes=20,
    matmul="medium",
)  # fmt: skip

_nav2d: dict[str, Any] = {
    "hidden": (64, 64),
    "gamma": 0.95,
    "tau": 0.02,
    "policy_lr": 1e-3,
    "critic_lr": 1e-3,
}

PRESETS: dict[tuple[str, str], RunConfig] = {
    (NAV2D, "sac"): RunConfig("sac", NAV2D, loop=_nav2d_loop, algorithm=SacConfig(**_nav2d)),
    (NAV2D, "sac_lag"): RunConfig("sac_lag", NAV2D, loop=_nav2d_loop, algorithm=SacLagConfig(**_nav2d)),
    (NAV2D, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", NAV2D, loop=_nav2d_loop, algorithm=MetaSacLagConfig(**_nav2d)
    ),
    (POUR, "sac"): RunConfig(
        "sac", POUR, loop=_pour_loop, algorithm=SacConfig(layer_norm=True, initial_alpha=0.05)
    ),
    (POUR, "sac_lag"): RunConfig(
        "sac_lag", POUR, loop=_pour_loop,
        algorithm=SacLagConfig(layer_norm=True, initial_alpha=0.05, initial_nu=5.0),
    ),
    (POUR, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", POUR, loop=_pour_loop,
        algorithm=MetaSacLagConfig(layer_norm=True, initial_alpha=0.05, initial_nu=5.0),
    ),
}  # fmt: skip


def preset(algo: str, env: str, seed: int = 1) -> RunConfig:
    """The tuned configuration, or the algorithm's defaults where none was tuned."""
    if algo not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algo!r}; known are {', '.join(ALGORITHMS)}")
    tuned = PRESETS.get((env, algo))
    return replace(tuned, seed=seed) if tuned else RunConfig(algo, env, seed, algorithm=CONFIGS[algo]())
