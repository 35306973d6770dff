"""`spillguard study threshold`: how often episodes violate, by how eps is chosen and where it starts.

Meta SAC-Lag on two problems in which more reward costs more violations: `spillguard/OneStep-v0`, whose
constrained optimum is known, and `spillguard/HastyNav2D-v0`. Every run is one row of a CSV beside the page;
those that are there already are not repeated, so that the study can grow from day to day.
"""

import csv
import io
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from policy_training.files import locked, write_atomically
from policy_training.loops.off_policy import train
from policy_training.pool import Pool, completed
from policy_training.ranges import RANGES
from policy_training.runs.config import RunConfig
from policy_training.runs.folder import create_run, provenance
from policy_training.runs.presets import HASTY, ONE_STEP, preset
from policy_training.terminal import parsed, subcommand
from studies.threshold_page import write_page

PROBLEMS = {"one-step": ONE_STEP, "hasty": HASTY}
RULES: dict[str, dict[str, Any]] = {
    "fixed": {"eps_lr": 0.0},
    "A": {"eps_paths": "A"},
    "B": {"eps_paths": "B"},
    "C": {"eps_paths": "C"},
    "B, square": {"eps_paths": "B", "eps_objective": "nonlinear"},
    "measured": {"eps_lr": 0.0},  # and `violations`
}
"""How eps is chosen: not at all, by the paths of its meta-gradient, or by measured episodes."""
META_LR = 3e-3  # of eps in the meta-gradient's rules: they have time to go where they lead
FEWEST_STEPS = 100  # in fewer nothing is learned that could be shown
QUARTERS = 4  # rows of progress.csv; the last one is the end
KEYS = ("problem", "rule", "start", "asked", "seed", "steps")
FIGURES = ("violating", "training_violating", "success", "return", "eps", "nu", "q_c")
COLUMNS = (*KEYS, *FIGURES, "commit")
NUMBERS = (*KEYS[2:], *FIGURES)
Row = dict[str, str]


@dataclass(frozen=True)
class ThresholdArguments:
    """Train Meta SAC-Lag from several thresholds under several rules, and write a page of what it led to."""

    problems: tuple[Literal["one-step", "hasty"], ...] = ("one-step", "hasty")
    "What is learned."
    rules: tuple[Literal["fixed", "A", "B", "C", "B, square", "measured"], ...] = ("fixed", "B", "measured")
    "How eps is chosen."
    starts: tuple[float, ...] = (0.005, 0.02, 0.1, 0.3, 0.6)
    "Thresholds at the start, in (0, 1)."
    seeds: tuple[int, ...] = (1, 2, 3)
    "Training seeds."
    asked: float = 0.1
    "Share of violating episodes that the measured rule is asked for, at least 0.001."
    steps: int = 0
    "Environment steps of a run; 0: those of the preset."
    pool: Pool = field(default_factory=Pool)
    page: Path = Path("docs/results/threshold.md")
    "Page to write, its picture and its rows beside it. Rows of earlier calls are kept and shown."

    def __post_init__(self) -> None:
        for name in ("problems", "rules", "starts", "seeds"):
            told = getattr(self, name)
            if len(set(told)) != len(told):
                raise ValueError(f"{name} has the same value twice, {told}: that would be the same run twice")
        if self.page.suffix != ".md" or self.page.is_dir():
            raise ValueError(f"the page has to be a file NAME.md, got {self.page}")
        if not (self.steps == 0 or self.steps >= FEWEST_STEPS):
            raise ValueError(
                f"steps is {self.steps}; allowed are 0, which is the preset's, or at least {FEWEST_STEPS}"
            )
        if not (self.starts and all(0.0 < value < 1.0 for value in self.starts)):
            raise ValueError(f"starts must lie in (0, 1), got {self.starts}")
        if not RANGES["violations"].holds(self.asked):
            raise ValueError(f"asked is {self.asked}; it must be {RANGES['violations']}")
        if not (self.steps >= 0 and self.seeds and self.problems and self.rules):
            raise ValueError("steps must be at least 0, and no list empty")


