"""A server that answers requests one after the other, in a process of its own or in this one."""

import multiprocessing as mp
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from policy_training.interruption import InterruptedTrainingError, stopping

T = TypeVar("T")
PATIENCE = 0.1  # [s] between looks at whether to go on waiting


class Worker(Protocol):
    """A server, in this process or in one of its own. It takes one request at a time."""

    def ask(self, method: str, *arguments: Any) -> None:
        """Request a call of this method of the server."""

    def answer(self, *, give_up: bool = False) -> Any:
        """What the call returned, or the exception that it raised. With `give_up`, `InterruptedTrainingError`
        once the stop flag is set; without, an interruption waits for the answer."""

    def close(self) -> None:
        """Close the server."""


class LocalWorker:
    """In this process: the call is made on `answer`."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.call: tuple[str, tuple[Any, ...]] | None = None

    def ask(self, method: str, *arguments: Any) -> None:
        """Keep the request for `answer`."""
        self.call = method, arguments

    def answer(self, *, give_up: bool = False) -> Any:
        """Make the call. Whether it can be interrupted is up to the server."""
        if self.call is None:
            raise RuntimeError("answer without a request")
        (method, arguments), self.call = self.call, None
        return getattr(self.server, method)(*arguments)

    def close(self) -> None:
        """Close the server."""
        self.server.close()


class ProcessWorker:
    """In a process of its own: the call is made while the caller does something else."""

    def __init__(self, what: str, make: Callable[..., Any], *arguments: Any, niceness: int = 0) -> None:
        """`make(*arguments)` is called in the new process and returns the server, which has a method `close`.
        `what` names the worker in error messages."""
        context = mp.get_context("spawn")
        self.what, self.busy = what, False
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, niceness, make, arguments), daemon=True)
        with _ignoring_ctrl_c():
            self.process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> None:
        """Send the request. RuntimeError if the process has ended."""
        try:
            self.pipe.send((method, arguments))
        except ConnectionError as error:
            raise self._ended() from error
        self.busy = True

    def answer(self, *, give_up: bool = False) -> Any:
        """Wait for the answer. RuntimeError if the process has ended."""
        try:
            while give_up and not self.pipe.poll(PATIENCE):
                if stopping():
                    raise InterruptedTrainingError
            answer = self.pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error
        self.busy = False
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Close the pipe, which ends an idle worker; one that does not end by itself is terminated. After an
        interruption a busy worker is not waited for."""
        self.pipe.close()
        self.process.join(timeout=0.0 if self.busy and stopping() else 1.0)
        self.process.terminate()
        self.process.join(timeout=5.0)

    def _ended(self) -> RuntimeError:
        self.process.join(timeout=5.0)
        return RuntimeError(f"the worker process of {self.what} ended with code {self.process.exitcode}")


def _serve(pipe: Connection, niceness: int, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Body of a worker process. Its parent handles Ctrl-C; a closed pipe is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(niceness)
    server = make(*arguments)
    try:
        while True:
            method, given = pipe.recv()
            try:
                pipe.send(getattr(server, method)(*given))
            except (ValueError, RuntimeError, ArithmeticError) as error:
                pipe.send(error)
    except (EOFError, ConnectionError):
        server.close()


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Processes that are started in here ignore Ctrl-C from their first moment on."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
