"""Extreme points of the Gen3 and of its gripper, measured on the makers' meshes. Nothing is downloaded here.

    python tests/data/make_hulls.py ros2_kortex/kortex_description ros2_robotiq_gripper/robotiq_description

Writes ``tests/data/gen3_hulls.npz``, every vertex of the convex hull of every part, and
``sim/gen3_hulls.xml``, a choice of them whose hull lies within `NEAR` of it, for the simulated cell.
Both hold figures taken from meshes, no mesh file. Sources: the meshes of Kinova's kortex_description
(gen3/7dof, the bracelet with the vision module; Copyright 2018 Kinova inc., BSD-3-Clause) and of PickNik's
robotiq_description (2f_85; Copyright 2022 PickNik Robotics, BSD-3-Clause).
"""

import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from scipy.spatial import ConvexHull

ROOT = Path(__file__).parents[2]
NEAR = 0.001  # [m]
UNIT = 1e-5  # [m] of the table
ARM = {
    name: f"{name}.STL" for name in
    ("base_link", "shoulder_link", "half_arm_1_link", "half_arm_2_link", "forearm_link",
     "spherical_wrist_1_link", "spherical_wrist_2_link")
} | {"bracelet_link": "bracelet_with_vision_link.STL"}  # fmt: skip
# Of robotiq_2f_85_macro.urdf.xacro, for the left finger [m]: where the joints are, each from the one before.
KNUCKLE, INNER_KNUCKLE = np.array([0.03060114, 0, 0.05490452]), np.array([0.0127, 0, 0.06142])
FINGER, TIP = np.array([0.03152616, 0, -0.00376347]), np.array([0.00563134, 0, 0.04718515])
OPENINGS = (0.0, 0.06)  # [rad] of the knuckles: wide open, and closed on the cup of 80 mm


def triangles(path: Path) -> np.ndarray:
    """Corners (N * 3, 3) [m] of a binary STL file."""
    facet = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    return np.frombuffer(path.read_bytes()[84:], facet)["corners"].reshape(-1, 3).astype(float)


def hull(points: np.ndarray) -> np.ndarray:
    """Its vertices (N, 3), in the table's unit."""
    rounded = np.unique(np.round(points / UNIT), axis=0)
    return rounded[ConvexHull(rounded).vertices].astype(np.int16)


def gripper(folder: Path) -> dict[str, np.ndarray]:
    """Parts in the frame of the cell's tool: x along the flange's axis, y between the fingers."""
    parts = {"palm": triangles(folder / "robotiq_base.stl")}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        for name in ("knuckle", "inner_knuckle", "finger", "finger_tip"):
            mesh = triangles(folder / f"{side}_{name}.stl")
            parts[f"{side}_{name}"] = np.concatenate([
                placed(name, mesh, sign * opening, mirror) for opening in OPENINGS
            ])  # fmt: skip
    return {name: points[:, [2, 0, 1]] for name, points in parts.items()}


def placed(name: str, mesh: np.ndarray, angle: float, mirror: np.ndarray) -> np.ndarray:
    """One part of a finger in the gripper's frame. The tip keeps its direction, the rest turns about -y."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    match name:
        case "knuckle":
            return mesh @ turn.T + mirror * KNUCKLE
        case "inner_knuckle":
            return mesh @ turn.T + mirror * INNER_KNUCKLE
        case "finger":
            return (mesh + mirror * FINGER) @ turn.T + mirror * KNUCKLE
        case _:
            return mesh + (mirror * (FINGER + TIP)) @ turn.T + mirror * KNUCKLE


def thinned(vertices: np.ndarray) -> np.ndarray:
    """As few of the vertices as a greedy choice needs: each time the one farthest outside what it has."""
    points = vertices * UNIT
    chosen = sorted({int(i) for axis in points.T for i in (axis.argmin(), axis.argmax())})
    while True:
        planes = ConvexHull(points[chosen]).equations
        outside = (points @ planes[:, :3].T + planes[:, 3]).max(axis=1)
        if outside.max() <= NEAR:
            return vertices[chosen]
        chosen.append(int(outside.argmax()))


def mesh_xml(name: str, vertices: np.ndarray) -> str:
    """MJCF."""
    text = "  ".join(" ".join(f"{x:.5g}" for x in point) for point in vertices * UNIT)
    return f'    <mesh name={quoteattr(name)} inertia="convex" vertex={quoteattr(text)}/>\n'


def main() -> None:
    kortex, robotiq = map(Path, sys.argv[1:3])
    meshes = kortex / "arms/gen3/7dof/meshes"
    parts = {name: triangles(meshes / file) for name, file in ARM.items()}
    parts |= gripper(robotiq / "meshes/collision/2f_85")
    table = {name: hull(points) for name, points in parts.items()}
    few = {name: thinned(vertices) for name, vertices in table.items()}
    np.savez_compressed(Path(__file__).with_name("gen3_hulls.npz"), **table)
    source = "Made by tests/data/make_hulls.py, which names the makers' meshes and their licence."
    head = f"<mujoco>\n  <!-- {source} -->\n  <asset>\n"
    text = "".join(mesh_xml(name, vertices) for name, vertices in few.items())
    (ROOT / "sim/gen3_hulls.xml").write_text(f"{head}{text}  </asset>\n</mujoco>\n")
    sizes = [f"{name:24} {len(table[name]):5} vertices, {len(few[name]):4} for the cell" for name in table]
    sys.stdout.write("\n".join(sizes) + "\n")


if __name__ == "__main__":
    main()
