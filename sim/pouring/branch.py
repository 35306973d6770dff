"""What comes of an action: a copy of the cell tries it, and the physics answers.

The question of the gate's critic is not whether *this policy* will break a rule, but whether one is broken
if this action passes for a while and the gate's own fallback takes over then: for any policy. In simulation
the answer is exact. Nearest relatives: a backup policy that is rolled out before an action passes (Bastani
2021, "Safe reinforcement learning with nonlinear dynamics via model predictive shielding"), and a critic of
what a recovery policy can still save, learned from offline violations (Thananjeyan et al. 2021, "Recovery
RL"). Here the recovery is the gate's, and the critic is supervised.
"""

from typing import NamedTuple

import numpy as np

from sim.pouring.cell import PourCell
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Proposal
from spillguard_core.gate.gate import Models, decide
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import back

LONGEST = 3.0  # [s] of a branch
LOOKS = 0.05  # [s] between two looks at whether a branch has come to its end
STILL = 0.05  # [m/s] of the fastest granule
LEAST_LEAN = np.cos(0.85)  # vertical part of a cup's axis: nothing runs out of one that leans less


class Moment(NamedTuple):
    """A state of the running cell, between two decisions of the gate."""

    cell: PourCell
    decision: Decision  # the gate's last one
    models: Models  # the gate's, with a critic that accepts everything
    config: GateConfig


def breaks_a_rule(moment: Moment, action: Vec, hold: float, rng: np.random.Generator) -> bool:
    """Whether a rule is broken if `action` (4,) [m/s, rad/s] passes for `hold` [s] and the gate's fallback,
    the cup turned upright at rest, takes over then. With a hold of 0 the fallback takes over at once.

    Every motion passes the hard limits, so what can be broken is mostly the rule about spills. The end: the
    cup leans so little that nothing runs out of it and no granule is on its way, or all lies still.
    """
    cell, (_, decision, models, config) = moment.cell.branch(rng), moment
    period, begin = config.period, decision.decided
    looks = round(LOOKS / period)
    clean = 0  # looks in a row at which nothing could come any more
    for tick in range(1, round(LONGEST / period) + 1):
        now, seen = begin + tick * period, cell.measure()
        passing = tick * period <= hold
        tool = models.tool.state(seen.joint_position, seen.joint_velocity)
        proposal = Proposal(action if passing else back(tool.tilt), now, now)
        decision = decide(Inputs(now, seen, now, now, now, proposal), decision, config, models)
        cell.advance(decision.q[None], decision.qd[None])
        outcome = cell.outcome()
        if outcome.violated:
            return True
        if not passing and tick % looks == 0:
            clean = clean + 1 if _over(cell, decision) else 0
            if clean == 2:
                return False
    return False


def _over(cell: PourCell, decision: Decision) -> bool:
    if cell.loose:
        return False
    return cell.lean >= LEAST_LEAN or (not decision.qd.any() and cell.fastest_granule <= STILL)
