"""A lab's own surroundings, which replace the fixtures of a bundle's world model.

A site is a YAML file of boxes, cylinders, planes and slow zones, or the MJCF of a static world. The bundle's
world model keeps the arm, its mount and bodies placed where they are sensed; everything else is removed and
replaced by the site's shapes. The result passes the same checks as any world model (`guard.py`): a shape that
the arm could not collide with is refused by name.
"""

import math
import reprlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import mujoco
import numpy as np

from spillguard_core.bundle.files import read_file
from spillguard_core.bundle.guard import FARTHEST, checked_xml
from spillguard_core.bundle.manifest import BundleError, refusing
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Parts, Refused, Rule, Way, Ways, least
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot, Vec
from spillguard_core.robot.plain_yaml import is_name, plain_yaml

LARGEST = 1 << 20  # bytes
MOST_ZONES = 100
SLOWER = (1.0, 0.75, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05, 0.03)  # of a velocity, to try in a slow zone
STANDING = 1e-12  # [m] in place of no way at all, to divide by
EVERY_CLASS = 2**31 - 1  # collides with every contact class
SLOW_ZONE = Reason("SLOW_ZONE", "tool too fast for a slow zone", Verdict.LIMIT)
KEYS = {"name", "boxes", "cylinders", "planes", "slow_zones"}
SHAPES = {
    "boxes": {"name": str, "pos": 3, "size": 3, "yaw": 0},
    "cylinders": {"name": str, "pos": 3, "radius": 0, "height": 0},
    "planes": {"name": str, "pos": 3, "normal": 3},
    "slow_zones": {"name": str, "min": 3, "max": 3, "speed": 0},
}
"""Kind -> its keys: a text, a number (0) or a list of that length. `yaw` may be left out."""


class Shape(NamedTuple):
    """A geom in the base frame, in MuJoCo's conventions."""

    name: str
    type: str
    pos: tuple[float, ...]  # [m]
    quat: tuple[float, ...]
    size: tuple[float, ...]  # [m]
    contype: int = EVERY_CLASS
    conaffinity: int = EVERY_CLASS


@dataclass(frozen=True)
class Zone:
    """A box in which the tool speed is limited."""

    name: str
    low: tuple[float, ...]  # (3,) [m]
    high: tuple[float, ...]
    speed: float  # [m/s]


