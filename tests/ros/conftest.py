"""Real nodes on a private domain for every test of the graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spillguard_sim.graph import Graph
from tests.ros.bundles import Orbit, make_bundle
from tests.ros.harness import MakeStage, Stage, Witness
from tests.ros.private_graph import listening_first, private_ros

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def orbit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


@pytest.fixture(scope="session")
def make_stage(orbit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeStage:
    @contextmanager
    def make(*nodes: str, namespace: str = "") -> Iterator[Stage]:
        with private_ros() as environment:
            witness = Witness(namespace)
            try:
                with Graph(tmp_path_factory.mktemp("logs"), environment) as graph:
                    stage = Stage(graph, witness, orbit_bundle, namespace)
                    for node in nodes:
                        stage.start(node)
                    if "sim_arm" in nodes:
                        stage.settle(20.0)
                    with listening_first():
                        yield stage
            finally:
                witness.close()

    return make
