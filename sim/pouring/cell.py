"""The running pouring cell: physics and sensors, without Gymnasium and without ROS."""

import copy
from dataclasses import dataclass
from functools import cache
from operator import le

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from sim.pouring import cell_model as geometry
from sim.pouring.domain import Domain
from sim.pouring.domain_model import granule_volume, rim_height, write_domain
from sim.pouring.gen3 import GEN3, GEN3_LIMITS, JOINT_NAMES, NOMINAL_POSTURE
from sim.pouring.outcome import UPRIGHT, Outcome, landed_and_lost, loose
from sim.pouring.scenario import Scenario
from sim.pouring.sensing import CellSensors
from spillguard_core.gate.decision import Measurement
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_core.robot.world import SURE, Tolerance, World
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.lip import LipKinematics

SETTLE_TICKS = 30  # before an episode, until the granules lie still
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
def guard_world(clearance: float, tolerance: Tolerance = SURE) -> World:
    """The guard's world model for this clearance [m] and tolerance of the target. One per process."""
    model = mujoco.MjModel.from_xml_string(geometry.guard_model_xml())
    return World(model, clearance, JOINT_NAMES, POURING.placed, tolerance)


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
    body, geom = (slice(count - granules, count) for count in (model.nbody, model.ngeom))
    # The cell adds them last and contiguously: slices are faster than index lists.
    if bodies != list(range(body.start, body.stop)) or geoms != list(range(geom.start, geom.stop)):
        raise ValueError("granules must be the last bodies and the last geoms of the model, in order")
    return _Addresses(
        body=body,
        geom=geom,
        qpos=np.array([model.jnt_qposadr[j] for j in joints], dtype=np.intp),
    )


def _trailing(periods: int, substeps: int, timestep: float, lag: float) -> NDArray[np.float64]:
    """(K * substeps, 2 + K) weights: where the servos are, the previous target and the targets at the ends of
    K periods -> where the servos are at the ends of the physics steps, trailing the line between the targets.
    """
    share = np.arange(1, periods * substeps + 1) / substeps
    line = np.maximum(0.0, 1.0 - np.abs(share[:, None] - np.arange(periods + 1)))
    kept = np.exp(-timestep / lag) if lag > 0.0 else 0.0
    back = np.arange(len(share))
    age = back[:, None] - back
    weights = np.where(age >= 0, (1.0 - kept) * kept ** np.maximum(age, 0), 0.0)
    trailing: NDArray[np.float64] = np.column_stack((kept ** (back + 1.0), weights @ line))
    return trailing


