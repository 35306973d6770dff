"""Files of a bundle that are none, links, pipes and signatures: refused before they are read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spillguard_core.bundle.bundle import LARGEST, load_bundle
from spillguard_core.bundle.signing import sign
from tests.core.bundle.refusals import refused

Edit = Callable[[Callable[[dict[str, Any]], None]], None]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Private and public key in PEM files."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as form

    key = ed25519.Ed25519PrivateKey.generate()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_signed_bundle_is_accepted_with_its_key(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / "manifest.sig").write_bytes(sign((bundle / "manifest.json").read_bytes(), keys[0]))
    assert load_bundle(bundle, public_key=keys[1]).manifest.schema == 1


def test_unsigned_bundle_is_refused_where_a_key_is_given(bundle: Path, keys: tuple[Path, Path]) -> None:
    refused(bundle, r"manifest\.sig cannot be read", public_key=keys[1])


def test_manifest_changed_after_signing_is_refused(bundle: Path, edit: Edit, keys: tuple[Path, Path]) -> None:
    (bundle / "manifest.sig").write_bytes(sign((bundle / "manifest.json").read_bytes(), keys[0]))
    raw = json.loads((bundle / "manifest.json").read_text())
    raw["threshold"]["value"] = 1.0
    (bundle / "manifest.json").write_text(json.dumps(raw))
    refused(bundle, r"manifest\.sig is not a signature of manifest\.json", public_key=keys[1])


FILES = ["manifest.json", "policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"]


@pytest.mark.parametrize("name", FILES)
def test_link_out_of_the_bundle(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(tmp_path / name)
    (bundle / name).symlink_to(tmp_path / name)
    refused(bundle, f"{name} is a symbolic link")


@pytest.mark.parametrize("name", FILES)
def test_pipe_in_place_of_a_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    refused(bundle, f"{name} is no regular file")


@pytest.mark.parametrize("name", FILES)
def test_directory_in_place_of_a_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).mkdir()
    refused(bundle, f"{name} (is no regular file|cannot be read: Is a directory)")


@pytest.mark.parametrize("name", FILES)
def test_file_without_end(bundle: Path, name: str) -> None:
    """Of the size that it has no more than the limit is read, whatever it grows to meanwhile."""
    with (bundle / name).open("r+b") as file:
        file.truncate(1 << 40)  # a hole; nothing of it lies on the disk
    refused(bundle, f"{name} is larger than the {LARGEST[name]} bytes that are allowed")


def test_bundle_directory_may_be_a_link(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    load_bundle(tmp_path / "current")


@pytest.mark.parametrize("content", [b"", b"no key", b"\0" * 70_000])
def test_key_that_is_none(bundle: Path, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("cryptography")
    (bundle / "manifest.sig").write_bytes(b"0" * 64)
    (tmp_path / "key.pub").write_bytes(content)
    refused(bundle, r"key\.pub", public_key=tmp_path / "key.pub")


def test_key_that_is_a_pipe_or_missing(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    (bundle / "manifest.sig").write_bytes(b"0" * 64)
    os.mkfifo(tmp_path / "pipe")
    refused(bundle, "pipe is no regular file", public_key=tmp_path / "pipe")
    refused(bundle, "nowhere cannot be read: No such file", public_key=tmp_path / "nowhere")


def test_signature_of_another_length(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / "manifest.sig").write_bytes(b"short")
    refused(bundle, r"manifest\.sig is not a signature", public_key=keys[1])
