"""Meshes of a URDF: where their files are, and the triangles of every shape that MuJoCo made of them."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlparse

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from sim.robots.capsules import Numbers

FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])  # of an STL file
Signs = tuple[float, float, float]
UPRIGHT: Signs = (1.0, 1.0, 1.0)
ROUND = 48  # sides of what stands for a circle


def find_mesh(name: str, urdf: Path, meshes: Path | None) -> Path:
    """File of a mesh as a URDF names it: package://, file://, or relative. ValueError if it is nowhere."""
    tried = list(_places(name, urdf.resolve(), meshes))
    for place in tried:
        if place.is_file():
            return place
    raise ValueError(
        f"{urdf}: the mesh {name!r} was not found above the URDF"
        f"{f' nor in {meshes}' if meshes else ''}; name the folder that holds its package with --meshes"
    )


def _places(name: str, urdf: Path, meshes: Path | None) -> Iterator[Path]:
    parsed = urlparse(name)
    if parsed.scheme == "file":
        yield Path(unquote(parsed.path))
        return
    if parsed.scheme not in ("package", "model"):
        for folder in (urdf.parent, *([meshes] if meshes else ())):
            yield folder / name
        return
    package, inside = parsed.netloc, unquote(parsed.path).lstrip("/")
    if meshes:
        yield meshes / package / inside
        yield meshes / inside
    for folder in urdf.parents:
        if folder.name == package:
            yield folder / inside
        yield folder / package / inside


def mesh_bytes(file: Path, name: str, signs: Signs = UPRIGHT) -> tuple[str, bytes]:
    """A mesh as MuJoCo takes it: a file name with its ending, and the bytes. Others are read by trimesh.

    `signs` (x, y, z) of its scale: MuJoCo takes none that is negative, so that they are worked in here.
    """
    ending, data = file.suffix.lower(), file.read_bytes()
    if ending == ".obj":
        try:
            return f"{name}.obj", _one_object(data.decode("utf-8", "replace"), signs).encode()
        except ValueError as error:
            raise ValueError(f"{file} cannot be read ({error})") from error
    if ending != ".stl" or _is_text(data):
        try:
            import trimesh  # optional

            scene = trimesh.load_scene(file)
            data = bytes(trimesh.exchange.stl.export_stl(scene.to_geometry()))
        except Exception as error:
            raise ValueError(
                f"{file} cannot be read ({error}); binary STL and OBJ can, .dae with trimesh and pycollada"
            ) from error
    return f"{name}.stl", _mirrored(data, signs)


def _mirrored(data: bytes, signs: Signs) -> bytes:
    """A binary STL file with signs worked in; its triangles keep their outer side."""
    count = int.from_bytes(data[80:84], "little")
    if signs == UPRIGHT or len(data) < 84 + FACET.itemsize * count:
        return data  # of a file cut short MuJoCo says so
    table = np.frombuffer(data, FACET, count, 84).copy()
    order = [0, 1, 2] if math.prod(signs) > 0 else [0, 2, 1]
    table["corners"] = table["corners"][:, order] * np.array(signs)
    return data[:84] + table.tobytes()


def _one_object(text: str, signs: Signs) -> str:
    """An OBJ file of all triangles of all objects of one: MuJoCo reads the first object alone."""
    corners, faces = list[str](), list[tuple[int, ...]]()
    for number, line in enumerate(text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines(), 1):
        key, *words = line.partition("#")[0].split() or [""]
        if key == "v":
            corners.append(" ".join(f"{s * float(word):.9g}" for s, word in zip(signs, words, strict=False)))
        elif key == "f":
            places = [int(word.partition("/")[0]) for word in words]
            places = [len(corners) + 1 + place if place < 0 else place for place in places]
            if len(places) < 3 or min(places) < 1:
                raise ValueError(f"line {number} is no face")
            faces += [(places[0], *pair[:: int(math.prod(signs))]) for pair in pairwise(places[1:])]
        elif key in ("surf", "curv", "curv2"):
            raise ValueError(f"line {number} begins a free-form surface; only triangles and polygons can")
    if not faces or max(map(max, faces)) > len(corners):
        raise ValueError("its faces name a corner that is not there" if faces else "it has no faces")
    lines = [f"v {corner}" for corner in corners] + [f"f {a} {b} {c}" for a, b, c in faces]
    return "\n".join(lines) + "\n"


def _is_text(data: bytes) -> bool:
    """Whether an STL file is the ASCII kind: the length of the binary kind follows from its count."""
    count = int.from_bytes(data[80:84], "little")
    return data[:5] == b"solid" and len(data) != 84 + 50 * count


def link_triangles(model: mujoco.MjModel, body: int) -> Numbers:
    """Triangles (N, 3, 3) [m] around all shapes of a body, in its frame; round ones in flat faces."""
    found = [np.zeros((0, 3, 3))]
    for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
        found.append(_triangles(model, geom) @ rotation.reshape(3, 3).T + model.geom_pos[geom])
    return np.concatenate(found)


def _triangles(model: mujoco.MjModel, geom: int) -> Numbers:
    """Of one geom in its own frame."""
    size = model.geom_size[geom]
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            corners = model.mesh_vert[first : first + count].astype(float)
            face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
            return np.asarray(corners[model.mesh_face[face : face + faces]])
        case mujoco.mjtGeom.mjGEOM_BOX:
            points = size * (2.0 * np.indices((2, 2, 2)).reshape(3, -1).T - 1.0)
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            points = np.concatenate([_circle(size[0], height) for height in (-size[1], size[1])])
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            points = _ball(size[0])
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            points = np.concatenate(
                [_ball(size[0]) + np.array([0, 0, height]) for height in (-size[1], size[1])]
            )
        case other:
            raise ValueError(
                f"a shape of the kind {other.name} cannot be enclosed; allowed are meshes and primitives"
            )
    return np.asarray(points[ConvexHull(points).simplices])


def _circle(radius: float, height: float) -> Numbers:
    """Corners (N, 3) of a polygon around a circle."""
    angles = np.linspace(0.0, 2.0 * np.pi, ROUND, endpoint=False)
    outer = radius / np.cos(np.pi / ROUND)
    return np.column_stack([outer * np.cos(angles), outer * np.sin(angles), np.full(ROUND, height)])


def _ball(radius: float) -> Numbers:
    """Corners (N, 3) of a polyhedron around a sphere."""
    number = np.arange(0.5, 8 * ROUND)
    polar, turn = np.arccos(1.0 - 2.0 * number / len(number)), np.pi * (1.0 + np.sqrt(5.0)) * number
    points = np.column_stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
    nearest = -ConvexHull(points).equations[:, 3].max()  # of its faces to the centre
    return np.asarray(radius / nearest * points)
