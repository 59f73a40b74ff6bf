"""Ed25519 keys as PEM files: made once, never overwritten, private ones readable by their owner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.canonical import sha256_of
from fingerprint.errors import EnvironmentFailure, InputRefused, MalformedFile, UsageError
from fingerprint.formats.file_bytes import read_file
from fingerprint.text import clean

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

__all__ = ["is_encrypted", "key_id", "make_key", "private_key", "public_key", "public_path"]

_MAX_FILE = 2**16
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def require_cryptography() -> None:
    """Refuses to go on where the library that signs is not installed.

    Raises:
        EnvironmentFailure: It is not.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise EnvironmentFailure(
            "keys and signatures need the extra attest; pip install 'nullprint[attest]'"
        ) from error


def public_path(private: Path) -> Path:
    """Returns where the public key of a private one is kept: beside it, with ``.pub``."""
    return private.with_name(f"{private.name}.pub")


def make_key(path: Path, passphrase: bytes | None) -> str:
    """Makes a key pair: the private key with rights for its owner alone, the public one beside it.

    Args:
        path: The private key's file.
        passphrase: What it is encrypted with; None for not at all.

    Returns:
        The id of the key.

    Raises:
        UsageError: One of the files is there.
        EnvironmentFailure: They cannot be written, or cryptography is not installed.
    """
    require_cryptography()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        forms.Encoding.PEM,
        forms.PrivateFormat.PKCS8,
        forms.BestAvailableEncryption(passphrase) if passphrase else forms.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(path, private, 0o600)
    try:
        _write_new(public_path(path), public, 0o644)
    except BaseException:
        path.unlink()
        raise
    return key_id(key.public_key())


def is_encrypted(path: Path) -> bool:
    """Whether a private key wants a passphrase.

    Raises:
        UsageError: There is no such file.
    """
    return _ENCRYPTED in read_file(str(path), max_bytes=_MAX_FILE).data


def private_key(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Reads a private key.

    Raises:
        UsageError: There is no such file.
        InputRefused: It is no Ed25519 key, or the passphrase is not its own.
        EnvironmentFailure: It cannot be read, or cryptography is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_file(str(path), max_bytes=_MAX_FILE).data
    wanted = _ENCRYPTED in data
    try:
        key = load_pem_private_key(data, passphrase if wanted else None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if wanted and passphrase is not None:
            raise InputRefused(
                f"{clean(path)}: cannot be opened with this passphrase; give its own in "
                "FP_KEY_PASSPHRASE"
            ) from error
        raise MalformedFile(_expected(path, "private")) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise MalformedFile(_expected(path, "private"))
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Reads a public key.

    Raises:
        UsageError: There is no such file.
        MalformedFile: It is no Ed25519 public key.
        EnvironmentFailure: It cannot be read, or cryptography is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = read_file(str(path), max_bytes=_MAX_FILE).data
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedFile(_expected(path, "public")) from error
    if not isinstance(key, Ed25519PublicKey):
        raise MalformedFile(_expected(path, "public"))
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Returns what a key is called: SHA-256 of its SubjectPublicKeyInfo in DER, in hex."""
    from cryptography.hazmat.primitives import serialization as forms

    return sha256_of(key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo))


def _expected(path: Path, kind: str) -> str:
    return (
        f"{clean(path)}: expected an Ed25519 {kind} key as PEM, got something else; see fp keygen"
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Writes a file that is not there yet, through to the disk."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise UsageError(
            f"{clean(path)}: is there already, and keys are not overwritten; choose another file"
        ) from error
    except OSError as error:
        raise EnvironmentFailure(f"{clean(path)}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise EnvironmentFailure(f"{clean(path)}: {error.strerror}") from error
