"""`spillguard evaluate`: held-out episodes of a policy, with intervals, curves and a picture of one episode.

The policy is a run folder, a checkpoint file, an exported bundle, or ``scripted``. Held-out seeds start at
2,000,000; training and the choice of the best checkpoint use others, so no episode here was seen in training.

A run acts in its environment, as in training. A bundle pours in the same cells through the stack of
`sim/pouring/guarded.py`: ONNX policy at 20 Hz, commands at 100 Hz, behind the safety monitor and without it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from policy_training.evaluation.held_out import Episode, Figures, table, write_report
from policy_training.evaluation.subject import DEFAULT_ENV, Subject, deployed, subject
from policy_training.experience.costs import SCALAR, costs_of
from policy_training.experience.environments import full_name, make_env
from policy_training.experience.episodes import HELD_OUT_SEEDS, ActionRule, transitions
from policy_training.pool import Pool, ordered
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import deployed_config
from sim.pouring.domain_file import spread_of
from sim.pouring.guarded import Pour, Stack
from sim.pouring.scenario import sample_scenario

logger = logging.getLogger(__name__)
TITLES = {"none": "no monitor", "off": "monitor off", "on": "monitor on"}
CHUNK = 10  # episodes that a process takes at a time
PlayEpisode = Callable[[int], Episode]  # held-out seed -> the episode's outcome


@dataclass(frozen=True)
class EvaluateArguments:
    """Evaluate a policy on held-out seeds and write report.json, episodes.csv, curves and a picture strip."""

    policy: tyro.conf.Positional[str]
    "Run folder, checkpoint file, bundle folder, or the word scripted."
    episodes: int = 200
    "Held-out episodes."
    first_seed: int = HELD_OUT_SEEDS
    "Seed of the first one; the others follow."
    env: str | None = None
    "Environment of the scripted controller, PourCoffee by default; a run and a bundle have their own."
    domain: str = "pours"
    "Of pouring: what its cells differ in: nominal, pours, full, or a domain file."
    monitor: Literal["on", "off", "both"] | None = None
    "Of a bundle: behind the safety monitor, without it, or, by default, both on the same cells."
    out: Path | None = None
    "Folder of the report; by default evaluation/ inside the run, or runs/evaluation/<policy>."
    pool: Pool = field(default_factory=lambda: Pool(1))
    picture: bool = True
    "Render one episode as a picture strip and a video, in the environment, without the monitor."

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.first_seed >= 0):
            raise ValueError("episodes must be at least 1, first-seed at least 0")

    def refuse_what_has_no_effect(self, who: "Subject") -> None:
        """ValueError for an option that has no effect on this subject."""
        if self.env is not None and full_name(self.env) != who.env:
            raise ValueError(f"{self.policy} acts in {who.env}, got --env {self.env}; leave it out")
        spread_of(self.domain)
        if self.domain != "pours" and who.env != DEFAULT_ENV:
            raise ValueError(f"only cells of {DEFAULT_ENV} have a domain, got --domain {self.domain}")
        if self.monitor is not None and who.bundle is None:
            raise ValueError(
                f"{self.policy} is no bundle, and only a bundle runs behind the monitor, got --monitor "
                f"{self.monitor}; `spillguard export` makes one of a run"
            )


def run_seed(env_id: str, rule: ActionRule, seed: int, domain: str = "pours") -> Episode:
    """One episode in a new environment, so that episodes do not depend on their order. Figures are what the
    environment reports: success, effort, its cost and each of its cost terms; seconds if it defines its frame
    rate. BadSignalError if a cost is negative or not finite.
    """
    env = make_env(env_id, {"domain": domain} if full_name(env_id) == DEFAULT_ENV else None)
    amounts = {"total_reward": 0.0}
    steps, info = 0, {}
    for step in transitions(env, rule, seed):
        for name, value in {"total_reward": float(step.reward), **_told(step.info, steps)}.items():
            amounts[name] = amounts.get(name, 0.0) + value
        steps, info = steps + 1, step.info
    rate = env.metadata.get("render_fps")
    env.close()
    amounts |= {"steps": float(steps)} | ({"seconds": steps / rate} if rate else {})
    happened = {"success": bool(info["success"])} if "success" in info else {}
    return Episode(seed, happened | violations(amounts), amounts)


def _told(info: dict[str, Any], step: int) -> dict[str, float]:
    """The costs of a step by the names of their figures, and the effort if there is one."""
    terms = list(info.get("cost_terms", {}))
    names = [SCALAR] * (SCALAR in info) + terms
    keys = [SCALAR] * (SCALAR in info) + [f"{SCALAR}/{name}" for name in terms]
    told = dict(zip(keys, costs_of(info, names, step), strict=True))
    return told | ({"effort": float(info["effort"])} if "effort" in info else {})


def violations(amounts: dict[str, float]) -> dict[str, bool]:
    """For every cost of an episode whether it was positive."""
    costs = {name: amount for name, amount in amounts.items() if name.partition("/")[0] == SCALAR}
    return {"violation" + name.removeprefix(SCALAR): amount > 0.0 for name, amount in costs.items()}


def pour_seed(path: Path, guarded: bool, seed: int, domain: str = "pours") -> Episode:
    """One pour of a bundle in the cell that the environment draws from this seed."""
    bundle, rule = deployed(path)
    config = deployed_config(bundle, bundle.manifest.threshold.value)
    stack = Stack(bundle.models(config), config, guarded)
    return poured(
        seed, stack.pour(rule, sample_scenario(np.random.default_rng(seed), spread_of(domain))), guarded
    )


def poured(seed: int, pour: Pour, guarded: bool) -> Episode:
    """The outcome of a pour; behind the monitor also the shares of time in which the monitor intervened."""
    broken = {f"violation/{name}": getattr(pour, name) for name in ("spill", "contact", "limit")}
    happened = {"success": pour.success, "violation": pour.violated, **broken}
    acted = {name: getattr(pour, name) for name in ("replaced", "limited", "held") if guarded}
    return Episode(seed, happened, {"seconds": pour.seconds, "jerk": pour.jerk, **acted})


def ways(who: Subject, args: EvaluateArguments) -> dict[str, PlayEpisode]:
    """The ways to evaluate the subject, by the state of the monitor: none, off, on."""
    if who.bundle is None:
        return {"none": partial(run_seed, who.env, who.rule, domain=args.domain)}
    wanted = [name for name in ("off", "on") if args.monitor in (name, "both", None)]
    return {name: partial(pour_seed, who.bundle, name == "on", domain=args.domain) for name in wanted}


def _share(play: PlayEpisode, seeds: Sequence[int]) -> list[Episode]:
    return [play(seed) for seed in seeds]


def run_all(play: PlayEpisode, seeds: Sequence[int], pool: Pool) -> Iterator[Episode]:
    """Episodes in the order of their seeds."""
    size = 1 if pool.here else CHUNK
    jobs = [(play, seeds[i : i + size]) for i in range(0, len(seeds), size)]
    yield from chain.from_iterable(ordered(_share, jobs, pool))


def evaluate(who: Subject, args: EvaluateArguments, folder: Path, console: Console) -> list[str]:
    """Evaluate in every way and print the table. Returns the names of the files written; monitor on and off
    have a folder each."""
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    figures: dict[str, Figures] = {}
    written = []
    for name, play in ways(who, args).items():
        title, place = TITLES[name], "" if name == "none" else f"monitor_{name}/"
        running = track(
            run_all(play, seeds, args.pool), f"held-out episodes, {title}", len(seeds), console=console
        )
        facts = {"monitor": name, "domain": args.domain, "subject": who.origin}
        figures[title] = write_report(folder / place, facts, list(running))
        written += [f"{place}report.json", f"{place}episodes.csv"]
    console.print(table(figures))
    return written


@subcommand("evaluate")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the report was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(EvaluateArguments, words, "spillguard evaluate")
    who = subject(args.policy, args.env)
    args.refuse_what_has_no_effect(who)
    folder = args.out or who.folder
    folder.mkdir(parents=True, exist_ok=True)  # fail before hours of episodes
    written = evaluate(who, args, folder, console)
    if who.run is not None and (who.run / "progress.csv").is_file():
        from policy_training.evaluation.plots import plot

        plot({str(who.origin["algo"]): [who.run]}, folder / "curves.png")
        written.append("curves.png")
    if args.picture:
        from policy_training.evaluation.video import film

        written += film(who.env, who.rule, args.first_seed, folder)
    console.print(f"{folder}: {', '.join(written)}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
