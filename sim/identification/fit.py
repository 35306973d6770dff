"""What a recording of commands and states says about an arm: friction, gains, lag, payload, with intervals.

The arm of the cell is simulated with the recorded commands, and `mujoco.sysid` fits it to the recorded states
in the sense of box-constrained least squares. A row of the residual is a joint's position [rad], velocity
[rad/s] or torque [N m], in units of its noise, which is estimated from the data. Each quantity also has a row
that holds it to the middle of its `Domain` range, with the standard deviation of that range (a prior): what
the data says nothing about stays there, and does not make the rest indefinite. The unknown zeros of encoders
and torque sensors are eliminated: positions and torques are compared without their means, and the mean torque
counts as one row, as uncertain as a torque sensor's zero.

When messages arrive is random and shakes the arm, which is noise that no sensor makes. So readings are
averaged over `BIN`, and how messages arrive on average is fitted, too. Intervals:
`mujoco.sysid.calculate_intervals` assumes that rows are independent; that noise makes neighbouring ones and
those of all joints alike. So the covariance is the one for clusters of dependent rows (Liang and Zeger,
Biometrika 73 (1986) 13) of `BLOCK` each where it is larger, and what is left is made up by `INFLATION`: on
six twins the errors were up to that much larger than their intervals said.

Shapes: K commands, T states, N grid points, J = 7 joints. Times [s] on the one clock of driver and monitor.
"""

import io
import math
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.identification.arm_model import arm_model, arm_spec, nominal_model
from sim.identification.estimates import PINNED, Identified, QuantityEstimate, bounds, estimate, latency
from sim.identification.motion import MOVED, ArmMotion, IdentificationError, used
from sim.identification.residual import Residual
from sim.pouring.domain import JOINTS, NOMINAL, QUANTITIES, Domain, Value
from spillguard_core.robot.arm import Vec

FITTED = (
    "dry_friction", "viscous_friction", "stiffness", "damping", "link_mass", "lag", "payload",
    "command_delay", "command_jitter",
)  # fmt: skip
"""Fitted to the motion."""
ARRIVAL = ("command_delay", "command_jitter")
"""The last of them, on which the misfit does not depend smoothly."""
WIDER = 0.5  # of the width of its range by which an estimate may lie outside
INFLATION = 1.25  # of every interval; measured on twins of other seeds than the benchmark's
ENOUGH = 2e-4  # of the parameters' norm, for a step after which no other follows
LEAST = 1e-3  # of the upper end of a range: nothing here may be negative
STEP = 1e-3  # of a range, for the differences that approximate derivatives


