"""Tool poses and extreme points of the UR5e and the FR3, from what their makers publish. Downloads nothing.

    python tests/data/make_arm_reference.py ur_description franka_description

Writes ``ur5e_reference.npz`` and ``fr3_reference.npz``: postures `q` (100, J) [rad], the tool's pose `tool`
(100, 4, 4) in the base frame, and for every link the corners [10 um] of the convex hulls of its slices, as
``LINK:SLICE``. Poses come from the makers' Denavit-Hartenberg parameters, not from a URDF. Figures alone are
kept, no mesh file. Sources: ur_description 2.4.5 (meshes/ur5e/visual; BSD-3-Clause;
DH parameters: the maker's article on kinematics and dynamics) and franka_description
(fr3 and franka_hand; Copyright Franka Robotics GmbH, Apache-2.0; DH parameters: its Franka Control Interface
pages). Needs trimesh and pycollada. A mesh that is not there as a DAE is taken from the collision folder.
"""

import sys
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import ConvexHull

HERE = Path(__file__).parent
UNIT = 1e-5  # [m] of the table
SLICES, CORNERS, LONGEST = 6, 40, 0.01  # of a link, of a slice, and [m] of an edge before slicing
HALF = np.pi / 2
# Each joint: length a [m], offset d [m], and twist alpha [rad].
UR5E = (
    (0, 0.1625, HALF),
    (-0.425, 0, 0),
    (-0.3922, 0, 0),
    (0, 0.1333, HALF),
    (0, 0.0997, -HALF),
    (0, 0.0996, 0),
)
FR3 = (
    (0, 0.333, 0), (0, 0, -HALF), (0, 0.316, HALF), (0.0825, 0, HALF), (-0.0825, 0.384, -HALF), (0, 0, HALF),
    (0.088, 0, HALF),
)  # fmt: skip
LOW = {"ur5e": [-6.28] * 2 + [-3.14] + [-6.28] * 3, "fr3": [-2.74, -1.78, -2.9, -3.04, -2.8, 0.55, -3.01]}
HIGH = {"ur5e": [6.28] * 2 + [3.14] + [6.28] * 3, "fr3": [2.74, 1.78, 2.9, -0.16, 2.8, 4.51, 3.01]}
# Link -> mesh, where its origin is in the link [m], and how it is turned: roll, pitch, yaw [rad]
UR_MESHES = {
    "base_link_inertia": ("base", (0, 0, 0), (0, 0, np.pi)),
    "shoulder_link": ("shoulder", (0, 0, 0), (0, 0, np.pi)),
    "upper_arm_link": ("upperarm", (0, 0, 0.138), (HALF, 0, -HALF)),
    "forearm_link": ("forearm", (0, 0, 0.007), (HALF, 0, -HALF)),
    "wrist_1_link": ("wrist1", (0, 0, -0.127), (HALF, 0, 0)),
    "wrist_2_link": ("wrist2", (0, 0, -0.0997), (0, 0, 0)),
    "wrist_3_link": ("wrist3", (0, 0, -0.0989), (HALF, 0, 0)),
}


def turned(axis: int, angle: float) -> np.ndarray:
    """A turn (4, 4) about x, y or z."""
    pose, (i, j) = np.eye(4), ((1, 2), (2, 0), (0, 1))[axis]
    pose[i, i] = pose[j, j] = np.cos(angle)
    pose[i, j], pose[j, i] = -np.sin(angle), np.sin(angle)
    return pose


def moved(x: float, y: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def ur5e_tool(q: np.ndarray) -> np.ndarray:
    """tool0 in base_link, which is turned by half a turn against the frame of the DH parameters."""
    pose = turned(2, np.pi)
    for angle, (a, d, alpha) in zip(q, UR5E, strict=True):
        pose = pose @ turned(2, angle) @ moved(a, 0, d) @ turned(0, alpha)
    return pose


def fr3_tool(q: np.ndarray) -> np.ndarray:
    """hand_tcp in fr3_link0; parameters in Craig's convention, hand turned by -45 degrees on the flange."""
    pose = np.eye(4)
    for angle, (a, d, alpha) in zip(q, FR3, strict=True):
        pose = pose @ turned(0, alpha) @ moved(a, 0, 0) @ turned(2, angle) @ moved(0, 0, d)
    return pose @ moved(0, 0, 0.107) @ turned(2, -np.pi / 4) @ moved(0, 0, 0.1034)


def slices(file: Path, pose: np.ndarray) -> list[np.ndarray]:
    """Corners (N, 3) in the table's unit: of the hulls of slices across the longest side of a mesh."""
    mesh = trimesh.load_scene(file).to_geometry()
    mesh.apply_transform(pose)
    vertices, faces = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, LONGEST, max_iter=20)
    corners = vertices[faces]
    axis = np.ptp(vertices, axis=0).argmax()
    places = corners[:, :, axis].mean(axis=1)
    number = np.searchsorted(np.linspace(places.min(), places.max(), SLICES + 1)[1:-1], places)
    return [few(corners[number == part].reshape(-1, 3)) for part in range(SLICES) if (number == part).any()]


def few(points: np.ndarray) -> np.ndarray:
    """Up to CORNERS of the hull's corners: each time the one farthest outside what has been taken."""
    points = points[ConvexHull(points).vertices]
    chosen = sorted({int(i) for axis in points.T for i in (axis.argmin(), axis.argmax())})
    while len(chosen) < CORNERS:
        planes = ConvexHull(points[chosen], qhull_options="QJ").equations
        outside = (points @ planes[:, :3].T + planes[:, 3]).max(axis=1)
        if outside.max() < UNIT:
            break
        chosen.append(int(outside.argmax()))
    return np.round(points[chosen] / UNIT).astype(np.int32)


def ur5e_parts(folder: Path) -> dict[str, list[np.ndarray]]:
    return {
        link: slices(
            folder / f"meshes/ur5e/visual/{mesh}.dae",
            moved(*place) @ turned(2, turn[2]) @ turned(1, turn[1]) @ turned(0, turn[0]),
        )
        for link, (mesh, place, turn) in UR_MESHES.items()
    }


def fr3_parts(folder: Path) -> dict[str, list[np.ndarray]]:
    arm, hand = folder / "meshes/robot_arms/fr3", folder / "meshes/robot_ee/franka_hand_white"
    parts = {}
    for number in range(8):
        seen = arm / f"visual/link{number}.dae"
        parts[f"fr3_link{number}"] = slices(
            seen if seen.is_file() else arm / f"collision/link{number}.stl", np.eye(4)
        )
    parts["fr3_hand"] = slices(hand / "visual/hand.dae", np.eye(4))
    for side in ("left", "right"):
        parts[f"fr3_{side}finger"] = slices(hand / "visual/finger.dae", np.eye(4))
    return parts


def main() -> None:
    ur, franka = map(Path, sys.argv[1:3])
    for name, tool, parts in (("ur5e", ur5e_tool, ur5e_parts(ur)), ("fr3", fr3_tool, fr3_parts(franka))):
        q = np.random.default_rng(0).uniform(LOW[name], HIGH[name], (100, len(LOW[name])))
        table = {f"{link}:{part}": rows for link, found in parts.items() for part, rows in enumerate(found)}
        path = HERE / f"{name}_reference.npz"
        np.savez_compressed(path, q=q, tool=np.array([tool(row) for row in q]), **table)
        sizes = ", ".join(f"{link} {sum(map(len, found))}" for link, found in parts.items())
        sys.stdout.write(f"{path.name}, {path.stat().st_size} bytes; corners: {sizes}\n")


if __name__ == "__main__":
    main()
