"""Worker processes: answers and errors reach the caller, and each process ends when nobody needs it."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.worker_processes import LocalWorker, ProcessWorker, Worker, in_processes

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


def test_jobs_are_answered_in_their_order_and_an_error_is_raised_in_its_place() -> None:
    found = []
    with pytest.raises(ValueError, match="could not convert"):
        for number in in_processes(float, [("1",), ("2",), ("x",), ("4",)], workers=2):
            found.append(number)  # noqa: PERF402 what came before the error
    assert found == [1.0, 2.0]


def test_processes_are_started_in_one_place() -> None:
    allowed = {
        "policy_training/worker_processes.py",
        "studies/run_grid.py",  # whole runs, which save and end on SIGTERM and answer nothing
    }
    starters = {"Process", "Pipe", "Pool", "ProcessPoolExecutor", "fork"}
    found = set()
    for package in ("policy_training", "studies", "spillguard", "benchmarks", "sim"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if called in starters:
                        found.add(str(path.relative_to(ROOT)))
    assert found == allowed


def _sleep_long(folder: str, number: int) -> None:
    (Path(folder) / f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(600.0)


def _run_pool(folder: str) -> None:
    list(in_processes(_sleep_long, [(folder, number) for number in range(2)], 2))


def test_the_workers_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    program = f"from tests.training.test_worker_processes import _run_pool; _run_pool({str(tmp_path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__':\n    {program}"])
    end = time.monotonic() + 120.0

    def workers() -> list[int]:
        return [int(text) for file in tmp_path.glob("*.pid") if (text := file.read_text())]

    while len(workers()) < 2:
        assert time.monotonic() < end and parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in workers()):
        assert time.monotonic() < end, "a worker goes on"
        time.sleep(0.05)