class _Problem:
    """The least squares problem of one recording, as `mujoco.sysid` takes it."""

    def __init__(self, fit: Residual, threads: int, count: Callable[[Any], None]) -> None:
        from mujoco import sysid

        self._sysid, self._fit, self._count = sysid, fit, count
        self._start = sysid.create_initial_state(nominal_model(), fit.start.copy())
        empty = sysid.TimeSeries(fit.ends, np.zeros((len(fit.ends), JOINTS)))
        self.sequences = [sysid.ModelSequences("arm", arm_spec(), "recording", self._start, empty, empty)]
        self.residual = sysid.build_residual_fn(
            models_sequences=self.sequences, build_model=self.build_model, custom_rollout=self._roll_out,
            modify_residual=self._rows, n_threads=threads, resample_true=False,
        )  # fmt: skip

    def build_model(self, params: Any, spec: mujoco.MjSpec) -> mujoco.MjModel:
        """The model of these parameters."""
        del spec
        return arm_model(domain_of(params))

    def _roll_out(self, **told: Any) -> Any:
        targets: dict[tuple[float, ...], Any] = {}
        controls = []
        for params in told["param_dicts"]:
            domain = domain_of(params)
            timing = domain.lag, domain.command_delay, domain.command_jitter
            if timing not in targets:
                targets[timing] = self._sysid.TimeSeries(self._fit.ends, self._fit.servo_targets(domain))
            controls.append(targets[timing])
        return self._sysid.sysid_rollout(
            told["models"], told["datas"], controls, told["initial_states"],
            told["rollout_signal_mapping"], told["rollout_state_mapping"], told["ctrl_mapping"],
        )  # fmt: skip

    def _rows(
        self,
        params: Any,
        predicted: Any,
        measured: Any,
        model: Any,
        everything: bool,
        *,
        state: Vec,
        **_: Any,
    ) -> tuple[Vec, Any, Any]:
        del measured, model, everything
        prior = math.sqrt(12.0) * (params.as_vector() - 0.5)
        return (
            np.concatenate((self._fit.rows(self._fit.predicted(state, predicted.data)), prior)),
            predicted,
            predicted,
        )

    def predicted(self, params: Any) -> list[Vec]:
        """Readings, each (T, J), of these parameters."""
        model = arm_model(domain_of(params))
        control = self._sysid.TimeSeries(self._fit.ends, self._fit.servo_targets(domain_of(params)))
        (rolled,) = self._sysid.sysid_rollout([model], [mujoco.MjData(model)], [control], [self._start])
        return self._fit.predicted(rolled.state.data, rolled.sensordata.data)

    def renew(self, params: Any, *, smooth: bool = False) -> None:
        """Noise and compensated torques anew, by what is now predicted."""
        seen = self.predicted(params)
        self._fit.compensate(seen)
        self._fit.set_noise(seen, smooth=smooth)

    def scan(self, params: Any, jacobian: Vec) -> None:
        """Set how messages arrive to the best of a grid: how well that fits has several valleys.

        At each point of the grid the other parameters are where they would fit best, by the `jacobian`
        (R, P) at `params`.
        """
        others = jacobian[:, : params.size - len(ARRIVAL)]
        basis, _ = np.linalg.qr(others)
        best, chosen = math.inf, (0.0, 0.0)
        for delay, jitter in product(np.linspace(0.0, 1.0, 6), np.linspace(0.0, 1.0, 6)):
            x = np.append(params.as_vector()[: -len(ARRIVAL)], (delay, jitter))
            (left,) = self.residual(x, params)[0]
            misfit = float(left @ left - np.sum((basis.T @ left) ** 2))
            if misfit < best:
                best, chosen = misfit, (delay, jitter)
        params.update_from_vector(np.append(params.as_vector()[: -len(ARRIVAL)], chosen))

    def minimise(self, params: Any, iterations: int, jacobian: Vec | None = None) -> tuple[Any, Any]:
        """Parameters and result of at most so many Gauss-Newton steps; all with this `jacobian` (R, P) if one
        is given, which saves most of the work near the minimum."""
        known = {} if jacobian is None else {"jacobian": lambda x, residual: jacobian}
        found: tuple[Any, Any] = self._sysid.optimize(
            params, self.residual, optimizer="mujoco", verbose=False, max_iters=iterations, eps=STEP,
            xtol=ENOUGH, mu_factor=10.0, output=io.StringIO(), iter_callback=self._count, **known,
        )  # fmt: skip
        return found


def _parameters() -> Any:
    """In shares of their ranges, at the nominal values."""
    from mujoco import sysid

    parameters = sysid.ParameterDict()
    for name in FITTED:
        low, high = bounds(name)
        nominal = np.atleast_1d(getattr(NOMINAL, name))
        least = np.maximum(-WIDER, (LEAST * high - low) / (high - low))
        most = np.full(len(low), 1.0 + WIDER)
        parameters.add(sysid.Parameter(name, (nominal - low) / (high - low), least, most))
    return parameters


