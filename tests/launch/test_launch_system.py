"""The launch files under the real launch system, wherever it is installed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
launch = pytest.importorskip("launch")
pytest.importorskip("launch_ros")
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
        first = next(e for e in entities(name) if isinstance(e, IncludeLaunchDescription))
        source = first.launch_description_source
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
    assert len(nodes) == 2


@pytest.fixture
def sim_launch(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`ros2 launch` of the simulated cell with a bundle that does not exist."""
    ros2 = shutil.which("ros2", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ros2 is None:
        pytest.skip("launch is here, the ros2 command is not")
    log = tmp_path / "log"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(random.randint(1, 100)), "ROS_LOG_DIR": str(tmp_path)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [ros2, "launch", str(LAUNCH / "pour_sim.launch.py"), f"bundle:={tmp_path / 'absent'}"],
            stdout=out, stderr=out, env=environment, start_new_session=True,
        )  # fmt: skip
        yield process, log
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_a_missing_bundle_is_refused_by_both_nodes(sim_launch: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, log = sim_launch
    if "spillguard_ros" not in _ament_packages():
        pytest.skip("spillguard_ros is not in this ament index: build ros_ws first")
    end = time.monotonic() + 30.0
    while log.read_text().count("process has died") < 2 and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)
    text = log.read_text()
    assert text.count("refused to configure") >= 2, text
    assert "absent" in text


def _ament_packages() -> dict[str, str]:
    from ament_index_python.packages import get_packages_with_prefixes

    return get_packages_with_prefixes()
