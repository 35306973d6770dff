"""Sensors err as the domain says."""

from dataclasses import replace

import numpy as np
import pytest

from sim.pouring.domain import NOMINAL, Domain
from sim.pouring.sensing import CellSensors
from spillguard_core.robot.arm import GRAVITY
from spillguard_core.tasks.pouring.observation import POURED, REMAINING, TARGET

EXACT = replace(NOMINAL, load_cell_noise=0.0, wrist_noise=0.0)


def sensors(domain: Domain) -> CellSensors:
    return CellSensors(domain, 0.1, np.array([0.7, 0.0, 0.12]), np.random.default_rng(0))


def test_errors_of_the_scales_are_those_of_the_domain() -> None:
    domain = replace(
        EXACT,
        load_cell_bias=0.004,
        load_cell_drift=1e-3,
        load_cell_step=0.001,
        wrist_bias=-0.002,
        wrist_drift=1e-3,
        wrist_step=0.0005,
    )
    seen = sensors(domain).measure(np.zeros(7), np.zeros(7), 3.2)
    assert seen.sensed[POURED].item() == pytest.approx(0.007)  # 4 g + 3.2 g, in whole grams
    assert seen.sensed[REMAINING].item() == pytest.approx(0.101)  # 100 g - 2 g + 3.2 g, in half grams


def test_a_resolution_finer_than_any_scale_is_none() -> None:
    seen = sensors(replace(EXACT, load_cell_bias=0.004, load_cell_step=1e-320)).measure(
        np.zeros(7), np.zeros(7), 0.0
    )
    assert seen.sensed[POURED].item() == pytest.approx(0.004)


def test_scales_follow_with_their_own_lag() -> None:
    domain = replace(EXACT, load_cell_lag=0.05, wrist_lag=0.2)
    scales = sensors(domain)
    steps = round(0.1 / domain.timestep)
    scales.weigh(np.full(steps, 0.02 * GRAVITY), np.full(steps, 0.08 * GRAVITY))
    seen = scales.measure(np.zeros(7), np.zeros(7), 0.0)
    assert seen.sensed[POURED].item() == pytest.approx(0.02 * (1.0 - np.exp(-2.0)))
    assert seen.sensed[REMAINING].item() == pytest.approx(0.08 + 0.02 * np.exp(-0.5))


def test_each_scale_has_the_noise_of_its_own() -> None:
    scales = sensors(replace(NOMINAL, load_cell_noise=2e-4, wrist_noise=2e-3))
    seen = [scales.measure(np.zeros(7), np.zeros(7), 0.0).sensed for _ in range(2000)]
    assert np.std([one[POURED].item() for one in seen]) == pytest.approx(2e-4, rel=0.1)
    assert np.std([one[REMAINING].item() for one in seen]) == pytest.approx(2e-3, rel=0.1)


def test_encoders_are_off_by_their_zero_and_noisy() -> None:
    offset = tuple(np.linspace(-0.003, 0.003, 7))
    arm = sensors(replace(EXACT, encoder_offset=offset, encoder_noise=1e-4, velocity_noise=5e-3))
    seen = [arm.measure(np.ones(7), np.zeros(7), 0.0) for _ in range(2000)]
    q, qd = np.array([s.joint_position for s in seen]), np.array([s.joint_velocity for s in seen])
    np.testing.assert_allclose(q.mean(axis=0), 1.0 + np.array(offset), atol=2e-5)
    np.testing.assert_allclose(q.std(axis=0), 1e-4, rtol=0.1)
    np.testing.assert_allclose(qd.std(axis=0), 5e-3, rtol=0.1)


def test_the_target_is_seen_where_it_is_not() -> None:
    seen = sensors(replace(EXACT, target_error=(0.01, -0.01, 0.005))).measure(np.zeros(7), np.zeros(7), 0.0)
    assert seen.sensed[TARGET] == pytest.approx([0.71, -0.01, 0.125])
