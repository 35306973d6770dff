"""Faults of files: the arm's response, and its timing."""

import os
import resource
import shutil
import time
from pathlib import Path

from tests.faults.cases import GOES_ON, Case, Repeat, run
from tests.faults.harness import Cell
from tests.ros.harness import PATIENCE


def damaged(bundle: Path) -> None:
    """Every file overwritten in place."""
    for file in bundle.iterdir():
        file.write_bytes(b"damaged")


def replaced(bundle: Path, other: Path) -> None:
    """Every file replaced by another bundle's."""
    for file in bundle.iterdir():
        shutil.copy(other / file.name, file.with_suffix(".new"))
        os.replace(file.with_suffix(".new"), file)


def test_bundle_replaced_on_disk(cell: Cell, moving_bundle: Path, reverse_bundle: Path) -> None:
    case = Case("bundle_replaced", "bundle: replaced or overwritten on disk", GOES_ON)
    turn = 0

    def once() -> Repeat:
        nonlocal turn
        cell.ready()
        fault, turn = time.monotonic(), turn + 1
        if turn % 2:
            replaced(cell.bundle, reverse_bundle)
        else:
            damaged(cell.bundle)
        try:
            return cell.answer(case, fault)
        finally:
            replaced(cell.bundle, moving_bundle)

    run(case, once)


def restart(cell: Cell, **more: object) -> None:
    """Restart the monitor with other parameters."""
    cell.stop("safety_monitor")
    cell.start_monitor(**more)
    cell.watcher.forget()
    cell.until(lambda: bool(cell.watcher.latest()), PATIENCE, "a new monitor")


def test_disk_full_for_the_recorder(cell: Cell, tmp_path: Path) -> None:
    case = Case("disk_full", "recorder: no more space on disk", GOES_ON)
    record = tmp_path / "flight.mcap"

    def once() -> Repeat:
        restart(cell, record=record)
        cell.ready()
        assert cell.watcher.latest()["recorder"] == "on"
        used = max(file.stat().st_size for file in (record, cell.graph.log("safety_monitor")))
        limit = (used, resource.RLIM_INFINITY)
        fault = time.monotonic()
        resource.prlimit(cell.graph.pid("safety_monitor"), resource.RLIMIT_FSIZE, limit)
        repeat = cell.answer(case, fault)
        cell.until(lambda: cell.watcher.latest()["recorder"] != "on", PATIENCE, "a status that tells")
        ended = time.monotonic()
        cell.until(lambda: cell.goes_on(ended), PATIENCE, "an arm that goes on after the recording has ended")
        return repeat

    try:
        run(case, once)
    finally:
        restart(cell)
