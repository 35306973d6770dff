"""Who asks: challenges of a monitor, and whether a signed request answers one of them. No ROS graph here.

Whoever floods this costs at most one signature check a request, 0.1 to 0.3 ms, within the share of processor
time that services have (`node.rounds`). A challenge is the same for all who ask within `RENEWED`, and only a
right signature uses it up: asking for many displaces nobody's.
"""

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from rcl_interfaces.msg import Parameter

from spillguard_ros.node.keys import OperatorKey
from spillguard_ros.node.signed import OUT_OF_DATE, SignedRequest, from_parameters, signed_bytes

RENEWED, GOOD = 5.0, 10.0  # [s] after which another challenge is given out, and for which one is good
UNKNOWN_KEY = "signed by a key that is not among operator_keys; the monitor reads them when it is configured"


class Operators:
    """The keys that may ask one monitor, and the challenges that are open."""

    def __init__(
        self, keys: Mapping[str, OperatorKey], monitor: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`keys` by fingerprint; `monitor`: full name of its node; `clock` [s] never goes back."""
        self._keys, self._monitor, self._clock = keys, monitor, clock
        self._open: dict[str, float] = {}  # challenge -> when it was first given out [s]
        self._newest = ""

    def challenge(self) -> str:
        """64 hexadecimal digits, good for one request within `RENEWED` to `GOOD` seconds from now."""
        now = self._clock()
        self._open = {text: since for text, since in self._open.items() if now - since < GOOD}
        if not now - self._open.get(self._newest, -math.inf) < RENEWED:
            self._newest = secrets.token_hex(32)
            self._open[self._newest] = now
        return self._newest

    def check(self, parameters: Sequence[Parameter]) -> tuple[str, SignedRequest]:
        """Name of the key that signed, and what it asks for. ValueError if it is refused.

        A request with a right signature uses its challenge up, whatever becomes of it.
        """
        asked = from_parameters(parameters)
        since = self._open.get(asked.challenge, -math.inf)
        if not self._clock() - since < GOOD:
            raise ValueError(f"{OUT_OF_DATE}: one is good once and for {GOOD:.0f} s; ask for a new one")
        known = self._keys.get(asked.key)
        if known is None:
            raise ValueError(UNKNOWN_KEY)
        try:
            known.key.verify(bytes.fromhex(asked.signature), signed_bytes(asked, self._monitor))
        except InvalidSignature:
            raise ValueError(
                f"the signature does not fit: it has to be over this verb, its arguments, the challenge and "
                f"{self._monitor}"
            ) from None
        del self._open[asked.challenge]
        return known.name, asked
