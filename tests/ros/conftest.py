"""Real nodes on a private domain for every test of the graph."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the stand-in for the policy is a process of its own and is found by name

from bundles import Orbit, make_bundle
from harness import Stage, Witness

from spillguard_ros.graph import Graph, private_environment


class MakeStage(Protocol):
    """Starts a graph; it ends with the context."""

    def __call__(self, *nodes: str, namespace: str = "") -> AbstractContextManager[Stage]:
        """`nodes` are started, with the orbiting policy's bundle."""


@pytest.fixture(scope="session")
def orbit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


@pytest.fixture(scope="session")
def make_stage(orbit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeStage:
    @contextmanager
    def make(*nodes: str, namespace: str = "") -> Iterator[Stage]:
        before, environment = dict(os.environ), private_environment()
        os.environ.update(environment)
        path = os.pathsep.join(filter(None, [str(HERE), before.get("PYTHONPATH", "")]))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        witness = Witness(namespace)
        try:
            logs = tmp_path_factory.mktemp("logs")
            with Graph(logs, {**environment, "PYTHONPATH": path}) as graph:
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
