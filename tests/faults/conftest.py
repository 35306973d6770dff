"""Graphs for fault injection."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spillguard_sim.graph import Graph
from tests.faults.commands import Notes
from tests.faults.harness import Cell, MakeCell, Watcher
from tests.ros.bundles import Orbit, make_bundle
from tests.ros.private_graph import private_ros


@pytest.fixture(scope="session")
def orbit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that never rests by itself."""
    return make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


class ReverseOrbit(Orbit):
    """The same circle in the opposite direction."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        mirror = torch.tensor([1.0, -1.0, 1.0])
        offset = torch.cat([obs[:, :3], obs[:, 3:6] * mirror, obs[:, 6:]], dim=1)
        action = super().forward(offset)
        return torch.cat([action[:, :3] * mirror, action[:, 3:]], dim=1)


@pytest.fixture(scope="session")
def reverse_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An equally valid bundle with different behaviour."""
    return make_bundle(tmp_path_factory.mktemp("reverse") / "bundle", ReverseOrbit())


@pytest.fixture(scope="session")
def make_cell(orbit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeCell:
    @contextmanager
    def make() -> Iterator[Cell]:
        with private_ros() as environment:
            watcher, folder = Watcher(), tmp_path_factory.mktemp("cell")
            try:
                with Graph(folder / "logs", environment) as graph:
                    bundle = Path(shutil.copytree(orbit_bundle, folder / "bundle"))
                    yield Cell(graph, watcher, Notes(folder / "arm.notes"), bundle)
            finally:
                watcher.close()

    return make


@pytest.fixture(scope="module")
def cell(make_cell: MakeCell) -> Iterator[Cell]:
    """One graph for all faults that kill no process."""
    with make_cell() as cell:
        cell.start_arm()
        cell.start_relay()
        cell.start_policy()
        cell.start_monitor()
        cell.ready()
        yield cell


@pytest.fixture
def no_policy(cell: Cell) -> Iterator[Cell]:
    """The cell without a policy process."""
    cell.stop("policy")
    yield cell
    cell.start_policy()