@dataclass(frozen=True)
class Site:
    """The surroundings of one arm."""

    name: str
    shapes: tuple[Shape, ...]
    zones: tuple[Zone, ...]
    text: str  # of the file, for the recording

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Hard limits that the site adds."""
        return (slow_zone_rule(self.zones),) if self.zones else ()


def load_site(path: Path) -> Site:
    """Read a site file. `BundleError` names the file and the fault."""
    with refusing(f"site {path}"):
        return site_of(read_file(path, LARGEST, follow=True).decode("utf-8"), path.stem)


def site_of(text: str, name: str) -> Site:
    """Parse a site from text; `name` is used if the text has none. ValueError."""
    if text.lstrip().startswith("<"):
        return _checked(Site(name, tuple(_shapes_of_mjcf(text)), (), text))
    raw = plain_yaml(text)
    if not isinstance(raw, dict) or not raw.keys() <= KEYS:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else repr(raw)
        raise ValueError(f"needs some of the keys {', '.join(sorted(KEYS))}, got {got}")
    told = {kind: [_entry(kind, entry) for entry in _list(raw, kind)] for kind in SHAPES}
    shapes = [
        *map(_box, told["boxes"]), *map(_cylinder, told["cylinders"]), *map(_plane, told["planes"]),
    ]  # fmt: skip
    zones = tuple(map(_zone, told["slow_zones"]))
    return _checked(Site(raw.get("name", name), tuple(shapes), zones, text))


def _checked(site: Site) -> Site:
    if not is_name(site.name):
        raise ValueError(f"needs a name that fits in a line, got {reprlib.repr(site.name)}")
    if not site.shapes:
        raise ValueError("has no shape: not even a table")
    zones = [zone.name for zone in site.zones]
    if len(zones) > MOST_ZONES:
        raise ValueError(f"has {len(zones)} slow_zones; a decision has time for {MOST_ZONES}")
    if len({*zones}) != len(zones):
        raise ValueError(f"slow_zones have a name twice, {reprlib.repr(zones)}")
    return site


def _list(raw: Mapping[str, Any], kind: str) -> list[Any]:
    entries = raw.get(kind, [])
    if not isinstance(entries, list):
        raise ValueError(f"{kind} has to be a list, got {entries!r}")
    return entries


def _entry(kind: str, entry: Any) -> dict[str, Any]:
    """The entry with all of its keys, checked."""
    wanted = SHAPES[kind]
    if not isinstance(entry, dict) or not wanted.keys() - {"yaw"} <= entry.keys() <= wanted.keys():
        got = ", ".join(map(str, entry)) if isinstance(entry, dict) else repr(entry)
        raise ValueError(f"each of {kind} needs {', '.join(wanted)}, got {got}")
    name = entry["name"]
    if not is_name(name):
        raise ValueError(f"each of {kind} needs a name that fits in a line, got {reprlib.repr(name)}")
    for key, count in wanted.items():
        if count is str or key not in entry:
            continue
        value = entry[key]
        numbers = [value] if count == 0 else value
        fine = isinstance(numbers, list) and len(numbers) == max(1, int(count))  # type: ignore[call-overload]
        if not (fine and all(type(v) in (int, float) and abs(v) <= sys.float_info.max for v in numbers)):
            needed = "a number" if count == 0 else f"{count} numbers"
            raise ValueError(f"{key} of {name!r} has to be {needed}, got {reprlib.repr(value)}")
    return {"yaw": 0.0, **entry}


def _positive(entry: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        values = entry[key] if isinstance(entry[key], list) else [entry[key]]
        if not all(value > 0.0 for value in values):
            raise ValueError(f"{key} of {entry['name']!r} has to be above 0, got {entry[key]}")


def _box(entry: Mapping[str, Any]) -> Shape:
    _positive(entry, "size")
    half = 0.5 * entry["yaw"]
    size = tuple(0.5 * value for value in entry["size"])
    return Shape(entry["name"], "box", tuple(entry["pos"]), (math.cos(half), 0.0, 0.0, math.sin(half)), size)


def _cylinder(entry: Mapping[str, Any]) -> Shape:
    _positive(entry, "radius", "height")
    size = (entry["radius"], 0.5 * entry["height"])
    return Shape(entry["name"], "cylinder", tuple(entry["pos"]), (1.0, 0.0, 0.0, 0.0), size)


def _plane(entry: Mapping[str, Any]) -> Shape:
    if not any(entry["normal"]):
        raise ValueError(f"normal of {entry['name']!r} has to point somewhere, got {entry['normal']}")
    quat, normal = np.zeros(4), np.array(entry["normal"], dtype=np.float64)
    mujoco.mju_quatZ2Vec(quat, normal / math.hypot(*normal))  # it would take a very short one for z
    return Shape(entry["name"], "plane", tuple(entry["pos"]), tuple(quat.tolist()), (0.0, 0.0, 1.0))


def _zone(entry: Mapping[str, Any]) -> Zone:
    _positive(entry, "speed")
    if not all(low < high for low, high in zip(entry["min"], entry["max"], strict=True)):
        raise ValueError(f"min of {entry['name']!r} has to lie below max, got {entry['min']}, {entry['max']}")
    if not max(map(abs, [*entry["min"], *entry["max"]])) <= FARTHEST:
        raise ValueError(f"{entry['name']!r} reaches further than {FARTHEST:.0f} m; is it in [m]?")
    return Zone(entry["name"], tuple(entry["min"]), tuple(entry["max"]), entry["speed"])


def _shapes_of_mjcf(text: str) -> Iterable[Shape]:
    """Every geom of a world without joints, in the base frame, with its contact classes."""
    model = mujoco.MjModel.from_xml_string(checked_xml(text.encode()))
    if model.njnt:
        raise ValueError("has joints; a site stands still")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    quat = np.zeros(4)
    for geom in range(model.ngeom):
        mujoco.mju_mat2Quat(quat, data.geom_xmat[geom])
        kind = mujoco.mjtGeom(int(model.geom_type[geom])).name.removeprefix("mjGEOM_").lower()
        yield Shape(
            model.geom(geom).name or f"site_{geom}", kind, tuple(data.geom_xpos[geom].tolist()),
            tuple(quat.tolist()), tuple(model.geom_size[geom].tolist()),
            int(model.geom_contype[geom]), int(model.geom_conaffinity[geom]),
        )  # fmt: skip


def with_site(guard: bytes, site: Site, robot: Robot, task: Task) -> bytes:
    """The world model `guard` with its own fixtures replaced by the site's shapes. MJCF."""
    root = ElementTree.fromstring(checked_xml(guard))
    world = root.find("worldbody")
    if world is None:
        raise BundleError("the world model has no worldbody")
    gone = {"world"}  # what stands on it is taken out
    for child in list(world):
        joints = {joint.get("name") for joint in child.iter("joint")}
        if child.tag == "geom" or (
            child.tag == "body" and child.get("name") not in task.placed and not joints & {*robot.joint_names}
        ):
            gone |= {body.get("name", "") for body in child.iter("body")}
            world.remove(child)
    for pairs in root.findall("contact"):
        for pair in list(pairs):
            if {pair.get("body1", ""), pair.get("body2", "")} & gone:
                pairs.remove(pair)
    taken = {geom.get("name") for geom in root.iter("geom")}
    for shape in site.shapes:
        if shape.name in taken:
            raise BundleError(f"the shape {shape.name!r} has the name of one that is there already")
        taken.add(shape.name)
        world.append(ElementTree.Element("geom", _attributes(shape)))
    return ElementTree.tostring(root)


