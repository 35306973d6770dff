"""Tuned configurations by environment and algorithm, made with `replace`."""

import math
from dataclasses import replace
from typing import Any

from policy_training.algorithms import CONFIGS, resolve
from policy_training.algorithms.meta_sac_lag import MetaSacLagConfig
from policy_training.algorithms.rcpo import RcpoConfig
from policy_training.algorithms.sac import SacConfig
from policy_training.algorithms.sac_lag import SacLagConfig
from policy_training.algorithms.sqrl import SqrlConfig
from policy_training.experience.environments import full_name
from policy_training.runs.config import LoopConfig, OnPolicyLoop, RunConfig
from policy_training.runs.paper_presets import paper_presets

NAV2D, POUR = "spillguard/Nav2D-v0", "spillguard/PourCoffee-v0"
HASTY, ONE_STEP = "spillguard/HastyNav2D-v0", "spillguard/OneStep-v0"

_nav2d_loop = LoopConfig(steps=12_000, warmup=1_000, eval_every=2_000, checkpoint_every=4_000)
# Two environments step while the learner does one update. Their cell is harder than the one that is
# evaluated, so that the policy keeps a margin. Prior episodes and imitation are needed because a spill ends
# the episode: exploration alone never reaches the end of a pour; --prior-episodes 0 --pretrain 0 --imitation
# 0 trains without them.
_pour_loop = LoopConfig(
    steps=70_000, warmup=0, envs=2, utd=0.5, env_processes=True, eval_process=True, prior_episodes=300,
    prior_noise=0.1, pretrain=6_000, exploration_noise="coloured", ema_decay=0.999, policy_lr_final=0.05,
    eval_every=70_000, eval_episodes=60, checkpoint_every=10_000, log_every=1_000, matmul="medium",
    training_env={"guarded_share": 1.0, "full_share": 0.3, "disturbance": 0.05, "domain": "full"},
)  # fmt: skip

_pour: dict[str, Any] = {
    "hidden": (128, 128),
    "layer_norm": True,
    "gamma_c": 0.97,  # a violation within a second or two counts
    "tau": 0.01,
    "initial_nu": 20.0,
    "nu_max": 200.0,
    "nu_lr": 0.05,
    "initial_alpha": 0.005,  # full exploration noise spills in every episode
    "imitation": 20.0,
}

_nav2d: dict[str, Any] = {
    "hidden": (64, 64),
    "gamma": 0.95,
    "tau": 0.02,
    "policy_lr": 1e-3,
    "critic_lr": 1e-3,
    "initial_alpha": 0.1,
}
# With a large multiplier at the start the policy learns to stand still: early episodes end at obstacles.
# What a little more speed costs is learned only from actions that differ, and not where most of a batch was
# drawn for violating.
_hasty: dict[str, Any] = _nav2d | {
    "gamma_c": 0.9, "nu_lr": 0.1, "initial_alpha": 0.3, "pos_fraction": 0.0,
}  # fmt: skip
_one_step_loop = LoopConfig(steps=3_000, warmup=100, eval_every=3_000, checkpoint_every=3_000)
_one_step: dict[str, Any] = {
    "hidden": (32, 32), "batch_size": 128, "policy_lr": 2e-3, "critic_lr": 3e-3, "tau": 0.05,
    "initial_nu": 2.0, "nu_lr": 0.2, "pos_fraction": 0.5, "initial_alpha": 0.005, "alpha_lr": 0.0,
}  # fmt: skip
_nav2d_lag: dict[str, Any] = _nav2d | {"gamma_c": 0.9, "initial_nu": 0.5, "nu_lr": 0.005}

