"""`spillguard excite`: a motion that shows what the arm is like, proposed to a running safety monitor.

It proposes in the policy's place: every command passes the gate, and nothing moves before an operator's
resume. What it does, `spillguard_core.tasks.pouring.excitation` says. It stops by itself; after its
silence the monitor holds.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rclpy
import tyro
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sensor_msgs.msg import JointState

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import Robot, load_robot
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.excitation import DESCRIPTION, Excitation
from spillguard_core.tasks.pouring.lip import LipKinematics, LipPose
from spillguard_ros.node import convert
from spillguard_ros.node.actions import ActionMessages
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.caller import Caller, OperatorError

PERIOD = 0.05  # [s] between proposals
APPEAR = 20.0  # [s] for joint states and the monitor's status
LISTEN = 1.0  # [s] until others that publish proposals are known
FRESH = 0.1  # [s] age of a joint state above which nothing is proposed
FOLLOWING = "following"  # the monitor's mode while the policy drives
PROPOSAL, STATUS = "policy/proposal", "safety_monitor/status"


@dataclass(frozen=True)
class Excite:
    """Move the arm so that a recording of it can be identified; the cup has to be empty.

    Start the monitor with record:=FILE and without its policy, then this, then resume. It stops by itself.
    """

    bundle: Path = Path("artifacts/pour_coffee")
    """Directory of the bundle that the monitor runs with: its model says where the lip is."""
    robot: str = "gen3"
    """Name of the arm, or a folder with its robot.yaml."""
    joint_prefix: str = ""
    """Before the names of joints and base frame in messages."""
    seconds: float = float("inf")
    """Of the motion at most; the whole of it takes about half a minute."""
    wait: float = 300.0
    """Seconds to wait for the resume."""
    namespace: str = ""
    """Namespace of the safety monitor."""


class Exciter(Caller):
    """Proposes, and listens to the arm and to the monitor."""

    def __init__(self, robot: Robot, tool: LipKinematics, namespace: str = "") -> None:
        super().__init__(namespace)
        self._robot, self._tool, self._messages = robot, tool, ActionMessages(POURING, robot)
        self._state: JointState | None = None
        self._received = -np.inf
        self._others: tuple[str, ...] = ()  # names in the newest joint state that is not this arm's
        self.status: dict[str, str] = {}
        node = self.node
        node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)
        node.create_subscription(DiagnosticArray, STATUS, self._on_status, 1)
        self._proposals: Publisher[Any] = node.create_publisher(self._messages.kind, PROPOSAL, 1)

    def _on_joints(self, msg: JointState) -> None:
        if convert.names_no_joint(msg, self._robot.message_joints):
            self._others = tuple(msg.name)
        else:
            self._state, self._received = msg, time.monotonic()

    def _on_status(self, msg: DiagnosticArray) -> None:
        if msg.status:
            self.status = convert.status_values(msg.status[0])

    @property
    def mode(self) -> str:
        """The monitor's; empty before its first status."""
        return self.status.get("mode", "")

    def pose(self) -> LipPose | None:
        """Where the lip is; None without a fresh and valid joint state."""
        if self._state is None or time.monotonic() - self._received > FRESH:
            return None
        q, _ = convert.joint_state(self._state, self._robot.message_joints)
        return self._tool.pose(q) if np.isfinite(q).all() else None

    def propose(self, twist: np.ndarray) -> None:
        """Publish a twist (4,) in answer to the newest joint state."""
        assert self._state is not None
        stamp = self._state.header.stamp
        self._proposals.publish(self._messages.message(twist, stamp))

    def meet(self) -> None:
        """Wait for the arm and the monitor. OperatorError if one is missing, if others may propose, or if
        the monitor would pass a proposal at once."""
        if not self.wait(lambda: self.pose() is not None, APPEAR):
            wanted = f"no joint states of {', '.join(self._robot.message_joints)} within {APPEAR:.0f} s"
            got = convert.shown(", ".join(self._others))
            why = f"got those of {got}; is it --joint-prefix or --robot?" if got else "does the driver run?"
            raise OperatorError(f"{wanted}; {why}")
        if not self.wait(lambda: self.mode != "", APPEAR):
            raise OperatorError(f"no safety monitor reported within {APPEAR:.0f} s; is it active?")
        self.spin(LISTEN)
        # A policy may be there and silent: it gave up, or waits for its sensors.
        if (others := self.node.count_publishers(PROPOSAL) - 1) > 0:
            raise OperatorError(f"others publish on {PROPOSAL} ({others}); end the policy first")
        if self.mode == FOLLOWING:
            raise OperatorError("the monitor passes proposals already; hold first: spillguard operator hold")

    def await_resume(self, timeout: float) -> LipPose:
        """Propose rest until an operator has resumed; where the lip then is. OperatorError."""
        deadline = time.monotonic() + timeout
        while True:
            pose = self.pose()
            if pose is not None:
                if self.mode == FOLLOWING:
                    return pose
                self.propose(np.zeros(len(POURING.action)))
            if time.monotonic() > deadline:
                raise OperatorError(f"no resume within {timeout:.0f} s; the monitor is {self.mode}")
            self.spin(PERIOD)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the whole motion was proposed."""
    args = tyro.cli(
        Annotated[Excite, tyro.conf.OmitArgPrefixes], prog="spillguard excite",
        args=None if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    if not (args.seconds > 0.0 and args.wait > 0.0):
        raise ValueError(f"seconds and wait must be above 0, got {args.seconds} and {args.wait}")
    robot = load_robot(args.robot, args.joint_prefix)
    bundle = load_bundle(args.bundle, robot)
    tool = bundle.tool()
    if not isinstance(tool, LipKinematics):
        raise ValueError(f"the task {bundle.manifest.task} has no lip to move; excite is for pouring")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        exciter = Exciter(robot, tool, args.namespace)
        try:
            return _run(exciter, args, console)
        finally:
            exciter.close()
    finally:
        rclpy.try_shutdown()


def _run(exciter: Exciter, args: Excite, console: Console) -> int:
    exciter.meet()
    console.print(
        f"This {DESCRIPTION}. The held cup has to be empty, and the receiving cup below.", soft_wrap=True
    )
    console.print(
        "It begins when an operator resumes: spillguard operator reset, then resume.", soft_wrap=True
    )
    motion = Excitation(exciter.await_resume(args.wait))
    lasts, began = min(motion.duration, args.seconds), time.monotonic()
    with Progress(TextColumn("exciting"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("exciting", total=lasts)
        while (since := time.monotonic() - began) < lasts:
            progress.update(task, completed=since)
            if exciter.mode != FOLLOWING:
                reason = exciter.status.get("reason", "unknown")
                console.print(
                    f"ended after {since:.1f} s: the monitor is {exciter.mode} ({reason})", style="red"
                )
                return 1
            pose = exciter.pose()
            if pose is not None:
                exciter.propose(motion.twist(since, pose))
            exciter.spin(PERIOD - (time.monotonic() - began - since))
        progress.update(task, completed=lasts)
    console.print("done; the monitor now holds. Identify: spillguard identify FILE", highlight=False)
    return 0
