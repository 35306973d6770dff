"""Whether a proposal can be used: pure, of the inputs of one decision."""

import math

import numpy as np

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Chunk, GateConfig, Inputs
from spillguard_core.gate.reasons import Reason
from spillguard_core.robot.arm import Vec, all_finite

MOST_ACTIONS = 128  # of a chunk: a message of them for seven joints has 12 kB
LARGEST = 1e6  # of an action in a chunk, in any unit
SHORTEST = 0.001  # [s] between two actions of a chunk
ROUNDING = 1e-6  # [s]


def proposal_fault(inputs: Inputs, entries: int, config: GateConfig) -> tuple[Reason, str]:
    """Fault of the policy's proposal, an action of `entries` entries, and the numbers behind it."""
    proposal = inputs.proposal
    if proposal is None:
        return reasons.PROPOSAL_MISSING, ""
    if not is_action(proposal.twist, entries):
        return reasons.PROPOSAL_INVALID, f"got {proposal.twist}"
    if proposal.chunk is not None and (why := chunk_fault(proposal.chunk, entries, config)):
        return reasons.PROPOSAL_INVALID, why
    age, longest = inputs.now - proposal.received, config.command_timeout + proposal.lasts
    if not 0.0 <= age <= longest:
        return reasons.PROPOSAL_STALE, f"received {age:.3f} s ago, allowed {longest:.6g} s"
    behind, longest = inputs.state_stamp - proposal.stamp, config.answer_timeout + proposal.lasts
    if not -config.command_timeout <= behind <= longest:
        return reasons.PROPOSAL_STALE, f"its state is {behind:.3f} s old, allowed {longest:.6g} s"
    return reasons.OK, ""


def chunk_fault(chunk: Chunk, entries: int, config: GateConfig) -> str:
    """What is wrong with the actions of a chunk; empty if nothing."""
    actions, ends = chunk.actions, chunk.ends
    if not (ends.ndim == 1 and 1 <= len(ends) <= MOST_ACTIONS and actions.shape == (len(ends), entries)):
        return f"its chunk has actions {actions.shape} and ends {ends.shape}"
    if not (np.isfinite(ends).all() and (np.abs(actions) <= LARGEST).all()):
        return f"its chunk is not finite, or beyond {LARGEST:g}"
    if not (np.diff(ends, prepend=0.0) >= SHORTEST - ROUNDING).all():
        return f"the times of its chunk do not increase from 0, by {SHORTEST:g} s or more"
    if not chunk.lasts <= config.longest_chunk + ROUNDING:
        return f"its chunk lasts {chunk.lasts:.3f} s, allowed {config.longest_chunk:.6g} s"
    return ""


SILENT = 0.2  # [s] since the last proposal, after which its age says nothing about the graph


def answer_age(inputs: Inputs) -> float:
    """[s] from a measurement to a decision on the policy's answer to it; NaN while the policy is silent.

    Until the next proposal comes the same one answers an older and older state: an age counts all of it.
    """
    proposal = inputs.proposal
    if proposal is None or not 0.0 <= inputs.now - proposal.received <= SILENT:
        return math.nan
    age = inputs.state_stamp - proposal.stamp + inputs.now - inputs.state_received
    # A chunk is meant for later times, too: what counts is how old its state was when it came.
    return age if proposal.chunk is None else age - (inputs.now - proposal.received)


def is_action(action: Vec, entries: int) -> bool:
    """Whether it has that many finite entries."""
    return action.shape == (entries,) and all_finite(action)