class PourCell:
    """One cell. Not thread-safe: cells of one process share the scratch state of the kinematics."""

    def __init__(self) -> None:
        self.kinematics = guard_kinematics()
        self._physics = Rollout(nthread=0)

    def reset(self, scenario: Scenario) -> None:
        """Build the scenario, let the granules settle and tare the sensors."""
        domain = self.domain = scenario.domain
        # A private copy, since the domain is written into the model.
        self.model = copy.deepcopy(_model(domain.granules))
        self._at = _addresses(domain.granules)
        self.data = mujoco.MjData(self.model)
        self._lead = -self.model.actuator_biasprm[:, 2] / self.model.actuator_gainprm[:, 0]  # [s], nominal
        write_domain(self.model, domain, self._at.geom)
        self.model.body("receiver").pos[:2] = scenario.receiver_position
        mujoco.mj_setConst(self.model, self.data)
        rng = np.random.default_rng(scenario.seed)
        posture = self.solve_posture(scenario.lip_start)
        self._zero = np.array(domain.encoder_offset)
        self.data.qpos[ARM] = posture - self._zero
        mujoco.mj_forward(self.model, self.data)
        self._fill(domain, rng)
        self._cup = int(self.model.body("cup").id)
        self.granule_mass = domain.granule_density * granule_volume(domain)
        self.target = np.array([*scenario.receiver_position, rim_height(domain)])
        self._watch()
        self._sensors = CellSensors(domain, self._content(), self.target, rng)
        self._substeps = round(MONITOR_PERIOD / domain.timestep)
        self._weights: dict[int, NDArray[np.float64]] = {}
        self._last_target = self._servo = posture
        still = np.tile(posture, (SETTLE_TICKS, 1))
        self.advance(still, np.zeros_like(still))
        self.data.time = 0.0
        self.contact = self.limit_broken = False

    def branch(self, rng: np.random.Generator) -> "PourCell":
        """Another cell in the same state, which goes its own way: only what never changes is shared. `rng` is
        for the noise of its sensors. A rule that is broken here is not yet broken there."""
        twin = copy.copy(self)
        twin.data, twin._weights = copy.copy(self.data), self._weights
        twin._sensors = self._sensors.branch(rng)
        twin._watch()
        return twin

    def _content(self) -> float:
        """[kg] in the held cup before the pour."""
        return self.domain.granules * self.granule_mass

    def _watch(self) -> None:
        """Views into the state: creating one costs as much as the sum computed from it."""
        data, model = self.data, self.model
        self.contact = self.limit_broken = False
        self._q, self._qd = data.qpos[ARM], data.qvel[ARM]
        self._torque, self._peak_torque = data.actuator_force[ARM], model.actuator_forcerange[ARM, 1].copy()
        self._lip = data.site_xpos[model.site("lip").id]
        self._granules = data.xpos[self._at.body]  # (N, 3) [m]
        self._heights = self._granules[:, 2]
        self._cup_position, self._cup_rotation = data.xpos[self._cup], data.xmat[self._cup].reshape(3, 3)
        self._models, self._datas = [model], [data]
        self._start = np.empty((1, mujoco.mj_stateSize(model, STATE)))
        self._warmstart = data.qacc_warmstart

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

    def _fill(self, domain: Domain, rng: np.random.Generator) -> None:
        """Granules, upright, in jittered layers of up to seven inside the held cup."""
        radius = domain.granule_radius
        centre = self.data.xpos[self.model.body("cup").id]
        ring = domain.held_radius - radius - 0.001
        floor = centre[2] - domain.held_height / 2
        tall = radius * domain.granule_elongation
        for number, address in enumerate(self._at.qpos):
            layer, place = divmod(number, 7)
            angle = 2 * np.pi * place / 6 + 0.5 * layer + rng.uniform(-0.05, 0.05)
            reach = ring if place < 6 else 0.0
            offset = [reach * np.cos(angle), reach * np.sin(angle)]
            height = floor + tall + 0.001 + layer * (1.75 * radius + 2.0 * (tall - radius))
            self.data.qpos[address : address + 3] = [*(centre[:2] + offset), height]
            self.data.qpos[address + 3 : address + 7] = [1, 0, 0, 0]

    def advance(self, q: NDArray[np.float64], qd: NDArray[np.float64]) -> None:
        """Run K monitor periods. q, qd: (K, 7) commanded positions [rad] and velocities [rad/s], as the
        encoders read them.

        Between two periods the servos get interpolated targets, as from a controller at a higher rate, and
        trail them by the domain's lag.
        """
        periods, targets = len(q), q + self._lead * qd
        weights = self._weights.get(periods)
        if weights is None:
            weights = _trailing(periods, self._substeps, self.domain.timestep, self.domain.lag)
            self._weights[periods] = weights
        trailing = weights.dot(np.concatenate((self._servo[None], self._last_target[None], targets)))
        self._last_target, self._servo = targets[-1], trailing[-1]
        self._run(trailing)

    def follow(self, q: NDArray[np.float64], qd: NDArray[np.float64]) -> None:
        """Run N physics steps. q, qd: (N, 7) positions [rad] and velocities [rad/s] of servos, their lag
        included, at the end of each, which the arm follows as closely as it can."""
        targets = q + self._lead * qd
        self._last_target = self._servo = targets[-1]
        self._run(targets)

    def _run(self, targets: NDArray[np.float64]) -> None:
        """Physics steps with these targets (N, 7) of the position loops, which close on the encoders: where
        these read the target, the arm is beside it by their zeros."""
        targets = targets - self._zero
        # Forces, contacts and speeds are sampled after every physics step: contact forces ring from step to
        # step, and every second sample of them would not average to the weight.
        sensed = np.empty((1, len(targets), self.model.nsensordata))
        mujoco.mj_getState(self.model, self.data, self._start[0], STATE)
        # One call for all steps: Python between single calls was most of the environment's overhead.
        self._physics.rollout(
            self._models, self._datas, self._start, targets[None], control_spec=CONTROL, skip_checks=True,
            nstep=len(targets), initial_warmstart=self._warmstart[None].copy(), sensordata=sensed,
        )  # fmt: skip
        self._weigh(sensed[0, :, POURED], sensed[0, :, REMAINING])
        highest = np.maximum.reduce(np.abs(sensed[0])).tolist()
        self.contact |= any(highest[TOUCHED])
        self.limit_broken |= not all(map(le, highest[SPEEDS], FASTEST))

    def _weigh(self, poured: NDArray[np.float64], remaining: NDArray[np.float64]) -> None:
        """Upward forces (N,) [N] of granules on the two cups, one for each physics step."""
        self._sensors.weigh(poured, remaining)

    def _inside(self) -> bool:
        """Joints within their limits and the lip within the workspace box."""
        value = [*self._q.tolist(), *self._lip.tolist()]
        return all(map(le, LOWEST, value)) and all(map(le, value, HIGHEST))

    @property
    def loose(self) -> int:
        """Number of granules that are neither in the held cup nor landed in the other one."""
        return loose(self._granules, self.target, self._cup_position, self._cup_rotation, self.domain)

    @property
    def fastest_granule(self) -> float:
        """Its speed [m/s]."""
        first = self.model.body_dofadr[self._at.body]
        speeds = self.data.qvel[first[:, None] + np.arange(3)]
        return float(np.linalg.norm(speeds, axis=1).max())

    @property
    def lean(self) -> float:
        """Vertical part of the held cup's axis: 1 upright, -1 upside down."""
        return float(self._cup_rotation.item(2, 2))

    @property
    def upright(self) -> bool:
        """Whether the held cup is."""
        return self.lean > UPRIGHT

    def measure(self) -> Measurement:
        """Present sensor readings."""
        return self._sensors.measure(self._q, self._qd, self.data.time)

    @property
    def read_position(self) -> Vec:
        """(7,) [rad] as the encoders have it without their noise: what a command at rest here has to say."""
        q: Vec = self._q + self._zero
        return q

    def torque_share(self) -> Vec:
        """Motor torques (7,) over their peaks [-], without the controller's own gravity compensation."""
        share: Vec = self._torque / self._peak_torque
        return share

    def effort(self) -> Vec:
        """Torques (7,) [N m] of the joints in the last physics step, gravity compensation included."""
        told: Vec = self._torque + self.data.qfrc_gravcomp[ARM]
        return told

    def outcome(self) -> Outcome:
        """Ground truth on granules and rules; no sensor measures it."""
        landed = spilled = 0
        if min(self._heights.tolist()) < self.target[2]:  # otherwise none has left the held cup yet
            landed, spilled = landed_and_lost(
                self._granules, self.target, self._cup_position, self._cup_rotation, self.domain
            )
        return Outcome(
            total=len(self._granules),
            landed=landed,
            spilled=spilled,
            contact=self.contact,
            limit_broken=self.limit_broken or not self._inside(),
            upright=self.upright,
        )
