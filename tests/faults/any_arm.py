"""A simulated arm of any kind, recording every command it received and each of its states. Tests only."""

import sys

from sim.pouring.arms import Drive
from spillguard_core.robot.arm import Vec
from spillguard_ros.node.runtime import run
from spillguard_sim.any_arm import AnyArm
from tests.faults.noted import Noted


class NotedAnyArm(Noted, AnyArm):
    """Whichever robot it is told."""

    def _motor(self) -> Drive:
        return self._scene._drive

    def _seen(self) -> tuple[Vec, Vec, bool]:
        return self._scene.position.copy(), self._scene.velocity.copy(), self._scene.inside

    def _hold_at(self, q: Vec) -> None:
        self._scene.settle(q)


if __name__ == "__main__":
    sys.exit(run(NotedAnyArm))
