"""The launch files under the real launch system, wherever it is installed."""

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
PATIENCE = 120.0  # [s] for anything to happen on a machine that others use, too
SHIPPED = Path(__file__).parents[2] / "artifacts" / "pour_coffee"
launch = pytest.importorskip("launch")
pytest.importorskip("launch_ros")
from ament_index_python.packages import get_packages_with_prefixes  # noqa: E402
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402


def entities(name: str) -> list[object]:
    """What a launch file describes, without running it."""
    return (
        PythonLaunchDescriptionSource(str(LAUNCH / name))
        .get_launch_description(launch.LaunchContext())
        .entities
    )


@pytest.mark.parametrize("name", ["pour_nodes.launch.py", "pour_sim.launch.py", "pour_kinova.launch.py"])
def test_launch_files_load(name: str) -> None:
    assert entities(name)


def test_both_cells_include_the_same_nodes() -> None:
    for name in ("pour_sim.launch.py", "pour_kinova.launch.py"):
        *_, last = (e for e in entities(name) if isinstance(e, IncludeLaunchDescription))
        source = last.launch_description_source
        source.get_launch_description(launch.LaunchContext())
        assert source.location == str(LAUNCH / "pour_nodes.launch.py")


def test_bundle_has_to_be_given() -> None:
    (bundle,) = [
        e
        for e in entities("pour_nodes.launch.py")
        if isinstance(e, DeclareLaunchArgument) and e.name == "bundle"
    ]
    assert bundle.default_value is None


def test_policy_and_monitor_are_processes_of_their_own() -> None:
    nodes = [e for e in entities("pour_nodes.launch.py") if isinstance(e, Node)]
    assert [node.condition is None for node in nodes] == [True, True, False]  # the page only when asked for


@dataclass
class Launched:
    """`ros2 launch` of the simulated cell in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str, times: int = 1, seconds: float = PATIENCE) -> str:
        """The log, once it holds `text` that often."""
        end = time.monotonic() + seconds
        while (log := self.log.read_text()).count(text) < times:
            assert time.monotonic() < end and self.process.poll() is None, f"no {text!r} in: {log}"
            time.sleep(0.1)
        return log


@pytest.fixture
def launch_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Launched]]:
    """Starts the graph with a bundle; SIGINT ends it."""
    ros2 = shutil.which("ros2", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ros2 is None or "spillguard_ros" not in get_packages_with_prefixes():
        pytest.skip("launch is here; build ros_ws and source it to start the nodes, too")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    started: list[Launched] = []

    def start(bundle: Path) -> Launched:
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [ros2, "launch", str(LAUNCH / "pour_sim.launch.py"), f"bundle:={bundle}"],
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        started.append(Launched(process, log))
        return started[-1]

    yield start
    for launched in started:
        launched.process.send_signal(signal.SIGINT)
        try:
            launched.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(launched.process.pid, signal.SIGKILL)
            launched.process.wait()


def test_a_missing_bundle_is_refused_by_both_nodes(
    launch_sim: Callable[[Path], Launched], tmp_path: Path
) -> None:
    launched = launch_sim(tmp_path / "absent")
    assert "absent" in launched.wait_for("refused to configure", times=2)


def test_the_arm_moves_only_after_reset_and_resume_and_a_deactivated_monitor_stays_so(
    launch_sim: Callable[[Path], Launched],
) -> None:
    import rclpy
    from lifecycle_msgs.msg import State, Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    from spillguard_ros.operator.client import Operator

    launch_sim(SHIPPED).wait_for("cup 1")
    rclpy.init()
    operator = Operator()
    try:
        operator.spin(5.0)
        assert operator.command_received == -math.inf
        for service in ("safety_monitor/reset", "safety_monitor/resume"):
            operator.insist(service, PATIENCE)
        assert operator.wait(lambda: operator.command_received > 0.0, PATIENCE)

        change = operator.node.create_client(ChangeState, "safety_monitor/change_state")
        assert operator.wait(change.service_is_ready, PATIENCE)
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
        assert operator.wait(change.call_async(request).done, PATIENCE)
        assert operator.wait(lambda: time.monotonic() - operator.command_received > 1.0, PATIENCE)
        silent_since = operator.command_received
        operator.spin(2.0)
        assert operator.command_received == silent_since
        state = operator.node.create_client(GetState, "safety_monitor/get_state")
        assert operator.wait(state.service_is_ready, PATIENCE)
        answer = state.call_async(GetState.Request())
        assert operator.wait(answer.done, PATIENCE)
        assert answer.result().current_state.id == State.PRIMARY_STATE_INACTIVE
    finally:
        operator.close()
