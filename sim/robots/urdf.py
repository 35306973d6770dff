"""An arm's URDF as MuJoCo reads it, and what MuJoCo leaves out: speed limits, which joints are the arm's.

Only links and joints are handed on to MuJoCo, each mesh under a name of its own, so that packages, folders
and equal file names need no care there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import mujoco
import numpy as np

from sim.robots.meshes import find_mesh, stl_bytes
from spillguard_core.robot.arm import Vec

Shapes = Literal["collision", "visual", "both"]
HINGES, SLIDES = ("revolute", "continuous"), ("prismatic",)
JOINT = mujoco.mjtObj.mjOBJ_JOINT


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


@dataclass(frozen=True, eq=False)
class UrdfArm:
    """An arm between its base and its tool, everything else of the URDF held still."""

    name: str
    model: mujoco.MjModel  # links of the URDF are bodies of the same name
    qpos: Vec  # of the model, with the arm's joints at 0 and the others where they are held
    joints: tuple[UrdfJoint, ...]  # of the arm, from the base on
    base: str  # link whose frame is the base frame
    tool: str  # link whose frame is the tool's
    notes: tuple[str, ...] = ()  # what was taken for granted

    def body(self, link: str) -> int:
        """Number of a link's body; the world's for a root of that name."""
        return max(int(mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, link)), 0)


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


def read_arm(
    path: Path,
    tool: str | None = None,
    base: str | None = None,
    held: Mapping[str, float] | None = None,
    meshes: Path | None = None,
    shapes: Shapes = "collision",
) -> UrdfArm:
    """The arm of a URDF between the frames of two links, by default its root and its only end.

    `held` maps joints that do not belong to the arm to where they stand [rad] or [m]. `meshes` is a folder
    where packages are looked for. A link without shapes of the wanted kind gets those of the other.
    ValueError names what cannot be used and what to do.
    """
    tree, held = read_tree(path), held or {}
    tool = _tool(tree) if tool is None else tool
    for link in (tool, base):
        if link is not None and link not in tree.links:
            raise ValueError(f"{path} has no link {link!r}; it has {', '.join(tree.links)}")
    for name in held:
        if name not in tree.joints:
            raise ValueError(f"{path} has no joint {name!r} to be held; it has {', '.join(tree.joints)}")
    chain = tree.chain(tool)
    joints = tuple(joint for joint in chain if joint.kind != "fixed" and joint.name not in held)
    _check(tree, joints, held, tool)
    base = _base(tree, chain) if base is None else base
    if any(joint in joints for joint in tree.chain(base)):
        raise ValueError(f"{path}: the link {base!r} moves with the arm, so it cannot be its base frame")
    spec = mujoco.MjSpec.from_string(*_cleaned(tree, meshes, shapes))
    for mesh in spec.meshes:  # the only kind that open meshes and turned triangles have, too
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
    try:
        model = spec.compile()
    except ValueError as error:
        raise ValueError(f"{path}: MuJoCo cannot use it: {error}") from error
    qpos = np.zeros(model.nq)
    for name, value in held.items():
        number = mujoco.mj_name2id(model, JOINT, name)
        if number >= 0:
            qpos[model.jnt_qposadr[number]] = value
    notes = tuple(
        f"{link} has no mass in the URDF: taken from its shape as if of water" for link in _weighed(tree)
    )
    return UrdfArm(tree.robot.get("name") or "arm", model, qpos, joints, base, tool, notes)


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


def _tool(tree: UrdfTree) -> str:
    parents = {joint.parent for joint in tree.joints.values()}
    ends = [link for link in tree.links if link not in parents]
    if len(ends) != 1:
        raise ValueError(
            f"{tree.path} ends in {', '.join(ends)}; say with --tool-link which frame is the tool's"
        )
    return ends[0]


def _base(tree: UrdfTree, chain: list[UrdfJoint]) -> str:
    root = chain[0].parent if chain else tree.links[0]
    return chain[0].child if root == "world" and chain[0].kind == "fixed" else root


def _check(tree: UrdfTree, joints: tuple[UrdfJoint, ...], held: Mapping[str, float], tool: str) -> None:
    """Every joint that moves is a hinge between base and tool, with limits, or is held."""
    if not joints:
        raise ValueError(f"{tree.path}: no joint moves the link {tool!r}; choose another with --tool-link")
    for joint in tree.joints.values():
        if joint.kind not in (*HINGES, *SLIDES, "fixed"):
            raise ValueError(
                f"{tree.path}: the joint {joint.name!r} is {joint.kind or 'without type'}; "
                "allowed are revolute, continuous and fixed ones"
            )
        if joint.kind == "fixed" or joint.name in held:
            continue
        if joint not in joints or joint.mimic or joint.kind in SLIDES:
            why = "is prismatic" if joint.kind in SLIDES else "follows another joint"
            if joint not in joints and not joint.mimic and joint.kind in HINGES:
                why = f"is on a branch that does not lead to {tool!r}"
            raise ValueError(
                f"{tree.path}: the joint {joint.name!r} {why}; hold it, --fix {joint.name}=VALUE"
            )
    for joint in joints:
        if joint.low is None or joint.high is None or not joint.low < joint.high:
            raise ValueError(
                f"{tree.path}: the joint {joint.name!r} has no position limits (lower {joint.low}, upper "
                f"{joint.high}); give it some, or make it continuous"
            )


def _cleaned(tree: UrdfTree, meshes: Path | None, shapes: Shapes) -> tuple[str, None, dict[str, bytes]]:
    """URDF of links, joints and chosen shapes alone, and the meshes [STL or OBJ] by the names used there."""
    robot = ElementTree.Element("robot", name="arm")
    compiler = ElementTree.SubElement(ElementTree.SubElement(robot, "mujoco"), "compiler")
    compiler.attrib.update(fusestatic="false", discardvisual="false")
    assets: dict[str, bytes] = {}
    for link in tree.robot.iterfind("link"):
        copy = ElementTree.SubElement(robot, "link", name=link.get("name", ""))
        copy.extend(link.findall("inertial"))
        for shape in _shapes(link, shapes):
            kept = ElementTree.SubElement(copy, "collision")
            kept.extend(part for part in shape if part.tag in ("origin", "geometry"))
            for mesh in kept.iter("mesh"):
                file = find_mesh(mesh.get("filename", ""), tree.path, meshes)
                name, data = stl_bytes(file, f"mesh{len(assets)}")
                assets[name] = data
                mesh.set("filename", name)
    for joint in tree.robot.iterfind("joint"):
        copy = ElementTree.SubElement(robot, "joint", name=joint.get("name", ""), type=joint.get("type", ""))
        copy.extend(part for part in joint if part.tag in ("origin", "parent", "child", "axis", "limit"))
    return ElementTree.tostring(robot, encoding="unicode"), None, assets


def _shapes(link: ElementTree.Element, shapes: Shapes) -> list[ElementTree.Element]:
    collision, visual = link.findall("collision"), link.findall("visual")
    match shapes:
        case "both":
            return collision + visual
        case "visual":
            return visual or collision
        case _:
            return collision or visual


def _weighed(tree: UrdfTree) -> Iterator[str]:
    """Links that have a shape but no mass."""
    for link in tree.robot.iterfind("link"):
        if link.find("inertial") is None and (link.findall("collision") or link.findall("visual")):
            yield link.get("name", "")
