"""``spillguard doctor``: capabilities and speed of this machine in one table."""

import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from policy_training.terminal import parsed, subcommand

PACKAGES = ("spillguard", "torch", "mujoco", "gymnasium", "numpy", "onnx", "onnxruntime", "ros-rclpy", "mcap")
SIZE = 256  # of the square matrices, the hidden layers' width
FINE, POOR, ABSENT = "[green]fine[/]", "[yellow]look[/]", "[red]absent[/]"


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    topic: str
    verdict: str
    text: str


@dataclass(frozen=True)
class Matmul:
    """Speed and error of one setting of torch's float32 matmul precision."""

    rate: float  # [GFLOP/s]
    error: float  # largest, relative to the largest entry of the float64 product


def matmul(precision: str, seconds: float = 0.3) -> Matmul:
    """256 x 256 by 256 x 256 on one thread at torch's precision "highest" or "medium"."""
    import torch

    from policy_training.processor import matmul_error

    threads, before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    a, b = torch.ones(2, SIZE, SIZE)
    try:
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision(precision)
        error = matmul_error()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(20):
                torch.mm(a, b)
            best = min(best, (time.perf_counter() - start) / 20)
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(before)
    return Matmul(rate=2 * SIZE**3 / best / 1e9, error=error)


def machine() -> Iterator[Finding]:
    """Processor, load and versions."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    busy = POOR if load > cores else FINE
    yield Finding(
        "machine", busy, f"{platform.machine()}, {cores} cores, load {load:.1f}, {platform.system()}"
    )
    installed = []
    for package in PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            installed.append(f"{package} [red]absent[/]")
    yield Finding("versions", FINE, f"python {platform.python_version()}, " + ", ".join(installed))


def speed() -> Iterator[Finding]:
    """Matmul rates of both precisions, which bound the speed of training."""
    if importlib.util.find_spec("torch") is None:
        yield Finding("matmul", ABSENT, "torch is not installed; training needs the extra 'train'")
        return
    highest, medium = matmul("highest"), matmul("medium")
    good = medium.error <= 1e-4
    faster = medium.rate > 1.2 * highest.rate
    if faster and good:
        advice = "use --matmul medium"
    elif faster:
        advice = "medium is faster but too coarse here: stay at highest"
    else:
        advice = "stay at highest"
    for name, found in (("highest", highest), ("medium", medium)):
        text = f"{found.rate:.0f} GFLOP/s on one thread, error {found.error:.1e}"
        yield Finding(f"matmul {name}", FINE if name == "highest" or good else POOR, text)
    yield Finding("matmul advice", FINE, advice)


def _in_process(code: str, seconds: float = 30.0) -> tuple[bool, str]:
    """Run code in a fresh interpreter: a crash or a hang there is a finding. Returns the last line
    printed."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {seconds:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f"exit status {done.returncode}"


RENDER = """
import os, time
import sim  # chooses the backend before mujoco loads
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 240, 320) as renderer:
    renderer.update_scene(data)
    renderer.render()
    start = time.perf_counter()
    picture = renderer.render()
    took = time.perf_counter() - start
assert picture.std() > 1, "the picture is empty"
print(f"MUJOCO_GL {os.environ.get('MUJOCO_GL', 'unset')}: one 320 x 240 picture in {1e3 * took:.0f} ms")
"""

ROS = """
import rclpy, time
rclpy.init()
node = rclpy.create_node("spillguard_doctor")
from std_msgs.msg import Empty
heard = []
publisher = node.create_publisher(Empty, "~/ping", 1)
node.create_subscription(Empty, "~/ping", heard.append, 1)
end = time.monotonic() + 5.0
while not heard and time.monotonic() < end:
    publisher.publish(Empty())
    rclpy.spin_once(node, timeout_sec=0.05)
name = rclpy.get_rmw_implementation_identifier()
rclpy.shutdown()
assert heard, f"{name} started, but no message arrived within 5 s"
print(f"{name}: a message went out and came back")
"""


def rendering() -> Iterator[Finding]:
    """Whether rendering works, and how fast."""
    good, text = _in_process(RENDER)
    advice = "" if good else "; without a screen install libosmesa6, or libegl1 and libgl1"
    yield Finding("rendering", FINE if good else POOR, text + advice)


def ros() -> Iterator[Finding]:
    """Whether rclpy is there, a message arrives, and by which transport."""
    if importlib.util.find_spec("rclpy") is None:
        yield Finding(
            "ROS 2", ABSENT, "no rclpy: install the extra 'ros', or source a ROS 2 installation first"
        )
        return
    good, text = _in_process(ROS)
    distro = os.environ.get("ROS_DISTRO", "wheels of the extra 'ros'")
    yield Finding("ROS 2", FINE if good else POOR, f"{distro}; {text}")
    domain = os.environ.get("ROS_DOMAIN_ID", "unset (0)")
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "unset")
    yield Finding("ROS 2 graph", FINE, f"ROS_DOMAIN_ID {domain}, ROS_AUTOMATIC_DISCOVERY_RANGE {reach}")
    yield dds()


def dds() -> Finding:
    """Shared memory lets a killed peer block the monitor's publish for up to a second; UDP does not."""
    profile = os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE") or os.environ.get(
        "FASTRTPS_DEFAULT_PROFILES_FILE"
    )
    transports = os.environ.get("FASTDDS_BUILTIN_TRANSPORTS")
    if profile:
        there = os.path.isfile(profile)
        text = f"profile {profile}" + ("" if there else ": no such file")
        return Finding("DDS transport", FINE if there else POOR, text)
    if transports:
        return Finding("DDS transport", FINE if transports == "UDPv4" else POOR, transports)
    text = "shared memory is on. The launch files and `spillguard demo` turn it off; set " \
        "FASTDDS_BUILTIN_TRANSPORTS=UDPv4 for nodes that you start by hand"  # fmt: skip
    return Finding("DDS transport", POOR, text)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (machine, speed, rendering, ros)


@dataclass(frozen=True)
class DoctorArguments:
    """Check this machine: versions, matmul rate both ways, rendering, ROS 2 and DDS."""


@subcommand("doctor")
def main(words: Sequence[str]) -> int:
    """Print the table. Exit status 1 if something is absent."""
    parsed(DoctorArguments, words, "spillguard doctor")
    table = Table("", "", "", show_header=False)
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        table.add_row(finding.topic, finding.verdict, finding.text)
    Console().print(table)
    return int(any(finding.verdict == ABSENT for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
