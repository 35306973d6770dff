"""Graphs in which things go wrong."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.graph import Graph, private_environment
from tests.faults.commands import Notes
from tests.faults.harness import Cell, Watcher
from tests.ros.bundles import Orbit, make_bundle

ROOT = Path(__file__).parents[2]


class MakeCell(Protocol):
    """Starts nothing yet; what is started ends with the context."""

    def __call__(self) -> AbstractContextManager[Cell]: ...


@pytest.fixture(scope="session")
def orbit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that never rests by itself."""
    return make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


@pytest.fixture(scope="session")
def make_cell(orbit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeCell:
    @contextmanager
    def make() -> Iterator[Cell]:
        before, environment = dict(os.environ), private_environment()
        os.environ.update(environment)
        path = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH", "")]))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        watcher, folder = Watcher(), tmp_path_factory.mktemp("cell")
        try:
            with Graph(folder / "logs", {**environment, "PYTHONPATH": path}) as graph:
                yield Cell(graph, watcher, Notes(folder / "arm.notes"), orbit_bundle)
        finally:
            watcher.close()
            os.environ.clear()
            os.environ.update(before)

    return make


@pytest.fixture(scope="package")
def cell(make_cell: MakeCell) -> Iterator[Cell]:
    """One graph for all faults that leave every process alive."""
    with make_cell() as cell:
        cell.start_arm()
        cell.start_relay()
        cell.start_policy()
        cell.start_monitor()
        yield cell
