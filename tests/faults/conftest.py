"""Graphs for fault injection, on every arm that was chosen (`arms.py`)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spillguard_sim.graph import Graph
from tests.faults.arms import ARMS, FaultArm, chosen, reason_left_out, wanted
from tests.faults.bundles import ReverseOrbit, orbit_bundle
from tests.faults.commands import Notes
from tests.faults.harness import Cell, MakeCell, Watcher
from tests.ros.bundles import Orbit
from tests.ros.private_graph import private_ros

LEFT_OUT = pytest.StashKey[dict[str, set[str]]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of a graph runs once an arm."""
    if "arm" in metafunc.fixturenames:
        metafunc.parametrize("arm", chosen(), indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the tests that name an arm, only those for which it makes sense and that are to run now."""
    left_out = config.stash[LEFT_OUT] = {}
    kept, others = [], []
    for item in items:
        arm = _arm_of(item)
        if arm and (reason := reason_left_out(_name_of(item, arm), arm)):
            left_out.setdefault(f"{arm}: {reason}", set()).add(_name_of(item, arm))
        (kept if not arm or (not reason and wanted(_name_of(item, arm), arm)) else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept


def _arm_of(item: pytest.Item) -> str:
    """Name of the arm that a test of this folder runs on; empty if on none."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return str(params.get("arm", "")) if item.path.parent == Path(__file__).parent else ""


def _name_of(item: pytest.Item, arm: str) -> str:
    """Of the test without its arm, as in `arms.FEW`."""
    function, _, words = item.name.removesuffix("]").partition("[")
    case = words.removeprefix(arm).removesuffix(arm).strip("-")
    return f"{item.path.name}::{function}" + (f"[{case}]" if case else "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What makes no sense for an arm is said, not silently missing."""
    for reason, tests in sorted(config.stash.get(LEFT_OUT, {}).items()):
        terminalreporter.write_line(f"not collected for {reason} ({len(tests)} tests)")


@pytest.fixture(scope="session")
def arm(request: pytest.FixtureRequest) -> FaultArm:
    return ARMS[request.param]


@pytest.fixture(scope="session")
def moving_bundle(arm: FaultArm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that never rests by itself."""
    return orbit_bundle(arm, tmp_path_factory.mktemp("orbit") / "bundle", Orbit())


@pytest.fixture(scope="session")
def reverse_bundle(arm: FaultArm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An equally valid bundle with different behaviour."""
    return orbit_bundle(arm, tmp_path_factory.mktemp("reverse") / "bundle", ReverseOrbit())


@pytest.fixture(scope="session")
def make_cell(arm: FaultArm, moving_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeCell:
    @contextmanager
    def make() -> Iterator[Cell]:
        with private_ros() as environment:
            watcher, folder = Watcher(arm), tmp_path_factory.mktemp("cell")
            try:
                with Graph(folder / "logs", environment) as graph:
                    bundle = Path(shutil.copytree(moving_bundle, folder / "bundle"))
                    notes = Notes(folder / "arm.notes", arm.robot.limits)
                    yield Cell(arm, graph, watcher, notes, bundle)
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
