"""What two measurements on a table say about granules: their friction and their resistance to rolling.

The angle at which a tilted tray lets its granules go (the tilting box method for the angle of repose) and the
time in which a lying cup runs out. Both are simulated with the cell's granules and contacts over a grid of
the two quantities, several times each, and a quadratic surface is fitted to either measurement. The posterior
over the grid's rectangle, uniform before, gives the intervals. The table of simulated measurements beside
this file was written by ``python -m sim.identification.granules``.

Shapes: R runs. SI units, angles in degrees where they are what a person reads.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

from sim.identification.estimates import PINNED, QuantityEstimate
from sim.pouring import cell_model as geometry
from sim.pouring.domain import NOMINAL, QUANTITIES, Spread, Value
from spillguard_core.robot.arm import GRAVITY, Vec

TABLE = Path(__file__).with_name("granule_table.json")
NAMES = ("granule_friction", "granule_rolling")
FRICTIONS, ROLLINGS = (0.2, 0.3, 0.4, 0.55, 0.7), (0.0, 0.5e-4, 1e-4, 2e-4)
SEEDS, CUP_SEEDS = 3, 15  # a tray takes ten times longer than a cup
TRAY, RIM, TRAY_GRANULES = 0.05, 0.009, 60  # [m] half width, height of the rim
TURN = 12.0  # [deg/s] at which the tray is tilted
LET_GO = 6  # granules that have left the tray when it counts as let go
STEEPEST = 60.0  # [deg]
CUP_GRANULES, SLOPE = 20, 10.0  # in the cup; [deg] by which its mouth lies below its bottom
RUN_OUT = 19  # granules that have left when the time is stopped: a last one may get stuck
LONGEST = 4.0  # [s] for a cup to run out
SETTLE = 1.0  # [s]
FEWEST = 3  # repeats of a measurement
ANGLE_READ, TIME_READ = 0.5, 0.01  # [deg, s] a phone reads no finer, whatever is repeated
STEP = 0.05  # of the range of rolling
POINTS = 161  # of the posterior's grid, each way


class Measured(NamedTuple):
    """What a person measured: means of repeats, and the standard errors of these means."""

    angle: float  # [deg] of the tray when it let go
    angle_error: float
    time: float  # [s] in which the cup ran out
    time_error: float

    @classmethod
    def of(cls, angles: Sequence[float], times: Sequence[float]) -> "Measured":
        """From the repeats, [deg] and [s]. ValueError if there are too few, or one is impossible."""
        for name, values, most, unit in (("angle", angles, 90.0, "deg"), ("time", times, 60.0, "s")):
            if len(values) < FEWEST:
                raise ValueError(
                    f"got {len(values)} of {name}; needed are {FEWEST} repeats: the mean of them counts"
                )
            wrong = [value for value in values if not 0.0 < value < most]
            if wrong:
                raise ValueError(
                    f"got {name} {wrong[0]:g} {unit}; possible is above 0 and below {most:g} {unit}"
                )
        told = [
            (float(np.mean(x)), float(np.hypot(np.std(x, ddof=1) / np.sqrt(len(x)), finest)))
            for x, finest in ((angles, ANGLE_READ), (times, TIME_READ))
        ]
        return cls(*told[0], *told[1])


class Runs(NamedTuple):
    """Simulated measurements."""

    friction: Vec  # (R,)
    rolling: Vec  # (R,) [m]
    angle: Vec  # (R,) [deg]; NaN where only the cup was simulated
    time: Vec  # (R,) [s]


def _world(granules: int) -> tuple[mujoco.MjSpec, mujoco.MjsBody]:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = NOMINAL.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations, spec.option.ls_iterations, spec.option.tolerance = NOMINAL.iterations, 20, 1e-6
    geometry.add_granules(spec, granules)
    return spec, spec.worldbody.add_body(name="vessel")


def _compiled(spec: mujoco.MjSpec, friction: float, rolling: float) -> mujoco.MjModel:
    """With contacts as `domain_model` and `cell_model` set them."""
    for geom in spec.geoms:
        geom.solref = [0.01, 1.0]
        geom.condim = 3
        if geom.name.startswith("granule"):
            geom.condim = 6 if rolling > 0.0 else 3
            geom.friction = [friction, geom.friction[1], rolling]
    return spec.compile()


def _placed(model: mujoco.MjModel, rng: np.random.Generator, width: float, across: int) -> mujoco.MjData:
    """Granules in jittered layers above the vessel's floor, `across` of them along either side."""
    data, pitch = mujoco.MjData(model), width / across
    for number in range(model.nq // 7):
        layer, place = divmod(number, across * across)
        row, column = divmod(place, across)
        at = np.array([row, column]) * pitch - 0.5 * (width - pitch) + rng.uniform(-5e-4, 5e-4, 2)
        data.qpos[7 * number : 7 * number + 3] = [*at, 0.012 + layer * 0.019]
    return data


def turned(model: mujoco.MjModel, angle: float) -> None:
    """Let gravity act as on a vessel that is turned by this angle [deg] towards its x axis."""
    lean = np.deg2rad(angle)
    model.opt.gravity[:] = GRAVITY * np.array([np.sin(lean), 0.0, -np.cos(lean)])


def places(model: mujoco.MjModel, data: mujoco.MjData) -> Vec:
    """(N, 3) [m] of the granules in the vessel's frame."""
    names = [body for body in range(model.nbody) if model.body(body).name.startswith("granule")]
    found: Vec = data.xpos[names]
    return found


def filled_tray(friction: float, rolling: float, seed: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """Level, its granules at rest."""
    spec, tray = _world(TRAY_GRANULES)
    tray.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0, 0, -0.01], size=[TRAY, TRAY, 0.01])
    for number, (x, y) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        half = [0.002, TRAY, RIM] if x else [TRAY, 0.002, RIM]
        tray.add_geom(
            name=f"rim_{number}", type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[x * TRAY, y * TRAY, 0.5 * RIM], size=[half[0], half[1], 0.5 * half[2]],
        )  # fmt: skip
    model = _compiled(spec, friction, rolling)
    data = _placed(model, np.random.default_rng(seed), 2.0 * TRAY - 0.006, 5)
    for _ in range(round(SETTLE / model.opt.timestep)):
        mujoco.mj_step(model, data)
    return model, data


