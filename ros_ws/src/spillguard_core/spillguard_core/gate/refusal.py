"""Why an operator's request would be refused now: the words of a service's answer."""

from spillguard_core.gate.checks import mode_and_finding, nobody_drives, reset_refusal, suspension_fault
from spillguard_core.gate.cycle import Cycle, begin
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Mode, Request, SuspensionRequest

LOOKS_ON = (
    "shadow: this monitor sends nothing, so it moves, holds and stops nothing; to stop the arm use the "
    "emergency stop, or whoever moves it"
)


def refusal(
    request: Request | SuspensionRequest, inputs: Inputs, previous: Decision, config: GateConfig
) -> str:
    """Why `request` would be refused now; empty if it would be granted.

    `inputs.requests` are those already pending for the next decision.
    """
    if config.shadow:
        return LOOKS_ON
    cycle = begin(inputs, previous, config)
    mode, _ = mode_and_finding(cycle)
    if isinstance(request, SuspensionRequest):
        return _suspension_refusal(request, inputs, mode, config)
    if not isinstance(request, Request):
        return f"unknown request {request!r}, known are {', '.join(known.value for known in Request)}"
    if request is Request.RESUME:
        return _resume_refusal(cycle, mode)
    if request is Request.RESET and mode is Mode.STOPPED:
        return reset_refusal(cycle)
    return ""


def _resume_refusal(cycle: Cycle, mode: Mode) -> str:
    """`mode`: with the pending requests."""
    if mode is Mode.STOPPED:
        return "stopped: reset first"
    if Request.HOLD in cycle.inputs.requests:
        return "a hold was asked for at the same time"
    if cycle.last.mode is Mode.TELEOP:
        return "the teleoperator drives: when it is silent the arm holds, then resume"
    return nobody_drives(cycle)


def _suspension_refusal(asked: SuspensionRequest, inputs: Inputs, mode: Mode, config: GateConfig) -> str:
    if mode is Mode.STOPPED:
        return "stopped: reset first"
    if Request.RESTORE_CRITIC in inputs.requests:
        return "to restore the critic was asked for at the same time"
    return suspension_fault(asked, config)
