"""An arm's URDF as MuJoCo reads it, and what MuJoCo leaves out: speed limits, which joints are the arm's.

Only links and joints are handed on to MuJoCo, each mesh under a name of its own, so that packages, folders
and equal file names need no care there.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import mujoco
import numpy as np

from sim.robots.meshes import UPRIGHT, Signs, find_mesh, mesh_bytes
from sim.robots.urdf_tree import UrdfJoint, UrdfTree, read_tree
from spillguard_core.robot.arm import Vec

Shapes = Literal["collision", "visual", "both"]
HINGES, SLIDES = ("revolute", "continuous"), ("prismatic",)
JOINT = mujoco.mjtObj.mjOBJ_JOINT
PARTS = ("origin", "parent", "child", "axis", "limit")  # of a joint


@dataclass(frozen=True, eq=False)
class UrdfArm:
    """An arm between its base and its tool, everything else of the URDF held still."""

    name: str
    model: mujoco.MjModel  # links of the URDF are bodies of the same name, but for `world`
    qpos: Vec  # of the model, with the arm's joints at 0 and the others where they are held
    joints: tuple[UrdfJoint, ...]  # of the arm, from the base on
    base: str  # link whose frame is the base frame
    tool: str  # link whose frame is the tool's
    notes: tuple[str, ...] = ()  # what was taken for granted
    world: str = "world"  # body that a link `world` is

    def body(self, link: str) -> int:
        """Number of a link's body."""
        name = self.world if link == "world" else link
        return max(int(mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, name)), 0)


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
        joint = tree.joints[name]
        low, high = joint.low, joint.high
        if low is not None and high is not None and not low <= held[name] <= high:
            raise ValueError(f"{path}: {name}={held[name]:g} is outside its limits, {low:g} to {high:g}")
    chain = tree.chain(tool)
    joints = tuple(joint for joint in chain if joint.kind != "fixed" and joint.name not in held)
    _check(tree, joints, held, tool)
    base = _base(tree, chain) if base is None else base
    if any(joint in joints for joint in tree.chain(base)):
        raise ValueError(f"{path}: the link {base!r} moves with the arm, so it cannot be its base frame")
    model = _compiled(tree, meshes, shapes)
    qpos = np.zeros(model.nq)
    for name, value in held.items():
        number = mujoco.mj_name2id(model, JOINT, name)
        if number >= 0:
            qpos[model.jnt_qposadr[number]] = value
    notes = tuple(
        f"{link} has no mass in the URDF: taken from its shape as if of water" for link in _weighed(tree)
    )
    name = tree.robot.get("name") or "arm"
    return UrdfArm(name, model, qpos, joints, base, tool, notes, _stand_in(tree))


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


def _compiled(tree: UrdfTree, meshes: Path | None, shapes: Shapes) -> mujoco.MjModel:
    text, files, assets = _cleaned(tree, meshes, shapes)
    try:
        spec = mujoco.MjSpec.from_string(text, assets=assets)
        for mesh in spec.meshes:  # the only kind that open meshes and turned triangles have, too
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        return spec.compile()
    except ValueError as error:
        said = " ".join(str(error).split())
        for name, file in files.items():
            said = re.sub(rf"\b{name}\b", str(file), said)
        raise ValueError(f"{tree.path}: MuJoCo cannot use it: {said}") from error


def _cleaned(
    tree: UrdfTree, meshes: Path | None, shapes: Shapes
) -> tuple[str, dict[str, Path], dict[str, bytes]]:
    """URDF of links, joints and chosen shapes alone; meshes by the names used there: files and contents."""
    robot, world = ElementTree.Element("robot", name="arm"), _stand_in(tree)
    compiler = ElementTree.SubElement(ElementTree.SubElement(robot, "mujoco"), "compiler")
    compiler.attrib.update(fusestatic="false", discardvisual="false")
    files: dict[str, Path] = {}
    assets: dict[str, bytes] = {}
    for link in tree.robot.iterfind("link"):
        name = link.get("name", "")
        made = ElementTree.SubElement(robot, "link", name=world if name == "world" else name)
        made.extend(link.findall("inertial"))
        for shape in _shapes(link, shapes):
            kept = ElementTree.SubElement(made, "collision")
            kept.extend(copy.deepcopy(part) for part in shape if part.tag in ("origin", "geometry"))
            for mesh in kept.iter("mesh"):
                file = find_mesh(mesh.get("filename", ""), tree.path, meshes)
                name, data = mesh_bytes(file, f"mesh{len(assets)}", _upright(mesh))
                files[name], assets[name] = file, data
                mesh.set("filename", name)
    for joint in tree.robot.iterfind("joint"):
        made = ElementTree.SubElement(robot, "joint", name=joint.get("name", ""), type=joint.get("type", ""))
        made.extend(copy.deepcopy(part) for part in joint if part.tag in PARTS)
        for end in (*made.findall("parent"), *made.findall("child")):
            if end.get("link") == "world":
                end.set("link", world)
    return ElementTree.tostring(robot, encoding="unicode"), files, assets


def _stand_in(tree: UrdfTree) -> str:
    """Body of a link `world`, whose shapes are lost where MuJoCo takes it for its own world."""
    name = "world_link"
    while name in tree.links:
        name += "_"
    return name


def _upright(mesh: ElementTree.Element) -> Signs:
    """Takes the signs out of a mesh's scale, and gives them. One that is no scale is left to MuJoCo."""
    try:
        scale = [float(word) for word in mesh.get("scale", "1 1 1").split()]
    except ValueError:
        return UPRIGHT
    if len(scale) != 3 or min(scale) >= 0.0:
        return UPRIGHT
    mesh.set("scale", " ".join(str(abs(value)) for value in scale))
    return (math.copysign(1.0, scale[0]), math.copysign(1.0, scale[1]), math.copysign(1.0, scale[2]))


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
