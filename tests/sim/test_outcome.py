"""Which granules count as landed, as lost, or as neither."""

import numpy as np
import pytest

from sim.pouring import cell_model as geometry
from sim.pouring.outcome import landed_and_lost

RIM = np.array([0.7, 0.0, geometry.RIM_HEIGHT])
HELD = np.array([0.5, 0.0, 0.05])  # the held cup, low enough that its content is below the receiving rim
UPRIGHT = np.eye(3)
LYING = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # its axis along y


@pytest.mark.parametrize(
    ("place", "counts"),
    [
        (RIM - np.array([0.0, 0.0, 0.03]), (1, 0)),
        (RIM + np.array([0.0, 0.0, 0.03]), (0, 0)),  # above the receiving cup, still falling
        (RIM - np.array([geometry.RECEIVER_RADIUS + 0.01, 0.0, 0.03]), (0, 1)),
        (RIM - np.array([geometry.RECEIVER_RADIUS + 0.01, 0.0, 0.01]), (0, 0)),  # beside it, not yet below
        (HELD, (0, 0)),
        (HELD + np.array([geometry.SOURCE_RADIUS + geometry.WALL + 0.005, 0.0, 0.0]), (0, 1)),
    ],
)
def test_where_a_granule_counts(place: np.ndarray, counts: tuple[int, int]) -> None:
    assert landed_and_lost(place[None], RIM, HELD, UPRIGHT) == counts


def test_the_held_cup_takes_its_inside_along_when_it_lies() -> None:
    along = (HELD + np.array([0.0, geometry.SOURCE_HEIGHT / 2, 0.0]))[None]
    assert geometry.SOURCE_HEIGHT / 2 > geometry.SOURCE_RADIUS + geometry.WALL
    assert landed_and_lost(along, RIM, HELD, LYING) == (0, 0)
    assert landed_and_lost(along, RIM, HELD, UPRIGHT) == (0, 1)


def test_granules_are_counted_one_by_one() -> None:
    inside, beside = RIM - np.array([0.0, 0.0, 0.03]), RIM - np.array([0.1, 0.0, 0.05])
    granules = np.array([inside, HELD, beside, inside, beside, inside])
    assert landed_and_lost(granules, RIM, HELD, UPRIGHT) == (3, 2)
