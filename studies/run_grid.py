"""Many on-policy runs of one study.

Each is a normal run folder: an interrupted one is resumed, a complete one is not repeated.
"""

import logging
import multiprocessing as mp
from collections.abc import Sequence
from pathlib import Path

from policy_training.checkpoint import load
from policy_training.interruption import interruptible
from policy_training.loops.on_policy import train_on_policy
from policy_training.processor import set_processor
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.folder import create_run
from policy_training.terminal import EXPECTED, told

logger = logging.getLogger(__name__)
Job = tuple[RunConfig, Path]  # configuration, parent of its run folder


def run_of(config: RunConfig, root: Path) -> Path | None:
    """The run folder with this configuration, if there is one."""
    for path in sorted((root / config.env.split("/")[-1] / config.algo).glob("*/config.json")):
        try:
            if RunConfig.from_json(path.read_text()) == config:
                return path.parent
        except (TypeError, KeyError, ValueError):  # written by another version
            logger.warning("%s is not read: its configuration is of another version", path.parent)
    return None


def finished(run: Path, config: RunConfig) -> bool:
    """Whether the run has all its iterations, or all its steps."""
    path, loop = run / "checkpoint.pt", config.loop
    assert isinstance(loop, OnPolicyLoop)
    if not path.is_file():
        return False
    state = load(path)
    return bool(0 < loop.iterations <= state["iteration"] or 0 < loop.steps <= state["step"])


def complete(config: RunConfig, root: Path) -> bool:
    """Start the run, resume it, or leave a complete one. False if it was interrupted."""
    run = run_of(config, root)
    if run is not None and finished(run, config):
        return True
    run = run or create_run(config, root)
    set_processor(config.loop.matmul)
    logger.info("%s %s seed %d: %s", config.env, config.algo, config.seed, run)
    return train_on_policy(config, run, resume=(run / "checkpoint.pt").is_file())


def work(mine: Sequence[Job]) -> None:
    """Body of a worker process: one run after the other, until one is interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    failed = False
    for config, root in mine:
        try:
            if not complete(config, root):
                break
        except EXPECTED as error:
            failed = True
            logger.error("%s %s seed %d: %s", config.env, config.algo, config.seed, told(error))
    raise SystemExit(failed)


def train_all(wanted: Sequence[Job], workers: int) -> bool:
    """Share the runs out to processes. True if all are complete."""

    def done(job: Job) -> bool:
        run = run_of(*job)
        return run is not None and finished(run, job[0])

    context, todo = mp.get_context("spawn"), [job for job in wanted if not done(job)]
    # Each worker gets its share at the start, so that none starts another run after an interruption.
    processes = [
        context.Process(target=work, args=(todo[w::workers],)) for w in range(min(workers, len(todo)))
    ]
    for process in processes:
        process.start()
    with interruptible() as stop:
        for process in processes:
            while process.exitcode is None:
                process.join(timeout=0.5)
                if stop.is_set():  # the workers save and end
                    for other in processes:
                        other.terminate()
                    stop.clear()
    return all(done(job) for job in wanted)
