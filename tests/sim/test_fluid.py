"""The cell with a fluid: what a cup holds at a tilt, what leaves it, and where that ends."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from sim.pouring.domain import NOMINAL
from sim.pouring.fluid import DROP, FluidCell, held_volume, outflow
from sim.pouring.scenario import Scenario, sample_scenario

RADIUS, HEIGHT = 0.035, 0.095
FULL = math.pi * RADIUS**2 * HEIGHT


@pytest.fixture
def cell() -> FluidCell:
    found = FluidCell()
    found.reset(sample_scenario(np.random.default_rng(0)))
    return found


def everything(cell: FluidCell) -> float:
    return cell.remaining + cell.poured + cell.spilled + sum(volume for _, volume, _ in cell.flying)


def turned(cell: FluidCell, angle: float, ticks: int) -> None:
    """Turn the cup about the axis of the last joint at 1.2 rad/s, and wait until `ticks` have gone by."""
    start = cell.data.qpos[:7].copy()
    for tick in range(ticks):
        goal = start.copy()
        goal[6] += math.copysign(min(0.012 * tick, abs(angle)), angle)
        cell.advance(goal[None], np.zeros((1, 7)))
        assert everything(cell) == pytest.approx(cell.volume, rel=1e-12)


def test_a_cup_holds_all_upright_half_when_the_surface_cuts_its_bottom_in_half_and_nothing_lying() -> None:
    assert held_volume(0.0, RADIUS, HEIGHT) == pytest.approx(FULL)
    # At atan(H / 2R) the surface runs from the lip to the far edge of the bottom.
    assert held_volume(math.atan2(HEIGHT, 2 * RADIUS), RADIUS, HEIGHT) == pytest.approx(FULL / 2, rel=1e-3)
    # Beyond it is a wedge; where the surface meets the middle of the bottom its volume is 2/3 R^2 H.
    wedge = held_volume(math.atan2(HEIGHT, RADIUS), RADIUS, HEIGHT)
    assert wedge == pytest.approx(2.0 / 3.0 * RADIUS**2 * HEIGHT, rel=2e-3)
    assert held_volume(math.pi / 2, RADIUS, HEIGHT) == held_volume(3.0, RADIUS, HEIGHT) == 0.0


def test_what_is_above_the_lip_leaves_as_over_a_weir() -> None:
    tilt = 0.9
    held = held_volume(tilt, RADIUS, HEIGHT)
    assert outflow(held, tilt, RADIUS, HEIGHT).rate == 0.0
    little, more = (outflow(held + extra, tilt, RADIUS, HEIGHT) for extra in (5e-6, 10e-6))
    assert more.rate == pytest.approx(4.0 * little.rate)  # with the square of the head
    assert more.speed == pytest.approx(math.sqrt(2.0) * little.speed)
    # The integral of Torricelli's speed over the section.
    head = 5e-6 / (math.pi * RADIUS**2 / math.cos(tilt))

    def strip(z: float) -> float:
        return 2 * math.sqrt(2 * RADIUS * z / math.sin(tilt)) * math.sqrt(2 * 9.81 * (head - z))

    assert little.rate == pytest.approx(0.6 * quad(strip, 0.0, head)[0], rel=1e-4)
    # Continuity: the area of a parabolic section is two thirds of width times head.
    assert little.rate == pytest.approx(little.speed * 2.0 / 3.0 * little.width * head)


def test_all_of_it_leaves_an_inverted_cup_within_a_second() -> None:
    volume = 60e-6
    for _ in range(100):
        volume -= min(0.01 * outflow(volume, math.pi, RADIUS, HEIGHT).rate, volume)
    assert volume < 60e-6 * 1e-3


def test_nothing_leaves_a_cup_that_stays_upright(cell: FluidCell) -> None:
    turned(cell, 0.0, 50)
    assert cell.remaining == cell.volume and not cell.flying
    assert cell.outcome()[1:3] == (0, 0)
    assert not cell.outcome().violated


def test_an_inverted_cup_beside_the_other_spills_all(cell: FluidCell) -> None:
    turned(cell, math.pi if cell.data.qpos[6] < 0.0 else -math.pi, 450)
    assert cell.remaining == 0.0 and not cell.flying
    assert cell.spilled + cell.poured == pytest.approx(cell.volume)
    assert cell.spilled > 0.9 * cell.volume and cell.outcome().violated


def test_a_parcel_ends_where_it_crosses_the_plane_of_the_rim(cell: FluidCell) -> None:
    still, up, beside = np.zeros(3), np.array([0.0, 0.0, 0.05]), np.array([0.045, 0.0, 0.0])
    above = cell.target + up
    cell._fly(above, still, DROP)
    cell._fly(above + beside, still, DROP)
    fall = math.sqrt(2 * 0.05 / 9.81)
    cell._fly(above, np.array([1.02 * cell.domain.receiver_radius / fall, 0.0, 0.0]), DROP)
    cell._fly(cell.target - up, still, DROP)  # below the rim, and not out of a cup inside it
    assert [hit for _, _, hit in cell.flying] == [True, False, False, False]
    assert cell.flying[0][0] - cell._clock == pytest.approx(fall, rel=1e-3)


def test_the_cups_weigh_what_is_in_them() -> None:
    cell = FluidCell()
    domain = replace(NOMINAL, load_cell_noise=0.0, wrist_noise=0.0)
    place = sample_scenario(np.random.default_rng(0))
    cell.reset(Scenario(domain, place.receiver_position, place.lip_start, 0))
    content = 1000.0 * 20 * 4.0 / 3.0 * math.pi * 0.009**3
    assert cell.measure().sensed["remaining_mass"].item() == pytest.approx(content, rel=1e-6)
    assert cell.measure().sensed["poured_mass"].item() == 0.0
    cell.poured, cell.remaining = cell.remaining, 0.0
    still = np.tile(cell.data.qpos[:7], (100, 1))  # ten times the sensors' lag
    cell.advance(still, np.zeros_like(still))
    assert cell.measure().sensed["poured_mass"].item() == pytest.approx(content, rel=1e-3)
    assert cell.measure().sensed["remaining_mass"].item() == pytest.approx(0.0, abs=1e-5)
