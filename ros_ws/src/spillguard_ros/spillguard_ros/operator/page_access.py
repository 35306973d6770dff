"""Who may press buttons on the operator page, and where the page may listen. No ROS, no browser here."""

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from spillguard_ros.operator.page_limits import Guesses

TOKEN_VARIABLE = "SPILLGUARD_PAGE_TOKEN"
SHORTEST_TOKEN, LONGEST_TOKEN = 16, 4096  # characters
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Token:
    """The secret that unlocks the buttons. Only its digest is stored."""

    def __init__(self, text: str, name: str = "printed at start") -> None:
        """`name`: where it came from, for the log."""
        if not is_guess(text):
            raise ValueError(
                f"the token has {len(text.strip())} characters, it needs at least {SHORTEST_TOKEN}, at most "
                f"{LONGEST_TOKEN}; without one of your own a good one is made"
            )
        self._digest, self.name = _digest(text), name

    def matches(self, text: str) -> bool:
        """Compares in a time independent of both texts."""
        return is_guess(text) and hmac.compare_digest(_digest(text), self._digest)


@dataclass(frozen=True, eq=False)
class Access:
    """What decides whether a browser may press buttons."""

    token: Token
    guesses: Guesses
    note: Callable[[str], None]
    """Told of every attempt, for the log; from any thread."""


def is_guess(text: str) -> bool:
    """Whether a text could be a token at all, for its length."""
    return SHORTEST_TOKEN <= len(text.strip()) <= LONGEST_TOKEN


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.strip().encode("utf-8", errors="replace")).digest()


def new_token() -> str:
    """128 random bits: cannot be guessed by trial."""
    return secrets.token_urlsafe(16)


def given_token(file: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The token from a file, else from the environment, and its name for the log; None if neither is given.
    OSError, ValueError."""
    if file:
        path = Path(file)
        if path.stat().st_mode & 0o077:
            raise ValueError(f"token file {path} can be read by other users: chmod 600 {path}")
        return path.read_text(encoding="utf-8"), f"of {path.name}"
    text = environment.get(TOKEN_VARIABLE)
    return None if text is None else (text, f"of ${TOKEN_VARIABLE}")


def is_loopback(host: str) -> bool:
    """Whether `host` is reachable only from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a host name that may resolve to anything


def check_address(host: str, port: int) -> None:
    """Raise ValueError unless `host`:`port` is free to listen on. The server itself would try other ports."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host} port {port}: {error.strerror}; give another host or port"
        ) from None


def same_site(origin: str | None, host: str | None, loopback: bool) -> bool:
    """Whether a browser's request comes from the page itself, not from another site open in that browser.

    Checks the headers `Origin` and `Host`. Programs other than browsers send no `Origin` and are accepted,
    like a person on this machine. On loopback the name must be a loopback name; otherwise a foreign name
    resolved to this machine (DNS rebinding) would pass.
    """
    if origin is None:
        return True
    if host is None or urlsplit(origin).netloc != host:
        return False
    return not loopback or urlsplit(origin).hostname in LOOPBACK_NAMES
