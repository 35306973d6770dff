"""Reasons for the gate's decisions: each with its text for people and its verdict, in one place."""

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar


class Verdict(IntEnum):
    """In order of severity; the most severe active cause wins."""

    PASS = 0  # the proposal is followed unchanged
    LIMIT = 1  # followed in part: a hard limit or the critic reduced it
    RECOVER = 2  # replaced by the task's recovery
    HOLD = 3  # braked to rest, the pose is held
    STOP = 4  # braked to rest, nothing is sent until a reset


class Reason:
    """Name in recordings, text for people, and verdict, which is STOP unless given.

    There is one object per name, so reasons are compared with `is`.
    """

    known: ClassVar[dict[str, "Reason"]] = {}
    name: str
    value: str
    verdict: Verdict
    defined: bool  # False while it is known only from a recording

    def __new__(cls, name: str, value: str, verdict: Verdict = Verdict.STOP) -> "Reason":
        """ValueError if the name is already defined with another meaning."""
        found = cls._one(name)
        if not found.defined:
            found.value, found.verdict, found.defined = value, verdict, True
        if (found.value, found.verdict) != (value, verdict):
            raise ValueError(f"the reason {name} is known as {found.value!r}, {found.verdict.name}")
        return found

    @classmethod
    def named(cls, name: str) -> "Reason":
        """The reason of a recording. An unknown one means STOP until something defines it."""
        return cls._one(name)

    @classmethod
    def _one(cls, name: str) -> "Reason":
        if name not in cls.known:
            found = super().__new__(cls)
            found.name, found.value, found.verdict = name, name.lower().replace("_", " "), Verdict.STOP
            found.defined = False
            cls.known[name] = found
        return cls.known[name]

    def __repr__(self) -> str:
        """For people."""
        return f"Reason.{self.name}"

    def __reduce__(self) -> tuple[Callable[..., "Reason"], tuple[object, ...]]:
        """Unpickle to the receiving process's own object of this name; undefined if it is undefined here."""
        return (
            (Reason, (self.name, self.value, self.verdict)) if self.defined else (Reason.named, (self.name,))
        )


OK = Reason("OK", "ok", Verdict.PASS)
TWIST_LIMIT = Reason("TWIST_LIMIT", "proposal above the action scale", Verdict.LIMIT)
VELOCITY_LIMIT = Reason("VELOCITY_LIMIT", "joint velocity limit", Verdict.LIMIT)
POSITION_LIMIT = Reason("POSITION_LIMIT", "joint position limit ahead", Verdict.LIMIT)
WORKSPACE_LIMIT = Reason("WORKSPACE_LIMIT", "workspace limit ahead", Verdict.LIMIT)
COLLISION = Reason("COLLISION", "obstacle within the braking path", Verdict.LIMIT)
CRITIC = Reason("CRITIC", "safety critic above its threshold", Verdict.LIMIT)
CRITIC_RECOVERY = Reason(
    "CRITIC_RECOVERY", "safety critic above its threshold for every candidate", Verdict.RECOVER
)
PROPOSAL_MISSING = Reason("PROPOSAL_MISSING", "no proposal yet", Verdict.HOLD)
PROPOSAL_STALE = Reason("PROPOSAL_STALE", "proposal is stale", Verdict.HOLD)
PROPOSAL_INVALID = Reason("PROPOSAL_INVALID", "proposal is not a finite action", Verdict.HOLD)
TELEOP_INVALID = Reason("TELEOP_INVALID", "teleoperator's action is not finite", Verdict.HOLD)
TELEOP_SILENT = Reason("TELEOP_SILENT", "teleoperator is silent", Verdict.HOLD)
POLICY_SILENT = Reason("POLICY_SILENT", "policy was silent for too long", Verdict.HOLD)
SENSOR_STALE = Reason("SENSOR_STALE", "a sensor of the task is stale", Verdict.HOLD)
SENSOR_INVALID = Reason("SENSOR_INVALID", "a sensor of the task is not finite", Verdict.HOLD)
TARGET_IMPOSSIBLE = Reason("TARGET_IMPOSSIBLE", "target is where none can be", Verdict.HOLD)
CRITIC_INVALID = Reason("CRITIC_INVALID", "safety critic gave no finite value", Verdict.HOLD)
OPERATOR_HOLD = Reason("OPERATOR_HOLD", "held by the operator", Verdict.HOLD)
FOREIGN_WRITER = Reason("FOREIGN_WRITER", "another node commands the arm")
DRIVER_FAULT = Reason("DRIVER_FAULT", "the arm's driver is not in order")
NOT_RESET = Reason("NOT_RESET", "not yet reset")
OPERATOR_STOP = Reason("OPERATOR_STOP", "stopped by the operator")
REQUEST_UNKNOWN = Reason("REQUEST_UNKNOWN", "the operator asked for something unknown")
CHECK_FAILED = Reason("CHECK_FAILED", "a check ended with an error")
STATE_MISSING = Reason("STATE_MISSING", "no joint state yet")
STATE_STALE = Reason("STATE_STALE", "joint state is stale")
STATE_INVALID = Reason("STATE_INVALID", "joint state is not finite or has the wrong length")
STATE_OUT_OF_LIMITS = Reason("STATE_OUT_OF_LIMITS", "joint outside its position limits")
TRACKING_ERROR = Reason("TRACKING_ERROR", "arm does not follow its command")
NOT_SETTLING = Reason("NOT_SETTLING", "arm still moves while held")


LONGEST_WORDS = 300  # characters of an error


def error_words(error: BaseException) -> str:
    """For one line of a status, whatever the error's own text does."""
    text = "an error that does not let itself be told"
    for form in ("{0.__name__}: {1}", "{0.__name__}"):
        try:
            text = form.format(type(error), error)[:LONGEST_WORDS]
            break
        except Exception:
            continue
    return "".join(letter if letter.isprintable() else "?" for letter in text)