# On-policy: at most one episode in ten may touch something. The trust region is wide, because at the limit
# most of a step goes into keeping to it.
_nav2d_iterations = OnPolicyLoop(steps=0, iterations=80, samples=1_200, envs=4)
# Half as many are not enough for these on every seed and every processor.
_nav2d_loops = dict.fromkeys(("cpo", "pcpo", "crpo"), replace(_nav2d_iterations, iterations=160))
_nav2d_on: dict[str, Any] = {
    "cost_limits": (("cost", 0.1),), "hidden": (32, 32), "initial_std": 0.6, "gamma": 0.95, "gamma_c": 0.95,
    "critic_lr": 5e-3, "critic_epochs": 5,
}  # fmt: skip
_nav2d_region: dict[str, Any] = {"target_kl": 0.1, "cg_iterations": 10}
# Less random motion at the start: where the limit is far exceeded, steps that plan to end on it keep some
# seeds among the obstacles.
_nav2d_calm: dict[str, Any] = {"initial_std": 0.3}
_nav2d_clip: dict[str, Any] = {
    "policy_lr": 5e-3, "policy_epochs": 10, "policy_batch": 128, "target_kl": 0.1,
}  # fmt: skip
# Reward first: a mode on cost alone is never left by random motion among the obstacles.
_nav2d_start: dict[str, Any] = {"safety_start": 30}
_nav2d_soft: dict[str, Any] = _nav2d_start | {"slack_above": math.inf, "slack_below": 0.0}
_nav2d_algorithms: dict[str, dict[str, Any]] = {
    "ppo_lag": _nav2d_clip | {"initial_nu": 0.5, "nu_lr": 0.05},
    "trpo_lag": _nav2d_region | {"initial_nu": 3.0, "nu_lr": 0.3},
    "cpo": _nav2d_region | _nav2d_calm | {"target_kl": 0.25},
    "pcpo": _nav2d_region | _nav2d_calm,
    "cup": _nav2d_clip | {"initial_nu": 0.1, "nu_lr": 0.02},
    "crpo": _nav2d_region | _nav2d_start,
    "pcrpo": _nav2d_region | _nav2d_soft | {"safety_start": 20},
    "espo": _nav2d_region | _nav2d_soft | {"zeta_more": 0.2, "zeta_fewer": -0.2},
}

PRESETS: dict[tuple[str, str], RunConfig] = {
    **paper_presets(),
    **{
        (NAV2D, algo): RunConfig(
            algo, NAV2D, loop=_nav2d_loops.get(algo, _nav2d_iterations),
            algorithm=CONFIGS[algo](**(_nav2d_on | settings)),
        )
        for algo, settings in _nav2d_algorithms.items()
    },
    (NAV2D, "sac"): RunConfig("sac", NAV2D, loop=_nav2d_loop, algorithm=SacConfig(**_nav2d)),
    (NAV2D, "sac_lag"): RunConfig("sac_lag", NAV2D, loop=_nav2d_loop, algorithm=SacLagConfig(**_nav2d_lag)),
    (NAV2D, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", NAV2D, loop=_nav2d_loop, algorithm=MetaSacLagConfig(**_nav2d_lag)
    ),
    (NAV2D, "rcpo"): RunConfig("rcpo", NAV2D, loop=_nav2d_loop, algorithm=RcpoConfig(**_nav2d_lag)),
    (NAV2D, "sqrl"): RunConfig("sqrl", NAV2D, loop=_nav2d_loop, algorithm=SqrlConfig(**_nav2d_lag)),
    (HASTY, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", HASTY, loop=_nav2d_loop, algorithm=MetaSacLagConfig(**_hasty)
    ),
    (ONE_STEP, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", ONE_STEP, loop=_one_step_loop, algorithm=MetaSacLagConfig(**_one_step)
    ),
    (POUR, "sac"): RunConfig(
        "sac", POUR, loop=replace(_pour_loop, pretrain=0),
        algorithm=SacConfig(hidden=(128, 128), layer_norm=True, tau=0.01, initial_alpha=0.005),
    ),
    (POUR, "sac_lag"): RunConfig(
        "sac_lag", POUR, loop=_pour_loop, algorithm=SacLagConfig(**_pour, eps=0.005)
    ),
    (POUR, "meta_sac_lag"): RunConfig(
        "meta_sac_lag", POUR, loop=_pour_loop,
        algorithm=MetaSacLagConfig(**_pour, initial_eps=0.005, eps_max=0.01),
    ),
}  # fmt: skip


def preset(algo: str, env: str, seed: int = 1) -> RunConfig:
    """The tuned configuration, or the algorithm's defaults where none was tuned."""
    chosen = resolve(algo)
    env = full_name(env)
    tuned = PRESETS.get((env, algo))
    loop = OnPolicyLoop() if chosen.on_policy else LoopConfig()
    return replace(tuned, seed=seed) if tuned else RunConfig(algo, env, seed, loop, algorithm=chosen.config())
