"""Who vouches for a manifest: Ed25519 (RFC 8032) over its exact bytes."""

from __future__ import annotations

from collections.abc import Sequence

from zeroskew.contract.errors.service import ModelRefusedError

__all__ = ["check_signature"]


def check_signature(manifest: bytes, signature: str | None, trusted_keys: Sequence[str]) -> None:
    """Refuse a manifest that none of the trusted keys has signed.

    The manifest names its model file by sha256, so a signature covers both files.

    Parameters
    ----------
    manifest
        The manifest's bytes as stored.
    signature
        64 bytes in hexadecimal digits, from the registry.
    trusted_keys
        Ed25519 public keys, 32 bytes each in hexadecimal digits.

    Raises
    ------
    ModelRefusedError
        If there is no signature, or none of the keys made it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if signature is None:
        raise ModelRefusedError("Got a manifest without a signature, but expected a trusted one.")
    for key in trusted_keys:
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
                bytes.fromhex(signature), manifest
            )
        except (InvalidSignature, ValueError):
            continue
        return
    raise ModelRefusedError("Got a signature that is not by one of the trusted keys.")
