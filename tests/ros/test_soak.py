"""The soak test detects leaks, and a short run passes. The full hour is not a test."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from benchmarks import soak
from spillguard_core.gate.gate import initial_decision
from spillguard_ros.recording import flight
from spillguard_ros.recording import recorder as recorder_module
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_sim.graph import private_environment
from tests.core.conftest import CONFIG
from tests.ros.harness import PATIENCE, ROOT

MINUTES = float(os.environ.get("SPILLGUARD_SOAK_MINUTES", "1"))
MISSED = 100.0  # [%] of the periods: reported here, limited only by the benchmark


def resident() -> float:
    """[MB] of this process, as the kernel says it in words."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (words,) = (line.split() for line in lines if line.startswith("VmRSS:"))
    assert words[2] == "kB"
    return 1e-6 * 1024 * int(words[1])


def test_usage_counts_memory_descriptors_and_threads_of_a_process(tmp_path: Path) -> None:
    """Memory beside what the kernel says at the same time: it may take back any page at any time."""
    before = soak.usage(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        after = soak.usage(os.getpid())
    done.set()
    thread.join()
    assert soak.usage(os.getpid()).memory == pytest.approx(resident(), rel=0.2)
    assert after.descriptors - before.descriptors == 2
    assert after.threads - before.threads == 1


def test_growth_is_told_from_noise() -> None:
    time = np.arange(0.0, 1800.0)
    noise = np.random.default_rng(0).normal(size=len(time))
    slope, gained = soak.growth(time, 100.0 + 0.01 * time + noise)
    assert slope == pytest.approx(36.0, abs=0.5)  # 0.01 MB/s
    assert gained == pytest.approx(18.0, abs=0.3)  # in half an hour
    assert abs(soak.growth(time, 100.0 + noise)[1]) < 0.3


def test_a_passing_descriptor_is_no_gain_and_a_lasting_one_is() -> None:
    steady = [20] * 100
    assert soak.gain([*steady[:50], 25, *steady[50:]]) == 0
    assert soak.gain([*steady, *[21] * 20]) == 1


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    for name, value in private_environment().items():
        monkeypatch.setenv(name, value)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    made = Node("leaky")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


def test_every_entity_counts_also_one_of_a_name_that_is_there(node: Node) -> None:
    before = soak.entities(node)
    for _ in range(2):
        node.create_publisher(Float64, "x", 1)
        node.create_subscription(Float64, "x", lambda _: None, 1)
        node.create_service(Trigger, "call", lambda _, response: response)
        node.create_client(Trigger, "call")
    gained = soak.entities(node) - before
    assert gained == {f"leaky {kind}": 2 for kind in ("publishers", "subscriptions", "services", "clients")}


def test_periods_come_from_every_part_of_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, periods = tmp_path / "flight.mcap", [0.010, 0.011, 1.010, 1.011]
    monkeypatch.setattr(recorder_module, "CHUNK_SIZE", 1)
    monkeypatch.setattr(recorder_module, "LARGEST_PART", 1)
    recorder = FlightRecorder(path, {"config": flight.encode_config(CONFIG)})
    inputs = flight.Inputs(0.0, None, 0.0, 0.0, 0.0, None)
    for period in (float("nan"), *periods):
        recorder.add(flight.TOPIC, flight.CycleRecord(inputs, initial_decision(7, 4), 1e-3, period), 1)
    assert recorder.close(PATIENCE)
    assert len(list(tmp_path.glob("flight-*.mcap"))) >= len(periods)
    found, nominal = soak.periods(path)
    assert found.tolist() == periods
    assert nominal == CONFIG.period


def test_cup_after_cup_nothing_grows(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """For `SPILLGUARD_SOAK_MINUTES`. In a separate process, because it changes the environment."""
    script = (
        "import sys; from pathlib import Path; from benchmarks import record, soak;"
        "record.RESULTS = Path(sys.argv.pop(1)); sys.exit(soak.main())"
    )
    # In the first minutes the simulated arm still meets cup types for the first time; it keeps one model of
    # each, some 4 MB. Within a dozen minutes it has met them all.
    growth = 40.0 if MINUTES < 12.0 else 5.0
    options = {"--minutes": MINUTES, "--missed": MISSED, "--growth": growth, "--out": tmp_path / "runs"}
    command = [sys.executable, "-c", script, str(tmp_path / "results")]
    command += [str(word) for option in options.items() for word in option]
    timeout = 60.0 * MINUTES + 3.0 * PATIENCE
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=timeout, check=False)
    said = ended.stdout + ended.stderr
    found = json.loads((tmp_path / "results" / "soak.json").read_text())
    assert [ratio["name"] for ratio in found["ratios"] if not ratio["met"]] == [], said
    assert ended.returncode == 0, said
    poured, _, all_of_them, *_ = found["figures"]["cups"].split()
    assert int(all_of_them) > 0
    record_property("poured", f"{poured} of {all_of_them}")
