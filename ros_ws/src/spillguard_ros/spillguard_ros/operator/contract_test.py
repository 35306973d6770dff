"""`spillguard contract-test`: does the bundle mean by its numbers what its source meant, and does the arm do
what the bundle means?

    --recording FILE    the policy's own answers at its source, given again (`replayed`)
    --pendant Q1 Q2 ..  the posture that the arm's pendant shows, against its joint states
    --move              one small move for each entry of the action, through a running monitor (`moves`)

A wrong order, sign, offset or unit is the commonest fault of a deployed policy. The recording finds those
between policy and bundle, pendant and moves those between bundle and arm.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import rclpy
import tyro
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import track

from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.moves import SECONDS, asked, fault, lasts, move, posture_fault, settled, turned
from spillguard_core.bundle.replayed import load_recorded, replayed
from spillguard_core.robot.arm import load_robot
from spillguard_ros.operator.caller import OperatorError
from spillguard_ros.operator.proposer import APPEAR, FOLLOWING, PERIOD, Proposer

BRAKED = ("HOLD", "STOP")


@dataclass(frozen=True)
class ContractTest:
    """Test what a bundle's numbers mean: against its source, and on the arm. Exit status 0 if it is right."""

    bundle: tyro.conf.Positional[Path]
    """Directory of the bundle."""
    recording: Path | None = None
    """The policy's answers at its source: .npz with joint_names, the terms by name, action_names, action, and
    episode if there are several; docs/own_policy.md."""
    pendant: tuple[float, ...] = ()
    """Degrees that the arm's own pendant shows, one a joint in the robot's order; needs joint states."""
    move: bool = False
    """Move the arm a little for each entry of the action: at most 5 mm of the tool, or 3 degrees of a joint.
    Start the monitor without its policy, then this, then reset and resume; keep a hand on the stop."""
    robot: str = ""
    """Folder with robot.yaml of an arm that is not shipped; by default the bundle's own."""
    joint_prefix: str = ""
    """Before the names of joints and base frame in messages."""
    namespace: str = ""
    """Namespace of the safety monitor."""
    wait: float = 120.0
    """Seconds to wait for an operator's resume."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if everything that was asked for is right, 1 if not."""
    args = tyro.cli(
        Annotated[ContractTest, tyro.conf.OmitArgPrefixes], prog="spillguard contract-test",
        args=None if arguments is None else list(arguments),
    )  # fmt: skip
    if not (args.recording or args.pendant or args.move):
        raise ValueError("nothing to test: give --recording, --pendant or --move")
    console, bundle = Console(), _loaded(args)
    if args.pendant and len(args.pendant) != len(bundle.robot.joint_names):
        wanted = f"{len(bundle.robot.joint_names)} joints, {', '.join(bundle.robot.joint_names)}"
        raise ValueError(f"--pendant has {len(args.pendant)} numbers, {bundle.robot.name} has {wanted}")
    wrong = _of_recording(args.recording, bundle, console) if args.recording else []
    if args.pendant or args.move:
        wrong += _on_the_arm(args, bundle, console)
    for words in wrong:
        console.print(f"[red]wrong[/] {words}", soft_wrap=True, highlight=False)
    if not wrong:
        console.print("[green]right[/]: everything that was tested", highlight=False)
    return 1 if wrong else 0


def _loaded(args: ContractTest) -> Bundle:
    if not (args.robot or args.joint_prefix):
        return load_bundle(args.bundle)
    named = args.robot or load_bundle(args.bundle).robot.name
    return load_bundle(args.bundle, load_robot(named, args.joint_prefix))


def _of_recording(path: Path, bundle: Bundle, console: Console) -> list[str]:
    found = replayed(bundle, load_recorded(path, bundle))
    if found.agrees:
        told = f"{found.steps} steps, the same to {100 * found.worst:.2g} % of the largest action"
        console.print(f"the source's own answers: {told}", highlight=False)
        return []
    why = f"; it would agree if {found.explanation}" if found.explanation else ""
    return [
        "the bundle answers otherwise than its source, by "
        f"{100 * found.worst:.2g} % of the largest action at step {found.at} "
        f"({found.entry}){why}"
    ]


def _on_the_arm(args: ContractTest, bundle: Bundle, console: Console) -> list[str]:
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        proposer = Proposer(bundle, bundle.robot, args.namespace)
        try:
            wrong = _posture(args, bundle, proposer, console) if args.pendant else []
            # An arm that is not where it is said to be is not moved.
            return wrong + (_moved(args, bundle, proposer, console) if args.move and not wrong else [])
        finally:
            proposer.close()
    finally:
        rclpy.try_shutdown()


def _posture(args: ContractTest, bundle: Bundle, proposer: Proposer, console: Console) -> list[str]:
    if not proposer.wait(lambda: proposer.posture() is not None, APPEAR):
        raise OperatorError(f"no joint states within {APPEAR:.0f} s; does the driver run?")
    measured = proposer.posture()
    assert measured is not None
    limits = bundle.robot.limits
    span = limits.position_max - limits.position_min
    found = posture_fault(np.radians(args.pendant), measured, bundle.robot.joint_names, span)
    if not found:
        console.print("the pendant's posture is that of the joint states")
    return [found] if found else []


def _moved(args: ContractTest, bundle: Bundle, proposer: Proposer, console: Console) -> list[str]:
    proposer.meet()
    words = "It begins when an operator resumes: spillguard operator reset, then resume."
    console.print(f"Every command passes the monitor. {words}", soft_wrap=True)
    tool, names, limits = bundle.tool(), bundle.robot.joint_names, bundle.robot.limits
    proposer.await_resume(args.wait)
    speed = _speed(proposer.status)
    entries = range(len(bundle.task.action))
    for entry in track(entries, "moving", console=console):
        start = proposer.posture()
        if start is None:
            raise OperatorError("the joint states have ended")
        one, began, there = move(bundle, tool, start, entry, speed), time.monotonic(), None
        while (since := time.monotonic() - began) < lasts(speed):
            if proposer.mode != FOLLOWING or proposer.status.get("verdict") in BRAKED:
                reason = proposer.status.get("reason", "unknown")
                return [f"{one.name}: the monitor is {proposer.mode}, and brakes ({reason})"]
            here = proposer.posture()
            if there is None and since >= SECONDS + 0.75 * settled(speed):
                there = here
            proposer.propose(asked(one, bundle, start, since, speed))
            proposer.spin(PERIOD - (time.monotonic() - began - since))
        seen = np.full(len(names), math.nan) if there is None else turned(there, start, limits.turn)
        if found := fault(one, seen, names):
            return [found]  # an arm that does something else is not moved any further
    console.print(f"{len(entries)} entries of the action move the arm as they mean")
    return []


def _speed(status: Mapping[str, str]) -> float:
    """Share of its speed at which the monitor lets the arm move."""
    return float(status.get("speed", "100 %").rstrip(" %")) / 100.0
