"""`spillguard evaluate`: held-out episodes of a policy, with intervals, curves and a picture of one episode.

The policy is a run folder, a checkpoint file, an exported bundle, or ``scripted``. Held-out seeds start at
2,000,000; training and the choice of the best checkpoint use others, so no episode here was seen before.
"""

import csv
import json
import logging
import multiprocessing as mp
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import beta, bootstrap

from policy_training.checkpoint import write_atomically
from policy_training.collect import scripted_controller
from policy_training.episodes import HELD_OUT_SEEDS, ActionRule, make_env
from policy_training.runs import load_policy, provenance
from policy_training.terminal import complain
from policy_training.validation import plain_policy

logger = logging.getLogger(__name__)
CONFIDENCE = 0.95
DEFAULT_ENV = "spillguard/PourCoffee-v0"


@dataclass(frozen=True)
class Episode:
    """One held-out episode. Cost terms that the environment does not have stay 0."""

    seed: int
    success: bool
    spill: bool
    contact: bool
    limit: bool
    violation: bool
    total_reward: float
    cost: float  # sum
    effort: float  # sum of the environment's effort price
    steps: int
    seconds: float


@dataclass(frozen=True)
class EvaluateArguments:
    """Evaluate a policy on held-out seeds and write report.json, episodes.csv, curves and a picture strip."""

    policy: tyro.conf.Positional[str]
    "Run folder, checkpoint file, bundle folder, or the word scripted."
    episodes: int = 200
    "Held-out episodes."
    first_seed: int = HELD_OUT_SEEDS
    "Seed of the first one; the others follow."
    env: str = DEFAULT_ENV
    "Environment; a run knows its own, so this matters for bundles and scripted only."
    out: Path | None = None
    "Folder of the report; by default evaluation/ inside the run, or runs/evaluation/<policy>."
    workers: int = 1
    "Processes that share the episodes; one for a bundle."
    picture: bool = True
    "Render one episode as a picture strip and a video."

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.workers >= 1 and self.first_seed >= 0):
            raise ValueError("episodes and workers must be at least 1, first-seed at least 0")


@dataclass(frozen=True)
class Subject:
    """What is evaluated."""

    rule: ActionRule  # obs (O,) -> action (A,)
    env: str
    origin: dict[str, object]
    folder: Path
    run: Path | None = None  # where it was trained


def subject(args: EvaluateArguments) -> Subject:
    """Find the policy that the command line names."""
    if args.policy == "scripted":
        origin: dict[str, object] = {"policy": "scripted", "env": args.env}
        return Subject(scripted_controller(args.env), args.env, origin, Path("runs/evaluation/scripted"))
    path = Path(args.policy)
    if (path / "manifest.json").is_file():
        from spillguard_core.arm import JOINT_NAMES
        from spillguard_core.bundle import load_bundle

        bundle = load_bundle(path, JOINT_NAMES)
        origin = {"policy": "bundle", "env": args.env, "provenance": asdict(bundle.manifest.provenance)}
        return Subject(
            lambda obs: bundle.policy(obs[None])[0], args.env, origin, Path("runs/evaluation") / path.name
        )
    trained = load_policy(path)
    origin = {
        "policy": trained.checkpoint.name, "run": trained.run.name, "algo": trained.config.algo,
        "env": trained.config.env, "training_seed": trained.config.seed, "training_steps": trained.step,
        "training": trained.provenance,
    }  # fmt: skip
    rule, folder = plain_policy(trained.policy.actor), trained.run / "evaluation"
    return Subject(rule, trained.config.env, origin, folder, trained.run)


def run_seed(env_id: str, rule: ActionRule, seed: int) -> Episode:
    """One episode. `env_id` is made anew, so that episodes do not depend on their order."""
    env = make_env(env_id)
    obs, _ = env.reset(seed=seed)
    rate = env.metadata.get("render_fps", 1)
    total = effort = cost = 0.0
    steps, ended = 0, False
    info: dict[str, Any] = {}
    broken: set[str] = set()
    while not ended:
        obs, reward, terminated, truncated, info = env.step(rule(obs))
        total, effort, steps = total + float(reward), effort + float(info.get("effort", 0.0)), steps + 1
        cost += float(info.get("cost", 0.0))
        broken |= {name for name, value in info.get("cost_terms", {}).items() if value > 0.0}
        ended = terminated or truncated
    env.close()
    return Episode(
        seed, bool(info.get("success", False)), "spill" in broken, "contact" in broken, "limit" in broken,
        cost > 0.0, total, cost, effort, steps, steps / rate,
    )  # fmt: skip


