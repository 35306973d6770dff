"""Kinova Gen3, 7 degrees of freedom, from its published link parameters.

The table below holds the numbers of Kinova's public URDF (masses [kg], inertias [kg m^2], offsets [m]), in
the frames that MuJoCo Menagerie (BSD-3-Clause) uses for the same arm. Kinematics and dynamics equal the
reference data in ``tests/data/gen3_reference.npz``.

The two geometries differ on purpose: the guard's world model has rods that enclose Kinova's meshes, one or
two per link, the simulated arm has the convex hulls of those meshes (``gen3_hulls.xml``, reduced), so that a
guard thinner than the arm shows up as a contact that the gate allowed.
"""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from spillguard_core.robot.arm import load_robot

GEN3 = load_robot("gen3")
JOINT_NAMES, GEN3_LIMITS, NOMINAL_POSTURE = GEN3.joint_names, GEN3.limits, GEN3.rest

FLIP = (0.0, 1.0, 0.0, 0.0)  # half a turn about x
PLUS = (1.0, 1.0, 0.0, 0.0)  # a quarter turn about x
MINUS = (1.0, -1.0, 0.0, 0.0)


HULLS = Path(__file__).with_name("gen3_hulls.xml")

Colour = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rod:
    """Segment from `start` to `end` [m] in a body's frame, with a radius [m]: a capsule, or a cylinder."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    flat: bool = False  # cylinder with flat ends


@dataclass(frozen=True)
class Link:
    """One rigid body. `offset` [m] and `turn` (quaternion) place it in its parent."""

    name: str
    offset: tuple[float, float, float]
    turn: tuple[float, float, float, float]
    mass: float
    com: tuple[float, float, float]
    inertia_frame: tuple[float, float, float, float]
    inertia: tuple[float, float, float]
    guard: tuple[Rod, ...]  # encloses the hull of Kinova's mesh


BASE = Link(
    "base_link", (0, 0, 0), (1, 0, 0, 0), 1.697, (-0.000648, -0.000166, 0.084487),
    (0.999294, 0.00139618, -0.0118387, 0.035636), (0.00462407, 0.00449437, 0.00207755),
    (Rod((-0.0043, 0, -0.001), (-0.0043, 0, 0.171), 0.0513, flat=True),),
)  # fmt: skip

LINKS = (
    Link("shoulder_link", (0, 0, 0.15643), FLIP, 1.3773, (-2.3e-05, -0.010364, -0.07336),
         (0.707051, 0.0451246, -0.0453544, 0.704263), (0.00488868, 0.00457, 0.00135132),
         (Rod((0, 0, -0.0325), (0, -0.0078, -0.1284), 0.0535),)),
    Link("half_arm_1_link", (0, 0.005375, -0.12838), PLUS, 1.1636, (-4.4e-05, -0.09958, -0.013278),
         (0.482348, 0.516286, -0.516862, 0.483366), (0.0113017, 0.011088, 0.00102532),
         (Rod((0, 0.0038, -0.0192), (0, -0.2128, -0.0063), 0.0478),)),
    Link("half_arm_2_link", (0, -0.21038, -0.006375), MINUS, 1.1636, (-4.4e-05, -0.006641, -0.117892),
         (0.706144, 0.0213722, -0.0209128, 0.707437), (0.0111633, 0.010932, 0.00100671),
         (Rod((0, 0, -0.0298), (0, -0.0043, -0.2155), 0.0521),)),
    Link("forearm_link", (0, 0.006375, -0.21038), PLUS, 0.9302, (-1.8e-05, -0.075478, -0.015006),
         (0.483678, 0.515961, -0.515859, 0.483455), (0.00834839, 0.008147, 0.000598606),
         (Rod((0, 0.0034, -0.0201), (0, -0.1885, -0.0064), 0.0476),)),
    Link("spherical_wrist_1_link", (0, -0.20843, -0.006375), MINUS, 0.6781, (1e-06, -0.009432, -0.063883),
         (0.703558, 0.0707492, -0.0707492, 0.703558), (0.00165901, 0.001596, 0.000346988),
         (Rod((0, 0, -0.0298), (0, -0.0129, -0.1059), 0.0433),)),
    Link("spherical_wrist_2_link", (0, 0.00017505, -0.10593), PLUS, 0.6781, (1e-06, -0.045483, -0.00965),
         (0.44426, 0.550121, -0.550121, 0.44426), (0.00170087, 0.001641, 0.00035013),
         (Rod((0, -0.001, -0.0197), (0, -0.1005, -0.0002), 0.0393),)),
    Link("bracelet_link", (0, -0.10593, -0.00017505), MINUS, 0.5, (0.000281, 0.011402, -0.029798),
         (0.394358, 0.596779, -0.577293, 0.393789), (0.000657336, 0.000587019, 0.000320645),
         (Rod((0, -0.0025, -0.0316), (0, -0.0007, -0.0439), 0.0479),
          Rod((-0.0273, -0.0451, -0.048), (0.0273, -0.0451, -0.048), 0.0343))),  # vision module
)  # fmt: skip

FLANGE_OFFSET = (0.0, 0.0, -0.061525)  # tool flange in the last link [m]
# Stiffness [N m/rad] and damping [N m s/rad] of the position loops, and the peak torques [N m].
LARGE_LOOP = (2000.0, 100.0, 105.0)
SMALL_LOOP = (500.0, 50.0, 52.0)


@cache
def _hulls() -> dict[str, list[float]]:
    """Vertices [m] by part, flattened: of the links, and of the gripper in the cell's tool frame."""
    spec = mujoco.MjSpec.from_file(str(HULLS))
    return {mesh.name: list(mesh.uservert) for mesh in spec.meshes}


