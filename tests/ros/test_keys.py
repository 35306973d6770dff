"""Keys of operators: what is made, what is read, and what is refused."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from spillguard_ros.node.keys import (
    LARGEST,
    MOST_KEYS,
    fingerprint,
    load_private_key,
    load_public_keys,
    make_keys,
)

PEM, PKCS8, INFO = Encoding.PEM, PrivateFormat.PKCS8, PublicFormat.SubjectPublicKeyInfo


def written(file: Path, data: bytes, mode: int = 0o600) -> Path:
    file.write_bytes(data)
    file.chmod(mode)
    return file


def test_a_pair_fits_together_and_only_its_owner_reads_the_private_half(tmp_path: Path) -> None:
    private, public = make_keys("ann", tmp_path / "new" / "folder")
    assert (private.name, public.name) == ("ann.key", "ann.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (known,) = load_public_keys(public.parent).values()
    assert known.name == "ann"
    known.key.verify(load_private_key(private).sign(b"what is signed"), b"what is signed")


def test_a_umask_does_not_open_or_close_the_files(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        private, public = make_keys("ann", tmp_path)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (private, public)] == [0o600, 0o644]


def test_nothing_is_overwritten_and_no_half_pair_is_left(tmp_path: Path) -> None:
    private, public = make_keys("ann", tmp_path)
    before = private.read_bytes(), public.read_bytes()
    with pytest.raises(FileExistsError, match="never overwritten"):
        make_keys("ann", tmp_path)
    assert (private.read_bytes(), public.read_bytes()) == before
    private.unlink()
    with pytest.raises(FileExistsError, match=r"ann\.pub is there already"):
        make_keys("ann", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["ann.pub"]


def test_a_link_is_not_followed_when_a_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "ann.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        make_keys("ann", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../ann", "a/b", "-rf", ".hidden", "ann bob", "änn", "ann\n", "а", "x" * 41, "a\0"],
)
def test_a_name_that_would_mislead_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"a key cannot be called .*letters, digits"):
        make_keys(name, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    private, _ = make_keys("ann", tmp_path)
    private.chmod(mode)
    with pytest.raises(ValueError, match="open to other users: chmod 600"):
        load_private_key(private)


def other_keys() -> dict[str, bytes]:
    """Files that hold no Ed25519 private key without passphrase."""
    good, curve = Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())
    pem = good.private_bytes(PEM, PKCS8, NoEncryption())
    return {
        "passphrase": good.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"secret")),
        "another kind": curve.private_bytes(PEM, PKCS8, NoEncryption()),
        "public": good.public_key().public_bytes(PEM, INFO),
        "cut": pem[:-30],
        "broken": pem.replace(b"M", b"N"),
        "nothing": b"",
        "noise": bytes(range(256)),
    }


@pytest.mark.parametrize("kind", sorted(other_keys()))
def test_what_is_no_private_key_is_refused(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "ann.key", other_keys()[kind])
    with pytest.raises(ValueError, match="holds no Ed25519 private key without passphrase; spillguard keys"):
        load_private_key(file)


@pytest.mark.parametrize("kind", sorted(set(other_keys()) - {"public"}))
def test_what_is_no_public_key_is_refused(tmp_path: Path, kind: str) -> None:
    written(tmp_path / "ann.pub", other_keys()[kind])
    with pytest.raises(ValueError, match="holds no Ed25519 public key"):
        load_public_keys(tmp_path)


def test_a_pipe_a_device_and_a_huge_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ann.pub", 0o600)
    (tmp_path / "endless.pub").symlink_to("/dev/zero")
    huge = written(tmp_path / "huge.pub", b"x" * (LARGEST + 1))
    for file in (tmp_path / "ann.pub", tmp_path / "endless.pub"):
        with pytest.raises(ValueError, match="is no regular file"):
            load_public_keys(file)
        with pytest.raises(ValueError, match="is no regular file"):
            load_private_key(file)
    with pytest.raises(ValueError, match=f"larger than the {LARGEST} bytes"):
        load_public_keys(huge)


def test_keys_are_named_by_their_files(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        make_keys(name, tmp_path)
    found = load_public_keys(tmp_path)
    assert sorted(key.name for key in found.values()) == ["ann", "bob"]
    assert all(fingerprint(known.key) == text for text, known in found.items())


def test_one_key_under_two_names_is_refused(tmp_path: Path) -> None:
    _, public = make_keys("ann", tmp_path)
    (tmp_path / "bob.pub").symlink_to(public)
    with pytest.raises(ValueError, match="ann and bob are one and the same key"):
        load_public_keys(tmp_path)


def test_a_folder_that_would_let_anybody_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no file"):
        load_public_keys(tmp_path)
    with pytest.raises(ValueError, match="operator_keys: there is no"):
        load_public_keys(tmp_path / "nowhere")
    _, public = make_keys("ann", tmp_path)
    public.chmod(0o666)
    with pytest.raises(ValueError, match=r"everybody may write to .*ann\.pub: chmod o-w"):
        load_public_keys(tmp_path)
    public.chmod(0o644)
    tmp_path.chmod(0o777)
    with pytest.raises(ValueError, match="everybody may write to"):
        load_public_keys(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "änn.pub").write_bytes(public.read_bytes())
    with pytest.raises(ValueError, match="a key cannot be called"):
        load_public_keys(tmp_path)


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    for number in range(MOST_KEYS + 1):
        (tmp_path / f"{number}.pub").touch()
    with pytest.raises(ValueError, match=f"holds {MOST_KEYS + 1} keys, at most {MOST_KEYS}"):
        load_public_keys(tmp_path)


def test_the_command_makes_a_pair_and_says_what_each_file_is_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spillguard.cli", "keys", "ann", "-o", str(tmp_path / "keys")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    assert "ann.key  private: keep it" in made.stdout and "ann.pub  public: copy it" in made.stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 1 and "never overwritten" in again.stderr
