"""Processes that die: what the arm is told, and what it does."""

import json
import logging
import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from spillguard_core.arm import GEN3_LIMITS
from spillguard_ros import policy
from spillguard_ros.graph import launch_file
from tests.ros.harness import MOVED, MakeStage, Stage, Witness
from tests.ros.stalls import NAP, STALL, Stalls

ROUNDS = 100
COMMAND_TIMEOUT = 0.1  # [s] T, as in launch/params/safety_monitor.yaml; two periods of a 20 Hz policy
ALLOWED = COMMAND_TIMEOUT + 0.1  # [s] from the policy's last proposal to the command that brakes
BRAKING = 0.3  # [s] 1.39 rad/s at 5 rad/s^2
ATTEMPTS = 3  # to get the arm going
STANDBY = 6  # policies that are up and wait, so that a round does not last as long as a start

log = logging.getLogger(__name__)


class Fleet:
    """Policy processes, each forked from one that has all imports behind it."""

    def __init__(self, bundle: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["__main__", "spillguard_ros.policy"])
        self._parameters = [
            "--params-file",
            str(launch_file("params/policy.yaml")),
            "-p",
            f"bundle:={bundle}",
        ]
        self.processes: list[BaseProcess] = []

    def launch(self) -> str:
        """Start an unconfigured policy; its name."""
        name = f"policy_{len(self.processes)}"
        arguments = ["--ros-args", "-r", f"__node:={name}", "-p", "autostart:=false", *self._parameters]
        process = self._context.Process(target=policy.main, args=(arguments,), daemon=True)
        process.start()
        self.processes.append(process)
        return name


@contextmanager
def fleet_for(stage: Stage) -> Iterator[Fleet]:
    """Ends every policy that is left."""
    fleet = Fleet(stage.bundle)
    try:
        yield fleet
    finally:
        for process in fleet.processes:
            if process.is_alive():  # the number of a dead one may belong to somebody else by now
                process.kill()


def change_state(witness: Witness, name: str) -> Callable[[int], None]:
    """Asks node `name` for transitions and waits for them."""
    client = witness.node.create_client(ChangeState, f"{name}/change_state")

    def change(transition: int) -> None:
        assert witness.wait(client.service_is_ready, 15.0), f"{name} did not appear"
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        assert witness.wait(future.done, 15.0), f"{name} did not answer"
        assert future.result().success
        if transition == Transition.TRANSITION_ACTIVATE:
            witness.node.destroy_client(client)

    return change


def command_speeds(witness: Witness) -> np.ndarray:
    """Time [s] and largest commanded joint speed [rad/s] of each command heard, shape (N, 2)."""
    return np.array([(t, np.abs(m.points[0].velocities).max()) for t, m in witness.heard.commands])


def time_to_hold(witness: Witness) -> float:
    """Time [s] from the last proposal to the first command with half of the speed it had until then."""
    last = witness.heard.proposals[-1]
    heard = command_speeds(witness)
    before = heard[heard[:, 0] <= last, 1][-1]
    slow = heard[(heard[:, 0] > last) & (heard[:, 1] <= 0.5 * before), 0]
    assert slow.size, "no command ever slowed the arm down"
    return float(slow[0] - last)


def at_rest(witness: Witness) -> bool:
    """Whether the newest command came after the last proposal and holds a pose, and the arm is still."""
    when, speed = command_speeds(witness)[-1]
    return witness.still() and bool(speed == 0.0 and when > witness.heard.proposals[-1])


def told(stage: Stage) -> str:
    """What the arm heard and did, for somebody who has to find out why it is not at rest."""
    witness = stage.witness
    last = witness.heard.proposals[-1]
    commands = ", ".join(f"{speed:.2g} at {t - last:+.3f}" for t, speed in command_speeds(witness)[-8:])
    state = f"{witness.speed():.2g} at {witness.heard.joints[-1][0] - last:+.3f}"
    return f"[rad/s at s after the last proposal] joints {state}; commands {commands}\n{stage.logs()}"


def going(witness: Witness) -> bool:
    """The policy is heard, the arm is commanded and moves."""
    return bool(witness.heard.proposals and witness.heard.commands) and witness.moving()


def excuse(stage: Stage, stalls: Stalls, since: float) -> None:
    """Fail unless the machine has stood still since a steady time [s]; nothing else may spoil a round."""
    stage.witness.spin(2 * NAP)  # until a standstill has been written down
    assert stalls.longest(since) > STALL, told(stage)


