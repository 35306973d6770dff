"""Jobs on a Ray cluster, for `pool`. Ray places them, begins those again whose worker was killed, and finds
out that a node is gone."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from policy_training.interruption import InterruptedTrainingError, stopping

T = TypeVar("T")
PATIENCE = 0.1  # [s] between looks at whether to go on waiting
RETRIES = 3  # of a job whose worker was killed
SAVING = 60.0  # [s] for training to save itself after an interruption


@contextmanager
def _cluster(workers: int, address: str) -> Iterator[Any]:
    """Ray, connected. One that this program had joined before is used and stays."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--launcher ray needs Ray: pip install 'spillguard[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    if address:
        ray.init(address=address, log_to_driver=False)
    else:  # as many processors as are asked for, however few this machine has
        ray.init("local", num_cpus=workers or None, log_to_driver=False, include_dashboard=False)
    try:
        yield ray
    finally:
        ray.shutdown()


def on_ray(
    work: Callable[..., T], jobs: Mapping[int, tuple[Any, ...]], workers: int, address: str
) -> Iterator[tuple[int, T]]:
    """`work(*job)` for every job with its number, as they are done: a processor each, `workers` at once.

    Without a number of workers, as many as the cluster has processors. ConnectionError if there is no cluster
    at `address`, RuntimeError for a job whose workers were killed again and again.
    """
    with _cluster(workers, address) as ray:
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
        left, running = iter(jobs.items()), dict[Any, int]()
        try:
            while True:
                while len(running) < most and (job := next(left, None)) is not None:
                    running[task.remote(sys.argv, work, job[1])] = job[0]
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1, timeout=PATIENCE)
                if stopping():
                    raise InterruptedTrainingError
                for one in done:
                    yield running.pop(one), _answer(ray, one)
        except BaseException:
            _cancel(ray, list(running))
            raise


def _call(command: list[str], work: Callable[..., T], job: tuple[Any, ...]) -> T:
    """A job that knows the command line it came from, as in a process of that command's own.

    Ray takes a class or a partial function for something else than a job.
    """
    sys.argv = command
    return work(*job)


def _cancel(ray: Any, running: list[Any]) -> None:
    """A SIGINT for those under way, at which training saves itself."""
    for one in running:
        ray.cancel(one, force=False, recursive=True)
    with suppress(KeyboardInterrupt):  # a second one does not wait
        if running:
            ray.wait(running, num_returns=len(running), timeout=SAVING)


def _answer(ray: Any, one: Any) -> Any:
    """What a job returned, or its own error rather than Ray's report of it."""
    try:
        return ray.get(one)
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from None
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"a job was lost {RETRIES + 1} times: {error}") from error
