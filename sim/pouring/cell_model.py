"""The pouring cell as a MuJoCo model: arm, gripper with a held cup, granules, receiving cup, table.

Base frame: origin under the arm, table top at z = 0, x forwards. SI units. Geometry that the task's design
leaves open (receiving cup, fixtures) is our choice.
"""

from functools import cache

import mujoco
import numpy as np

from sim.pouring.gen3 import (
    FLANGE_OFFSET,
    JOINT_NAMES,
    Colour,
    Rod,
    add_arm,
    add_hull,
    add_position_loops,
    add_rod,
    gripper_parts,
)

TIMESTEP = 0.005  # [s]

SOURCE_RADIUS = 0.035  # [m] inner
SOURCE_HEIGHT = 0.095  # [m] inner
RECEIVER_RADIUS = 0.042
RECEIVER_HEIGHT = 0.095
WALL = 0.005
STAVES = 12  # boxes that form a round wall
PLATE_HEIGHT = 0.02  # of the load cell
RIM_HEIGHT = PLATE_HEIGHT + WALL + RECEIVER_HEIGHT  # [m] above the table
GRIP_DISTANCE = 0.145  # [m] flange to the axis of the held cup
GRANULE_RADIUS = 0.009  # [m] nominal; scenarios vary it
GRANULE_DENSITY = 1000.0  # [kg/m^3]

ARM_ROOT = "base_link"  # body that carries the whole arm
FIRST, NET_FORCE = 0, 3  # reduction of contacts in a contact sensor: MJCF's `none` and `netforce`

# The guard's gripper in the tool's frame [m]: encloses a Robotiq 2F-85 from fully open to closed on the cup.
PALM = Rod((0.0243, 0, 0), (0.0510, 0, 0), 0.0444)
LEFT_FINGER = (
    Rod((0.0612, 0.0135, 0), (0.1007, 0.0438, 0), 0.0187),  # inner knuckle
    Rod((0.0556, 0.0590, 0), (0.0942, 0.0648, 0), 0.0188),  # knuckle and finger
    Rod((0.1008, 0.0592, 0), (0.1370, 0.0427, 0), 0.0178),  # tip
)

# Collision classes as bit masks: (contype, conaffinity).
GRANULE, TOOL, LINK, FIXED = (1, 1), (2, 7), (2, 6), (4, 7)

COFFEE: Colour = (0.28, 0.16, 0.09, 1)
STEEL: Colour = (0.55, 0.58, 0.62, 1)
DARK: Colour = (0.16, 0.17, 0.19, 1)
PORCELAIN: Colour = (0.93, 0.93, 0.90, 0.55)
GLASS: Colour = (0.55, 0.75, 0.90, 0.40)


def _box(
    body: mujoco.MjsBody, name: str, pos: list[float], size: list[float], rgba: Colour
) -> mujoco.MjsGeom:
    return body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=size, rgba=rgba, mass=0)


def add_cup(
    body: mujoco.MjsBody,
    name: str,
    radius: float,
    height: float,
    floor: float,
    rgba: Colour = PORCELAIN,
    solid: bool = False,
) -> None:
    """Round cup of flat staves; `floor` [m] is the height of its inner bottom in the body's frame.

    A `solid` one is the enclosing cylinder. From outside both are equal, but MuJoCo computes distances
    between cylinders exactly, while those between separate boxes may be wrong by centimetres.
    """
    if solid:
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            pos=[0, 0, floor + (height - WALL) / 2],
            size=[(radius + WALL) / np.cos(np.pi / STAVES), (height + WALL) / 2, 0],
            rgba=rgba,
            mass=0,
        )
        return
    body.add_geom(
        name=f"{name}_bottom",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, floor - WALL / 2],
        size=[radius + WALL, WALL / 2, 0],
        rgba=rgba,
        mass=0,
    )
    half_width = (radius + WALL) * np.tan(np.pi / STAVES)
    for number in range(STAVES):
        angle = 2 * np.pi * number / STAVES
        reach = radius + WALL / 2
        stave = _box(
            body,
            f"{name}_wall_{number}",
            [reach * np.cos(angle), reach * np.sin(angle), floor + height / 2],
            [WALL / 2, half_width, height / 2],
            rgba,
        )
        stave.quat = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]


