"""Writes a domain into a compiled model of the cell: compiling the arm's hulls anew would take far longer."""

import mujoco
import numpy as np

from sim.pouring import cell_model as geometry
from sim.pouring.domain import Domain
from sim.pouring.gen3 import LINKS
from spillguard_core.robot.arm import Vec

ARM = slice(0, 7)
SLACK = 0.03  # [m] by which the boxes around a cup's parts grow: more than any of its sizes may
SLIDING, ROLLING = 3, 6  # dimensions of a contact without and with resistance to rolling
SOLVERS = {
    "newton": mujoco.mjtSolver.mjSOL_NEWTON,
    "cg": mujoco.mjtSolver.mjSOL_CG,
    "pgs": mujoco.mjtSolver.mjSOL_PGS,
}
CONES = {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC}
INTEGRATORS = {
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "implicit": mujoco.mjtIntegrator.mjINT_IMPLICIT,
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
}


def write_domain(model: mujoco.MjModel, domain: Domain, granules: slice) -> None:
    """`granules`: their geoms, and as many bodies, the last of both. `mj_setConst` has to follow."""
    write_arm(model, domain)
    _write_granules(model, domain, granules)
    _write_cup(
        model, "source", "cup", domain.held_radius, domain.held_height, floor=-domain.held_height / 2.0
    )
    _write_cup(
        model, "receiver", "receiver", domain.receiver_radius, domain.receiver_height,
        floor=geometry.PLATE_HEIGHT + geometry.WALL,
    )  # fmt: skip
    option = model.opt
    option.timestep, option.iterations = domain.timestep, domain.iterations
    option.solver, option.cone = SOLVERS[domain.solver], CONES[domain.cone]
    option.integrator = INTEGRATORS[domain.integrator]
    if domain.integrator == "euler":
        # It takes the dampers of joints implicitly and those of actuators explicitly, which the light last
        # links survive in steps below 0.1 ms only. The difference: a joint's damper knows no torque limit.
        model.dof_damping[ARM] -= model.actuator_biasprm[ARM, 2]
        model.actuator_biasprm[ARM, 2] = 0.0


def rim_height(domain: Domain) -> float:
    """[m] above the table, of the receiving cup."""
    return geometry.PLATE_HEIGHT + geometry.WALL + domain.receiver_height


def granule_volume(domain: Domain) -> float:
    """[m^3] of a ball, or of a capsule if it is longer than wide."""
    radius = domain.granule_radius
    straight = 2.0 * radius * (domain.granule_elongation - 1.0)
    return float(np.pi * radius**2 * (4.0 / 3.0 * radius + straight))


def write_arm(model: mujoco.MjModel, domain: Domain) -> None:
    """Links, joints, motors and payload alone. `mj_setConst` has to follow."""
    for link, share in zip(LINKS, domain.link_mass, strict=True):
        body = model.body(link.name).id
        model.body_mass[body] *= share
        model.body_inertia[body] *= share
        model.body_gravcomp[body] /= share  # the controller compensates the published mass
    model.dof_frictionloss[ARM] = domain.dry_friction
    model.dof_damping[ARM] = domain.viscous_friction
    model.actuator_gainprm[ARM, 0] *= domain.stiffness
    model.actuator_biasprm[ARM, 1] *= domain.stiffness
    model.actuator_biasprm[ARM, 2] *= domain.damping
    payload, mass = model.body("payload").id, max(domain.payload, 1e-3)
    model.body_mass[payload], model.body_inertia[payload] = mass, mass * 0.02**2


def _write_granules(model: mujoco.MjModel, domain: Domain, geoms: slice) -> None:
    bodies = slice(model.nbody - (geoms.stop - geoms.start), model.nbody)
    radius, half = domain.granule_radius, domain.granule_radius * (domain.granule_elongation - 1.0)
    mass = domain.granule_density * granule_volume(domain)
    box = np.array([radius, radius, radius + half])
    if half > 0.0:
        model.geom_type[geoms] = mujoco.mjtGeom.mjGEOM_CAPSULE
    model.geom_size[geoms, 0], model.geom_size[geoms, 1] = radius, half
    model.geom_rbound[geoms] = radius + half
    model.geom_aabb[geoms, 3:] = box
    for body in range(bodies.start, bodies.stop):
        model.bvh_aabb[model.body_bvhadr[body], 3:] = box
    model.geom_friction[geoms, 0] = domain.granule_friction
    model.geom_friction[geoms, 2] = domain.granule_rolling
    model.geom_condim[geoms] = ROLLING if domain.granule_rolling > 0.0 else SLIDING
    model.geom_solref[geoms, 1] = domain.granule_damping
    model.body_mass[bodies] = mass
    model.body_inertia[bodies] = _capsule_inertia(mass, radius, half)


def _capsule_inertia(mass: float, radius: float, half: float) -> Vec:
    """(3,) [kg m^2] about the centre; `half` [m] is half the length of the straight part, along z."""
    ends, tube = 4.0 / 3.0 * radius, 2.0 * half
    ball, cylinder = mass * ends / (ends + tube), mass * tube / (ends + tube)
    along = 0.4 * ball * radius**2 + 0.5 * cylinder * radius**2
    across = ball * (0.4 * radius**2 + half**2 + 0.75 * half * radius)
    across += cylinder * (radius**2 / 4.0 + half**2 / 3.0)
    return np.array([across, across, along])


def _write_cup(
    model: mujoco.MjModel, name: str, body: str, radius: float, height: float, floor: float
) -> None:
    """Sizes [m] of a cup of staves, as `cell_model` builds it; `floor` is the height of its inner bottom."""
    wall = geometry.WALL
    bottom = model.geom(f"{name}_bottom").id
    model.geom_size[bottom, :2] = radius + wall, wall / 2.0
    model.geom_pos[bottom, 2] = floor - wall / 2.0
    model.geom_aabb[bottom, 3:] = radius + wall, radius + wall, wall / 2.0
    model.geom_rbound[bottom] = np.hypot(radius + wall, wall / 2.0)
    half_width = (radius + wall) * np.tan(np.pi / geometry.STAVES)
    size = np.array([wall / 2.0, half_width, height / 2.0])
    for number in range(geometry.STAVES):
        stave = model.geom(f"{name}_wall_{number}").id
        angle, reach = 2.0 * np.pi * number / geometry.STAVES, radius + wall / 2.0
        model.geom_size[stave] = size
        model.geom_pos[stave] = [reach * np.cos(angle), reach * np.sin(angle), floor + height / 2.0]
        model.geom_aabb[stave, 3:] = size
        model.geom_rbound[stave] = np.linalg.norm(size)
    owner = model.body(body).id
    first = model.body_bvhadr[owner]
    model.bvh_aabb[first : first + model.body_bvhnum[owner], 3:] += SLACK
