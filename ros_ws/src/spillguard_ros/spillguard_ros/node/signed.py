"""Signed requests: what an operator signs, and how it is carried by a message that every ROS 2 has.

A request answers a challenge of the monitor, 256 random bits that are good once and for a few seconds on the
monitor's steady clock. No clock of the operator takes part: one that was set back, or is another machine's,
can neither lock an operator out nor bring an old request to life. The signature covers the verb, its
arguments, the challenge and the monitor's full name, so that it is of use for nothing else.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically

from spillguard_ros.node.keys import fingerprint, load_private_key

SUSPEND = "suspend_critic"
SIGNED = ("reset", "resume", SUSPEND)
"""What makes motion possible or takes safety away. Stopping must never be harder: it needs no signature."""
CHALLENGE, SIGNED_SERVICE = "challenge", "signed"  # services of the monitor
OUT_OF_DATE = "the challenge was not made by this monitor, was used, or is too old"
"""How a refusal begins after which it makes sense to ask for a new challenge and sign again."""
NOT_NEEDED = "operator_keys is not set: nothing needs a signature here"
PURPOSE = "spillguard operator request, version 1"  # a signature made for something else is none for this
LONGEST_REASON = 400  # characters; the gate takes fewer, and says how many
HEX = re.compile(r"[0-9a-f]+")
LENGTHS = {"key": 64, "challenge": 64, "signature": 128}  # hexadecimal digits

_TEXT, _NUMBER = ParameterType.PARAMETER_STRING, ParameterType.PARAMETER_DOUBLE


@dataclass(frozen=True)
class SignedRequest:
    """`key`: fingerprint of the signer's public key; `reason` and `seconds` are of a suspension only."""

    verb: str
    key: str
    challenge: str
    signature: str = ""
    reason: str = ""
    seconds: float = 0.0


def signed_bytes(asked: SignedRequest, monitor: str) -> bytes:
    """What is signed; `monitor` is the full name of its node, as in "/left/safety_monitor"."""
    parts = (PURPOSE, monitor, asked.verb, asked.key, asked.challenge, asked.reason, asked.seconds.hex())
    return json.dumps(parts).encode("ascii")


def to_parameters(asked: SignedRequest) -> list[Parameter]:
    """The arguments of the monitor's service."""
    texts = {name: getattr(asked, name) for name in ("verb", "key", "challenge", "signature")}
    numbers = {}
    if asked.verb == SUSPEND:
        texts["reason"], numbers["seconds"] = asked.reason, asked.seconds
    words = [Parameter(name=k, value=ParameterValue(type=_TEXT, string_value=v)) for k, v in texts.items()]
    return words + [
        Parameter(name=k, value=ParameterValue(type=_NUMBER, double_value=v)) for k, v in numbers.items()
    ]


def from_parameters(parameters: Sequence[Parameter]) -> SignedRequest:
    """The request in these arguments; ValueError with what is needed, which repeats nothing of what came."""
    needed = dict.fromkeys(("verb", *LENGTHS), _TEXT)
    suspension = {**needed, "reason": _TEXT, "seconds": _NUMBER}
    got = {p.name: p.value.type for p in parameters} if len(parameters) <= len(suspension) else {}
    if len(got) != len(parameters) or got not in (needed, suspension):
        raise ValueError(
            "needed are verb, key, challenge and signature (strings), of suspend_critic also reason (string) "
            "and seconds (double)"
        )
    values: dict[str, Any] = {
        p.name: p.value.string_value if p.value.type == _TEXT else p.value.double_value for p in parameters
    }
    if values["verb"] not in SIGNED or (values["verb"] == SUSPEND) is not (got == suspension):
        raise ValueError(f"{', '.join(SIGNED)} are signed, suspend_critic alone with reason and seconds")
    for name, length in LENGTHS.items():
        if len(values[name]) != length or not HEX.fullmatch(values[name]):
            raise ValueError(f"{name} has to be {length} hexadecimal digits in lower case")
    if len(values.get("reason", "")) > LONGEST_REASON:
        raise ValueError(f"the reason is longer than {LONGEST_REASON} characters")
    return SignedRequest(**values)


class Signer:
    """A private key, and what it signs. ValueError or OSError if the file holds none."""

    def __init__(self, path: Path) -> None:
        self._key = load_private_key(path)
        self._fingerprint = fingerprint(self._key.public_key())

    def request(
        self, monitor: str, verb: str, challenge: str, reason: str = "", seconds: float = 0.0
    ) -> SetParametersAtomically.Request:
        """`verb` asked of the node `monitor`, by its full name, in answer to its `challenge`."""
        asked = SignedRequest(verb, self._fingerprint, challenge, reason=reason, seconds=seconds)
        signature = self._key.sign(signed_bytes(asked, monitor)).hex()
        return SetParametersAtomically.Request(parameters=to_parameters(replace(asked, signature=signature)))