def gripper_parts() -> list[str]:
    """Names of the hulls that do not belong to links."""
    links = {BASE.name, *(link.name for link in LINKS)}
    return [name for name in _hulls() if name not in links]


def add_hull(spec: mujoco.MjSpec, body: mujoco.MjsBody, part: str, rgba: Colour) -> None:
    """The reduced hull of a part of the arm, which must be in `HULLS`."""
    # Its mass is set on the body; for a mesh without faces only the convex inertia mode works.
    spec.add_mesh(name=part, uservert=_hulls()[part], inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
    body.add_geom(name=part, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=part, mass=0, rgba=rgba)


def add_rod(body: mujoco.MjsBody, name: str, rod: Rod, rgba: Colour) -> None:
    """A capsule or a cylinder."""
    kind = mujoco.mjtGeom.mjGEOM_CYLINDER if rod.flat else mujoco.mjtGeom.mjGEOM_CAPSULE
    body.add_geom(
        name=name, type=kind, fromto=[*rod.start, *rod.end], size=[rod.radius, 0, 0], mass=0, rgba=rgba
    )


def _add_link(
    spec: mujoco.MjSpec, parent: mujoco.MjsBody, link: Link, rgba: Colour, guard: bool
) -> mujoco.MjsBody:
    body = parent.add_body(name=link.name, pos=link.offset, quat=np.asarray(link.turn, dtype=float))
    body.mass = link.mass
    body.ipos = np.asarray(link.com)
    body.iquat = np.asarray(link.inertia_frame)
    body.inertia = np.asarray(link.inertia)
    body.explicitinertial = True
    if not guard:
        add_hull(spec, body, link.name, rgba)
        return body
    for number, rod in enumerate(link.guard):
        add_rod(body, f"{link.name}_{number}", rod, rgba)
    return body


def add_arm(spec: mujoco.MjSpec, guard: bool = True) -> mujoco.MjsBody:
    """Add base, seven links, their joints and the site ``flange`` to the world. Returns the last link.

    `guard`: with the enclosing geometry, otherwise with the arm's own hulls.
    """
    body = _add_link(spec, spec.worldbody, BASE, (0.35, 0.36, 0.38, 1), guard)
    for number, (name, link) in enumerate(zip(JOINT_NAMES, LINKS, strict=True)):
        shade = 0.86 if number % 2 else 0.78
        body = _add_link(spec, body, link, (shade, shade, shade + 0.02, 1), guard)
        joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
        low, high = GEN3_LIMITS.position_min[number], GEN3_LIMITS.position_max[number]
        if np.isfinite(high):
            joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
            joint.range = [low, high]
    body.add_site(name="flange", pos=FLANGE_OFFSET, quat=FLIP, size=[0.002, 0, 0], group=4)
    # MuJoCo does not filter contacts of a link with a base fixed to the world: the two always touch.
    spec.add_exclude(bodyname1=BASE.name, bodyname2=LINKS[0].name)
    return body


def add_position_loops(spec: mujoco.MjSpec) -> None:
    """One position servo per joint, like the loops of the arm's own controller."""
    for number, name in enumerate(JOINT_NAMES):
        stiffness, damping, torque = LARGE_LOOP if number < 4 else SMALL_LOOP
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-torque, torque]


def robot_model_xml() -> str:
    """MJCF of the arm alone, in the guard's geometry: `model.xml` of its description.

    A bundle may not reduce it.

    Written by ``python -m sim.pouring.gen3 > .../spillguard_description/robots/gen3/model.xml``.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_arm(spec).add_site(name=GEN3.tool_site, pos=FLANGE_OFFSET, quat=FLIP)
    spec.compile()
    return str(spec.to_xml())


if __name__ == "__main__":
    sys.stdout.write(robot_model_xml())
