"""DSSE: a signature over a payload and its type (secure-systems-lab/dsse, protocol v1.0.2).

::

    line = sealed(statement, private_key)              # one line of an .intoto.jsonl file
    opened(line, public_key, where="a.intoto.jsonl")   # the statement, or MalformedFile

What is signed are the very bytes of the payload, so nothing is parsed before the signature holds
but the envelope itself.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fingerprint.attestation.keys import key_id
from fingerprint.canonical import canonical
from fingerprint.errors import MalformedFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

__all__ = ["PAYLOAD_TYPE", "opened", "pre_authentication", "sealed"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_SIGNATURES = 16
_DAMAGE = (AttributeError, LookupError, RecursionError, TypeError, ValueError, binascii.Error)


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Returns what is signed: type and payload, each with its length (PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(statement: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """Returns an envelope around a statement, signed, as one line of JSON."""
    payload = canonical(statement).encode()
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": key_id(key.public_key()),
                    "sig": base64.b64encode(signature).decode(),
                }
            ],
        }
    )


def opened(line: str, key: Ed25519PublicKey, where: str) -> dict[str, Any]:
    """Returns the statement of an envelope that this key signed.

    Key ids are not signed, so they say nothing: each signature is tried.

    Args:
        line: The envelope.
        key: Whose signature is wanted.
        where: What to call it in messages.

    Raises:
        MalformedFile: It is no envelope of a statement, or this key did not sign it.
    """
    try:
        envelope = json.loads(line)
        kind = envelope["payloadType"]
        payload = _decoded(envelope["payload"])
        signatures = [_decoded(one["sig"]) for one in envelope["signatures"][:_SIGNATURES]]
        if not isinstance(kind, str):
            raise TypeError("payloadType is no text")
    except _DAMAGE as error:
        raise MalformedFile(
            f"{where}: expected a DSSE envelope, got something else; see fp attest"
        ) from error
    if not any(_signed(key, one, pre_authentication(kind, payload)) for one in signatures):
        raise MalformedFile(
            f"{where}: expected a signature of the key {key_id(key)[:16]} under what it says, "
            "found none; it was changed, or signed with another key"
        )
    if kind != PAYLOAD_TYPE:
        raise MalformedFile(f"{where}: expected a payload of type {PAYLOAD_TYPE}, got another")
    try:
        statement = json.loads(payload)
    except _DAMAGE as error:
        raise MalformedFile(f"{where}: expected a statement as JSON, got something else") from error
    if not isinstance(statement, dict):
        raise MalformedFile(f"{where}: expected a statement as JSON, got something else")
    return statement


def _decoded(text: str) -> bytes:
    """Reads standard or URL-safe Base64, as the specification wants."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def _signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
