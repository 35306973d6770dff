"""Capsules that enclose a surface of triangles, as few and as thin as is worth it.

Each triangle is given to one capsule, which holds its three corners and, being convex, the whole triangle.
The surface is therefore covered by construction, however badly the search for small capsules goes. Working on
triangles and not on the convex hull lets several capsules follow a bent link.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.optimize import minimize
from scipy.spatial import ConvexHull, QhullError
from scipy.stats import qmc

Numbers = NDArray[np.float64]
Labels = NDArray[np.intp]

MOST = 3  # capsules of one link: each is a shape more for every decision of the gate
WORTH = 0.15  # share of the volume that one more capsule has to save
LEAST = 2e-5  # [m^3] that it has to save: a fingertip is not worth three shapes
PIECES = 8  # a surface is cut so that no triangle is longer than this part of its extent
ROUNDS = 20  # of fitting and sorting
SEEDS, DRAWN = 4, 2_000  # runs of k-means, and points of the surface that each looks at
UNIT = 1e-5  # [m] of what is written
POINTS = 8192  # by which a volume is measured
POINT = 1e-9  # [m] below this, two points are one


class Capsule(NamedTuple):
    """All points within `radius` [m] of the segment from `start` (3,) to `end` (3,) [m]."""

    start: Numbers
    end: Numbers
    radius: float

    @property
    def volume(self) -> float:
        """[m^3]."""
        return _volume(self.start, self.end, self.radius)

    def outside(self, points: Numbers) -> Numbers:
        """How far points (N, 3) [m] are outside (N,) [m]; negative inside."""
        return _distances(points, self.start, self.end)[0] - self.radius


def enclosing_capsules(triangles: Numbers, most: int = MOST) -> list[tuple[Capsule, ...]]:
    """Fits of triangles (N, 3 corners, 3) [m] by one capsule, by two, up to `most`, in the triangles' frame.

    Numbers are whole multiples of 10 um and enclose as such. ValueError without triangles, or if one is not
    finite.
    """
    if triangles.ndim != 3 or triangles.shape[1:] != (3, 3) or not len(triangles):
        raise ValueError(f"needs triangles as an array (N, 3, 3) with N > 0, got the shape {triangles.shape}")
    if not np.isfinite(triangles).all():
        raise ValueError("the triangles hold a number that is not finite")
    pieces = _cut(triangles, np.ptp(triangles.reshape(-1, 3), axis=0).max() / PIECES)
    more = [
        min((_sorted_fit(pieces, start) for start in _starts(pieces, count)), key=filled)
        for count in range(2, most + 1)
    ]
    return [(fitted(triangles),), *more]


def worthwhile(fits: Sequence[tuple[Capsule, ...]], worth: float = WORTH) -> tuple[Capsule, ...]:
    """The fit with most capsules, each of which saves the share `worth` of the volume and `LEAST` of it."""
    best = fits[0]
    for more in fits[1:]:
        now, added = filled(best), len(more) - len(best)
        if added > 0 and filled(more) <= min((1.0 - worth) ** added * now, now - LEAST * added):
            best = more
    return best


def fitted(triangles: Numbers) -> Capsule:
    """The smallest capsule found around triangles (N, 3, 3) [m], rounded outwards."""
    points = _extreme(triangles.reshape(-1, 3))
    centre = points.mean(axis=0)
    axes = np.linalg.svd(points - centre, full_matrices=False)[2]
    start, end, _ = min((_shrunk(points, centre, axis) for axis in axes), key=lambda found: _volume(*found))
    start, end = UNIT * np.round(start / UNIT), UNIT * np.round(end / UNIT)
    # One unit more than the largest distance, because writing a number as decimals loses a little again.
    radius = UNIT * (np.ceil(_distances(points, start, end)[0].max() / UNIT) + 1)
    return Capsule(start, end, float(radius))


def filled(capsules: tuple[Capsule, ...]) -> float:
    """Volume [m^3] of capsules together, what they share counted once; to about 1 %, from fixed points."""
    low = np.min([np.minimum(c.start, c.end) - c.radius for c in capsules], axis=0)
    high = np.max([np.maximum(c.start, c.end) + c.radius for c in capsules], axis=0)
    points = low + _spread() * (high - low)
    inside = np.min([capsule.outside(points) for capsule in capsules], axis=0) <= 0.0
    return float(inside.mean() * np.prod(high - low))


@cache
def _spread() -> Numbers:
    """Points (N, 3) evenly within the unit cube."""
    return np.asarray(qmc.Halton(3, scramble=False).random(POINTS))


def _volume(start: Numbers, end: Numbers, radius: float) -> float:
    length = float(np.linalg.norm(end - start))
    return float(np.pi * radius**2 * (length + 4.0 / 3.0 * radius))


def _distances(points: Numbers, start: Numbers, end: Numbers) -> tuple[Numbers, Numbers]:
    """Distances (N,) [m] of points (N, 3) from a segment, and where along it, 0 to 1, they are nearest."""
    along = end - start
    square = along @ along
    place = np.zeros(len(points))
    if square > POINT**2:
        place = np.clip((points - start) @ along / square, 0.0, 1.0)
    return np.linalg.norm(points - start - place[:, None] * along, axis=1), place


def _extreme(points: Numbers) -> Numbers:
    """The corners of the convex hull: the farthest points from any segment are among them."""
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except (QhullError, ValueError):  # flat, or too few
        return np.unique(points, axis=0)


def _shrunk(points: Numbers, centre: Numbers, axis: Numbers) -> tuple[Numbers, Numbers, float]:
    """Segment and radius of least volume around points (N, 3), from a segment along an axis (3,) on."""
    scale = max(float(np.abs(points - centre).max()), POINT)
    near = (points - centre) / scale
    places = near @ axis
    radius = np.linalg.norm(near - places[:, None] * axis, axis=1).max()
    # Not shorter by a whole radius: the search does not lead out of a segment without length.
    ends = [
        axis * (places.min() + min(radius, -places.min()) / 2),
        axis * (places.max() - min(radius, places.max()) / 2),
    ]
    first = np.concatenate([*ends, [_distances(near, *ends)[0].max()]])

    def volume(x: Numbers) -> tuple[float, Numbers]:
        along = x[3:6] - x[:3]
        length = max(float(np.linalg.norm(along)), POINT)
        by_end = x[6] ** 2 * along / length
        return x[6] ** 2 * (length + 4.0 / 3.0 * x[6]), np.concatenate(
            [-by_end, by_end, [2.0 * x[6] * length + 4.0 * x[6] ** 2]]
        )

    def room(x: Numbers) -> Numbers:
        return np.asarray(x[6] - _distances(near, x[:3], x[3:6])[0])

    def room_slope(x: Numbers) -> Numbers:
        distances, place = _distances(near, x[:3], x[3:6])
        away = near - x[:3] - place[:, None] * (x[3:6] - x[:3])
        away /= np.maximum(distances, POINT)[:, None]
        by_start, by_end = (1.0 - place[:, None]) * away, place[:, None] * away
        return np.hstack([by_start, by_end, np.ones((len(near), 1))])

    found = minimize(
        volume, first, jac=True, method="SLSQP", options={"maxiter": 100, "ftol": 1e-7},
        constraints={"type": "ineq", "fun": room, "jac": room_slope},
    ).x  # fmt: skip
    candidates = [first, found] if np.isfinite(found).all() else [first]
    segments = [(centre + scale * x[:3], centre + scale * x[3:6]) for x in candidates]
    return min(
        ((*ends, float(_distances(points, *ends)[0].max())) for ends in segments),
        key=lambda found: _volume(*found),
    )


def _cut(triangles: Numbers, longest: float) -> Numbers:
    """The same surface in triangles whose edges are at most `longest` [m]."""
    done = []
    while len(triangles):
        following = np.roll(triangles, -1, axis=1)
        lengths = np.linalg.norm(following - triangles, axis=2)
        short = lengths.max(axis=1) <= max(longest, POINT)
        done.append(triangles[short])
        rows, edge = np.flatnonzero(~short), lengths[~short].argmax(axis=1)
        a, b, c = (triangles[rows, (edge + corner) % 3] for corner in range(3))
        middle = 0.5 * (a + b)
        triangles = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return np.concatenate(done)


def _starts(triangles: Numbers, count: int) -> Iterator[Labels]:
    """First sortings (N,) of the triangles: slices of equal extent along each principal axis, and k-means."""
    centres = triangles.mean(axis=1)
    centres = centres - centres.mean(axis=0)
    first, second, third = np.moveaxis(triangles, 1, 0)
    areas = np.linalg.norm(np.cross(second - first, third - first), axis=1)
    for seed in range(SEEDS if areas.sum() > 0.0 else 0):
        rng = np.random.default_rng(seed)
        drawn = centres[rng.choice(len(centres), DRAWN, p=areas / areas.sum())]
        means = kmeans2(drawn, count, rng=rng, minit="++")[0]
        yield np.argmin(np.linalg.norm(centres[:, None] - means, axis=2), axis=1)
    for axis in np.linalg.svd(centres, full_matrices=False)[2]:
        places = centres @ axis
        borders = np.linspace(places.min(), places.max(), count + 1)[1:-1]
        yield np.searchsorted(borders, places)


def _sorted_fit(triangles: Numbers, labels: Labels) -> tuple[Capsule, ...]:
    """Fits capsules, gives each triangle to the one it is deepest in, and so on, as k-means does."""
    best: tuple[Capsule, ...] = ()
    corners = triangles.reshape(-1, 3)
    for _ in range(ROUNDS):
        capsules = tuple(fitted(triangles[labels == label]) for label in np.unique(labels))
        if best and filled(capsules) >= filled(best):
            break
        best = capsules
        depths = [capsule.outside(corners).reshape(-1, 3).max(axis=1) for capsule in capsules]
        labels = np.argmin(depths, axis=0)
    return best