def _attributes(shape: Shape) -> dict[str, str]:
    def numbers(values: tuple[float, ...]) -> str:
        return " ".join(map(repr, values))

    return {
        "name": shape.name, "type": shape.type, "pos": numbers(shape.pos), "quat": numbers(shape.quat),
        "size": numbers(shape.size), "contype": str(shape.contype), "conaffinity": str(shape.conaffinity),
    }  # fmt: skip


def slow_zone_rule(zones: tuple[Zone, ...]) -> Rule:
    """Limits the tool to a zone's speed while its path, from this period to rest, touches the zone."""
    lows, highs = (np.array([getattr(zone, end) for zone in zones]) for end in ("low", "high"))
    speeds = np.array([zone.speed for zone in zones])

    def margin(way: Way) -> Parts:
        tool, motion = way.around.tool, way.motion
        # The same joint velocity may move the tool faster at the end of the coast.
        here, later = (tool.state(motion.q + t * motion.qd, motion.qd) for t in (0.0, motion.coast))
        begun = here.position - way.around.config.period * here.velocity
        path = np.array([begun, here.position, *(pose.position for pose in way.poses)])
        speed = least([-math.hypot(*state.velocity.tolist()) for state in (here, later)])
        return Parts(_allowed(path, lows, highs, speeds) + speed)

    def ways(refused: Refused) -> Ways:
        return [(refused.action, SLOWER)]

    return Rule("slow_zone", "m/s", SLOW_ZONE, margin, ways)


def _allowed(path: Vec, low: Vec, high: Vec, speed: Vec) -> Vec:
    """Speeds (Z,) [m/s] that zones between `low` and `high` (Z, 3) [m] allow on a path of straight pieces
    between these places (N, 3) [m]: `speed` (Z,) where it touches the zone; NaN where a place is."""
    if np.isnan(path).any():
        return np.full(len(speed), math.nan)
    step = np.diff(path, axis=0)
    step[step == 0.0] = STANDING
    one, other = (low[:, None] - path[:-1]) / step, (high[:, None] - path[:-1]) / step  # (Z, N - 1, 3)
    entered, left = np.minimum(one, other).max(axis=2), np.maximum(one, other).min(axis=2)
    touched = (np.maximum(entered, 0.0) <= np.minimum(left, 1.0)).any(axis=1)
    return np.where(touched, speed, math.inf)
