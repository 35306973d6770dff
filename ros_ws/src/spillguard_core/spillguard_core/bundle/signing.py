"""Ed25519 signatures over a bundle's manifest, which itself holds the hash of every other file.

`cryptography` is imported only when a key is used.
"""

from pathlib import Path

from spillguard_core.bundle.files import read_file
from spillguard_core.bundle.manifest import BundleError, refusing

SIGNATURE = "manifest.sig"
LARGEST_KEY = 65536  # [bytes]


def sign(manifest: bytes, private_key: Path) -> bytes:
    """Signature (64 bytes) of the manifest's bytes with a PEM private key without passphrase."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_key.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{private_key} holds no Ed25519 private key")
    return key.sign(manifest)


def verify(manifest: bytes, signature: bytes, public_key: Path) -> None:
    """Refuse a manifest that was not signed with the matching private key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with refusing(f"{public_key} holds no Ed25519 public key"):
        key = load_pem_public_key(read_file(public_key, LARGEST_KEY, follow=True))
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{public_key} holds no Ed25519 public key")
    try:
        key.verify(signature, manifest)
    except InvalidSignature as error:
        raise BundleError(f"{SIGNATURE} is not a signature of manifest.json by {public_key.name}") from error
