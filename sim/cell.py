"""The running pouring cell: physics, sensors and outcome, without Gymnasium and without ROS."""

from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim import cell_model as geometry
from sim.scenario import Scenario
from spillguard_core.arm import GEN3_LIMITS, GRAVITY, MONITOR_PERIOD, Vec
from spillguard_core.kinematics import NOMINAL_POSTURE, ArmKinematics
from spillguard_core.observation import Measurement

SENSOR_LAG = 0.1  # [s] first-order filter of load cell and wrist
SENSOR_GAIN = 1.0 - float(np.exp(-geometry.TIMESTEP / SENSOR_LAG))
LOAD_CELL_NOISE = 0.0003  # [kg] standard deviation
WRIST_NOISE = 0.001  # [kg]
SETTLE_TICKS = 30  # before an episode, so that the granules lie still
SUBSTEPS = round(MONITOR_PERIOD / geometry.TIMESTEP)
STEP_SHARES = (np.arange(1, SUBSTEPS + 1) / SUBSTEPS)[:, None]  # (SUBSTEPS, 1) of a period
SPEED_TOLERANCE = 1.05  # a measured joint speed above its limit by more than this breaks the limit
POSITION_TOLERANCE = 0.005  # [m] on the workspace box, [rad] on joint limits
SUCCESS_SHARE = 0.95
UPRIGHT = 0.2  # [rad]
ARM = slice(0, 7)
LOWEST = np.concatenate([GEN3_LIMITS.position_min, GEN3_LIMITS.workspace_min]) - POSITION_TOLERANCE
HIGHEST = np.concatenate([GEN3_LIMITS.position_max, GEN3_LIMITS.workspace_max]) + POSITION_TOLERANCE


@dataclass(frozen=True)
class Outcome:
    """Where the granules are and whether a rule was broken."""

    total: int
    landed: int  # inside the receiving cup
    spilled: int  # outside both cups, no longer in flight
    contact: bool  # arm, gripper or held cup touched the table, a fixture or itself
    limit_broken: bool  # joint position, joint speed or workspace
    upright: bool

    @property
    def violated(self) -> bool:
        """Cost 1."""
        return self.spilled > 0 or self.contact or self.limit_broken

    @property
    def success(self) -> bool:
        """At least 95 % in the receiving cup, nothing spilled or touched, held cup upright again."""
        return self.landed >= SUCCESS_SHARE * self.total and self.upright and not self.violated


@cache
def guard_kinematics() -> ArmKinematics:
    """Kinematics on the guard's world model. One a process: the scratch state is shared."""
    return ArmKinematics(mujoco.MjModel.from_xml_string(geometry.guard_model_xml()))


@dataclass(frozen=True)
class _Addresses:
    """Indices into a model with N granules."""

    body: NDArray[np.intp]  # (N,)
    geom: NDArray[np.intp]  # (N,)
    qpos: NDArray[np.intp]  # (N,) of the first of seven
    is_granule: NDArray[np.bool_]  # (all geoms,)


@cache
def _model(granules: int) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(geometry.cell_model_xml(granules))


@cache
def _addresses(granules: int) -> _Addresses:
    model = _model(granules)
    names = [f"granule_{number}" for number in range(granules)]
    joints = [int(model.body(name).jntadr[0]) for name in names]
    owner = np.array([model.body(model.geom_bodyid[g]).name for g in range(model.ngeom)])
    return _Addresses(
        body=np.array([model.body(name).id for name in names], dtype=np.intp),
        geom=np.array([model.geom(name).id for name in names], dtype=np.intp),
        qpos=np.array([model.jnt_qposadr[j] for j in joints], dtype=np.intp),
        is_granule=np.char.startswith(owner, "granule"),
    )


