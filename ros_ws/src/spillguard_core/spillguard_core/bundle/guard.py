"""The monitor's world model from its MJCF: self-contained, and every shape can collide with the arm.

The file is parsed against an allow list of what a world model of primitive shapes needs, and MuJoCo receives
the rebuilt XML, not the file. So `include`, meshes, textures, height fields, plugins, and anything else that
names a file or disables contacts, are refused by name. The compiled model is then checked by MuJoCo's own
rule that every shape can collide with the arm. The same applies to any file that replaces a bundle's
`guard.xml`.
"""

from collections.abc import Iterator
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.bundle.files import read_file
from spillguard_core.bundle.manifest import BundleError, refusing
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot

POSE = {"pos", "quat", "axisangle", "euler", "xyaxes", "zaxis"}
SHAPE = {"name", "class", "type", "size", "fromto", "group", "rgba"} | POSE
ALLOWED = {
    "mujoco": {"model"},
    "compiler": {"angle", "autolimits", "eulerseq"},
    "option": {"timestep", "tolerance", "integrator", "iterations", "ls_iterations", "gravity"},
    "default": {"class"},
    "worldbody": set(),
    "body": {"name", "childclass", "gravcomp"} | POSE,
    "inertial": {"mass", "diaginertia", "fullinertia"} | POSE,
    "joint": {"name", "class", "type", "pos", "axis", "limited", "range", "damping", "armature", "group"},
    "geom": SHAPE | {"contype", "conaffinity", "condim", "friction", "solref", "solimp", "mass", "density"},
    "site": SHAPE,
    "contact": set(),
    "exclude": {"name", "body1", "body2"},
}
"""Element -> its allowed attributes."""
ROUNDING = 1e-5  # [m]
DEEPEST = 64  # nesting depth of elements
MOST_GEOMS = 1000
FARTHEST = 100.0  # [m] from the base, and largest size; beyond it the units are probably wrong
BODY, GEOM, JOINT = mujoco.mjtObj.mjOBJ_BODY, mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_JOINT
LARGEST = 1 << 20  # bytes
Numbers = NDArray[np.float64]


def guard_model(data: bytes, name: str, robot: Robot, task: Task) -> mujoco.MjModel:
    """The compiled world model of the file `name`, or a `BundleError` that names the fault."""
    with refusing(f"{name} is not a usable world model"):
        model = mujoco.MjModel.from_xml_string(checked_xml(data))
        task.tool(model, robot)
        fault = next(_faults(model, robot, task), "")
    if fault:
        raise BundleError(f"{name} is not a usable world model: {fault}")
    return model