def _add_gripper(spec: mujoco.MjSpec, tool: mujoco.MjsBody, solid: bool) -> None:
    """A Robotiq 2F-85 closed on the cup: the hulls of its parts, or `solid` rods that enclose them."""
    if not solid:
        for part in gripper_parts():
            add_hull(spec, tool, part, DARK)
        return
    add_rod(tool, "palm", PALM, DARK)
    for number, rod in enumerate(LEFT_FINGER):
        (x0, y0, z0), (x1, y1, z1) = rod.start, rod.end
        add_rod(tool, f"left_finger_{number}", rod, DARK)
        add_rod(tool, f"right_finger_{number}", Rod((x0, -y0, z0), (x1, -y1, z1), rod.radius), DARK)


def _add_tool(spec: mujoco.MjSpec, last_link: mujoco.MjsBody, solid: bool) -> None:
    """Gripper and held cup. With the cup upright, its frame equals the base frame."""
    # At the nominal posture the flange points along base +x, with its own x to the left and y up.
    flange_in_base = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    flange_in_link = np.diag([1.0, -1.0, -1.0])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, (flange_in_link @ flange_in_base.T).flatten())
    tool = last_link.add_body(name="tool", pos=FLANGE_OFFSET, quat=quat)
    tool.mass, tool.ipos, tool.inertia = 0.925, [0.06, 0, 0], [0.0008, 0.0012, 0.0012]
    tool.explicitinertial = True
    _add_gripper(spec, tool, solid)
    cup = tool.add_body(name="cup", pos=[GRIP_DISTANCE, 0, 0])
    cup.mass, cup.inertia = 0.12, [0.0002, 0.0002, 0.0001]
    cup.explicitinertial = True
    add_cup(cup, "source", SOURCE_RADIUS, SOURCE_HEIGHT, -SOURCE_HEIGHT / 2, GLASS, solid)
    cup.add_site(name="cup", size=[0.002, 0, 0], group=4)
    cup.add_site(name="lip", pos=[0, -SOURCE_RADIUS, SOURCE_HEIGHT / 2], size=[0.003, 0, 0], group=4)
    payload = tool.add_body(name="payload", pos=[GRIP_DISTANCE, 0, 0])
    payload.mass, payload.inertia = 1e-3, [1e-6] * 3
    payload.explicitinertial = True


def _add_fixtures(spec: mujoco.MjSpec, solid: bool) -> None:
    table = spec.worldbody.add_body(name="table")
    # MuJoCo reports no contact for a capsule whose axis passes right through a box. So the guard's table is
    # thicker than its rods are long.
    half = 0.5 * (0.25 if solid else 0.04)
    _box(table, "table_top", [0.35, 0, -half], [0.75, 0.75, half], (0.72, 0.62, 0.50, 1))
    machine = spec.worldbody.add_body(name="machine", pos=[0.30, 0.58, 0])
    _box(machine, "machine_body", [0, 0, 0.17], [0.14, 0.11, 0.17], STEEL)
    receiver = spec.worldbody.add_body(name="receiver", pos=[0.68, 0, 0])
    receiver.add_geom(
        name="load_cell",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, PLATE_HEIGHT / 2],
        size=[0.055, PLATE_HEIGHT / 2, 0],
        rgba=DARK,
        mass=0,
    )
    add_cup(receiver, "receiver", RECEIVER_RADIUS, RECEIVER_HEIGHT, PLATE_HEIGHT + WALL, PORCELAIN, solid)


def add_granules(spec: mujoco.MjSpec, count: int) -> None:
    """Nominal ones, above the cell."""
    for number in range(count):
        body = spec.worldbody.add_body(name=f"granule_{number}", pos=[0, 0, 1 + 0.05 * number])
        body.add_freejoint()
        body.add_geom(
            name=f"granule_{number}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[GRANULE_RADIUS, 0, 0],
            density=GRANULE_DENSITY,
            rgba=COFFEE,
        )


