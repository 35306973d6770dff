"""Ed25519 keys of operators: made, read, or refused with the reason.

`cryptography` makes and checks all signatures; it is imported only where a key is used, for a hold from the
terminal must not wait for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE, PUBLIC = ".key", ".pub"
LARGEST = 65536  # [B] of a key's file
MOST_KEYS = 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class OperatorKey(NamedTuple):
    """A public key and the name of its file, which is what the log calls its owner."""

    name: str
    key: Ed25519PublicKey


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of a public key, 64 hexadecimal digits: names it in a request, whatever its file is called."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def make_keys(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a new pair to `folder`; the files of the private key, for its owner alone, and of the public one.

    ValueError for a name that is no good, FileExistsError rather than overwrite, OSError.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    _check_name(name)
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shared = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / f"{name}{PRIVATE}", folder / f"{name}{PUBLIC}"
    _create(private, secret, 0o600)
    try:
        _create(public, shared, 0o644)
    except OSError:
        private.unlink()  # a half of a pair is of no use, and would be in the way of the next attempt
        raise
    return private, public


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file without passphrase; ValueError if it is none, or others can read it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, mode = _read(path)
    if mode & 0o077:
        raise ValueError(f"private key {path} is open to other users: chmod 600 {path}, or make a new one")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 private key without passphrase; spillguard keys makes one")
    return key


def load_public_keys(path: Path) -> dict[str, OperatorKey]:
    """By fingerprint, the public key in a file, or those in all `*.pub` of a folder. ValueError, OSError.

    One key under two names is refused: the log could not say whose it is. So is a file that everybody may
    write, for then everybody may let himself in.
    """
    if not path.exists():
        raise ValueError(f"operator_keys: there is no {path}; spillguard keys makes one")
    files = sorted(path.glob(f"*{PUBLIC}")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"operator_keys: {path} holds no file *{PUBLIC}; spillguard keys makes one")
    if len(files) > MOST_KEYS:
        raise ValueError(f"operator_keys: {path} holds {len(files)} keys, at most {MOST_KEYS} are taken")
    if path.is_dir() and path.stat().st_mode & 0o002:
        raise ValueError(f"operator_keys: everybody may write to {path}: chmod o-w {path}")
    found: dict[str, OperatorKey] = {}
    for file in files:
        read = OperatorKey(file.stem, _public_key(file))
        _check_name(read.name)
        known = found.setdefault(fingerprint(read.key), read)
        if known is not read:
            raise ValueError(f"operator_keys: {known.name} and {read.name} are one and the same key")
    return found


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, mode = _read(path)
    if mode & 0o002:
        raise ValueError(f"operator_keys: everybody may write to {path}: chmod o-w {path}")
    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"operator_keys: {path} holds no Ed25519 public key; spillguard keys makes one")
    return key


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"a key cannot be called {name[:60]!r}: 1 to 40 letters, digits, '.', '_' and '-', a letter or "
            "digit first; the log calls its owner so"
        )


def _create(path: Path, data: bytes, mode: int) -> None:
    """Write a file that was not there; nothing is left of it if that fails."""
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise FileExistsError(f"{path} is there already, and keys are never overwritten") from None
    try:
        with open(opened, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def _read(path: Path) -> tuple[bytes, int]:
    """Content and mode of a regular file of bounded size; a pipe would keep its reader waiting."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path} is no regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{path} is larger than the {LARGEST} bytes that a key may have")
    return data, mode
