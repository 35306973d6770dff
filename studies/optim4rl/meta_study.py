"""`spillguard meta-study`: does meta-training make a better optimizer than its controls?

Meta-trains several seeds with and without the pipeline, tunes every contestant with equal trials, plays fresh
seeds, tries the frozen optimizers on other tasks, and writes a page of it. Interrupted parts are resumed;
complete ones are not repeated.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from policy_training.interruption import interruptible
from policy_training.meta_learning.config import MetaConfig
from policy_training.processor import set_processor
from policy_training.terminal import parsed, subcommand
from studies.optim4rl.catch_study import CATCH_GAMES, catch_study
from studies.optim4rl.contestants import Contestant, complete_meta, hand_made, trained, untrained
from studies.optim4rl.grid_study import grid_study
from studies.optim4rl.histograms import write_histograms
from studies.optim4rl.meta_test import MetaTestBudget
from studies.optim4rl.study_page import write_page
from studies.optim4rl.study_rows import Row, Rows, written
from studies.optim4rl.transfer_study import TARGETS, TransferBudget, transfer_study

Part = Literal["grid", "catch", "transfer", "histograms"]
ABLATED = "optim4rl"  # the rule that is also trained without a pipeline


@dataclass(frozen=True)
class MetaStudyArguments:
    """Meta-train, tune, test and transfer optimizers, and write a page of it."""

    config: MetaConfig = field(default_factory=MetaConfig)
    parts: tuple[Part, ...] = ("grid", "catch", "transfer", "histograms")
    "The parts to do, in this order."
    rules: tuple[str, ...] = ("optim4rl", "linear", "l2lgd2", "star")
    "Optimizers to learn."
    ablation: bool = True
    "Learn optim4rl without the pipeline, too."
    meta_seeds: tuple[int, ...] = (1, 2, 3)
    "Meta-trainings of each."
    updates: int = 2_929
    "Updates of an agent in a meta-test; with the paper's 512 games that is its number of steps."
    games: int = 512
    "Games that an agent of a meta-test plays at once."
    trials: int = 2
    "Tuning seeds of every rate of every contestant."
    agents: int = 10
    "Agents per meta-test, each from scratch."
    catch_iterations: int = 78
    "Meta-iterations of every point of the sweep in Catch."
    transfer_iterations: int = 50
    "Iterations of a run of the transfer."
    transfer_samples: int = 2_048
    "Environment steps of an iteration."
    transfer_epochs: int = 10
    "Passes over them."
    transfer_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    "Runs of each contestant on each target."
    targets: tuple[str, ...] = TARGETS
    "Environments of the transfer."
    gradient_updates: int = 1_000
    "Updates whose gradients the histograms show parts of."
    out: Path = Path("runs/meta_study")
    "Folder of runs and results."
    page: Path = Path("docs/results/optim4rl.md")
    "Page to write, its pictures beside it; prose is taken from NAME.notes.md, if there is one."
    page_only: bool = False
    "Train and play nothing, only write the page."

    def __post_init__(self) -> None:
        names = ("updates", "games", "trials", "agents", "catch_iterations", "transfer_iterations",
                 "transfer_samples", "transfer_epochs", "gradient_updates")  # fmt: skip
        for name in names:
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for rule in self.rules:
            replace(self.config, rule=rule)  # refuses unknown names
        if not (self.meta_seeds and self.transfer_seeds):
            raise ValueError("meta_seeds and transfer_seeds must name at least one seed each")


def trainings(args: MetaStudyArguments) -> list[MetaConfig]:
    """All meta-trainings. Seeds come first, so that an unfinished study has complete comparisons."""
    base = replace(args.config, progress=True)
    return [
        replace(base, rule=rule, pipeline=pipeline, seed=seed)
        for seed in args.meta_seeds
        for rule in args.rules
        for pipeline in ((True, False) if rule == ABLATED and args.ablation else (True,))
    ]


def contestants(args: MetaStudyArguments) -> list[Contestant]:
    """Every contestant that is ready."""
    learned = [trained(config, args.out / "train") for config in trainings(args)]
    return [
        *hand_made(), *untrained(args.meta_seeds, args.out / "train"),
        *(one for one in learned if one is not None),
    ]  # fmt: skip


def budgets(args: MetaStudyArguments) -> tuple[MetaTestBudget, MetaTestBudget, TransferBudget]:
    """The budgets of agents in gridworlds, in Catch, and of runs of the transfer."""
    grid = MetaTestBudget(args.updates, args.games)
    transfer = TransferBudget(args.transfer_iterations, args.transfer_samples, args.transfer_epochs)
    return grid, replace(grid, games=CATCH_GAMES), transfer


def study(args: MetaStudyArguments, rows: Rows, stop: Callable[[], bool]) -> None:
    """Do all requested parts."""
    if "histograms" in args.parts:
        updates = args.gradient_updates
        write_histograms(args.out / "histograms.json", updates, max(1, updates // 20), args.games)
    if "grid" in args.parts or "transfer" in args.parts:
        for config in trainings(args):
            if stop() or complete_meta(config, args.out / "train") is None:
                return
    everybody, (grid, catch, transfer) = contestants(args), budgets(args)
    counts = {"trials": args.trials, "seeds": args.agents}
    if "grid" in args.parts:
        tasks = [name.strip() for name in args.config.tasks.split(",")]
        grid_study(rows, "grid", tasks, everybody, grid, **counts, stop=stop)
    if "catch" in args.parts:
        root, iterations = args.out / "train", args.catch_iterations
        catch_study(rows, root, args.config, catch, iterations=iterations, **counts, stop=stop)
    if "transfer" in args.parts:
        transfer_study(
            rows, args.out / "transfer", everybody, transfer, targets=args.targets, trials=args.trials,
            seeds=args.transfer_seeds, stop=stop,
        )  # fmt: skip


def of_this_study(args: MetaStudyArguments, rows: Rows) -> list[Row]:
    """Rows with the requested budgets and optimizers; the file may hold others, too."""
    known = {written(budget) for budget in budgets(args)}
    digests = {one.learned.digest[:12] for one in contestants(args)}
    return [
        row for row in rows.rows if row.budget in known and (row.part == "catch" or row.origin in digests)
    ]


@subcommand("meta-study")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_processor()
    args = parsed(MetaStudyArguments, words, "spillguard meta-study")
    rows = Rows(args.out / "results.jsonl")
    if not args.page_only:
        with interruptible() as interrupted:
            study(args, rows, interrupted.is_set)
    write_page(of_this_study(args, rows), trainings(args), args.out, args.page, words)
    Console(markup=False).print(f"{args.page}: {len(rows.rows)} agents", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
