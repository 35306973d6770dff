"""Real nodes on a private domain for every test of the graph."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.graph import Graph, private_environment
from tests.ros.bundles import Orbit, make_bundle
from tests.ros.harness import MakeStage, Stage, Witness

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def orbit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


@pytest.fixture(scope="session")
def make_stage(orbit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeStage:
    @contextmanager
    def make(*nodes: str, namespace: str = "") -> Iterator[Stage]:
        before, environment = dict(os.environ), private_environment()
        os.environ.update(environment)
        # The stand-in for the policy is a process of its own and is found by name.
        path = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH", "")]))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        witness = Witness(namespace)
        try:
            with Graph(tmp_path_factory.mktemp("logs"), {**environment, "PYTHONPATH": path}) as graph:
                stage = Stage(graph, witness, orbit_bundle, namespace)
                for node in nodes:
                    stage.start(node)
                if "sim_arm" in nodes:
                    stage.settle(20.0)
                yield stage
        finally:
            witness.close()
            os.environ.clear()
            os.environ.update(before)

    return make
