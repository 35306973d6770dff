"""The policy node on a computer that becomes ten times too slow: SIGUSR1, and SIGUSR2 ends it. Tests only."""

import signal
import sys
import time

from spillguard_core.arm import POLICY_PERIOD, Vec
from spillguard_ros.policy import Policy
from spillguard_ros.runtime import run


class SlowPolicy(Policy):
    """Everything is the policy node's own; while it is slow, one answer takes ten periods."""

    slow = False

    def _propose(self, obs: Vec) -> Vec:
        if self.slow:
            time.sleep(10 * POLICY_PERIOD)
        return super()._propose(obs)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: setattr(SlowPolicy, "slow", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(SlowPolicy, "slow", False))
    sys.exit(run(SlowPolicy))
