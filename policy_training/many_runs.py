"""Many training runs: each is a normal run folder; an interrupted one goes on, a complete one is not
repeated."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from policy_training.algorithms import resolve
from policy_training.checkpoint import load
from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.loops.off_policy import train
from policy_training.loops.on_policy import train_on_policy
from policy_training.pool import Pool, completed
from policy_training.processor import set_processor
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.folder import create_run
from policy_training.terminal import EXPECTED, told

logger = logging.getLogger(__name__)
Wanted = tuple[RunConfig, Path]  # configuration, parent of its run folder


class Ended(NamedTuple):
    """How a run ended for now."""

    run: Path | None  # None if it could not begin
    complete: bool
    error: str  # in one line; empty without


def follow(config: RunConfig) -> Callable[..., bool]:
    """The loop that goes with the algorithm."""
    return train_on_policy if resolve(config.algo).on_policy else train


def silent(config: RunConfig) -> RunConfig:
    """Without a progress bar, which decides nothing of a run."""
    return replace(config, loop=replace(config.loop, progress=False))


class RunIndex:
    """Run folders under a root, by their configuration. Each is read once; `look` finds new ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: set[Path] = set()
        self._runs: dict[str, Path] = {}
        self.look()

    def look(self) -> None:
        """Read the folders that have come since."""
        for path in sorted(self.root.glob("*/*/*/config.json")):
            if path in self._read:
                continue
            self._read.add(path)
            try:
                config = silent(RunConfig.from_json(path.read_text()))
            except (TypeError, KeyError, ValueError):  # written by another version
                logger.warning("%s is not read: its configuration is of another version", path.parent)
                continue
            self._runs.setdefault(config.to_json(), path.parent)

    def of(self, config: RunConfig) -> Path | None:
        """The first run folder with this configuration, if there is one."""
        return self._runs.get(silent(config).to_json())


def run_of(config: RunConfig, root: Path) -> Path | None:
    """The run folder with this configuration, if there is one."""
    return RunIndex(root).of(config)


def finished(run: Path, config: RunConfig) -> bool:
    """Whether the run has all its iterations, or all its steps."""
    path, loop = run / "checkpoint.pt", config.loop
    if not path.is_file():
        return False
    state = load(path, mapped=True)
    iterations = loop.iterations if isinstance(loop, OnPolicyLoop) else 0
    return bool(0 < iterations <= state.get("iteration", 0) or 0 < loop.steps <= state.get("step", 0))


def done_with(run: Path, config: RunConfig) -> bool:
    """Like `finished`, but a checkpoint that cannot be read is no end: whoever resumes the run says why."""
    try:
        return finished(run, config)
    except (ValueError, OSError):
        return False


def complete(config: RunConfig, root: Path, until: int | None = None) -> bool:
    """Start the run, resume it, or leave a complete one. False if it was interrupted, or has only come to the
    step `until`, where an off-policy run can stop."""
    run = run_of(config, root)
    if run is not None and finished(run, config):
        return True
    known, run = run is not None, run or create_run(config, root)
    set_processor(config.loop.matmul)
    logger.info("%s %s seed %d: %s", config.env, config.algo, config.seed, run)
    part = {} if until is None else {"until": until}
    return follow(config)(config, run, resume=known, **part)


def attempt(config: RunConfig, root: Path, until: int | None = None) -> Ended:
    """Like `complete`, but an error ends this run alone; one that nobody expects leaves its traceback."""
    try:
        done = complete(silent(config), root, until)
    except Exception as error:
        words = told(error)
        if not isinstance(error, EXPECTED):
            logger.exception("%s %s seed %d", config.env, config.algo, config.seed)
            words = f"{type(error).__name__}: {words}"
        return Ended(run_of(config, root), False, words)
    return Ended(run_of(config, root), done, "")


def attempts(wanted: Sequence[Wanted], pool: Pool) -> Iterator[tuple[int, Ended]]:
    """Every run with its number, as they end. What is complete is not sent to a worker.

    An interruption raises `InterruptedTrainingError` when those under way have saved themselves.
    """
    todo, known = [], {root: RunIndex(root) for _, root in wanted}
    for number, (config, root) in enumerate(wanted):
        run = known[root].of(config)
        if run is not None and done_with(run, config):
            yield number, Ended(run, True, "")
        else:
            todo.append(number)
    with interruptible():
        jobs = [(wanted[number][0], wanted[number][1].resolve()) for number in todo]
        for index, ended in completed(attempt, jobs, pool):
            yield todo[index], ended


def train_all(wanted: Sequence[Wanted], pool: Pool) -> bool:
    """Runs of a study. True if all are complete."""
    try:
        ends = [ended for _, ended in attempts(wanted, pool)]
    except InterruptedTrainingError:
        return False
    for ended in ends:
        if ended.error:
            logger.error("%s: %s", ended.run or "a run", ended.error)
    return all(ended.complete for ended in ends)
