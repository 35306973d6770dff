"""The policy node on a computer that is ten times slower from SIGUSR1 until SIGUSR2. Tests only."""

import signal
import sys
import time

from spillguard_core.robot.arm import POLICY_PERIOD, Vec
from spillguard_ros.node.runtime import run
from spillguard_ros.policy import Policy


class SlowPolicy(Policy):
    """The policy node unchanged, except that while slow, one answer takes ten periods."""

    slow = False

    def _propose(self, obs: Vec) -> Vec:
        if self.slow:
            time.sleep(10 * POLICY_PERIOD)
        return super()._propose(obs)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: setattr(SlowPolicy, "slow", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(SlowPolicy, "slow", False))
    sys.exit(run(SlowPolicy))