class PourCell:
    """One cell. Not thread-safe: cells of one process share the scratch state of the kinematics."""

    def __init__(self) -> None:
        self.kinematics = guard_kinematics()
        self._scenario: Scenario | None = None

    def reset(self, scenario: Scenario) -> None:
        """Build the scenario, let the granules settle and tare the sensors."""
        self._scenario = scenario
        # A private copy, since the scenario's sizes and masses are written into the model.
        self.model = mujoco.MjModel.from_xml_string(geometry.cell_model_xml(scenario.granules))
        self._at = _addresses(scenario.granules)
        self.data = mujoco.MjData(self.model)
        self._rng = np.random.default_rng(scenario.seed)
        self._write_scenario(scenario)
        posture = self.solve_posture(scenario.lip_start)
        self.data.qpos[ARM] = posture
        mujoco.mj_forward(self.model, self.data)
        self._fill(scenario)
        self._receiver = int(self.model.body("receiver").id)
        self._cup = int(self.model.body("cup").id)
        self._lip = int(self.model.site("lip").id)
        self.granule_mass = float(self.model.body_mass[self._at.body[0]])
        self._gain = self.model.actuator_gainprm[:, 0]
        self._lead = -self.model.actuator_biasprm[:, 2] / self._gain  # velocity feed-forward [s]
        self._poured, self._remaining = 0.0, scenario.granules * self.granule_mass  # [kg] filtered
        self.contact = self.limit_broken = False
        self._last_target = posture
        still = np.tile(posture, (SETTLE_TICKS, 1))
        self.advance(still, np.zeros_like(still))
        self.data.time = 0.0
        self.contact = self.limit_broken = False

    def _write_scenario(self, scenario: Scenario) -> None:
        model, geom, body = self.model, self._at.geom, self._at.body
        radius = scenario.granule_radius
        mass = geometry.GRANULE_DENSITY * 4.0 / 3.0 * np.pi * radius**3
        model.geom_size[geom, 0] = radius
        model.geom_rbound[geom] = radius
        model.geom_aabb[geom, 3:] = radius
        model.geom_friction[geom, 0] = scenario.granule_friction
        model.body_mass[body] = mass
        model.body_inertia[body] = 0.4 * mass * radius**2
        payload = model.body("payload").id
        model.body_mass[payload] = max(scenario.payload, 1e-3)
        model.body_inertia[payload] = max(scenario.payload, 1e-3) * 0.02**2
        model.body("receiver").pos[:2] = scenario.receiver_position
        mujoco.mj_setConst(model, self.data)

    def solve_posture(self, lip: Vec) -> Vec:
        """Upright posture (7,) [rad] with the lip (3,) [m] there, by following the velocity kinematics."""
        q, still = NOMINAL_POSTURE.copy(), np.zeros(7)
        for _ in range(60):
            state = self.kinematics.lip(q, still)
            error = np.append(5.0 * (lip - state.position), -5.0 * state.tilt)
            q = q + 0.1 * self.kinematics.joint_velocity(q, error)
        reached = self.kinematics.lip(q, still).position
        if not np.abs(reached - lip).max() <= 0.005:
            raise ValueError(f"no posture puts the lip at {lip} m; the nearest reached {reached} m")
        return q

    def _fill(self, scenario: Scenario) -> None:
        """Granules in jittered layers of up to seven inside the held cup."""
        radius = scenario.granule_radius
        centre = self.data.xpos[self.model.body("cup").id]
        ring = geometry.SOURCE_RADIUS - radius - 0.001
        floor = centre[2] - geometry.SOURCE_HEIGHT / 2
        for number, address in enumerate(self._at.qpos):
            layer, place = divmod(number, 7)
            angle = 2 * np.pi * place / 6 + 0.5 * layer + self._rng.uniform(-0.05, 0.05)
            reach = ring if place < 6 else 0.0
            offset = [reach * np.cos(angle), reach * np.sin(angle)]
            height = floor + radius + 0.001 + layer * 1.75 * radius
            self.data.qpos[address : address + 3] = [*(centre[:2] + offset), height]
            self.data.qpos[address + 3 : address + 7] = [1, 0, 0, 0]

    def advance(self, q: NDArray[np.float64], qd: NDArray[np.float64]) -> None:
        """Run K monitor periods. q, qd: (K, 7) commanded positions [rad] and velocities [rad/s].

        Between two periods the position loops get interpolated targets, as from a controller that runs
        faster. The sensors weigh at every step of the physics: contact forces ring from one step to the
        next, and every second sample of them is no weight.
        """
        model, data, command = self.model, self.data, self.data.ctrl
        force, receiver, cup = self.data.cfrc_ext, self._receiver, self._cup
        speeds = np.empty_like(qd)
        for step, target in enumerate(self._fine_targets(q + self._lead * qd)):
            command[ARM] = target
            mujoco.mj_step(model, data)
            mujoco.mj_rnePostConstraint(model, data)  # contact forces on every body
            self._poured += SENSOR_GAIN * (force[receiver, 5] / -GRAVITY - self._poured)
            self._remaining += SENSOR_GAIN * (force[cup, 5] / -GRAVITY - self._remaining)
            tick, within = divmod(step, SUBSTEPS)
            if within == SUBSTEPS - 1:
                speeds[tick] = data.qvel[ARM]
                if data.ncon and not self._at.is_granule[data.contact.geom].any(axis=1).all():
                    self.contact = True  # two bodies met that are not granules
        self.limit_broken |= not (np.abs(speeds) / GEN3_LIMITS.velocity).max() <= SPEED_TOLERANCE

    def _fine_targets(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Targets (K, 7) at the ends of periods -> (K SUBSTEPS, 7) at the ends of physics steps."""
        before = np.vstack([self._last_target, targets[:-1]])
        self._last_target = targets[-1]
        fine = before[:, None] + STEP_SHARES * (targets - before)[:, None]
        return fine.reshape(-1, targets.shape[1])

    def _inside(self) -> bool:
        """Joints within their stops and the lip within the workspace box."""
        q, lip = self.data.qpos[ARM], self.data.site_xpos[self._lip]
        value = np.concatenate([q, lip])
        return bool(((value >= LOWEST) & (value <= HIGHEST)).all())

    def measure(self) -> Measurement:
        """What the sensors read now, with noise."""
        noise = self._rng.normal(size=2)
        return Measurement(
            joint_position=self.data.qpos[ARM].copy(),
            joint_velocity=self.data.qvel[ARM].copy(),
            poured_mass=float(self._poured + LOAD_CELL_NOISE * noise[0]),
            remaining_mass=float(self._remaining + WRIST_NOISE * noise[1]),
            target_position=self.target_position(),
        )

    def target_position(self) -> Vec:
        """Centre of the receiving cup's rim (3,) [m], base frame."""
        return np.array([*self.model.body_pos[self._receiver, :2], geometry.RIM_HEIGHT])

    def torque_share(self) -> Vec:
        """Motor torques (7,) over their peaks [-]. The controller's own gravity compensation is not in it."""
        return np.asarray(self.data.actuator_force[ARM] / self.model.actuator_forcerange[ARM, 1])

    def outcome(self) -> Outcome:
        """Simulator's truth on granules and rules; no sensor knows it."""
        data, at = self.data, self._at
        position, rotation = data.xpos[at.body], data.xmat[self._cup].reshape(3, 3)
        receiver = self.model.body_pos[self._receiver]
        beside = position[:, :2] - receiver[:2]
        height = position[:, 2]
        landed = ((beside * beside).sum(axis=1) < geometry.RECEIVER_RADIUS**2) & (
            height < geometry.RIM_HEIGHT
        )
        low = height < geometry.RIM_HEIGHT - 0.02
        lost = low & ~landed
        if lost.any():  # low is fine for what is still in the held cup
            in_cup = (position - data.xpos[self._cup]) @ rotation
            held = np.hypot(in_cup[:, 0], in_cup[:, 1]) < geometry.SOURCE_RADIUS + geometry.WALL
            lost &= ~(held & (np.abs(in_cup[:, 2]) < geometry.SOURCE_HEIGHT / 2 + 0.02))
        return Outcome(
            total=len(position),
            landed=int(landed.sum()),
            spilled=int(lost.sum()),
            contact=self.contact,
            limit_broken=self.limit_broken or not self._inside(),
            upright=bool(rotation[2, 2] > np.cos(UPRIGHT)),
        )
