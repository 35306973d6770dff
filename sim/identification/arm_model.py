"""The cell's arm and motors alone: what is fitted has nothing to touch.

J = 7 joints.
"""

import copy
from functools import cache

import mujoco
import numpy as np

from sim.pouring import cell_model as geometry
from sim.pouring.domain import JOINTS, Domain
from sim.pouring.domain_model import write_arm
from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.robot.arm import Vec

ARM = slice(0, JOINTS)


@cache
def arm_spec() -> mujoco.MjSpec:
    """The cell's arm and motors without shapes: nothing here can touch anything.

    Sensors: the motors' torques [N m].
    """
    spec = mujoco.MjSpec.from_string(geometry.cell_model_xml(0))
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    for joint in JOINT_NAMES:
        spec.add_sensor(
            name=f"{joint}_torque", type=mujoco.mjtSensor.mjSENS_JOINTACTFRC,
            objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=joint,
        )  # fmt: skip
    for shape in (*spec.geoms, *spec.meshes):
        spec.delete(shape)
    return spec


@cache
def nominal_model() -> mujoco.MjModel:
    return arm_spec().compile()


def arm_model(domain: Domain) -> mujoco.MjModel:
    """A model of its own of this arm."""
    model = copy.deepcopy(nominal_model())
    write_arm(model, domain)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def lead() -> Vec:
    """(J,) [s] of speed that the servos' targets are ahead by, so that the nominal arm does not trail."""
    model = nominal_model()
    ahead: Vec = -model.actuator_biasprm[:, 2] / model.actuator_gainprm[:, 0]
    return ahead


def compensation(q: Vec) -> Vec:
    """Torques (T, J) [N m] with which the controller holds the published arm and tool at q (T, J) [rad]."""
    model = nominal_model()
    data, torques = mujoco.MjData(model), np.empty_like(q)
    for row, posture in enumerate(q):
        data.qpos[ARM] = posture
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        torques[row] = data.qfrc_gravcomp[ARM]
    return torques
