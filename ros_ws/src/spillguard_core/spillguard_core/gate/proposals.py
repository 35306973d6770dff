"""Whether a proposal can be used: pure, of the inputs of one decision."""

import math

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GateConfig, Inputs
from spillguard_core.gate.reasons import Reason
from spillguard_core.robot.arm import Vec, all_finite


def proposal_fault(inputs: Inputs, entries: int, config: GateConfig) -> tuple[Reason, str]:
    """Fault of the policy's proposal, an action of `entries` entries, and the numbers behind it."""
    proposal = inputs.proposal
    if proposal is None:
        return reasons.PROPOSAL_MISSING, ""
    if not is_action(proposal.twist, entries):
        return reasons.PROPOSAL_INVALID, f"got {proposal.twist}"
    age = inputs.now - proposal.received
    if not 0.0 <= age <= config.command_timeout:
        return reasons.PROPOSAL_STALE, f"received {age:.3f} s ago, allowed {config.command_timeout} s"
    behind = inputs.state_stamp - proposal.stamp
    if not -config.command_timeout <= behind <= config.answer_timeout:
        return reasons.PROPOSAL_STALE, f"its state is {behind:.3f} s old, allowed {config.answer_timeout} s"
    return reasons.OK, ""


SILENT = 0.2  # [s] since the last proposal, after which its age says nothing about the graph


def answer_age(inputs: Inputs) -> float:
    """[s] from a measurement to a decision on the policy's answer to it; NaN while the policy is silent.

    Until the next proposal comes the same one answers an older and older state: an age counts all of it.
    """
    if inputs.proposal is None or not 0.0 <= inputs.now - inputs.proposal.received <= SILENT:
        return math.nan
    return inputs.state_stamp - inputs.proposal.stamp + inputs.now - inputs.state_received


def is_action(action: Vec, entries: int) -> bool:
    """Whether it has that many finite entries."""
    return action.shape == (entries,) and all_finite(action)