def _add_sensors(spec: mujoco.MjSpec) -> None:
    """Sensors for the cups' weights and for forbidden contacts, evaluated at every physics step.

    Net forces of all contacts, in the base frame: on the receiving cup and on the held cup. Then the numbers
    of contacts of the arm, including gripper and cup, with each fixture and with itself; then the joint
    speeds [rad/s]. Read by `sim.pouring.cell`.
    """
    force, found = int(mujoco.mjtConDataField.mjCONDATA_FORCE), int(mujoco.mjtConDataField.mjCONDATA_FOUND)
    for cup in ("receiver", "cup"):
        _add_contact_sensor(spec, cup, mujoco.mjtObj.mjOBJ_BODY, None, 1 << force, NET_FORCE)
    for other in ("table", "machine", "receiver", ARM_ROOT):
        _add_contact_sensor(spec, ARM_ROOT, mujoco.mjtObj.mjOBJ_XBODY, other, 1 << found, FIRST)
    for joint in JOINT_NAMES:
        spec.add_sensor(
            name=joint,
            type=mujoco.mjtSensor.mjSENS_JOINTVEL,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            objname=joint,
        )


def _add_contact_sensor(
    spec: mujoco.MjSpec, body: str, kind: mujoco.mjtObj, other: str | None, fields: int, reduction: int
) -> None:
    """`kind` is the body alone or with its subtree (XBODY); without `other`, any contact counts."""
    opposite = {} if other is None else {"reftype": mujoco.mjtObj.mjOBJ_XBODY, "refname": other}
    spec.add_sensor(
        name=f"{body}_on_{other or 'all'}", type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=kind, objname=body,
        intprm=[fields, reduction, 1], **opposite,
    )  # fmt: skip


def _set_classes(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        owner = geom.parent.name
        if owner.startswith("granule"):
            kind = GRANULE
        elif owner in ("tool", "cup"):
            kind = TOOL
        elif owner in ("table", "machine", "receiver"):
            kind = FIXED
        else:
            kind = LINK
        geom.contype, geom.conaffinity = kind
        geom.condim = 3
        geom.solref = [0.01, 1.0]


def _add_view(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    world.add_light(pos=[0.8, -0.8, 1.6], dir=[-0.4, 0.5, -1.0], castshadow=True)
    world.add_light(pos=[0.2, 0.8, 1.4], dir=[0.1, -0.5, -1.0], castshadow=False, diffuse=[0.35] * 3)
    world.add_camera(
        name="front", pos=[1.22, -0.62, 0.56], xyaxes=[0.62, 0.78, 0, -0.27, 0.215, 0.94], fovy=42
    )
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.97],
        rgb2=[0.70, 0.76, 0.84],
        width=64,
        height=384,
    )
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.quality.shadowsize = 2048


def cell_spec(granules: int, solid: bool = False) -> mujoco.MjSpec:
    """Arm, tool, table, fixtures and granules, without motors.

    `solid`: primitives that enclose arm, gripper and cups, as in the guard's model. Otherwise arm and gripper
    are hulls of the manufacturers' meshes and the cups are hollow.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations, spec.option.ls_iterations = 20, 20
    spec.option.tolerance = 1e-6
    _add_tool(spec, add_arm(spec, solid), solid)
    for body in spec.bodies:
        if body.name not in ("world", "payload"):
            body.gravcomp = 1.0  # the arm's controller compensates arm and tool, not the unknown payload
    _add_fixtures(spec, solid)
    add_granules(spec, granules)
    _set_classes(spec)
    return spec


@cache
def cell_model_xml(granules: int) -> str:
    """MJCF of the simulated cell."""
    spec = cell_spec(granules)
    add_position_loops(spec)
    _add_sensors(spec)
    _add_view(spec)
    spec.compile()
    return str(spec.to_xml())


def guard_model_xml() -> str:
    """MJCF of arm, tool, table and fixtures: the monitor's world model. No granules, no motors.

    It includes the receiving cup as a body ``receiver`` whose position follows the measured target.
    """
    spec = cell_spec(0, solid=True)
    spec.compile()
    return str(spec.to_xml())
