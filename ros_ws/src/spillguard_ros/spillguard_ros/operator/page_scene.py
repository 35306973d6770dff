"""The cell in 3D: the primitive geoms of the world model, at the measured posture of the arm."""

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import mujoco
import numpy as np
import trimesh
import viser
from numpy.typing import NDArray

from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot, Vec

Rgba = tuple[float, float, float, float]
GHOST = 0.25  # opacity of bodies whose measured pose is stale
FLOOR = 2.0  # [m] half side of a plane that is infinite in the model
THIN = 0.002  # [m] half thickness of a plane
SEGMENTS = 20  # of round shapes


@dataclass(frozen=True, eq=False)
class Part:
    """The geoms of one body that share a colour, in the body's frame."""

    body: int
    vertices: NDArray[np.float64]  # (V, 3) [m]
    faces: NDArray[np.int64]  # (F, 3)
    rgba: Rgba


def _capsule(size: Vec) -> trimesh.Trimesh:
    mesh = trimesh.creation.capsule(height=2.0 * size[1], radius=size[0], count=[SEGMENTS, SEGMENTS])
    mesh.apply_translation(-mesh.bounds.mean(axis=0))  # MuJoCo's is centred
    return mesh


def _ellipsoid(size: Vec) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=2)
    mesh.apply_scale(size)
    return mesh


def _plane(size: Vec) -> trimesh.Trimesh:
    x, y = (2.0 * (half or FLOOR) for half in size[:2])
    return trimesh.creation.box((x, y, 2.0 * THIN))


def _edged(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """No shared vertices between faces, so that they are shaded flat."""
    mesh.unmerge_vertices()
    return mesh


SHAPES: dict[int, Callable[[Vec], trimesh.Trimesh]] = {
    mujoco.mjtGeom.mjGEOM_PLANE: _plane,
    mujoco.mjtGeom.mjGEOM_SPHERE: lambda size: trimesh.creation.icosphere(2, size[0]),
    mujoco.mjtGeom.mjGEOM_CAPSULE: _capsule,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: _ellipsoid,
    mujoco.mjtGeom.mjGEOM_CYLINDER: lambda size: _edged(
        trimesh.creation.cylinder(size[0], 2.0 * size[1], sections=SEGMENTS)
    ),
    mujoco.mjtGeom.mjGEOM_BOX: lambda size: _edged(trimesh.creation.box(2.0 * size)),
}


def parts(model: mujoco.MjModel) -> list[Part]:
    """Every geom of the model. ValueError for a non-primitive one: no obstacle may be left out."""
    groups: dict[tuple[int, Rgba], list[trimesh.Trimesh]] = defaultdict(list)
    for geom in range(model.ngeom):
        shape = SHAPES.get(int(model.geom_type[geom]))
        if shape is None:
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_GEOM, geom)
            kind = mujoco.mjtGeom(int(model.geom_type[geom])).name
            allowed = ", ".join(mujoco.mjtGeom(key).name for key in SHAPES)
            raise ValueError(f"geom {name!r} is a {kind}, the operator page draws {allowed}")
        mesh = shape(model.geom_size[geom])
        pose = np.eye(4)
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
        pose[:3, :3], pose[:3, 3] = rotation.reshape(3, 3), model.geom_pos[geom]
        mesh.apply_transform(pose)
        red, green, blue, alpha = model.geom_rgba[geom].tolist()
        groups[int(model.geom_bodyid[geom]), (red, green, blue, alpha)].append(mesh)
    found = []
    for (body, rgba), meshes in groups.items():
        merged: trimesh.Trimesh = trimesh.util.concatenate(meshes)  # type: ignore[assignment]
        found.append(Part(body, np.asarray(merged.vertices), np.asarray(merged.faces), rgba))
    return found


class Sight(Enum):
    """Whether a pose was measured."""

    NEVER = "never"  # not drawn
    ONCE = "once"  # drawn as a ghost at its last pose
    NOW = "now"


@dataclass(frozen=True, eq=False)
class Poses:
    """Pose of every body in the base frame. B bodies."""

    position: Vec  # (B, 3) [m]
    quaternion: Vec  # (B, 4) w, x, y, z
    arm: Sight
    receiver: Sight


class CellKinematics:
    """Forward kinematics of the world model. Not thread-safe: one scratch state is reused."""

    def __init__(self, model: mujoco.MjModel, robot: Robot, task: Task) -> None:
        self._model = copy.deepcopy(model)  # bodies placed where they are sensed are moved in it
        self._data = mujoco.MjData(self._model)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        self._qpos = model.jnt_qposadr[joints]
        self.receiver = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, next(iter(task.placed), ""))
        first = int(model.jnt_bodyid[joints[0]])
        self.moving = {body for body in range(model.nbody) if _descends(model, body, first)}

    def sight(self, body: int, poses: "Poses") -> Sight:
        """Whether the pose of a body is known."""
        if body in self.moving:
            return poses.arm
        return poses.receiver if body == self.receiver else Sight.NOW

    def poses(self, q: Vec | None, target: Vec | None, arm: Sight, receiver: Sight) -> Poses:
        """From the newest joint positions (J,) [rad] and rim centre (3,) [m]; None if never measured."""
        if q is not None:
            self._data.qpos[self._qpos] = q
        if target is not None and self.receiver >= 0:
            self._model.body_pos[self.receiver, :2] = target[:2]
        mujoco.mj_kinematics(self._model, self._data)
        return Poses(self._data.xpos.copy(), self._data.xquat.copy(), arm, receiver)


def _descends(model: mujoco.MjModel, body: int, ancestor: int) -> bool:
    while body > 0:
        if body == ancestor:
            return True
        body = int(model.body_parentid[body])
    return False


class CellView:
    """One client's view of the cell."""

    def __init__(self, api: viser.SceneApi, shapes: list[Part], cell: CellKinematics) -> None:
        self._cell = cell
        self._frames = {
            body: api.add_frame(f"/cell/{body}", show_axes=False) for body in {part.body for part in shapes}
        }
        self._meshes = [
            (part, api.add_mesh_simple(
                f"/cell/{part.body}/{number}", part.vertices.astype(np.float32), part.faces.astype(np.uint32),
                color=tuple(round(255 * value) for value in part.rgba[:3]),  # type: ignore[arg-type]
                opacity=_opacity(part), side="double" if part.rgba[3] < 1.0 else "front", flat_shading=False,
                cast_shadow=False, receive_shadow=False,
            ))
            for number, part in enumerate(shapes)
        ]  # fmt: skip
        self._seen: tuple[Sight, Sight] | None = None

    def draw(self, poses: Poses) -> None:
        """Update all poses."""
        for body, frame in self._frames.items():
            frame.position, frame.wxyz = poses.position[body], poses.quaternion[body]
        if (poses.arm, poses.receiver) == self._seen:
            return
        self._seen = poses.arm, poses.receiver
        for body, frame in self._frames.items():
            frame.visible = self._cell.sight(body, poses) is not Sight.NEVER
        for part, mesh in self._meshes:
            now = self._cell.sight(part.body, poses) is Sight.NOW
            mesh.opacity = _opacity(part) if now else min(GHOST, part.rgba[3])


def _opacity(part: Part) -> float | None:
    return None if part.rgba[3] >= 1.0 else part.rgba[3]