def checked_xml(data: bytes) -> str:
    """The XML rebuilt from allowed elements and attributes only."""
    text = data.decode("utf-8")
    if "<!DOCTYPE" in text:
        raise ValueError("a document type, which could define anything, is not allowed")
    root = ElementTree.fromstring(text)
    waiting = [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        _check_element(element, depth)
        waiting += [(child, depth + 1) for child in element]
    return ElementTree.tostring(root, encoding="unicode")


def _check_element(element: ElementTree.Element, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} elements inside one another")
    if element.tag not in ALLOWED:
        raise ValueError(f"the element <{element.tag}> is not allowed; allowed are {', '.join(ALLOWED)}")
    for attribute in element.attrib:
        if attribute not in ALLOWED[element.tag]:
            own = f" named {element.get('name')!r}" if "name" in element.attrib else ""
            raise ValueError(f"the attribute {attribute!r} of a <{element.tag}>{own} is not allowed")


def _faults(model: mujoco.MjModel, robot: Robot, task: Task) -> Iterator[str]:
    """Faults that would blind the model. Only the first is reported: later checks rely on earlier ones."""
    yield from _numbers(model)
    yield from _joints(model, robot)
    moving = _moving(model)
    around = ~(moving | _mount(model, moving))[model.geom_bodyid]
    yield from _places(model, moving, around)
    yield from _movable(model, moving, task)
    yield from _thinned(model, robot)
    yield from task.guard_faults(model, moving)
    yield from _meetings(model, moving, around)


def _numbers(model: mujoco.MjModel) -> Iterator[str]:
    tables = (
        (GEOM, model.geom_pos, model.geom_quat, model.geom_size),
        (BODY, model.body_pos, model.body_quat),
        (JOINT, model.jnt_pos, model.jnt_axis),
        (mujoco.mjtObj.mjOBJ_SITE, model.site_pos, model.site_quat),
    )
    for kind, *arrays in tables:
        for row, values in enumerate(np.hstack(arrays)):
            if not (np.abs(values) <= FARTHEST).all():
                yield f"{_named(model, kind, row)} has a place or size of {values.tolist()}, "\
                    f"allowed are numbers up to {FARTHEST:.0f} m"  # fmt: skip
    if model.ngeom > MOST_GEOMS:
        yield f"{model.ngeom} geoms, of which the monitor could not keep track; allowed are {MOST_GEOMS}"


def _joints(model: mujoco.MjModel, robot: Robot) -> Iterator[str]:
    """Only measured joints may move."""
    for joint in range(model.njnt):
        name = mujoco.mj_id2name(model, JOINT, joint)
        if name not in robot.joint_names:
            yield f"{_named(model, JOINT, joint)} is none of the arm's, so nobody knows where its body is"
        if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
            yield f"{_named(model, JOINT, joint)} must be a hinge"


def _moving(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """(nbody,) whether a body moves with the arm. Parents come before their children."""
    moving = model.body_jntnum > 0
    for body in range(1, model.nbody):
        moving[body] |= moving[model.body_parentid[body]]
    return np.asarray(moving)


def _mount(model: mujoco.MjModel, moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(nbody,) whether a body, not the world itself, carries the arm."""
    mount = np.zeros(model.nbody, dtype=bool)
    body = model.body_parentid[np.argmax(moving)]
    while body > 0:
        mount[body], body = True, model.body_parentid[body]
    return mount


def _places(model: mujoco.MjModel, moving: NDArray[np.bool_], around: NDArray[np.bool_]) -> Iterator[str]:
    """Every link must have a shape, and there must be something to collide with."""
    of_geoms = set(model.body_weldid[model.geom_bodyid].tolist())
    for body in np.flatnonzero(model.body_jntnum > 0).tolist():
        if body not in of_geoms:
            yield f"{_named(model, BODY, body)} of the arm, with all that is fixed to it, has no geom"
    if not around.any():
        yield "there is nothing but the arm, not even a table"


def _thinned(model: mujoco.MjModel, robot: Robot) -> Iterator[str]:
    """Parts of the robot's own model missing here: a joint in its place, a shape of its size.

    Compared in the base frame with every joint at 0, so that nothing between the bodies can shift them.
    Additional shapes are allowed: a tool, cables.
    """
    path = robot.folder / "model.xml"
    if not path.exists():
        return
    with refusing(f"{path} is not a usable model"):
        own = mujoco.MjModel.from_xml_string(checked_xml(read_file(path, LARGEST, follow=True)))
        if {own.joint(joint).name for joint in range(own.njnt)} != {*robot.joint_names}:
            raise ValueError(f"its joints have to be those of robot.yaml, {', '.join(robot.joint_names)}")
    wanted, here = _at_zero(own), _at_zero(model)
    for joint in range(own.njnt):
        name = own.joint(joint).name
        there = mujoco.mj_name2id(model, JOINT, name)
        place, other = _hinge(wanted, joint), _hinge(here, there)
        if there < 0 or not np.allclose(place, other, rtol=0.0, atol=ROUNDING):
            yield f"the joint {name!r} is not where the robot {robot.name} has it"
        elif _moved_by(own, own.jnt_bodyid[joint]) != _moved_by(model, model.jnt_bodyid[there]):
            yield f"the joint {name!r} is not moved by the joints that move it in the robot {robot.name}"
    shapes = [_shape(model, here, geom) for geom in range(model.ngeom)]
    for geom in range(own.ngeom):
        joints, kind, place = _shape(own, wanted, geom)
        alike = [other[2] for other in shapes if other[:2] == (joints, kind)]
        if not any(np.allclose(place, other, rtol=0.0, atol=ROUNDING) for other in alike):
            yield f"{_named(own, GEOM, geom)} of the robot {robot.name} is missing, elsewhere, or smaller"


def _at_zero(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return data


def _hinge(data: mujoco.MjData, joint: int) -> Numbers:
    return np.hstack([data.xanchor[joint], data.xaxis[joint]])


def _moved_by(model: mujoco.MjModel, body: int) -> tuple[str, ...]:
    """Names of the joints between a body and the world."""
    names: list[str] = []
    while body > 0:
        first = model.body_jntadr[body]
        names += [model.joint(joint).name for joint in range(first, first + model.body_jntnum[body])]
        body = model.body_parentid[body]
    return tuple(names)


def _shape(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> tuple[tuple[str, ...], int, Numbers]:
    """What moves a shape, its type, its place and size."""
    place = np.hstack([data.geom_xpos[geom], data.geom_xmat[geom], model.geom_size[geom]])
    return _moved_by(model, model.geom_bodyid[geom]), int(model.geom_type[geom]), place


def _movable(model: mujoco.MjModel, moving: NDArray[np.bool_], task: Task) -> Iterator[str]:
    for name in task.placed:
        body = mujoco.mj_name2id(model, BODY, name)
        if body >= 0 and (moving[body] or model.body_parentid[body] != 0):
            yield f"the body {name!r} is put where it is sensed, so it must stand in <worldbody>"


def _meetings(model: mujoco.MjModel, moving: NDArray[np.bool_], around: NDArray[np.bool_]) -> Iterator[str]:
    """MuJoCo's rule for a pair, as in its manual under "Collision detection": bodies first, then classes.

    Every shape of the arm must be able to collide with something `around` (ngeom,) it, and vice versa.
    """
    of, types, wanted = model.geom_bodyid, model.geom_contype, model.geom_conaffinity
    arm = np.flatnonzero(moving[of])
    met = np.zeros(model.ngeom, dtype=bool)
    for geom in arm.tolist():
        candidates = _candidates(model, of[geom])
        classes = ((types[geom] & wanted) | (types & wanted[geom])) != 0
        blind = np.flatnonzero(candidates & ~classes)
        if len(blind):
            yield f"{_kind(model, blind[0])} and {_kind(model, geom)} of the arm can never meet; " \
                "give them matching classes, or exclude the pair of their bodies by name"  # fmt: skip
        met |= candidates & ~moving[of]
        met[geom] = (candidates & around).any()
    for geom in np.flatnonzero(~met).tolist():
        yield f"{_kind(model, geom)} is excluded from everything that it could meet"


def _candidates(model: mujoco.MjModel, body: int) -> NDArray[np.bool_]:
    """(ngeom,) geoms that a geom of this moving body may collide with by the rule on bodies alone."""
    welded, of = model.body_weldid, model.body_weldid[model.geom_bodyid]
    mine, parent = welded[body], welded[model.body_parentid[welded[body]]]
    parents = welded[model.body_parentid[of]]
    near = (of == mine) | ((of == parent) & (parent != 0)) | ((parents == mine) & (of != 0))
    first, second = model.exclude_signature >> 16, model.exclude_signature & 0xFFFF
    hidden = np.concatenate([second[first == body], first[second == body]])
    return np.asarray(~near & ~np.isin(model.geom_bodyid, hidden))


def _named(model: mujoco.MjModel, kind: mujoco.mjtObj, index: int) -> str:
    what = kind.name.removeprefix("mjOBJ_").lower()
    name = mujoco.mj_id2name(model, kind, index)
    if name or kind == BODY:
        return f"the {what} {name!r}" if name else f"the {what} without name, number {index}"
    owner = {GEOM: model.geom_bodyid, JOINT: model.jnt_bodyid}.get(kind, model.site_bodyid)[index]
    return f"the {what} without name, number {index}, on {_named(model, BODY, owner)}"


def _kind(model: mujoco.MjModel, geom: int) -> str:
    types, wanted = model.geom_contype[geom], model.geom_conaffinity[geom]
    return f"{_named(model, GEOM, int(geom))} (contype {types}, conaffinity {wanted})"
