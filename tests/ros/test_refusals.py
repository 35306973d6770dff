"""Nodes that must refuse to start, with the reason."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from spillguard_sim.graph import NODES as MODULES
from spillguard_sim.graph import launch_file, private_environment
from tests.ros.harness import PATIENCE, MakeStage

NODES = ("safety_monitor", "policy")


def run_node(
    node: str, *parameters: str, file: bool = True, other: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Exit status and output of a node that must refuse; `other` replaces its parameter file."""
    command = [sys.executable, "-m", MODULES[node], "--ros-args"]
    if file:
        command += ["--params-file", str(other or launch_file(f"params/{node}.yaml"))]
    for parameter in parameters:
        command += ["-p", parameter]
    environment = {**os.environ, **private_environment()}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def damaged(bundle: Path, tmp_path: Path, damage: Callable[[Path], None]) -> Path:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    damage(copy)
    return copy


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("node", NODES)
def test_damaged_bundle_is_refused_by_name(node: str, orbit_bundle: Path, tmp_path: Path) -> None:
    bundle = damaged(orbit_bundle, tmp_path, lambda copy: cut(copy / "policy.onnx"))
    ended = run_node(node, f"bundle:={bundle}")
    assert ended.returncode == 1
    assert "policy.onnx does not match its hash" in ended.stderr


@pytest.mark.parametrize("node", NODES)
def test_missing_bundle_is_refused(node: str, tmp_path: Path) -> None:
    ended = run_node(node, f"bundle:={tmp_path / 'nowhere'}")
    assert ended.returncode == 1
    assert "manifest.json cannot be read" in ended.stderr


def test_missing_safety_value_is_refused(orbit_bundle: Path) -> None:
    told = (f"bundle:={orbit_bundle}", "robot:=gen3")
    ended = run_node("safety_monitor", *told, file=False)
    assert ended.returncode == 1
    assert "parameter 'command_timeout' is not set; it has no default" in ended.stderr


def test_missing_number_of_a_rule_is_refused(orbit_bundle: Path, tmp_path: Path) -> None:
    """The settings of the task's rules are known only once the bundle is loaded."""
    told = yaml.safe_load(launch_file("params/safety_monitor.yaml").read_text())
    del told["/**"]["ros__parameters"]["free_tilt"]
    (tmp_path / "safety_monitor.yaml").write_text(yaml.safe_dump(told))
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", other=tmp_path / "safety_monitor.yaml")
    assert ended.returncode == 1
    assert "parameter 'free_tilt' is not set; it has no default: [rad] the cup may lean" in ended.stderr


@pytest.mark.parametrize("node", ["safety_monitor", "policy"])
def test_unknown_robot_is_refused(node: str, orbit_bundle: Path) -> None:
    ended = run_node(node, f"bundle:={orbit_bundle}", "robot:=dancer")
    assert ended.returncode == 1
    assert "robot 'dancer' has no" in ended.stderr and "known are fr3, gen3, ur5e" in ended.stderr


def test_site_that_is_none_is_refused(orbit_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("walls: []")
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", f"site:={tmp_path / 'lab.yaml'}")
    assert ended.returncode == 1
    assert "lab.yaml" in ended.stderr and "got walls" in ended.stderr


def test_safety_value_out_of_range_is_refused(orbit_bundle: Path) -> None:
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", "state_timeout:=5.0")
    assert ended.returncode != 0
    assert "state_timeout" in ended.stderr


@pytest.mark.parametrize("value", [".nan", "true", "1"])
def test_safety_value_that_is_not_a_number_is_refused(orbit_bundle: Path, value: str) -> None:
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", f"state_timeout:={value}")
    assert ended.returncode == 1
    assert "parameter 'state_timeout' is refused" in ended.stderr


def test_command_timeout_above_two_policy_periods_is_refused(orbit_bundle: Path) -> None:
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", "command_timeout:=0.15")
    assert ended.returncode == 1
    assert "two periods of the policy, 0.1 s" in ended.stderr


def test_recording_that_cannot_be_opened_is_refused(orbit_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", f"record:={tmp_path / 'file' / 'f.mcap'}")
    assert ended.returncode == 1
    assert "refused to configure" in ended.stderr


def test_recording_that_would_fill_the_disk_is_refused(orbit_bundle: Path, tmp_path: Path) -> None:
    record = f"record:={tmp_path / 'f.mcap'}"
    ended = run_node("safety_monitor", f"bundle:={orbit_bundle}", record, "record_reserve:=1000000000")
    assert ended.returncode == 1
    assert "1000000000 MB have to stay free" in ended.stderr


def test_unsigned_bundle_is_refused_where_a_key_is_given(orbit_bundle: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_bytes(b"no key")
    ended = run_node("policy", f"bundle:={orbit_bundle}", f"public_key:={key}")
    assert ended.returncode == 1
    assert "manifest.sig" in ended.stderr


def test_robot_side_loads_neither_torch_nor_gymnasium() -> None:
    modules = (*MODULES.values(), "spillguard_ros.recording.review", "spillguard_sim.demo")
    code = f"import sys, {', '.join(modules)}\n"
    code += "print(sorted({'torch', 'gymnasium', 'onnx', 'policy_training'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_nodes_end_when_their_starter_is_killed(orbit_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from spillguard_sim.graph import Graph, private_environment\n"
        f"graph = Graph(Path({str(tmp_path)!r}), private_environment())\n"
        "graph.start('sim_arm', 'sim_arm', {})\nprint(graph.pid('sim_arm'), flush=True)\ntime.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def without_certificate(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["threshold"]["certificate"]
    path.write_text(json.dumps(manifest))


def test_uncalibrated_critic_is_refused_unless_somebody_says_so(
    orbit_bundle: Path, tmp_path: Path, make_stage: MakeStage
) -> None:
    bundle = damaged(orbit_bundle, tmp_path, without_certificate)
    ended = run_node("safety_monitor", f"bundle:={bundle}")
    assert ended.returncode == 1
    assert "promises nothing" in ended.stderr and "allow_uncalibrated" in ended.stderr
    with make_stage("sim_arm") as stage:
        stage.start("safety_monitor", bundle=bundle, allow_uncalibrated=True)
        heard = stage.witness.heard.status
        stage.until(lambda: len(heard) > 20, PATIENCE, "a status of the monitor")
        assert all("critic uncalibrated" in array.status[0].message for array in heard)
        told = {value.key: value.value for value in heard[-1].status[0].values}["calibration"]
        assert told.startswith("uncalibrated: it has no certificate")


def made_with_more_clearance(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["threshold"]["certificate"]["conditions"]["clearance"] = 0.02
    path.write_text(json.dumps(manifest))


def test_monitor_that_is_looser_than_in_the_calibration_is_refused(
    orbit_bundle: Path, tmp_path: Path
) -> None:
    ended = run_node("safety_monitor", f"bundle:={damaged(orbit_bundle, tmp_path, made_with_more_clearance)}")
    assert ended.returncode == 1
    assert "made with a clearance of 0.02 m" in ended.stderr and "allow_uncalibrated" in ended.stderr
