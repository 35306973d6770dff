"""A robot description from an arm of a URDF: the texts of `model.xml` and `robot.yaml`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import mujoco
import numpy as np

from sim.robots.capsules import WORTH, Capsule, Numbers, enclosing_capsules, filled, worthwhile
from sim.robots.meshes import link_triangles
from sim.robots.neighbours import APART, least_gap, pieces
from sim.robots.postures import TOOL_SITE, Pair, meetings, sampled_postures
from sim.robots.urdf import UrdfArm
from sim.robots.urdf_tree import UrdfJoint

FINEST = 6  # capsules of a link whose fewer ones touch another link in every posture
OFTEN, TIGHT_WORTH = (
    0.1,
    0.05,
)  # share of postures in which links touch that deserve more capsules, and for what
KEPT_APART = "kept apart by the joints between them within the position limits; their capsules come close"
SHADES = ("0.78 0.78 0.8 1", "0.86 0.86 0.88 1")
SMALLEST = 1e-10  # below it a number is written as 0


Capsules = Mapping[str, tuple[Capsule, ...]]  # link -> in its frame


@dataclass(frozen=True, eq=False)
class ArmModel:
    """The world model of an arm alone, and what sampling its postures (2000, J) [rad] has shown."""

    text: str  # MJCF
    capsules: Capsules
    always: tuple[tuple[str, str], ...]  # the base and the link on its first joint, if they always touch
    apart: Mapping[
        tuple[str, str], float
    ]  # pairs that their joints keep apart, and how far [m]; left out, too
    touching: Mapping[tuple[str, str], float]  # pairs that do, and in which share of the postures
    tools: Numbers  # (2000, 3) [m] places of the tool, base frame


class _Tree:
    """Links that are kept: those with a joint, a shape or a mass, each placed in the nearest one above it."""

    def __init__(self, arm: UrdfArm) -> None:
        self.arm, self.model, self.data = arm, arm.model, mujoco.MjData(arm.model)
        self.data.qpos[:] = arm.qpos
        mujoco.mj_kinematics(self.model, self.data)
        names = {joint.name for joint in arm.joints}
        self.joint = {
            int(self.model.jnt_bodyid[number]): number
            for number in range(self.model.njnt)
            if self.model.joint(number).name in names
        }
        shaped = set(self.model.geom_bodyid.tolist())
        self.kept = [
            body for body in range(1, self.model.nbody)
            if body in self.joint or body in shaped or self.model.body_mass[body] > 0
        ]  # fmt: skip

    def above(self, body: int) -> int:
        """The nearest kept body at or above this one, or 0."""
        while body > 0 and body not in self.kept:
            body = int(self.model.body_parentid[body])
        return body

    def parent(self, body: int) -> int:
        return self.above(int(self.model.body_parentid[body]))

    def name(self, body: int) -> str:
        return str(self.model.body(body).name)

    def moved_by(self, body: int) -> int:
        """Body of the last of the arm's joints between the world and this body, or 0."""
        while body > 0 and body not in self.joint:
            body = int(self.model.body_parentid[body])
        return body

    def between(self, first: str, second: str) -> list[UrdfJoint]:
        """The arm's joints that move one of two links against the other."""
        names = {joint.name: joint for joint in self.arm.joints}
        moving = []
        for link in (first, second):
            body, found = self.moved_by(self.arm.body(link)), set()
            while body > 0:
                found.add(str(self.model.joint(self.joint[body]).name))
                body = self.moved_by(int(self.model.body_parentid[body]))
            moving.append(found)
        return [joint for name, joint in names.items() if name in moving[0] ^ moving[1]]

    def carriers(self, shaped: Iterable[str]) -> set[tuple[str, str]]:
        """(fixed link, link on the first joint) with nothing else that has a shape between them.

        MuJoCo compares them, unlike other neighbours.
        """
        found, shaped = set(), set(shaped)
        for body in self.kept:
            if self.name(body) in shaped:
                above = self.parent(body)
                while above and self.name(above) not in shaped:
                    above = self.parent(above)
                moved = self.moved_by(body)
                if above and moved and not self.moved_by(above):
                    found.add((self.name(above), self.name(body)))
        return found

    def pose(self, body: int, parent: int) -> dict[str, str]:
        """Attributes pos and quat of a body in another; in the base frame for the world, 0."""
        frame = parent or self.arm.body(self.arm.base)
        back, turn, pos = np.zeros(4), np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(back, self.data.xquat[frame])
        mujoco.mju_mulQuat(turn, back, self.data.xquat[body])
        mujoco.mju_rotVecQuat(pos, self.data.xpos[body] - self.data.xpos[frame], back)
        return {"pos": written(pos), "quat": written(turn)}


def written(values: Sequence[float] | Numbers) -> str:
    """Numbers with ten digits: a nanometre or a nanoradian."""
    return " ".join(f"{0.0 if abs(value) < SMALLEST else value:.10g}" for value in values)


