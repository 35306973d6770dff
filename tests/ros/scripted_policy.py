"""The policy node with the scripted controller in place of the bundle's graph. Tests only."""

import sys

import numpy as np

from sim.scripted import pour_controller
from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_ros.policy import Policy
from spillguard_ros.runtime import run


class ScriptedPolicy(Policy):
    """Everything is the policy node's own, but what is proposed."""

    def _propose(self, obs: Vec) -> Vec:
        return pour_controller(np.asarray(obs, dtype=np.float32)) * ACTION_SCALE


if __name__ == "__main__":
    sys.exit(run(ScriptedPolicy))