def tilted_tray(friction: float, rolling: float, seed: int) -> float:
    """Angle [deg] at which a tray lets its granules go."""
    model, data = filled_tray(friction, rolling, seed)
    inside = int((places(model, data)[:, 2] > -0.02).sum())
    for angle in np.arange(0.0, STEEPEST, TURN * model.opt.timestep):
        turned(model, float(angle))
        mujoco.mj_step(model, data)
        if inside - int((places(model, data)[:, 0] < TRAY + NOMINAL.granule_radius).sum()) >= LET_GO:
            return float(angle)
    return STEEPEST


def covered_cup(friction: float, rolling: float, seed: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """It lies with its mouth `SLOPE` below its bottom, its granules at rest behind the lid."""
    spec, cup = _world(CUP_GRANULES)
    radius, height = geometry.SOURCE_RADIUS, geometry.SOURCE_HEIGHT
    geometry.add_cup(cup, "cup", radius, height, 0.0)
    lid = spec.worldbody.add_body(name="lid", mocap=True, pos=[0, 0, height + 0.005])
    lid.add_geom(name="lid", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.06, 0.06, 0.005])
    model = _compiled(spec, friction, rolling)
    data = _placed(model, np.random.default_rng(seed), 0.04, 2)
    # The cup stays and gravity turns: its axis ends up `SLOPE` below the horizontal, mouth downwards.
    for angle in np.linspace(0.0, 90.0 + SLOPE, round(2.0 * SETTLE / model.opt.timestep)):
        turned(model, float(angle))
        mujoco.mj_step(model, data)
    return model, data


def lying_cup(friction: float, rolling: float, seed: int) -> float:
    """Time [s] in which a cup that lies with its mouth below its bottom runs out, once it is uncovered."""
    model, data = covered_cup(friction, rolling, seed)
    data.mocap_pos[0] = [0.0, 0.0, 10.0]
    for step in range(round(LONGEST / model.opt.timestep)):
        mujoco.mj_step(model, data)
        if int((places(model, data)[:, 2] > geometry.SOURCE_HEIGHT).sum()) >= RUN_OUT:
            return float((step + 1) * model.opt.timestep)
    return LONGEST


def simulate(on_progress: Callable[[float], None] = lambda share: None) -> Runs:
    """Both measurements over the grid, `SEEDS` and `CUP_SEEDS` times each."""
    rows = []
    points = [(f, r, s) for s in range(CUP_SEEDS) for f in FRICTIONS for r in ROLLINGS]
    for number, (friction, rolling, seed) in enumerate(points):
        angle = tilted_tray(friction, rolling, seed) if seed < SEEDS else np.nan
        rows.append((friction, rolling, angle, lying_cup(friction, rolling, seed)))
        on_progress((number + 1) / len(points))
    return Runs(*np.array(rows).T)


