"""`spillguard robot`: the description of an arm from its URDF, which is all that the monitor needs of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from policy_training.files import write_atomically
from policy_training.terminal import parsed, subcommand
from sim.robots.description import OFTEN, ArmModel, arm_model, fatness
from sim.robots.postures import posture_of
from sim.robots.robot_yaml import RobotFigures, robot_yaml
from sim.robots.urdf import Shapes, read_arm
from spillguard_core.bundle.guard import checked_xml
from spillguard_core.robot.arm import Robot, load_robot

STUCK = (
    "Nothing shows that it is harmless, and the arm cannot be moved as it is: give these links shapes that "
    "are closer to the arm, or, if you know that it is harmless, write an <exclude> into model.xml"
)


@dataclass(frozen=True)
class RobotArguments:
    """Write robot.yaml and model.xml of an arm from its URDF, with capsules that enclose its meshes.

    What a URDF does not hold (acceleration, jerk, workspace, rest posture, topics) is given here, or chosen
    and marked in robot.yaml as chosen.
    """

    urdf: tyro.conf.Positional[Path]
    "URDF of the arm; a xacro has to be expanded first."
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    "Folder to write; its name at launch is robot:=FOLDER."
    name: str = ""
    "Of the robot; by default that of the URDF."
    tool_link: str | None = None
    "Link whose frame is the tool's; by default the only end of the tree."
    base_frame: str | None = None
    "Link whose frame points and twists are in; by default the root."
    fix: tuple[str, ...] = ()
    "JOINT=VALUE [rad] or [m] of joints that are not the arm's, as those of a gripper."
    meshes: Path | None = None
    "Folder in which the packages of package:// are; by default they are looked for above the URDF."
    shapes: Shapes = "collision"
    "Which shapes of the links are enclosed."
    margin: float = 0.0
    "[m] added to the radius of every capsule, for meshes that are thinner than the arm."
    velocity: tuple[float, ...] = ()
    "[rad/s] one for all joints or one a joint, at most the URDF's; by default the URDF's."
    acceleration: tuple[float, ...] = ()
    "[rad/s^2] one for all joints or one a joint."
    jerk: tuple[float, ...] = ()
    "[rad/s^3] one for all joints or one a joint; without it positions cannot be streamed."
    workspace_min: tuple[float, float, float] | None = None
    "[m] corner of the box that the tool stays in; by default whatever sampled postures reach."
    workspace_max: tuple[float, float, float] | None = None
    "[m] the other corner."
    rest: tuple[float, ...] = ()
    "[rad] posture, one value a joint; by default the middle of the position limits."
    command_topic: str = "joint_trajectory_controller/joint_trajectory"
    "Of trajectory_msgs/JointTrajectory."
    overwrite: bool = False
    "Replace the files of a description that is there."

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and 0.0 <= self.margin <= 0.1):
            raise ValueError(f"margin is {self.margin}; allowed are 0 to 0.1 m")


@subcommand("robot")
def main(words: Sequence[str]) -> int:
    """Exit status 0 if the arm at rest, as written, is apart from itself and its tool in the workspace."""
    args, console = parsed(RobotArguments, words, "spillguard robot"), Console()
    yaml, xml = args.out / "robot.yaml", args.out / "model.xml"
    for path in (yaml, xml):
        if path.exists() and not args.overwrite:
            raise FileExistsError(f"{path} is there already; take another folder, or --overwrite")
    if not args.urdf.is_file():
        raise FileNotFoundError(f"there is no file {args.urdf}")
    held = dict(map(_held, args.fix))
    arm = read_arm(args.urdf, args.tool_link, args.base_frame, held, args.meshes, args.shapes)
    figures = RobotFigures(
        args.name or arm.name, args.velocity, args.acceleration, args.jerk, args.workspace_min,
        args.workspace_max, args.rest, args.command_topic,
    )  # fmt: skip
    robot_yaml(arm, figures, np.zeros((1, 3)))  # before the search for capsules, which takes a minute
    model = arm_model(arm, args.margin)
    text = robot_yaml(arm, figures, model.tools)
    checked_xml(model.text.encode())
    _try(args.out, text)
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(xml, model.text.encode())
    write_atomically(yaml, text.encode())
    robot = load_robot(str(args.out.resolve()))
    _show(console, model, fatness(arm, model.capsules))
    for note in arm.notes:
        console.print(note, style="yellow", highlight=False)
    faults = list(_faults_at_rest(model.text, robot))
    for fault in faults:
        console.print(fault, style="red", highlight=False)
    count = len(robot.joint_names)
    console.print(f"{robot.name}, {count} joints: {yaml}, {xml}", soft_wrap=True, highlight=False)
    return int(bool(faults))


def _try(out: Path, text: str) -> None:
    """Refuses a robot.yaml that could not be read again, before it replaces anything."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "robot.yaml").write_text(text, encoding="utf-8")
        try:
            load_robot(folder)
        except ValueError as error:
            raise ValueError(str(error).replace(folder, str(out))) from error


def _faults_at_rest(text: str, robot: Robot) -> Iterator[str]:
    touching, tool = posture_of(text, robot.joint_names, robot.rest)
    for first, second in touching:
        yield f"at rest {first} touches {second}: choose another --rest"
    low, high = robot.limits.workspace_min, robot.limits.workspace_max
    if not ((low <= tool) & (tool <= high)).all():
        place = ", ".join(f"{x:.3f}" for x in tool)
        yield f"at rest the tool is at {place}, outside its workspace: choose another --rest or workspace"


def _held(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (name and math.isfinite(number)):
        raise ValueError(f"--fix takes JOINT=VALUE with a number, got {word!r}")
    return name, number


def _show(console: Console, model: ArmModel, fat: dict[str, float]) -> None:
    table = Table(title="what encloses the links", title_style="")
    table.add_column("link")
    for column in ("capsules", "radius [mm]", "volume / hull"):
        table.add_column(column, justify="right")
    for link, rods in model.capsules.items():
        radii = ", ".join(f"{1e3 * rod.radius:.0f}" for rod in rods)
        table.add_row(link, str(len(rods)), radii, f"{fat[link]:.2f}")
    console.print(table)
    for first, second in model.always:
        console.print(f"left out: {first} and {second}, which always touch", highlight=False)
    for (first, second), gap in model.apart.items():
        text = (
            f"left out: {first} and {second}, which their joints keep apart; least seen: {1e3 * gap:.0f} mm"
        )
        console.print(text, highlight=False)
    for (first, second), share in model.touching.items():
        if share == 1.0:
            text = f"kept: {first} and {second}, which touch in every sampled posture. {STUCK}"
            console.print(text, style="red", highlight=False, soft_wrap=True)
        elif share >= OFTEN:
            console.print(
                f"kept: {first} and {second}, which touch in {share:.0%} of the sampled postures",
                highlight=False,
            )
    low, high = np.min(model.tools, axis=0), np.max(model.tools, axis=0)
    span = " x ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True))
    console.print(f"the tool reaches {span} m", highlight=False)
