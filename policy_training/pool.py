"""Many independent jobs: in processes of this machine, or on a Ray cluster, with the same results.

A job is a function of its arguments alone, or goes on where it was cut (a training run in its folder). So one
whose worker was killed is begun again; one that fails with an error ends the whole, unless it keeps its error
to itself.

Once the stop flag is set, or Ctrl-C comes, jobs that have not begun are dropped. Those that run get a SIGTERM
(on Ray a SIGINT): training saves itself and ends, everything else ends at once.
"""

import logging
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any, Literal, TypeVar

from policy_training.interruption import InterruptedTrainingError, stopping

logger = logging.getLogger(__name__)
T = TypeVar("T")
Job = tuple[Any, ...]

PATIENCE = 0.1  # [s] between looks at whether to go on waiting
LOSSES = 3  # workers killed, one after the other with nothing done between, before it is no accident
SAVING = 60.0  # [s] for training to save itself after an interruption


@dataclass(frozen=True)
class Pool:
    """Where jobs run."""

    workers: int = 0
    "Jobs at once; 1: in this process, 0: as many as there are processors."
    launcher: Literal["local", "ray"] = "local"
    "Processes of this machine, or a Ray cluster (pip extra ray)."
    address: str = ""
    "With Ray: the cluster, HOST:PORT or auto; empty: one of its own on this machine."

    def __post_init__(self) -> None:
        if not self.workers >= 0:
            raise ValueError(f"workers is {self.workers}; allowed is 0, one for each processor, or more")
        if self.address and self.launcher != "ray":
            raise ValueError("an address is a Ray cluster's; say --launcher ray")

    def processors(self) -> int:
        """Jobs at once, if they run on this machine."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def here(self) -> bool:
        """Whether jobs run in this process, one after the other."""
        return self.launcher == "local" and self.workers == 1


def ordered(work: Callable[..., T], jobs: Iterable[Job], pool: Pool) -> Iterator[T]:
    """`work(*job)` for every job, in the order of the jobs."""
    early: dict[int, T] = {}
    due = 0
    for number, result in completed(work, jobs, pool):
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


def completed(work: Callable[..., T], jobs: Iterable[Job], pool: Pool) -> Iterator[tuple[int, T]]:
    """`work(*job)` for every job, each with its number, as they are done. After an error, or if the iterator
    is closed, jobs that have not begun are dropped."""
    todo = dict(enumerate(jobs))
    if not todo:
        return
    if pool.launcher == "ray":
        from policy_training.ray_pool import on_ray

        yield from on_ray(work, todo, pool.workers, pool.address)
        return
    if pool.here:
        for number, job in todo.items():
            if stopping():
                raise InterruptedTrainingError
            yield number, work(*job)
        return
    losses = 0
    while todo:
        before = len(todo)
        try:
            for number, result in _in_processes(work, todo, pool.processors()):
                del todo[number]
                yield number, result
        except BrokenProcessPool:
            losses = losses + 1 if len(todo) == before else 1
            if losses >= LOSSES:
                raise RuntimeError(
                    f"a worker process was killed {losses} times with nothing done between; is there too "
                    "little memory for so many at once? Try fewer --workers"
                ) from None
            logger.warning("a worker process was killed; jobs that were under way begin again: %d", len(todo))


def _in_processes(work: Callable[..., T], jobs: Mapping[int, Job], workers: int) -> Iterator[tuple[int, T]]:
    context = mp.get_context("spawn")
    ended = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (os.getpid(), ended))
    numbers: dict[Future[T], int] = {}
    try:
        numbers = {pool.submit(_unless_ended, work, job): number for number, job in jobs.items()}
        waiting = set(numbers)
        while waiting:
            done, waiting = wait(waiting, PATIENCE, FIRST_COMPLETED)
            if stopping():
                raise InterruptedTrainingError
            for future in sorted(done, key=numbers.__getitem__):
                yield numbers[future], future.result()
    except BaseException as error:
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, InterruptedTrainingError | KeyboardInterrupt):
            with suppress(KeyboardInterrupt):  # a second one does not wait
                wait([future for future in numbers if future.running()], SAVING)
        raise
    pool.shutdown()


_ended: Event | None = None  # in a worker: that of its pool


def _begin(parent: int, ended: Event) -> None:
    """In a new worker."""
    global _ended
    _ended = ended
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent, ended), daemon=True).start()


def _end_with(parent: int, ended: Event) -> None:
    """A killed parent takes its workers with it: nobody waits for what they are at."""
    told = False
    while os.getppid() == parent:
        if ended.is_set() and not told:
            told = True
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
    os._exit(1)


def _unless_ended(work: Callable[..., T], job: Job) -> T:
    """A job that lay in the worker's own queue when the pool was ended is not begun."""
    if _ended is not None and _ended.is_set():
        raise InterruptedTrainingError
    return work(*job)
