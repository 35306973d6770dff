"""The running pouring cell: physics and sensors, without Gymnasium and without ROS."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from operator import le

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from sim.pouring import cell_model as geometry
from sim.pouring.gen3 import GEN3, GEN3_LIMITS, JOINT_NAMES, NOMINAL_POSTURE
from sim.pouring.outcome import UPRIGHT, Outcome, landed_and_lost
from sim.pouring.scenario import Scenario
from spillguard_core.gate.decision import Measurement
from spillguard_core.robot.arm import GRAVITY, MONITOR_PERIOD, Vec
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.lip import LipKinematics
from spillguard_core.tasks.pouring.observation import measured

SENSOR_LAG = 0.1  # [s] first-order filter of load cell and wrist
KEPT = float(np.exp(-geometry.TIMESTEP / SENSOR_LAG))  # share of a filter's old value after one physics step
LOAD_CELL_NOISE = 0.0003  # [kg] standard deviation
WRIST_NOISE = 0.001  # [kg]
NOISE_DRAWN = 256  # pairs drawn at once
SETTLE_TICKS = 30  # before an episode, until the granules lie still
SUBSTEPS = round(MONITOR_PERIOD / geometry.TIMESTEP)
FASTEST = (1.05 * GEN3_LIMITS.velocity).tolist()  # (7,) [rad/s] measured; a higher speed breaks the limit
POSITION_TOLERANCE = 0.005  # [m] on the workspace box, [rad] on joint limits
ARM = slice(0, 7)
STATE, CONTROL = mujoco.mjtState.mjSTATE_FULLPHYSICS, int(mujoco.mjtState.mjSTATE_CTRL)
# Slices of the sensor data: upward forces [N] on the cups, contacts of the arm, joint speeds [rad/s].
POURED, REMAINING, TOUCHED, SPEEDS = 2, 5, slice(6, 10), slice(10, 17)
# Joints [rad] and lip [m], as lists: for so few numbers comparison is faster than with arrays.
LOWEST = [x - POSITION_TOLERANCE for x in (*GEN3_LIMITS.position_min, *GEN3_LIMITS.workspace_min)]
HIGHEST = [x + POSITION_TOLERANCE for x in (*GEN3_LIMITS.position_max, *GEN3_LIMITS.workspace_max)]


@cache
def guard_kinematics() -> LipKinematics:
    """Kinematics on the guard's world model. One per process: the scratch state is shared."""
    return LipKinematics(mujoco.MjModel.from_xml_string(geometry.guard_model_xml()), GEN3)


@cache
def guard_world(clearance: float) -> World:
    """The guard's world model for this clearance [m]. One per process, as above."""
    model = mujoco.MjModel.from_xml_string(geometry.guard_model_xml())
    return World(model, clearance, JOINT_NAMES, POURING.placed)


@dataclass(frozen=True)
class _Addresses:
    """Indices into a model with N granules."""

    body: slice  # N entries
    geom: slice  # N entries, the last of all geoms
    qpos: NDArray[np.intp]  # (N,) first of seven each


@cache
def _model(granules: int) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(geometry.cell_model_xml(granules))


@cache
def _addresses(granules: int) -> _Addresses:
    model = _model(granules)
    names = [f"granule_{number}" for number in range(granules)]
    joints = [int(model.body(name).jntadr[0]) for name in names]
    bodies, geoms = [model.body(name).id for name in names], [model.geom(name).id for name in names]
    # The cell adds them last and contiguously: slices are faster than index lists.
    if bodies != list(range(model.nbody))[-granules:] or geoms != list(range(model.ngeom))[-granules:]:
        raise ValueError("granules must be the last bodies and the last geoms of the model, in order")
    return _Addresses(
        body=slice(bodies[0], model.nbody),
        geom=slice(geoms[0], model.ngeom),
        qpos=np.array([model.jnt_qposadr[j] for j in joints], dtype=np.intp),
    )


@cache
def _filter(steps: int) -> tuple[float, Vec]:
    """First-order filter over `steps`: weight of the old value, and weights (steps,) of the new ones."""
    shares: Vec = KEPT ** np.arange(steps, -1.0, -1.0)
    return float(shares[0]), (1.0 - KEPT) * shares[1:]


@cache
def _interpolation(periods: int) -> NDArray[np.float64]:
    """(K * SUBSTEPS, 1 + K) weights: previous target and targets at the ends of K periods -> fine targets."""
    share = np.arange(1, periods * SUBSTEPS + 1) / SUBSTEPS
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(share[:, None] - np.arange(periods + 1)))
    return weights


def _normal_pairs(rng: np.random.Generator) -> Iterator[list[float]]:
    """Pairs of standard normal numbers, drawn in batches: a call of the generator is mostly overhead."""
    while True:
        yield from rng.standard_normal((NOISE_DRAWN, 2)).tolist()


