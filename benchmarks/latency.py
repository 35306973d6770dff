"""From an observation to the command that answers it, through both processes, over a bare two-process echo.

The load cell jumps at random moments; the policy of this bundle then reverses the lip's motion, and the clock
stops at the first command that does. Both processes work on timers (20, 100 Hz), whose phases cost 30 ms on
average. The peer is the same pair of processes with the same timers and nothing in them; an echo without
timers stands beside it. All three run at the same time, each in its own namespace, and are measured in turns.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
import tyro
from geometry_msgs.msg import PoseStamped, WrenchStamped
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.experimental import EventsExecutor  # type: ignore[attr-defined]
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from benchmarks.bundles import SPEED, UpOrDown, make_bundle
from benchmarks.record import Ratio, report
from sim.pouring.cell import guard_kinematics
from sim.pouring.controller import JointTrajectoryController
from sim.pouring.gen3 import GEN3, JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_ros.node import convert
from spillguard_sim.graph import Graph, private_environment

COMMAND = "joint_trajectory_controller/joint_trajectory"
LIGHT, HEAVY = 0.0, 0.1  # [kg]
LIP_SPEED = SPEED * float(ACTION_SCALE[2])  # [m/s]
LONGEST = 1.0  # [s] to wait for an answer
SYSTEMS = ("graph", "timed", "bare")


@dataclass
class LatencyBenchArguments:
    """Benchmark of the latency through the two processes."""

    repeats: int = 7
    """Repeats."""
    rounds: int = 30
    """Jumps of each load cell in a repeat."""


class IdealCell(Node):
    """An ideal arm with sensors for the graph, load cells for all, and a stopwatch on every command topic."""

    def __init__(self) -> None:
        super().__init__("cell")
        self.load = dict.fromkeys(SYSTEMS, LIGHT)  # [kg]
        self.answered = dict.fromkeys(SYSTEMS, 0.0)  # steady time [s]
        self.heavy_seen = dict.fromkeys(SYSTEMS, False)
        self._controller = JointTrajectoryController(NOMINAL_POSTURE)
        self._joints = self.create_publisher(JointState, "graph/joint_states", 1)
        self._wrist = self.create_publisher(WrenchStamped, "graph/wrist/wrench", 1)
        self._target = self.create_publisher(PoseStamped, "graph/target_pose", 1)
        self._load_cells = {
            name: self.create_publisher(WrenchStamped, f"{name}/load_cell/wrench", 1) for name in SYSTEMS
        }
        for name in SYSTEMS:
            self.create_subscription(JointTrajectory, f"{name}/{COMMAND}", self._listener(name), 1)
        self.create_timer(MONITOR_PERIOD, self._sense, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def jump(self, name: str) -> float:
        """Switch to the other load at once. Returns the steady time [s]."""
        self.load[name] = LIGHT if self.load[name] == HEAVY else HEAVY
        self._weigh(name)
        return time.monotonic()

    def _weigh(self, name: str) -> None:
        stamp = self.get_clock().now().to_msg()
        self._load_cells[name].publish(convert.to_wrench(self.load[name], "load_cell", stamp))

    def _sense(self) -> None:
        stamp = self.get_clock().now().to_msg()
        q = self._controller.update(time.monotonic(), self._controller.command, np.zeros(len(JOINT_NAMES)))
        self._joints.publish(convert.to_joint_state(JOINT_NAMES, q, self._controller.velocity, stamp))
        self._weigh("graph")
        self._wrist.publish(convert.to_wrench(0.05, "wrist", stamp))
        self._target.publish(convert.to_pose(np.array([0.6, 0.25, 0.12]), GEN3.base_frame, stamp))

    def _listener(self, name: str) -> Callable[[JointTrajectory], None]:
        def on_graph(msg: JointTrajectory) -> None:
            now, trajectory = time.monotonic(), convert.trajectory(msg, JOINT_NAMES)
            late = 1e-9 * (self.get_clock().now() - Time.from_msg(msg.header.stamp)).nanoseconds
            self._controller.accept(trajectory, now - late, now)
            q, qd = trajectory.positions[1], trajectory.velocities[1]
            climb = float(guard_kinematics().lip_twist(q, qd)[2]) / LIP_SPEED  # -1 down, 1 up
            self._note(name, climb > (0.5 if self.heavy_seen[name] else -0.5), now)

        def on_echo(msg: JointTrajectory) -> None:
            self._note(name, msg.points[0].positions[0] > 0.5 * convert.GRAVITY * HEAVY, time.monotonic())

        return on_graph if name == "graph" else on_echo

    def _note(self, name: str, heavy: bool, now: float) -> None:
        if heavy != self.heavy_seen[name]:
            self.heavy_seen[name], self.answered[name] = heavy, now


def start(graph: Graph, bundle: Path) -> None:
    """Policy, monitor, and two echoes of two processes each."""
    nodes = {"policy": POLICY_PERIOD, "safety_monitor": MONITOR_PERIOD}
    for node, period in nodes.items():
        graph.start(node, node, {"bundle": bundle}, "-r", "__ns:=/graph")
        for name, pause in (("timed", period), ("bare", 0.0)):
            echo = {"second": str(node == "safety_monitor").lower(), "period": pause}
            graph.start(f"{name}_{node}", node, echo, "-r", f"__ns:=/{name}", module="benchmarks.echo")


class Stopwatch:
    """Measures one system after the other."""

    def __init__(self, cell: IdealCell) -> None:
        self._cell, self._executor = cell, EventsExecutor()
        self._executor.add_node(cell)
        self._rng = np.random.default_rng(0)

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Process messages."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=min(left, 0.02))

    def latency(self, name: str) -> float:
        """[s] of one jump; NaN without an answer."""
        cell = self._cell
        self.spin(
            0.12 + self._rng.uniform(0.0, POLICY_PERIOD)
        )  # at rest in the new direction, at a random phase
        begun = cell.jump(name)
        self.spin(LONGEST, lambda: cell.answered[name] >= begun)
        return cell.answered[name] - begun if cell.answered[name] >= begun else float("nan")

    def insist(self, service: str) -> None:
        """Call a service of the graph until it is granted."""
        client: Client = self._cell.create_client(Trigger, f"graph/{service}")
        end, answer = time.monotonic() + 20.0, ""
        while time.monotonic() < end:
            if client.service_is_ready():
                future = client.call_async(Trigger.Request())
                self.spin(2.0, future.done)
                said = future.result() if future.done() else None
                if said is not None and said.success:
                    return
                answer = "no answer" if said is None else said.message
            self.spin(0.2)
        raise RuntimeError(f"{service} was not granted within 20 s: {answer or 'it never appeared'}")


def measure(args: LatencyBenchArguments, folder: Path) -> dict[str, NDArray[np.float64]]:
    """Latencies (repeats, rounds) [s] by system."""
    environment = private_environment()
    os.environ.update(environment)
    bundle = make_bundle(folder / "bundle", UpOrDown())
    found: dict[str, NDArray[np.float64]] = {
        name: np.full((args.repeats, args.rounds), np.nan) for name in SYSTEMS
    }
    with Graph(folder / "logs", environment) as graph:
        start(graph, bundle)
        rclpy.init()
        watch = Stopwatch(IdealCell())
        for service in ("safety_monitor/reset", "safety_monitor/resume"):
            watch.insist(service)
        for name in (*SYSTEMS, *SYSTEMS):
            watch.latency(name)
        for index in np.ndindex(args.repeats, args.rounds):
            for name in SYSTEMS:
                found[name][index] = watch.latency(name)
        rclpy.try_shutdown()
    return found


def main() -> None:
    """Print the ratio."""
    args = tyro.cli(LatencyBenchArguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Path(folder))
    lost = {name: int(np.isnan(values).sum()) for name, values in found.items()}
    if any(lost.values()):
        raise RuntimeError(f"jumps without an answer within {LONGEST} s: {lost}")
    medians = {name: np.median(values, axis=1) for name, values in found.items()}
    figures = {
        name: "p50 {:.1f} ms, p99 {:.1f} ms".format(*(1e3 * np.percentile(values, [50, 99])))
        for name, values in found.items()
    }
    figures["rounds"] = f"{found['graph'].size} each; timed and bare are the echoes with and without timers"
    ratio = Ratio(
        "graph over echo at the same rates",
        list(medians["graph"] / medians["timed"]),
        2.0,
        higher_is_better=False,
    )
    report("latency", [ratio], figures, ("ros-rclpy", "onnxruntime", "numpy"))


if __name__ == "__main__":
    main()
