"""The policy node with a computer that is ten times too slow. Tests only."""

import sys
import time

from spillguard_core.arm import POLICY_PERIOD, Vec
from spillguard_ros.policy import Policy
from spillguard_ros.runtime import run


class SlowPolicy(Policy):
    """Everything is the policy node's own; one answer takes ten periods."""

    def _propose(self, obs: Vec) -> Vec:
        time.sleep(10 * POLICY_PERIOD)
        return super()._propose(obs)


if __name__ == "__main__":
    sys.exit(run(SlowPolicy))
