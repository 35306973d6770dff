"""Links and joints of a URDF file, as a tree: what MuJoCo does not tell of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from spillguard_core.robot.plain_yaml import is_name


@dataclass(frozen=True)
class UrdfJoint:
    """A joint as its URDF has it. Limits [rad], [rad/s]; infinite position limits for a continuous joint."""

    name: str
    kind: str
    parent: str
    child: str
    low: float | None = None
    high: float | None = None
    velocity: float | None = None
    mimic: bool = False


@dataclass(frozen=True)
class UrdfTree:
    """Links and joints of a URDF."""

    path: Path
    robot: ElementTree.Element
    joints: Mapping[str, UrdfJoint]
    links: tuple[str, ...]
    above: Mapping[str, UrdfJoint] = field(default_factory=dict)  # link -> the joint that carries it

    def chain(self, link: str) -> list[UrdfJoint]:
        """Joints from the root to a link."""
        found: list[UrdfJoint] = []
        while link in self.above:
            found.insert(0, self.above[link])
            link = self.above[link].parent
            if len(found) > len(self.joints):
                raise ValueError(f"{self.path}: its joints form a loop through {link!r}; a URDF is a tree")
        return found


def read_tree(path: Path) -> UrdfTree:
    """Links and joints of a URDF file. ValueError if it is none."""
    try:
        robot = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML ({error}); a URDF is needed") from error
    if any("xacro" in str(element.tag) for element in robot.iter()):
        raise ValueError(
            f"{path} is a xacro; make the URDF first: xacro {path.name} [ARG:=VALUE ...] > arm.urdf"
        )
    if robot.tag != "robot":
        raise ValueError(f"{path} begins with <{robot.tag}>; a URDF begins with <robot>")
    _check_numbers(robot, path)
    for kind in ("link", "joint"):
        _check_names(robot, kind, path)
    joints = {element.get("name", ""): _joint(element, path) for element in robot.iterfind("joint")}
    links = tuple(element.get("name", "") for element in robot.iterfind("link"))
    above: dict[str, UrdfJoint] = {}
    for joint in joints.values():
        for link in (joint.parent, joint.child):
            if link not in links:
                raise ValueError(
                    f"{path}: the joint {joint.name!r} names the link {link!r}, which is not there"
                )
        if joint.child in above:
            raise ValueError(f"{path}: the link {joint.child!r} hangs on two joints; a URDF is a tree")
        above[joint.child] = joint
    if not joints:
        raise ValueError(f"{path} has no joints, so it is no arm")
    return UrdfTree(path, robot, joints, links, above)


def _check_numbers(robot: ElementTree.Element, path: Path) -> None:
    """MuJoCo answers numbers that are not finite in several lines."""
    for element in robot.iter():
        for key in ("xyz", "rpy", "scale", "size", "radius", "length"):
            if any(word in element.get(key, "").lower() for word in ("nan", "inf")):
                raise ValueError(f"{path}: <{element.tag} {key}={element.get(key)!r}> is not finite")


def _check_names(robot: ElementTree.Element, kind: str, path: Path) -> None:
    seen = set[str]()
    for element in robot.iterfind(kind):
        name = element.get("name", "")
        if not is_name(name):
            raise ValueError(f"{path}: the name of a {kind} is {name!r}; a text in one line is needed")
        if name in seen:
            raise ValueError(f"{path} has two of the name {name!r} among its {kind}s")
        seen.add(name)


def _joint(element: ElementTree.Element, path: Path) -> UrdfJoint:
    name, kind = element.get("name", ""), element.get("type", "")
    parent, child = (_link(element, end) for end in ("parent", "child"))
    limit = element.find("limit")
    values: dict[str, float | None] = {}
    for key in ("lower", "upper", "velocity"):
        text = None if limit is None else limit.get(key)
        try:
            values[key] = None if text is None else float(text)
        except ValueError:
            raise ValueError(
                f"{path}: the limit {key} of the joint {name!r} is {text!r}, not a number"
            ) from None
    low, high = (-math.inf, math.inf) if kind == "continuous" else (values["lower"], values["upper"])
    return UrdfJoint(
        name, kind, parent, child, low, high, values["velocity"], element.find("mimic") is not None
    )


def _link(joint: ElementTree.Element, end: str) -> str:
    found = joint.find(end)
    return "" if found is None else found.get("link", "")
