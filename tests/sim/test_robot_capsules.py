"""Capsules enclose every triangle, are hardly larger than the best one, and follow a bent link."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.spatial import ConvexHull

from sim.robots.capsules import Capsule, enclosing_capsules, filled, fitted, worthwhile


def box(low: list[float], high: list[float]) -> np.ndarray:
    """Triangles (12, 3, 3) of an upright box."""
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    return corners[ConvexHull(corners).simplices]


def cylinder(radius: float, half: float, sides: int = 400) -> np.ndarray:
    """Triangles (N, 3, 3) of a cylinder about z."""
    turn = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    ring = np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])
    corners = np.concatenate([np.column_stack([ring, np.full(sides, z)]) for z in (-half, half)])
    return corners[ConvexHull(corners).simplices]


def on(triangles: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, N, 3) on every triangle."""
    weights = rng.dirichlet(np.ones(3), (count, len(triangles)))
    return np.einsum("ntk,tkx->ntx", weights, triangles)


def outside(capsules: tuple[Capsule, ...], points: np.ndarray) -> float:
    """[m] how far the worst point is outside all of them."""
    return float(np.min([capsule.outside(points.reshape(-1, 3)) for capsule in capsules], axis=0).max())


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(1e-3, 2.0), st.integers(0, 3))
def test_any_soup_of_triangles_is_enclosed(seed, count, size, flat):
    """Also flat ones, ones on a line, and a single point; by whatever number of capsules."""
    rng = np.random.default_rng(seed)
    soup = rng.uniform(-size, size, (count, 3, 3))
    soup[..., :flat] = rng.uniform(-size, size, flat)
    for capsules in enclosing_capsules(soup):
        assert 1 <= len(capsules) <= 3
        assert outside(capsules, np.concatenate([soup[None, :, k] for k in range(3)])) < 0.0
        assert outside(capsules, on(soup, 50, rng)) < 0.0


@pytest.mark.parametrize(("radius", "half"), [(0.05, 0.2), (0.05, 0.05), (0.06, 0.01)])
def test_the_capsule_of_a_cylinder_is_hardly_larger_than_the_smallest_on_its_axis(radius, half):
    """The rim decides: a segment of half length L needs sqrt(radius^2 + (half - L)^2)."""

    def volume(length: float) -> float:
        needed = np.hypot(radius, half - length)
        return float(np.pi * needed**2 * (2.0 * length + 4.0 / 3.0 * needed))

    best = minimize_scalar(volume, bounds=(0.0, half), method="bounded").fun
    assert fitted(cylinder(radius, half)).volume <= 1.005 * best


def test_a_turned_and_moved_surface_has_a_capsule_of_the_same_volume():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    plain = cylinder(0.05, 0.2)
    assert fitted(plain @ turn.T + [1.0, -2.0, 0.5]).volume == pytest.approx(fitted(plain).volume, rel=0.005)


def test_several_capsules_follow_a_bent_link_and_one_serves_a_straight_one():
    bent = np.concatenate([
        box([-0.03, -0.03, 0.0], [0.03, 0.03, 0.4]), box([-0.03, -0.03, 0.34], [0.4, 0.03, 0.4])
    ])  # fmt: skip
    fits = enclosing_capsules(bent)
    chosen = worthwhile(fits)
    assert len(chosen) == 2
    assert filled(chosen) < 0.3 * filled(fits[0])
    assert max(capsule.radius for capsule in chosen) < 1.5 * np.hypot(0.03, 0.03)
    assert len(worthwhile(enclosing_capsules(cylinder(0.05, 0.2)))) == 1


def test_what_capsules_share_counts_once():
    ball = Capsule(np.zeros(3), np.zeros(3), 0.1)
    far = Capsule(np.array([1.0, 0, 0]), np.array([1.0, 0, 0]), 0.1)
    assert filled((ball, ball)) == pytest.approx(ball.volume, rel=0.02)
    assert filled((ball, far)) == pytest.approx(2.0 * ball.volume, rel=0.1)


@pytest.mark.parametrize("wrong", [np.zeros((0, 3, 3)), np.zeros((4, 3)), np.full((1, 3, 3), np.nan)])
def test_what_is_no_surface_is_refused(wrong):
    with pytest.raises(ValueError, match="triangles"):
        enclosing_capsules(wrong)
