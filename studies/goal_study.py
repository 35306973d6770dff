"""`spillguard study goal`: does the cost critic want a rate three times higher, or three times lower?

"Optimizer Architecture in Stable-Baselines3 for Safe Reinforcement Learning" (2025) states the first, the
legend of its figure the second. Here PPO-Lag with a shared trunk is trained on SafetyPointGoal1 and
SafetyCarGoal1 with both rates and with equal ones, in the layouts of `optimizers/layouts.py`. Settings are
the defaults of Stable-Baselines3, which the source built on, except for whole episodes, rates that fall to
zero, and the larger batch of the reduced budget.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from policy_training.algorithms.ppo_lag import PpoLagConfig
from policy_training.experience.environments import full_name
from policy_training.many_runs import Wanted, train_all
from policy_training.pool import Pool
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.terminal import parsed, subcommand
from studies.goal_page import write_page

TASKS = ("spillguard/SafetyPointGoal1-v0", "spillguard/SafetyCarGoal1-v0")
RATE = 3e-4  # of all parameters except the cost critic's
FULL_STEPS, FULL_SEEDS, FULL_BATCH = (
    5_000_000,
    (1, 2, 3, 4, 5),
    64,
)  # the source's; batch of Stable-Baselines3
SETTINGS: dict[str, Any] = {
    "cost_limits": (("cost", 25.0),), "hidden": (64, 64), "trunk": "shared", "policy_lr": RATE,
    "critic_lr": RATE, "critic_l2": 0.0, "critic_weight": 0.5, "policy_epochs": 10, "target_kl": math.inf,
    "max_grad_norm": 0.5, "clip_scope": "global",
}  # fmt: skip


@dataclass(frozen=True)
class GoalArguments:
    """Train PPO-Lag with a shared trunk by cost critic's rate and layout, and write a page of it."""

    tasks: tuple[str, ...] = TASKS
    "Gymnasium ids of environments."
    rates: tuple[float, ...] = (1e-4, RATE, 1e-3)
    "Adam's rates for the cost critic."
    layouts: tuple[Literal["grouped", "isolated", "shared"], ...] = ("grouped", "shared", "isolated")
    "Optimizer layouts; grouped at the others' rate is single."
    popart: bool = True
    "One more arm: single, with normalised targets."
    seeds: tuple[int, ...] = (1, 2, 3)
    "Training seeds."
    steps: int = 120_000
    "Environment steps of every run."
    samples: int = 4_000
    "Steps of an iteration, whole episodes."
    batch: int = 256
    "Steps of an update."
    full: bool = False
    "The source's budget instead of --steps, --seeds and --batch: five million steps, five seeds."
    pool: Pool = field(default_factory=Pool)
    runs: Path = Path("runs/goal_study")
    "Folder of the runs."
    page: Path = Path("docs/results/goal.md")
    "Page to write, its pictures beside it; prose is taken from NAME.notes.md, if there is one."
    page_only: bool = False
    "Train nothing."

    def __post_init__(self) -> None:
        if not (min(self.steps, self.samples, self.batch) >= 1 and min(self.rates) > 0.0):
            raise ValueError("steps, samples and batch must be at least 1, rates above 0")

    def budget(self) -> "GoalArguments":
        """The arguments, with `full` expanded."""
        return replace(self, steps=FULL_STEPS, seeds=FULL_SEEDS, batch=FULL_BATCH) if self.full else self


Arm = tuple[str, dict[str, Any]]  # label, changed settings


def arms(args: GoalArguments) -> list[Arm]:
    """Every layout at every rate, then the normalised one."""
    found: list[Arm] = []
    for layout in args.layouts:
        for rate in args.rates:
            if layout == "grouped" and rate == RATE:
                found.append((f"single, {rate:g}", {"layout": "single"}))
            else:
                found.append((f"{layout}, {rate:g}", {"layout": layout, "cost_critic_lr": rate}))
    if args.popart:
        found.append((f"single, {RATE:g}, PopArt", {"layout": "single", "target_norm": "popart"}))
    return found


def jobs(args: GoalArguments) -> list[tuple[str, Wanted]]:
    """The grid, by label. Seeds come first, so that an unfinished study has complete comparisons."""
    loop = OnPolicyLoop(
        steps=args.steps, samples=args.samples, envs=1, checkpoint_every=5, progress=False
    )  # fmt: skip
    return [
        (label, (RunConfig(
            "ppo_lag", full_name(task), seed, loop,
            algorithm=PpoLagConfig(**SETTINGS, policy_batch=args.batch, **changes),
        ), args.runs))
        for seed in args.seeds
        for label, changes in arms(args)
        for task in args.tasks
    ]  # fmt: skip


@subcommand("study goal")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every run is complete and the page is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args, done = parsed(GoalArguments, words, "spillguard study goal").budget(), True
    wanted = jobs(args)
    if not args.page_only:
        done = train_all([job for _, job in wanted], args.pool)
    count = write_page(wanted, args.page, args.steps, words)
    Console(markup=False).print(f"{args.page}: {count} of {len(wanted)} runs", soft_wrap=True)
    return 0 if done and count == len(wanted) else 1