def arm_model(arm: UrdfArm, margin: float = 0.0, seed: int = 0) -> ArmModel:
    """Capsules around every link, `margin` [m] thicker than its surface needs, and the pairs to be left out.

    Left out are pairs whose shapes are kept apart by the joints between them while their capsules are not;
    and the fixed base and the link on its first joint if they touch in every posture. Any other pair stays,
    even one that always touches: its links get more capsules then. ValueError if a moving link has no shape.
    """
    tree = _Tree(arm)
    surfaces = {tree.name(body): link_triangles(arm.model, body) for body in tree.kept}
    fits = {link: enclosing_capsules(surface) for link, surface in surfaces.items() if len(surface)}
    _check(tree, fits)
    carriers, postures = tree.carriers(fits), sampled_postures(arm.joints, seed)

    def meet(capsules: Capsules) -> tuple[dict[Pair, float], set[Pair], Numbers]:
        return meetings(_mjcf(tree, capsules, {}), arm.joints, postures)

    def always(shares: Mapping[Pair, float]) -> set[Pair]:
        return {pair for pair in carriers if shares.get(pair) == 1.0}

    capsules, tight = {}, set[str]()
    for _ in range(2):  # the second time with more capsules where links are often in each other's way
        capsules = {
            link: _thicker(worthwhile(found, TIGHT_WORTH if link in tight else WORTH), margin)
            for link, found in fits.items()
        }
        shares, near, tools = meet(capsules)
        tight = {
            link for pair, share in shares.items()
            if share >= OFTEN and pair not in always(shares) for link in pair
        }  # fmt: skip
    apart = {}
    for pair in near - always(shares):
        parts = {link: pieces(surfaces[link], capsules[link]) for link in pair}
        gap = least_gap(_mjcf(tree, capsules, {}), pair, parts, tree.between(*pair), APART + 2.0 * margin)
        if gap >= APART + 2.0 * margin:
            apart[pair] = gap - 2.0 * margin
    stuck = {
        link for pair, share in shares.items()
        if share == 1.0 and pair not in always(shares) and pair not in apart for link in pair
    }  # fmt: skip
    if stuck:
        finer = {link: _thicker(enclosing_capsules(surfaces[link], FINEST)[-1], margin) for link in stuck}
        capsules |= finer
        shares, _, tools = meet(capsules)
    left_out = sorted(always(shares))
    touching = {pair: share for pair, share in shares.items() if pair not in left_out and pair not in apart}
    text = _mjcf(tree, capsules, {"": left_out, KEPT_APART: sorted(apart)})
    return ArmModel(text, capsules, tuple(left_out), apart, touching, tools)


def _thicker(rods: tuple[Capsule, ...], margin: float) -> tuple[Capsule, ...]:
    return tuple(Capsule(rod.start, rod.end, rod.radius + margin) for rod in rods)


def fatness(arm: UrdfArm, capsules: Capsules) -> dict[str, float]:
    """Link -> the volume of its capsules over that of the convex hull of its shapes."""
    from scipy.spatial import ConvexHull

    found = {}
    for link, rods in capsules.items():
        corners = link_triangles(arm.model, arm.body(link)).reshape(-1, 3)
        found[link] = filled(rods) / float(ConvexHull(corners).volume)
    return found


def _check(tree: _Tree, links: Iterable[str]) -> None:
    shaped = {tree.moved_by(tree.arm.body(link)) for link in links}
    for body in tree.joint:
        if body not in shaped:
            raise ValueError(
                f"the link {tree.name(body)!r}, with all that is fixed to it, has no shape in the URDF, so "
                "the monitor could not keep it from touching; give it a <collision> or a <visual>"
            )


def _mjcf(
    tree: _Tree,
    capsules: Capsules,
    excluded: Mapping[str, Sequence[tuple[str, str]]],
) -> str:
    """MJCF; `excluded` maps a remark to pairs of links."""
    root = ElementTree.Element("mujoco", model=tree.arm.name)
    root.append(
        ElementTree.Comment(" Made by `spillguard robot` from the arm's URDF; capsules enclose its links. ")
    )
    ElementTree.SubElement(root, "compiler", angle="radian", autolimits="true")
    elements = {0: ElementTree.SubElement(root, "worldbody")}
    for body in tree.kept:
        parent = tree.parent(body)
        elements[body] = ElementTree.SubElement(
            elements[parent], "body", {"name": tree.name(body), **tree.pose(body, parent)}
        )
        _fill(elements[body], tree, body, capsules.get(tree.name(body), ()))
    tool = tree.arm.body(tree.arm.tool)
    carrier = tree.above(tool)
    ElementTree.SubElement(elements[carrier], "site", {"name": TOOL_SITE, **tree.pose(tool, carrier)})
    contact = ElementTree.SubElement(root, "contact")
    for remark, pairs in excluded.items():
        if remark and pairs:
            contact.append(ElementTree.Comment(f" {remark} "))
        for first, second in pairs:
            ElementTree.SubElement(contact, "exclude", body1=first, body2=second)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _fill(element: ElementTree.Element, tree: _Tree, body: int, rods: tuple[Capsule, ...]) -> None:
    """Inertia, joint and capsules of a body."""
    model = tree.model
    if model.body_mass[body] > 0:
        ElementTree.SubElement(
            element, "inertial", pos=written(model.body_ipos[body]), quat=written(model.body_iquat[body]),
            mass=written([model.body_mass[body]]), diaginertia=written(model.body_inertia[body]),
        )  # fmt: skip
    if body in tree.joint:
        number = tree.joint[body]
        joint = ElementTree.SubElement(
            element, "joint", name=model.joint(number).name, axis=written(model.jnt_axis[number])
        )
        limits = next(found for found in tree.arm.joints if found.name == model.joint(number).name)
        if limits.low is not None and limits.high is not None and math.isfinite(limits.high):
            joint.set("range", written([limits.low, limits.high]))
    for number, rod in enumerate(rods):
        ElementTree.SubElement(
            element, "geom", {"name": f"{tree.name(body)}_{number}", **_shape(rod)},
            mass="0", rgba=SHADES[tree.kept.index(body) % 2],
        )  # fmt: skip


def _shape(rod: Capsule) -> dict[str, str]:
    """Attributes of a geom; MuJoCo takes no capsule without length."""
    size = written([rod.radius])
    if np.array_equal(rod.start, rod.end):
        return {"type": "sphere", "size": size, "pos": written(rod.start)}
    return {"type": "capsule", "size": size, "fromto": written([*rod.start, *rod.end])}
