"""Ctrl-C and SIGTERM set a stop flag that every loop checks, so that it can finish a step and save the
run."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_active: list[threading.Event] = []


class InterruptedTrainingError(Exception):
    """Work was abandoned because of the stop flag, and can be repeated."""


def stopping() -> bool:
    """Whether the stop flag is set; False outside of `interruptible`."""
    return any(event.is_set() for event in _active)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The stop flag, set by Ctrl-C or SIGTERM. Nested uses share the outermost flag, so that it ends all of
    them. A second Ctrl-C raises KeyboardInterrupt at once."""
    if _active:
        yield _active[0]
        return
    stop, before = threading.Event(), {}

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not stop.is_set():
            # not print: a signal may interrupt one
            os.write(2, b"stopping after this step; Ctrl-C again quits at once\n")
        stop.set()

    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            before[name] = signal.signal(name, ask)
    _active.append(stop)
    try:
        yield stop
    finally:
        _active.remove(stop)
        for name, handler in before.items():
            signal.signal(name, handler)
