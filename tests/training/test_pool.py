"""Many independent jobs in processes: order, errors, killed workers, interruptions."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy_training.interruption import InterruptedTrainingError, interruptible, stopping
from policy_training.pool import LOSSES, Pool, completed, ordered

PATIENCE = 120.0  # [s]


def wait_for(condition: Callable[[], bool]) -> None:
    """Fails after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def slow_first(folder: str, number: int, jobs: int) -> int:
    """The first job is the last one to be done, however slow the machine: it waits for the others."""
    if number == 0:
        wait_for(lambda: len([*Path(folder).glob("*.done")]) == jobs - 1)
    else:
        (Path(folder) / f"{number}.done").touch()
    return number


def dies_once(folder: str, number: int) -> int:
    """Its process is killed in the midst of job 1, the first time."""
    note = Path(folder) / "died"
    if number == 1 and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def dies(number: int) -> int:
    """Its process is killed every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def saves_itself(folder: str, number: int) -> bool:
    """Like training: goes on until it is interrupted, and then saves."""
    with interruptible():
        (Path(folder) / f"{number}.begun").touch()
        while not stopping():
            time.sleep(0.05)
    (Path(folder) / f"{number}.saved").touch()
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_are_answered_in_their_order_and_an_error_is_raised_in_its_place(workers: int) -> None:
    found = []
    with pytest.raises(ValueError, match="could not convert"):
        for number in ordered(float, [("1",), ("2",), ("x",), ("4",)], Pool(workers)):
            found.append(number)  # noqa: PERF402 what came before the error
    assert found == [1.0, 2.0]


def test_answers_come_as_they_are_done_or_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    def jobs(name: str) -> list[tuple[str, int, int]]:
        folder = tmp_path / name
        folder.mkdir()
        return [(str(folder), number, 4) for number in range(4)]

    assert [number for number, _ in completed(slow_first, jobs("a"), Pool(2))][-1] == 0
    assert list(ordered(slow_first, jobs("b"), Pool(2))) == [0, 1, 2, 3]
    assert list(completed(slow_first, [], Pool(2))) == []


def test_one_worker_is_this_process() -> None:
    assert list(ordered(os.getpid, [(), ()], Pool(1))) == [os.getpid()] * 2
    assert os.getpid() not in list(ordered(os.getpid, [(), ()], Pool(2)))


def test_a_job_whose_worker_was_killed_is_begun_again(tmp_path: Path) -> None:
    found = sorted(completed(dies_once, [(str(tmp_path), number) for number in range(4)], Pool(2)))
    assert found == [(number, 10 * number) for number in range(4)] and (tmp_path / "died").exists()


def test_a_job_that_kills_its_worker_again_and_again_ends_with_words() -> None:
    with pytest.raises(RuntimeError, match=f"killed {LOSSES} times with nothing done between"):
        list(completed(dies, [(1,)], Pool(2)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_lets_jobs_save_themselves_and_begins_no_other(workers: int, tmp_path: Path) -> None:
    jobs = [(str(tmp_path), number) for number in range(12)]
    begun = lambda: [*tmp_path.glob("*.begun")]  # noqa: E731
    with interruptible() as stop:

        def interrupt() -> None:
            wait_for(lambda: len(begun()) == workers)
            stop.set()

        threading.Thread(target=interrupt).start()
        with pytest.raises(InterruptedTrainingError):
            list(completed(saves_itself, jobs, Pool(workers)))
    assert len(begun()) == len([*tmp_path.glob("*.saved")]) == workers


@pytest.mark.parametrize(
    ("told", "words"),
    [({"workers": -1}, "workers is -1; allowed is 0"), ({"address": "a:1"}, "--launcher ray")],
)
def test_a_place_that_cannot_be_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pool(**told)


def _sleep_long(folder: str, number: int) -> None:
    (Path(folder) / f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(600.0)


def _run_pool(folder: str) -> None:
    list(completed(_sleep_long, [(folder, number) for number in range(2)], Pool(2)))


def test_the_workers_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    program = f"from tests.training.test_pool import _run_pool; _run_pool({str(tmp_path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__':\n    {program}"])

    def workers() -> list[int]:
        return [int(text) for file in tmp_path.glob("*.pid") if (text := file.read_text())]

    wait_for(lambda: len(workers()) == 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers()))
