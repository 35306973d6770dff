"""Exact distances between boxes, which MuJoCo does not tell.

Its contacts of two boxes come from clipping a face of the one against the other. Near corners what they call
the distance may be millimetres too large, or nothing is told, or two boxes that are apart count as deep in
one another (version 3.9, whose `mj_geomDistance` fails for some, too). The distances of all other shapes of a
world model hold to a few micrometres.
"""

from collections.abc import Iterator
from itertools import chain, combinations

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.swept import CORNERS

Numbers = NDArray[np.float64]
PARALLEL = 1e-9  # sine of an angle
EDGES = np.array(
    [(a, b) for a, b in combinations(range(8), 2) if np.abs(CORNERS[a] - CORNERS[b]).sum() == 2.0]
)
"""(12, 2) numbers of the corners that an edge of a box connects."""


Told = tuple[tuple[int, int], float, float]
"""Two geoms of the model, their distance [m], negative in penetration, and the share of its direction that is
vertical."""


class Boxes:
    """The pairs of boxes in a MuJoCo model that move to one another and may touch."""

    def __init__(self, model: mujoco.MjModel, sight: float) -> None:
        """Pairs that are further apart than `sight` [m] are not told."""
        boxes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).tolist()
        found = [pair for pair in combinations(boxes, 2) if _may_touch(model, *pair)]
        self._model, self._sight = model, sight
        self._pairs: NDArray[np.int64] = np.array(found, dtype=np.int64).reshape(-1, 2)
        self._known = {*found}

    def __len__(self) -> int:
        return len(self._pairs)

    def told(self, data: mujoco.MjData) -> Iterator[Told]:
        """At the posture in `data`, whose contacts are up to date: those of boxes are replaced."""
        contact = data.contact
        pairs = map(tuple, np.sort(contact.geom, axis=1).tolist())
        contacts = zip(pairs, contact.dist.tolist(), contact.frame[:, 2].tolist(), strict=True)
        if not self:
            return contacts
        return chain((told for told in contacts if told[0] not in self._known), self._own(data))

    def _own(self, data: mujoco.MjData) -> Iterator[Told]:
        near = np.ones(len(self), dtype=bool)
        for here, there in (self._pairs.T, self._pairs.T[::-1]):
            # A ball round the one, and the other.
            turn, half = data.geom_xmat[there].reshape(-1, 3, 3), self._model.geom_size[there]
            local = np.einsum("nc,nck->nk", data.geom_xpos[here] - data.geom_xpos[there], turn)
            away = np.linalg.norm(local - np.clip(local, -half, half), axis=1)
            near &= away <= self._model.geom_rbound[here] + self._sight
        for first, second in self._pairs[near].tolist():
            half = self._model.geom_size[[first, second]]
            places, axes = data.geom_xpos[[first, second]], data.geom_xmat[[first, second]].reshape(2, 3, 3)
            gap, up = between(places, axes, half)
            if gap < self._sight:
                yield (first, second), gap, up


def between(places: Numbers, axes: Numbers, half: Numbers) -> tuple[float, float]:
    """Distance [m] of two boxes, negative in penetration, and the vertical share of its direction.

    Middles (2, 3) [m], axes as columns (2, 3, 3), half-lengths (2, 3) [m].
    """
    one, other = axes
    # Two boxes overlap if they do along every normal of a face and across every two edges.
    normals = np.concatenate([one.T, other.T, np.cross(one.T[:, None], other.T[None]).reshape(-1, 3)])
    lengths = np.linalg.norm(normals, axis=1)
    normals = normals[lengths > PARALLEL] / lengths[lengths > PARALLEL, None]
    apart = np.abs(normals @ (places[1] - places[0]))
    apart -= np.abs(normals @ one) @ half[0] + np.abs(normals @ other) @ half[1]
    widest = int(apart.argmax())
    if apart[widest] <= 0.0:
        return float(apart[widest]), float(normals[widest, 2])
    # Apart: the shortest connection ends at a corner of one of them, or at an edge of both.
    corners = [at + (CORNERS * size) @ turn.T for at, turn, size in zip(places, axes, half, strict=True)]
    ways = []
    for here, there in ((0, 1), (1, 0)):
        local = (corners[here] - places[there]) @ axes[there]
        ways.append((np.clip(local, -half[there], half[there]) - local) @ axes[there].T)
    ends = [ends[EDGES] for ends in corners]
    ways.append(_across(ends[0][:, None], ends[1][None]).reshape(-1, 3))
    every = np.concatenate(ways)
    lengths = np.linalg.norm(every, axis=1)
    nearest = int(lengths.argmin())
    return float(lengths[nearest]), float(every[nearest, 2] / max(lengths[nearest], PARALLEL))


def _across(one: Numbers, other: Numbers) -> Numbers:
    """Shortest ways (..., 3) [m] between edges of two ends (..., 2, 3) where they end within both, else ways
    between some other points on them: where an end is nearest, the way from that corner is the shortest."""
    u, v = one[..., 1, :] - one[..., 0, :], other[..., 1, :] - other[..., 0, :]
    w = one[..., 0, :] - other[..., 0, :]
    a, b, c = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    d, e = (u * w).sum(-1), (v * w).sum(-1)
    bent = np.maximum(a * c - b * b, PARALLEL * a * c)
    s, t = np.clip((b * e - c * d) / bent, 0.0, 1.0), np.clip((a * e - b * d) / bent, 0.0, 1.0)
    found: Numbers = w + s[..., None] * u - t[..., None] * v
    return found


def _may_touch(model: mujoco.MjModel, one: int, other: int) -> bool:
    """MuJoCo's rule for a pair, as in its manual under "Collision detection"."""
    bodies = model.geom_bodyid[[one, other]]
    welded = model.body_weldid[bodies].tolist()
    parents = model.body_weldid[model.body_parentid[welded]].tolist()
    related = any(welded[a] == parents[b] != 0 for a, b in ((0, 1), (1, 0)))
    low, high = sorted(bodies.tolist())
    hidden = {(low << 16) + high, (high << 16) + low} & {*model.exclude_signature.tolist()}
    types, wanted = model.geom_contype[[one, other]], model.geom_conaffinity[[one, other]]
    classes = bool((types & wanted[::-1]).any())
    return welded[0] != welded[1] and not related and not hidden and classes