@cache
def table() -> Runs:
    """The simulated measurements that come with the program."""
    told = json.loads(TABLE.read_text())
    return Runs(*(np.array(told[name], dtype=float) for name in Runs._fields))


def _terms(friction: Vec, rolling: Vec) -> Vec:
    """(R, 5) in friction a quadratic, in rolling a step that is over by a tenth of its range.

    A granule that resists rolling at all also meets the resistance of walls and floor, which is half of that
    range: in the simulation the step is at 0, and more of it changes little.
    """
    u, v = (
        (np.asarray(x) - q.low) / (q.high - q.low)
        for x, q in zip((friction, rolling), (QUANTITIES[name] for name in NAMES), strict=True)
    )
    step = 1.0 - np.exp(-v / STEP)
    return np.stack((np.ones_like(u), u, u * u, step, u * step), axis=-1)


class Surface(NamedTuple):
    """A measurement as a function of the two quantities."""

    weights: Vec  # (5,)
    scatter: float  # standard deviation of a run around it
    runs: int  # that it was fitted to

    @property
    def error(self) -> float:
        """Standard error of the surface itself, on average over the runs."""
        return self.scatter * float(np.sqrt(len(self.weights) / self.runs))

    def at(self, friction: Vec, rolling: Vec) -> Vec:
        """Of the same shape."""
        told: Vec = _terms(friction, rolling) @ self.weights
        return told


def surface(runs: Runs, values: Vec) -> Surface:
    """Fitted to the runs' `values` (R,) that are no NaN."""
    known = np.isfinite(values)
    terms, values = _terms(runs.friction[known], runs.rolling[known]), values[known]
    weights: Vec = np.linalg.lstsq(terms, values, rcond=None)[0].astype(np.float64)
    left = values - terms @ weights
    return Surface(weights, float(np.sqrt(left @ left / (len(left) - len(weights)))), len(values))


def identify_granules(measured: Measured, runs: Runs | None = None) -> tuple[QuantityEstimate, ...]:
    """Both quantities with their 95 % intervals. ValueError if no granule of the ranges is like that."""
    runs = table() if runs is None else runs
    ends = [(QUANTITIES[name].low, QUANTITIES[name].high) for name in NAMES]
    axes = [np.linspace(low, high, POINTS) for low, high in ends]
    friction, rolling = np.meshgrid(*axes, indexing="ij")
    misfit = np.zeros_like(friction)
    told = (
        ("angle", measured.angle, measured.angle_error, runs.angle, "deg"),
        ("time", measured.time, measured.time_error, runs.time, "s"),
    )
    for name, value, error, values, unit in told:
        made = surface(runs, values)
        predicted, spread = made.at(friction, rolling), float(np.hypot(error, made.error))
        low, high = predicted.min() - 3.0 * spread, predicted.max() + 3.0 * spread
        if not low <= value <= high:
            raise ValueError(
                f"{name} is {value:g} {unit}; granules of the ranges give {low:.3g} to {high:.3g}: measure "
                f"again, or what is poured is too unlike round granules"
            )
        misfit += ((predicted - value) / spread) ** 2
    weight = np.exp(-0.5 * (misfit - misfit.min()))
    found = []
    for number, name in enumerate(NAMES):
        marginal = weight.sum(axis=1 - number)
        share = np.cumsum(marginal) / marginal.sum()
        low, middle, high = (float(axes[number][int(np.searchsorted(share, p))]) for p in (0.025, 0.5, 0.975))
        start, end = ends[number]
        if high - low <= PINNED * (end - start):
            found.append(QuantityEstimate(name, None, middle, low, high, True, ""))
        else:
            why = f"its interval would be {(high - low) / (end - start):.0%} of its range"
            nominal = float(QUANTITIES[name].nominal)
            found.append(QuantityEstimate(name, None, nominal, float(start), float(end), False, why))
    return tuple(found)


def spread_of_granules(estimates: tuple[QuantityEstimate, ...]) -> Spread:
    """As a domain."""
    values: dict[str, Value] = {e.name: e.value for e in estimates}
    base = replace(NOMINAL, **values)
    return Spread(base, {e.name: (e.low, e.high) for e in estimates})


if __name__ == "__main__":
    made = simulate(lambda share: print(f"{share:.0%}", file=sys.stderr))  # noqa: T201
    columns = {
        name: [None if np.isnan(x) else x for x in column.tolist()] for name, column in made._asdict().items()
    }
    TABLE.write_text(json.dumps(columns) + "\n")
