"""`spillguard excite`: a motion that shows what the arm is like, proposed to a running safety monitor.

It proposes in the policy's place: every command passes the gate, and nothing moves before an operator's
resume. What it does, `spillguard_core.tasks.pouring.excitation` says. It stops by itself; after its
silence the monitor holds.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import rclpy
import tyro
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks.pouring.excitation import DESCRIPTION, Excitation
from spillguard_core.tasks.pouring.lip import LipKinematics
from spillguard_ros.operator.proposer import FOLLOWING, PERIOD, Proposer


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
        exciter = Proposer(bundle, robot, args.namespace)
        try:
            return _run(exciter, tool, args, console)
        finally:
            exciter.close()
    finally:
        rclpy.try_shutdown()


def _run(exciter: Proposer, tool: LipKinematics, args: Excite, console: Console) -> int:
    exciter.meet()
    console.print(
        f"This {DESCRIPTION}. The held cup has to be empty, and the receiving cup below.", soft_wrap=True
    )
    console.print(
        "It begins when an operator resumes: spillguard operator reset, then resume.", soft_wrap=True
    )
    motion = Excitation(tool.pose(exciter.await_resume(args.wait)))
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
