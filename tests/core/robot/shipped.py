"""The shipped arms and the world models that they come with."""

from functools import cache

import mujoco

from benchmarks.record import ROOT
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import load_robot

ARMS = ("gen3", "ur5e", "fr3")


@cache
def guard_of(name: str) -> mujoco.MjModel:
    """The arm's guard model; the Gen3's with the cell in which it pours."""
    folder = "pour_coffee" if name == "gen3" else f"reach_{name}"
    return load_bundle(ROOT / "artifacts" / folder, load_robot(name)).guard
