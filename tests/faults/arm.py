"""The simulated pouring cell, recording every command it received and each of its states. Tests only."""

import sys

from sim.pouring.arms import Drive
from spillguard_core.robot.arm import Vec
from spillguard_ros.node.runtime import run
from spillguard_sim.sim_arm import SimArm
from tests.faults.noted import Noted


class NotedArm(Noted, SimArm):
    """The Gen3 with its cup."""

    def _motor(self) -> Drive:
        return self._drive

    def _seen(self) -> tuple[Vec, Vec, bool]:
        data = self._cell.data
        return data.qpos[:7].copy(), data.qvel[:7].copy(), self._cell._inside()

    def _hold_at(self, q: Vec) -> None:
        self._settle(q)


if __name__ == "__main__":
    sys.exit(run(NotedArm))
