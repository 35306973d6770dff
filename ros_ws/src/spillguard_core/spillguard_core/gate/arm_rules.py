"""The hard limits of every arm, whatever its task: joint positions, workspace, clearance."""

import math

import numpy as np

from spillguard_core.gate import reasons
from spillguard_core.gate.rule import Pairs, Parts, Rule, Way
from spillguard_core.robot.arm import Vec
from spillguard_core.robot.world import Near

ALONE = Near(math.inf, {})  # no obstacles


def _inside(points: list[Vec], low: Vec, high: Vec) -> Parts:
    """Smallest distances (2 N,) of points (N,) to both ends of a range; NaN where a point is NaN."""
    every = np.array(points)
    return Parts(np.concatenate([every.min(axis=0) - low, high - every.max(axis=0)]))


def _position(way: Way) -> Parts:
    limits = way.around.config.limits
    return _inside(way.postures, limits.position_min, limits.position_max)


def _workspace(way: Way) -> Parts:
    limits = way.around.config.limits
    return _inside([pose.position for pose in way.poses], limits.workspace_min, limits.workspace_max)


def _clearance(way: Way) -> Pairs:
    world, asked = way.around.world, way.around.config.clearance
    return Pairs(ALONE if world is None else world.near(way.postures, way.around.places, way.leads), asked)


ARM_RULES = (
    Rule("position", "rad", reasons.POSITION_LIMIT, _position),
    Rule("workspace", "m", reasons.WORKSPACE_LIMIT, _workspace),
    Rule("clearance", "m", reasons.COLLISION, _clearance),
)
"""In order of priority: the first one broken gives the reason."""
