"""The policy node with the scripted controller instead of the bundle's graph. Tests only."""

import sys

import numpy as np

from sim.pouring.scripted import pour_controller
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_ros.node.runtime import run
from spillguard_ros.policy import Policy


class ScriptedPolicy(Policy):
    """The policy node, except for its proposals."""

    def _propose(self, obs: Vec) -> Vec:
        return pour_controller(np.asarray(obs, dtype=np.float32)) * ACTION_SCALE


if __name__ == "__main__":
    sys.exit(run(ScriptedPolicy))
