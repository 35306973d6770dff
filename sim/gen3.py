"""Kinova Gen3, 7 degrees of freedom, from its published link parameters.

The table below holds the numbers of Kinova's public URDF (masses [kg], inertias [kg m^2], offsets [m]),
in the frames that MuJoCo Menagerie (BSD-3-Clause) uses for the same arm. Kinematics and dynamics equal
the reference data in ``tests/data/gen3_reference.npz``. Collision geometry is ours: one capsule or two a
link, so that nothing has to be downloaded and a step stays cheap.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from spillguard_core.arm import GEN3_LIMITS, JOINT_NAMES

FLIP = (0.0, 1.0, 0.0, 0.0)  # half a turn about x
PLUS = (1.0, 1.0, 0.0, 0.0)  # a quarter turn about x
MINUS = (1.0, -1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Capsule:
    """Segment from `start` to `end` [m] in the link's frame, with a radius [m]."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


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
    hull: tuple[Capsule, ...]


BASE = Link(
    "base_link", (0, 0, 0), (1, 0, 0, 0), 1.697, (-0.000648, -0.000166, 0.084487),
    (0.999294, 0.00139618, -0.0118387, 0.035636), (0.00462407, 0.00449437, 0.00207755),
    (Capsule((0, 0, 0.03), (0, 0, 0.11), 0.048),),
)  # fmt: skip

LINKS = (
    Link("shoulder_link", (0, 0, 0.15643), FLIP, 1.3773, (-2.3e-05, -0.010364, -0.07336),
         (0.707051, 0.0451246, -0.0453544, 0.704263), (0.00488868, 0.00457, 0.00135132),
         (Capsule((0, 0, -0.03), (0, -0.004, -0.128), 0.045),)),
    Link("half_arm_1_link", (0, 0.005375, -0.12838), PLUS, 1.1636, (-4.4e-05, -0.09958, -0.013278),
         (0.482348, 0.516286, -0.516862, 0.483366), (0.0113017, 0.011088, 0.00102532),
         (Capsule((0, -0.03, -0.006), (0, -0.21, -0.008), 0.044),)),
    Link("half_arm_2_link", (0, -0.21038, -0.006375), MINUS, 1.1636, (-4.4e-05, -0.006641, -0.117892),
         (0.706144, 0.0213722, -0.0209128, 0.707437), (0.0111633, 0.010932, 0.00100671),
         (Capsule((0, 0, -0.03), (0, 0.004, -0.21), 0.044),)),
    Link("forearm_link", (0, 0.006375, -0.21038), PLUS, 0.9302, (-1.8e-05, -0.075478, -0.015006),
         (0.483678, 0.515961, -0.515859, 0.483455), (0.00834839, 0.008147, 0.000598606),
         (Capsule((0, -0.03, -0.006), (0, -0.205, -0.008), 0.041),)),
    Link("spherical_wrist_1_link", (0, -0.20843, -0.006375), MINUS, 0.6781, (1e-06, -0.009432, -0.063883),
         (0.703558, 0.0707492, -0.0707492, 0.703558), (0.00165901, 0.001596, 0.000346988),
         (Capsule((0, 0, -0.02), (0, 0, -0.105), 0.036),)),
    Link("spherical_wrist_2_link", (0, 0.00017505, -0.10593), PLUS, 0.6781, (1e-06, -0.045483, -0.00965),
         (0.44426, 0.550121, -0.550121, 0.44426), (0.00170087, 0.001641, 0.00035013),
         (Capsule((0, -0.02, 0), (0, -0.105, 0), 0.036),)),
    Link("bracelet_link", (0, -0.10593, -0.00017505), MINUS, 0.5, (0.000281, 0.011402, -0.029798),
         (0.394358, 0.596779, -0.577293, 0.393789), (0.000657336, 0.000587019, 0.000320645),
         (Capsule((0, 0, -0.01), (0, 0, -0.03), 0.040),)),
)  # fmt: skip

FLANGE_OFFSET = (0.0, 0.0, -0.061525)  # tool flange in the last link [m]
# Stiffness [N m/rad] and damping [N m s/rad] of the position loops, and the peak torques [N m].
LARGE_LOOP = (2000.0, 100.0, 105.0)
SMALL_LOOP = (500.0, 50.0, 52.0)


def _add_link(parent: mujoco.MjsBody, link: Link, rgba: tuple[float, float, float, float]) -> mujoco.MjsBody:
    body = parent.add_body(name=link.name, pos=link.offset, quat=np.asarray(link.turn, dtype=float))
    body.mass = link.mass
    body.ipos = np.asarray(link.com)
    body.iquat = np.asarray(link.inertia_frame)
    body.inertia = np.asarray(link.inertia)
    body.explicitinertial = True
    for number, capsule in enumerate(link.hull):
        body.add_geom(
            name=f"{link.name}_{number}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[*capsule.start, *capsule.end],
            size=[capsule.radius, 0, 0],
            mass=0,
            rgba=rgba,
        )
    return body


def add_arm(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Add base, seven links, their joints and the site ``flange`` to the world. Returns the last link."""
    body = _add_link(spec.worldbody, BASE, (0.35, 0.36, 0.38, 1))
    for number, (name, link) in enumerate(zip(JOINT_NAMES, LINKS, strict=True)):
        shade = 0.86 if number % 2 else 0.78
        body = _add_link(body, link, (shade, shade, shade + 0.02, 1))
        joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
        low, high = GEN3_LIMITS.position_min[number], GEN3_LIMITS.position_max[number]
        if np.isfinite(high):
            joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
            joint.range = [low, high]
    body.add_site(name="flange", pos=FLANGE_OFFSET, quat=FLIP, size=[0.002, 0, 0], group=4)
    # MuJoCo does not filter a link against a base that is fixed to the world: they always touch.
    spec.add_exclude(bodyname1=BASE.name, bodyname2=LINKS[0].name)
    return body


def add_position_loops(spec: mujoco.MjSpec) -> None:
    """One position servo a joint, as the arm's own controller closes it."""
    for number, name in enumerate(JOINT_NAMES):
        stiffness, damping, torque = LARGE_LOOP if number < 4 else SMALL_LOOP
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-torque, torque]
