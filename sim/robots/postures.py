"""Postures of an arm: sampled ones, and which of its links are in each other's way there."""

from collections import Counter
from collections.abc import Sequence

import mujoco
import numpy as np

from sim.robots.capsules import Numbers
from sim.robots.urdf_tree import UrdfJoint
from spillguard_core.robot.arm import Vec

POSTURES = 2_000  # sampled within the position limits
NEAR = 0.02  # [m]
TOOL_SITE = "tool"

Pair = tuple[str, str]


def sampled_postures(joints: Sequence[UrdfJoint], seed: int = 0) -> Numbers:
    """Postures (2000, J) [rad], uniform within the position limits; one turn for continuous joints."""
    low, high = (np.array([getattr(joint, end) for joint in joints]) for end in ("low", "high"))
    low, high = np.where(np.isinf(low), -np.pi, low), np.where(np.isinf(high), np.pi, high)
    return np.random.default_rng(seed).uniform(low, high, (POSTURES, len(low)))


def posture_of(text: str, joint_names: Sequence[str], q: Vec) -> tuple[list[Pair], Vec]:
    """Pairs of links that touch in a posture (J,) [rad] of a world model, and the tool's place (3,) [m]."""
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    return sorted(pair for pair, gap in _gaps(model, data, joint_names, q).items() if gap <= 0.0), data.site(
        TOOL_SITE
    ).xpos.copy()


def meetings(
    text: str, joints: Sequence[UrdfJoint], postures: Numbers
) -> tuple[dict[Pair, float], set[Pair], Numbers]:
    """What links of a world model do in postures (N, J) [rad].

    Pairs that touch and in which share of the postures, the most frequent first; pairs that come closer than
    `NEAR`; and places (N, 3) [m] of the tool.
    """
    model = mujoco.MjModel.from_xml_string(text)
    model.geom_margin[:] = NEAR
    data, names = mujoco.MjData(model), [joint.name for joint in joints]
    count: Counter[Pair] = Counter()
    near, tools = set[Pair](), np.zeros((len(postures), 3))
    for row, q in enumerate(postures):
        gaps = _gaps(model, data, names, q)
        near |= gaps.keys()
        count.update(pair for pair, gap in gaps.items() if gap <= 0.0)
        tools[row] = data.site(TOOL_SITE).xpos
    return {pair: number / len(postures) for pair, number in count.most_common()}, near, tools


def _gaps(
    model: mujoco.MjModel, data: mujoco.MjData, joint_names: Sequence[str], q: Vec
) -> dict[Pair, float]:
    """Pairs of links that MuJoCo reports, and the least gap [m] of each."""
    for name, angle in zip(joint_names, q, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    found: dict[Pair, float] = {}
    bodies = np.sort(model.geom_bodyid[data.contact.geom.reshape(-1, 2)], axis=1)
    for (first, second), gap in zip(bodies.tolist(), data.contact.dist.tolist(), strict=True):
        pair = (model.body(first).name, model.body(second).name)
        found[pair] = min(gap, found.get(pair, gap))
    return found