def configuration(problem: str, rule: str, start: float, asked: float, seed: int, steps: int) -> RunConfig:
    """Of one run."""
    config = preset("meta_sac_lag", PROBLEMS[problem], seed)
    length = steps or config.loop.steps
    changes = {"eps_lr": META_LR, "initial_eps": start} | RULES[rule]
    if rule == "measured":
        changes["violations"] = asked
    loop = replace(
        config.off_policy, steps=length, warmup=min(config.off_policy.warmup, length // 8),
        log_every=max(length // QUARTERS, 1), eval_every=10 * length, checkpoint_every=10 * length,
        progress=False,
    )  # fmt: skip
    return replace(config, loop=loop, algorithm=replace(config.algorithm, **changes))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what a single training says of itself."""
    logger = logging.getLogger("policy_training")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def outcome(problem: str, rule: str, start: float, asked: float, seed: int, steps: int) -> Row:
    """Train once. The end is the last quarter of the training episodes, by the policy that explores."""
    config = configuration(problem, rule, start, asked, seed, steps)
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        run = create_run(config, Path(folder))
        if not train(config, run):
            raise InterruptedError("a run was interrupted: it gives no row, and is done again next time")
        with (run / "progress.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("episodes")]
    before, end = rows[-2] if len(rows) > 1 else {"episodes": "0", "violations": "0"}, rows[-1]
    episodes, violations = (float(end[name]) - float(before[name]) for name in ("episodes", "violations"))
    if not episodes:
        raise ValueError(f"{problem}: no episode ended in the last quarter of {config.loop.steps} steps")
    told = [problem, rule, start, asked, seed, config.loop.steps]
    figures = {
        "violating": violations / episodes,
        "training_violating": float(end["violations"]) / float(end["episodes"]),
        **{name: float(end[name]) for name in FIGURES[2:]},
    }
    return {
        **dict(zip(KEYS, map(str, told), strict=True)), **{k: f"{v:.5g}" for k, v in figures.items()},
        "commit": str(provenance()["commit"])[:9],
    }  # fmt: skip


def known(path: Path) -> list[Row]:
    """Rows of earlier calls; a last one that was cut is left out. ValueError for a file that is not ours."""
    if not path.is_file():
        return []
    text = path.read_bytes().decode(errors="replace")
    lines = text.splitlines()
    if lines and lines[0] != ",".join(COLUMNS):
        raise ValueError(f"{path} is no file of this study: its first line is not {','.join(COLUMNS)}")
    whole = lines if text.endswith("\n") else lines[:-1]
    found: dict[tuple[str, ...], Row] = {}
    for number, row in enumerate(csv.DictReader(whole), start=2):
        try:
            finite = len(row) == len(COLUMNS) and all(math.isfinite(float(row[name])) for name in NUMBERS)
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise ValueError(f"{path}, line {number}: needed are {', '.join(COLUMNS)}, got {row}")
        found[tuple(row[name] for name in KEYS)] = row
    return list(found.values())


def save(path: Path, rows: Sequence[Row]) -> None:
    """All rows, sorted."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: [row[name] for name in KEYS]))
    write_atomically(path, text.getvalue().encode())


def jobs(args: ThresholdArguments, rows: Sequence[Row]) -> Iterator[tuple[str, str, float, float, int, int]]:
    """Runs that are still to be done: all rules and starts of one seed first: a cut study still compares."""
    done = {tuple(row[name] for name in KEYS) for row in rows}
    for seed in args.seeds:
        for problem in args.problems:
            for start in args.starts:
                for rule in args.rules:
                    job = (problem, rule, start, args.asked, seed, args.steps)
                    length = configuration(*job).loop.steps
                    if tuple(map(str, (*job[:-1], length))) not in done:
                        yield job


@subcommand("study threshold")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when all runs are done and the page is written."""
    args = parsed(ThresholdArguments, words, "spillguard study threshold")
    store = args.page.with_suffix(".csv")
    if args.page.exists() and not store.exists():
        raise ValueError(f"{args.page} is there and has no rows beside it: it is not of this study")
    args.page.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.page.parent, "writes a study there"):
        rows = known(store)
        todo = list(jobs(args, rows))
        for _, row in track(completed(outcome, todo, args.pool), "runs", len(todo), disable=not todo):
            rows.append(row)
            save(store, rows)
        write_page(args.page, rows, words)
    Console(markup=False).print(f"{args.page}: {len(rows)} runs, {len(todo)} of them new", soft_wrap=True)
    return 0