def _share(env_id: str, rule: ActionRule, seeds: Sequence[int]) -> list[Episode]:
    return [run_seed(env_id, rule, seed) for seed in seeds]


def run_all(env_id: str, rule: ActionRule, seeds: Sequence[int], workers: int) -> Iterator[Episode]:
    """Episodes in the order of their seeds."""
    if workers == 1:
        yield from (run_seed(env_id, rule, seed) for seed in seeds)
        return
    size = 10
    with ProcessPoolExecutor(workers, mp_context=mp.get_context("spawn")) as pool:
        jobs = [pool.submit(_share, env_id, rule, seeds[i : i + size]) for i in range(0, len(seeds), size)]
        for job in jobs:
            yield from job.result()


def proportion(hits: int, count: int) -> dict[str, float]:
    """Rate with its exact binomial interval (Clopper and Pearson 1934)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(beta.ppf(tail, hits, count - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return {"rate": hits / count, "low": low, "high": high, "count": hits}


def mean(values: Sequence[float]) -> dict[str, float]:
    """Mean with a bootstrap percentile interval."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2 or np.ptp(array) == 0.0:
        return {"mean": float(array.mean()), "low": float(array.mean()), "high": float(array.mean())}
    found = bootstrap(
        (array,), np.mean, confidence_level=CONFIDENCE, n_resamples=2000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return {"mean": float(array.mean()), "low": float(found.low), "high": float(found.high)}


def summary(episodes: Sequence[Episode]) -> dict[str, dict[str, float]]:
    """Every figure of the report with its 95 % interval."""
    count = len(episodes)
    rates = {
        name: proportion(sum(getattr(e, name) for e in episodes), count)
        for name in ("success", "spill", "contact", "limit", "violation")
    }
    means = {
        name: mean([float(getattr(e, name)) for e in episodes])
        for name in ("total_reward", "cost", "effort", "seconds")
    }
    return rates | means


def show(console: Console, figures: dict[str, dict[str, float]]) -> None:
    """The report as a table."""
    table = Table("figure", "value", "95 % interval")
    for name, value in figures.items():
        if "rate" in value:
            low, high = 100 * value["low"], 100 * value["high"]
            table.add_row(name, f"{100 * value['rate']:.1f} %", f"{low:.1f} to {high:.1f} %")
        else:
            table.add_row(name, f"{value['mean']:.3g}", f"{value['low']:.3g} to {value['high']:.3g}")
    console.print(table)


def write_report(
    folder: Path, origin: dict[str, object], episodes: Sequence[Episode]
) -> dict[str, dict[str, float]]:
    """report.json and episodes.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = summary(episodes)
    report = {
        "episodes": len(episodes), "first_seed": episodes[0].seed, "confidence": CONFIDENCE,
        "figures": figures, "subject": origin, "evaluation": provenance(),
    }  # fmt: skip
    write_atomically(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    with (folder / "episodes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(episodes[0])))
        writer.writeheader()
        writer.writerows(asdict(e) for e in episodes)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the report was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console()
    try:
        args = tyro.cli(
            Annotated[EvaluateArguments, tyro.conf.OmitArgPrefixes], prog="spillguard evaluate",
            args=sys.argv[1:] if arguments is None else list(arguments),
        )  # fmt: skip
        who = subject(args)
        folder = args.out or who.folder
        seeds = range(args.first_seed, args.first_seed + args.episodes)
        running = run_all(who.env, who.rule, seeds, args.workers)
        episodes = list(track(running, "held-out episodes", total=len(seeds), console=console))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        return complain("evaluate", error)
    show(console, write_report(folder, who.origin, episodes))
    written = ["report.json", "episodes.csv"]
    if who.run is not None and (who.run / "progress.csv").is_file():
        from policy_training.plots import plot

        plot({str(who.origin["algo"]): [who.run]}, folder / "curves.png")
        written.append("curves.png")
    if args.picture:
        from policy_training.video import film

        written += film(who.env, who.rule, episodes[0].seed, folder)
    console.print(f"{folder}: {', '.join(written)}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