class PourCell:
    """One cell. Not thread-safe: cells of one process share the scratch state of the kinematics."""

    def __init__(self) -> None:
        self.kinematics = guard_kinematics()
        self._physics = Rollout(nthread=0)
        self._scenario: Scenario | None = None

    def reset(self, scenario: Scenario) -> None:
        """Build the scenario, let the granules settle and tare the sensors."""
        self._scenario = scenario
        # A private copy, since the scenario's sizes and masses are written into the model. Recompiling the
        # hulls would take as long as the rest of the reset.
        self.model = copy.deepcopy(_model(scenario.granules))
        self._at = _addresses(scenario.granules)
        self.data = mujoco.MjData(self.model)
        self._rng = np.random.default_rng(scenario.seed)
        self._write_scenario(scenario)
        posture = self.solve_posture(scenario.lip_start)
        self.data.qpos[ARM] = posture
        mujoco.mj_forward(self.model, self.data)
        self._fill(scenario)
        self._cup = int(self.model.body("cup").id)
        self.granule_mass = float(self.model.body_mass[self._at.body][0])
        self.target = np.array([*self.model.body("receiver").pos[:2], geometry.RIM_HEIGHT])
        self._watch()
        self._gain = self.model.actuator_gainprm[:, 0]
        self._lead = -self.model.actuator_biasprm[:, 2] / self._gain  # velocity feed-forward [s]
        self._noise = _normal_pairs(self._rng)
        self._poured, self._remaining = 0.0, scenario.granules * self.granule_mass  # [kg] filtered
        self.contact = self.limit_broken = False
        self._last_target = posture
        still = np.tile(posture, (SETTLE_TICKS, 1))
        self.advance(still, np.zeros_like(still))
        self.data.time = 0.0
        self.contact = self.limit_broken = False

    def _watch(self) -> None:
        """Views into the state: creating one costs as much as the sum computed from it."""
        data, model = self.data, self.model
        self._q, self._qd = data.qpos[ARM], data.qvel[ARM]
        self._torque, self._peak_torque = data.actuator_force[ARM], model.actuator_forcerange[ARM, 1].copy()
        self._lip = data.site_xpos[model.site("lip").id]
        self._granules = data.xpos[self._at.body]  # (N, 3) [m]
        self._heights = self._granules[:, 2]
        self._cup_position, self._cup_rotation = data.xpos[self._cup], data.xmat[self._cup].reshape(3, 3)
        self._models, self._datas = [model], [data]
        self._start = np.empty((1, mujoco.mj_stateSize(model, STATE)))
        self._sensors = model.nsensordata
        self._warmstart = data.qacc_warmstart

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
        """Upright posture (7,) [rad] with the lip at (3,) [m], by integrating the velocity kinematics."""
        q, still = NOMINAL_POSTURE.copy(), np.zeros(7)
        for _ in range(60):
            state = self.kinematics.state(q, still)
            error = np.append(5.0 * (lip - state.position), -5.0 * state.tilt)
            q = q + 0.1 * self.kinematics.joint_velocity(q, error)
        reached = self.kinematics.state(q, still).position
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

        Between two periods the position loops get interpolated targets, as from a controller at a higher
        rate. Forces, contacts and speeds are sampled after every physics step: contact forces ring from step
        to step, and every second sample of them would not average to the weight.
        """
        self._run(self._fine_targets(q + self._lead * qd))

    def follow(self, q: NDArray[np.float64], qd: NDArray[np.float64]) -> None:
        """Run N physics steps. q, qd: (N, 7) positions [rad] and velocities [rad/s] at the end of each, which
        the position loops follow as closely as they can."""
        targets = q + self._lead * qd
        self._last_target = targets[-1]
        self._run(targets)

    def _run(self, targets: NDArray[np.float64]) -> None:
        """Physics steps with these targets (N, 7) of the position loops."""
        steps = len(targets)
        sensed = np.empty((1, steps, self._sensors))
        mujoco.mj_getState(self.model, self.data, self._start[0], STATE)
        # One call for all steps: Python between single calls was most of the environment's overhead.
        self._physics.rollout(
            self._models, self._datas, self._start, targets[None], control_spec=CONTROL, skip_checks=True,
            nstep=steps, initial_warmstart=self._warmstart[None].copy(), sensordata=sensed,
        )  # fmt: skip
        kept, weights = _filter(steps)
        filtered, highest = weights.dot(sensed[0]).tolist(), np.maximum.reduce(np.abs(sensed[0])).tolist()
        self._poured = kept * self._poured + filtered[POURED] / GRAVITY
        self._remaining = kept * self._remaining + filtered[REMAINING] / GRAVITY
        self.contact |= any(highest[TOUCHED])
        self.limit_broken |= not all(map(le, highest[SPEEDS], FASTEST))

    def _fine_targets(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Targets (K, 7) at the ends of periods -> (K * SUBSTEPS, 7) at the ends of physics steps."""
        ends = np.concatenate((self._last_target[None], targets))
        fine: NDArray[np.float64] = _interpolation(len(targets)).dot(ends)
        self._last_target = targets[-1]
        return fine

    def _inside(self) -> bool:
        """Joints within their limits and the lip within the workspace box."""
        value = [*self._q.tolist(), *self._lip.tolist()]
        return all(map(le, LOWEST, value)) and all(map(le, value, HIGHEST))

    def measure(self) -> Measurement:
        """Present sensor readings, with noise."""
        load_cell, wrist = next(self._noise)
        return measured(
            joint_position=self._q.copy(),
            joint_velocity=self._qd.copy(),
            poured_mass=self._poured + LOAD_CELL_NOISE * load_cell,
            remaining_mass=self._remaining + WRIST_NOISE * wrist,
            target_position=self.target.copy(),
        )

    def torque_share(self) -> Vec:
        """Motor torques (7,) over their peaks [-], without the controller's own gravity compensation."""
        share: Vec = self._torque / self._peak_torque
        return share

    def outcome(self) -> Outcome:
        """Ground truth on granules and rules; no sensor measures it."""
        landed = spilled = 0
        if min(self._heights.tolist()) < geometry.RIM_HEIGHT:  # otherwise none has left the held cup yet
            landed, spilled = landed_and_lost(
                self._granules, self.target, self._cup_position, self._cup_rotation
            )
        return Outcome(
            total=len(self._granules),
            landed=landed,
            spilled=spilled,
            contact=self.contact,
            limit_broken=self.limit_broken or not self._inside(),
            upright=self._cup_rotation.item(2, 2) > UPRIGHT,
        )
