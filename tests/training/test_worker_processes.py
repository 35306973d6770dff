"""Worker processes: answers and errors reach the caller, and each process ends when nobody needs it."""

import ast
import os
import time
from pathlib import Path

import pytest

from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.worker_processes import LocalWorker, ProcessWorker, Worker

ROOT = Path(__file__).parents[2]


class Counter:
    """A server that keeps a sum."""

    def __init__(self, note: Path) -> None:
        self.note, self.sum = note, 0

    def add(self, amount: int) -> tuple[int, int]:
        self.sum += amount
        return self.sum, os.getpid()

    def fail(self) -> None:
        raise ValueError("as asked for")

    def sleep(self) -> None:
        time.sleep(600.0)

    def niceness(self) -> int:
        return os.nice(0)

    def end(self) -> None:
        os._exit(3)

    def close(self) -> None:
        self.note.write_text("closed")


def worker_in(process: bool, note: Path) -> Worker:
    return ProcessWorker("a test", Counter, note) if process else LocalWorker(Counter(note))


@pytest.mark.parametrize("process", [False, True])
def test_a_worker_keeps_its_server_answers_and_closes_it(process: bool, tmp_path: Path) -> None:
    worker = worker_in(process, tmp_path / "note")
    for amount, total in ((1, 1), (5, 6)):
        worker.ask("add", amount)
        answer, pid = worker.answer()
        assert answer == total
        assert (pid == os.getpid()) is not process
    worker.close()
    assert (tmp_path / "note").read_text() == "closed"


@pytest.mark.parametrize("process", [False, True])
def test_an_exception_of_the_server_is_raised_here_and_the_server_lives_on(
    process: bool, tmp_path: Path
) -> None:
    worker = worker_in(process, tmp_path / "note")
    worker.ask("fail")
    with pytest.raises(ValueError, match="as asked for"):
        worker.answer()
    worker.ask("add", 2)
    assert worker.answer()[0] == 2
    worker.close()


def test_a_process_that_ended_is_named_with_its_exit_code(tmp_path: Path) -> None:
    worker = ProcessWorker("a test", Counter, tmp_path / "note")
    worker.ask("end")
    with pytest.raises(RuntimeError, match="the worker process of a test ended with code 3"):
        worker.answer()
    with pytest.raises(RuntimeError, match="the worker process of a test ended with code 3"):
        worker.ask("add", 1)
    worker.close()


def test_a_niceness_is_the_process_own(tmp_path: Path) -> None:
    worker = ProcessWorker("a test", Counter, tmp_path / "note", niceness=3)
    worker.ask("niceness")
    assert worker.answer() == min(os.nice(0) + 3, 19)
    worker.close()


def test_an_interruption_gives_up_a_busy_worker_and_terminates_it(tmp_path: Path) -> None:
    worker = ProcessWorker("a test", Counter, tmp_path / "note")
    worker.ask("sleep")
    with interruptible() as stop:
        stop.set()
        with pytest.raises(InterruptedTrainingError):
            worker.answer(give_up=True)
        worker.close()
    assert worker.process.exitcode == -15
    assert not (tmp_path / "note").exists()


def test_processes_are_started_in_one_place() -> None:
    allowed = {
        "policy_training/worker_processes.py",  # servers that keep a state
        "policy_training/pool.py",  # independent jobs
    }
    starters = {"Process", "Pipe", "ProcessPoolExecutor", "fork"}
    found = set()
    for package in ("policy_training", "studies", "spillguard", "benchmarks", "sim"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if called in starters:
                        found.add(str(path.relative_to(ROOT)))
    assert found == allowed