def identify(
    motion: ArmMotion, on_progress: Callable[[float], None] = lambda share: None, *, threads: int = 1,
    report: Path | None = None,
) -> Identified:  # fmt: skip
    """Fit the arm to a recording. `on_progress` is told the share that is done; `threads` 0: one a core.

    `report` is an HTML page of `mujoco.sysid` to write. IdentificationError if the recording says too little.
    """
    from mujoco import sysid

    motion = used(motion)
    fit = Residual(motion)
    if not fit.moved.any():
        raise IdentificationError(
            f"no joint moved by more than {MOVED} rad; record a motion, `spillguard excite` makes a good one"
        )
    counted = 0

    def count(trace: Any) -> None:
        nonlocal counted
        counted += 1
        on_progress(min(0.95, counted / 10.0))

    problem = _Problem(fit, threads or os.cpu_count() or 1, count)
    initial = parameters = _parameters()
    problem.renew(parameters, smooth=True)
    parameters, result = problem.minimise(parameters, 2)
    problem.scan(parameters, result.jac)
    parameters, result = problem.minimise(parameters, 1)
    before = fit.scale()
    problem.renew(parameters)
    share = np.ones(len(result.jac))
    share[: len(before)] = before / fit.scale()
    parameters, result = problem.minimise(parameters, 5, share[:, None] * result.jac)
    left = np.concatenate([np.ravel(part) for part in problem.residual(result.x, parameters)[0]])
    _, independent = sysid.calculate_intervals([left], result.jac)
    half = INFLATION * np.maximum(independent, clustered(left, result.jac, fit.blocks))
    if report is not None:
        _write_report(report, problem, initial, parameters, result)
    on_progress(1.0)
    names = ("position", "velocity", "torque")
    return Identified(
        (*_fitted(result.x, half, fit.moved), *latency(motion.latencies)),
        {name: tuple(sigma.tolist()) for name, sigma in zip(names, fit.sigma, strict=False)},
        float(motion.times[-1] - motion.times[0]),
        float(np.sqrt(np.mean(left[: len(fit.blocks)] ** 2))),
        independent,
    )


def _write_report(path: Path, problem: _Problem, initial: Any, found: Any, result: Any) -> None:
    """`mujoco.sysid`'s own page; parameters are in shares of their ranges."""
    from mujoco import sysid

    page = sysid.default_report(
        problem.sequences, initial, found, problem.residual, result, title="spillguard identify",
        build_model=problem.build_model, generate_videos=False,
    )  # fmt: skip
    page.build()
    page.save(str(path))


def clustered(residual: Vec, jacobian: Vec, blocks: NDArray[np.intp]) -> Vec:
    """Half widths (P,) of 95 % intervals if rows of the same block depend on each other.

    residual (R,), jacobian (R, P) with rows in units of their noise; `blocks` (D,) of the first D rows. The
    others are independent and as uncertain as they say.
    """
    from scipy.stats import t

    data = len(blocks)
    numbers, count = np.unique(blocks, return_inverse=True)
    scores = np.zeros((len(numbers), jacobian.shape[1]))
    np.add.at(scores, count, jacobian[:data] * residual[:data, None])
    scores -= scores.mean(axis=0)
    free = len(numbers) - 1
    meat = scores.T @ scores * len(numbers) / free + jacobian[data:].T @ jacobian[data:]
    bread = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    variance = np.diag(bread @ meat @ bread)
    half: Vec = np.sqrt(variance) * float(t.ppf(0.975, free))
    return half


def domain_of(params: Any) -> Domain:
    """The arm that these parameters, in shares of their ranges, describe."""
    values: dict[str, Value] = {}
    for name in FITTED:
        low, high = bounds(name)
        value = (low + params[name].as_vector() * (high - low)).tolist()
        values[name] = tuple(value) if isinstance(QUANTITIES[name].nominal, tuple) else value[0]
    return replace(NOMINAL, **values)


def _fitted(x: Vec, half: Vec, moved: NDArray[np.bool_]) -> list[QuantityEstimate]:
    found, at = [], 0
    for name in FITTED:
        low, high = bounds(name)
        for entry in range(len(low)):
            joint = entry if len(low) > 1 else None
            still = joint is not None and name != "link_mass" and not moved[joint]
            width = float(high[entry] - low[entry])
            value, around = float(low[entry] + x[at] * width), float(half[at] * width)
            at += 1
            why = ""
            if still:
                why = "the joint did not move"
            elif not 2.0 * around <= PINNED * width:
                why = f"its interval would be {2.0 * around / width:.0%} of its range"
            found.append(estimate(name, joint, value, value - around, value + around, why))
    return found