def get_going(stage: Stage, stalls: Stalls, since: float) -> None:
    """Until all goes; opens a monitor that the machine's standstill has stopped since a steady time [s]."""
    witness = stage.witness
    for _ in range(ATTEMPTS):
        if witness.stopped():
            excuse(stage, stalls, since)
            witness.open_gate()
        # Every round hears proposals and commands from before, however slowly this process gets to listen.
        witness.heard.clear()
        witness.spin(0.12)
        if witness.wait(lambda: going(witness), 3.0) and not witness.stopped():
            return
    raise AssertionError(f"no motion in {ATTEMPTS} attempts\n{stage.logs()}")


def one_round(
    stage: Stage, stalls: Stalls, since: float, end_policy: Callable[[], None], phase: float
) -> float:
    """Let the active policy drive, end it, and watch the arm come to rest.

    Time to the hold [s], no more than is allowed; NaN where the machine has stood still since a steady time
    [s], which brings the arm to rest as well, but maybe later and for another reason.
    """
    witness = stage.witness
    get_going(stage, stalls, since)
    witness.spin(phase)
    end_policy()
    witness.wait(lambda: at_rest(witness), ALLOWED + BRAKING)
    if at_rest(witness) and time_to_hold(witness) <= ALLOWED:
        return time_to_hold(witness)
    excuse(stage, stalls, since)
    assert witness.wait(witness.still, ALLOWED + BRAKING), told(stage)
    return math.nan


@pytest.mark.timeout(400)
def test_killed_policy_makes_the_arm_hold_in_every_round(
    make_stage: MakeStage, stalls: Stalls, record_testsuite_property: Callable[[str, object], None]
) -> None:
    rng = np.random.default_rng(0)
    with make_stage("sim_arm", "safety_monitor") as stage, fleet_for(stage) as fleet:
        change = {
            name: change_state(stage.witness, name) for name in (fleet.launch() for _ in range(STANDBY))
        }
        stage.witness.open_gate()
        times: list[float] = []
        since = time.monotonic()  # the start of the last round that counts: what it left behind is in it
        while np.isfinite(times).sum() < ROUNDS:
            number = len(times)
            assert number < 2 * ROUNDS, f"the machine stood still in {number - ROUNDS} of {number} rounds"
            name = f"policy_{number}"
            change[name](Transition.TRANSITION_CONFIGURE)
            change[name](Transition.TRANSITION_ACTIVATE)
            later = fleet.launch()
            change[later] = change_state(stage.witness, later)
            began, kill = time.monotonic(), fleet.processes[number].kill
            times.append(one_round(stage, stalls, since, kill, rng.uniform(0.0, 0.05)))
            if math.isfinite(times[-1]):
                since = began
    figures = {
        "median": float(np.nanmedian(times)),
        "max": float(np.nanmax(times)),
        "rounds": ROUNDS,
        "again": len(times) - ROUNDS,
    }
    log.info("kill to hold: %s", json.dumps(figures))
    for name, value in figures.items():
        record_testsuite_property(f"kill_to_hold_{name}", value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_or_frozen_monitor_leaves_the_arm_at_rest(make_stage: MakeStage, number: signal.Signals) -> None:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        witness = stage.witness
        witness.open_gate()
        stage.until(witness.moving, 5.0, "motion")
        witness.spin(0.5)
        stage.graph.signal("safety_monitor", number)
        witness.spin(BRAKING + 0.2)
        assert witness.still()
        witness.heard.clear()
        witness.spin(0.5)
        assert not witness.heard.commands
        assert witness.travel() < MOVED
        q = witness.heard.joints[-1][1]
        assert (GEN3_LIMITS.position_min <= q).all()
        assert (q <= GEN3_LIMITS.position_max).all()
        stage.graph.signal("safety_monitor", signal.SIGCONT)


def test_frozen_policy_makes_the_arm_hold(make_stage: MakeStage) -> None:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        witness = stage.witness
        witness.open_gate()
        stage.until(witness.moving, 5.0, "motion")
        heard = witness.heard
        stage.until(lambda: min(len(heard.proposals), len(heard.commands)) > 3, 10.0, "proposals, commands")
        witness.spin(0.2)
        stage.graph.signal("policy", signal.SIGSTOP)
        witness.spin(ALLOWED + BRAKING)
        assert witness.still()
        assert time_to_hold(witness) <= ALLOWED
        stage.graph.signal("policy", signal.SIGCONT)
        stage.until(witness.moving, 2.0, "motion once the policy is back")
