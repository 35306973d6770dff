"""Pouring: a held cup, a receiving cup on a load cell, and the lip of the held cup as the tool."""

from collections.abc import Iterator

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.task import Task
from spillguard_core.tasks.pouring.action import AXES, candidates, ending
from spillguard_core.tasks.pouring.lip import SITE, LipKinematics
from spillguard_core.tasks.pouring.observation import CURVES, SENSORS, TARGET, TERMS, doubt
from spillguard_core.tasks.pouring.zone import TILT

RECEIVER = "receiver"


def guard_faults(model: mujoco.MjModel, moving: NDArray[np.bool_]) -> Iterator[str]:
    """The lip must be held by the arm, on a body that has a shape."""
    cup = model.site(SITE).bodyid.item()
    if not moving[cup]:
        yield f"the site {SITE!r} does not move with the arm"
    if cup not in model.geom_bodyid:
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, cup)
        yield f"the body {name!r}, which carries the site {SITE!r}, has no geom"


TASK = Task(
    name="pouring", sensors=SENSORS, action=AXES, terms=TERMS, tool=LipKinematics, rules=(TILT,),
    candidates=candidates, ending=ending, doubt=doubt, placed={RECEIVER: TARGET}, guard_faults=guard_faults,
    curves=CURVES,     environments=("spillguard/PourCoffee-v0",),
)  # fmt: skip
