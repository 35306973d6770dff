"""The launch files under the real launch system, wherever it is installed."""

import contextlib
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
    assert [node.condition is None for node in nodes] == [
        True,
        True,
        False,
        False,
    ]  # streamer and page only when asked for


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


Start = Callable[..., Launched]


def nodes(launched: Launched) -> dict[str, int]:
    """Our nodes in the launch's session, by name, with their pids; those that have ended do not count."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, StopIteration):
            session = (process / "stat").read_text().rpartition(")")[2].split()
            if int(session[3]) == launched.process.pid and session[0] != "Z":
                words = (process / "cmdline").read_bytes().decode().split("\0")
                name = next(Path(word).name for word in words if "lib/spillguard" in word)
                found[name] = int(process.name)
    return found


def wait_for_none(launched: Launched) -> None:
    """Until no node of the launch is left."""
    end = time.monotonic() + PATIENCE
    while left := nodes(launched):
        assert time.monotonic() < end, f"left: {left}"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_no_node_outlives_the_launch(launch_sim: Start, number: signal.Signals) -> None:
    launched = launch_sim(SHIPPED)
    launched.wait_for("cup 1")
    assert set(nodes(launched)) == {"safety_monitor", "policy", "sim_arm"}
    launched.process.send_signal(number)
    wait_for_none(launched)


@pytest.mark.parametrize(("victim", "ends"), [("sim_arm", True), ("safety_monitor", True), ("policy", False)])
def test_the_launch_ends_with_driver_or_monitor_and_goes_on_without_a_policy(
    launch_sim: Start, victim: str, ends: bool
) -> None:
    launched = launch_sim(SHIPPED)
    launched.wait_for("cup 1")
    os.kill(nodes(launched)[victim], signal.SIGKILL)
    if ends:
        wait_for_none(launched)
    else:
        time.sleep(3.0)
        assert set(nodes(launched)) == {"safety_monitor", "sim_arm"}


def test_without_the_driver_nothing_is_started(launch_sim: Start) -> None:
    if "kortex_bringup" in get_packages_with_prefixes():
        pytest.skip("ros2_kortex is here")
    launched = launch_sim(SHIPPED, "pour_kinova.launch.py", "robot_ip:=192.0.2.1")
    assert launched.process.wait(PATIENCE) != 0
    assert "kortex_bringup" in launched.log.read_text() and "process started" not in launched.log.read_text()


@pytest.fixture
def launch_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts the graph with a bundle; SIGINT ends it."""
    ros2 = shutil.which("ros2", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ros2 is None or "spillguard_ros" not in get_packages_with_prefixes():
        pytest.skip("launch is here; build ros_ws and source it to start the nodes, too")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    started: list[Launched] = []

    def start(bundle: Path, file: str = "pour_sim.launch.py", *more: str) -> Launched:
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [ros2, "launch", str(LAUNCH / file), f"bundle:={bundle}", *more],
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


def test_a_missing_bundle_is_refused_by_both_nodes(launch_sim: Start, tmp_path: Path) -> None:
    launched = launch_sim(tmp_path / "absent")
    assert "absent" in launched.wait_for("refused to configure", times=2)


def test_the_arm_moves_only_after_reset_and_resume_and_a_deactivated_monitor_stays_so(
    launch_sim: Start,
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
