"""The rules that the case has to know: the reasons of the gate, and those that the task adds."""

from spillguard_core.gate import reasons
from spillguard_core.gate.reasons import Reason
from spillguard_core.tasks.pouring import TASK


def rules() -> dict[str, Reason]:
    """By name, without the one that says that all is well."""
    gates = (value for value in vars(reasons).values() if isinstance(value, Reason))
    known = {reason.name: reason for reason in (*gates, *(rule.reason for rule in TASK.rules))}
    del known[reasons.OK.name]
    return known
