"""A signature holds for the very bytes that were signed, and for no others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fingerprint.attestation.envelope import opened, pre_authentication, sealed
from fingerprint.errors import MalformedFile

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "n": [1, 2.5, None, "ü\u202e"]}


def test_a_statement_comes_back_as_it_was() -> None:
    line = sealed(STATEMENT, KEY)
    assert "\n" not in line
    assert opened(line, KEY.public_key(), "here") == STATEMENT


def test_what_is_signed_is_that_of_the_specification() -> None:
    # The example of DSSE's protocol.md.
    message = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_another_key_did_not_sign_it_whatever_id_it_goes_by() -> None:
    line = sealed(STATEMENT, OTHER)
    with pytest.raises(MalformedFile, match="expected a signature of the key"):
        opened(line, KEY.public_key(), "here")
    forged = json.loads(line)
    forged["signatures"][0]["keyid"] = json.loads(sealed(STATEMENT, KEY))["signatures"][0]["keyid"]
    with pytest.raises(MalformedFile, match="changed, or signed with another key"):
        opened(json.dumps(forged), KEY.public_key(), "here")


def test_a_key_id_is_a_hint_and_others_may_have_signed_too() -> None:
    envelope, other = json.loads(sealed(STATEMENT, KEY)), json.loads(sealed(STATEMENT, OTHER))
    del envelope["signatures"][0]["keyid"]
    envelope["signatures"].insert(0, other["signatures"][0])
    assert opened(json.dumps(envelope), KEY.public_key(), "here") == STATEMENT


def test_every_changed_byte_of_what_is_signed_is_noticed() -> None:
    envelope = json.loads(sealed({"a": 1}, KEY))
    for field, holder in (("payload", envelope), ("sig", envelope["signatures"][0])):
        whole = base64.b64decode(holder[field])
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 1
            holder[field] = base64.b64encode(bytes(changed)).decode()
            with pytest.raises(MalformedFile, match="expected a signature"):
                opened(json.dumps(envelope), KEY.public_key(), "here")
        holder[field] = base64.b64encode(whole).decode()


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda envelope: {key: value for key, value in envelope.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        without("payload"),
        without("payloadType"),
        without("signatures"),
        lambda _: [],
        lambda _: 7,
        lambda envelope: {**envelope, "payload": 7},
        lambda envelope: {**envelope, "payload": "§"},
        lambda envelope: {**envelope, "payloadType": 7},
        lambda envelope: {**envelope, "payloadType": "application/vnd.in-toto+json2"},
        lambda envelope: {**envelope, "signatures": 7},
        lambda envelope: {**envelope, "signatures": []},
        lambda envelope: {**envelope, "signatures": [7]},
        lambda envelope: {**envelope, "signatures": [{"sig": ""}]},
        lambda envelope: {**envelope, "signatures": {"sig": "AA=="}},
    ],
)
def test_what_is_no_envelope_is_refused_in_one_line(change: Callable[[Any], Any]) -> None:
    line = json.dumps(change(json.loads(sealed(STATEMENT, KEY))))
    with pytest.raises(MalformedFile, match=r"^here: expected") as refusal:
        opened(line, KEY.public_key(), "here")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("line", ["", "null", "[" * 100_000, '{"payload":', "\x00", "NaN"])
def test_what_is_no_json_is_refused(line: str) -> None:
    with pytest.raises(MalformedFile, match="expected a DSSE envelope"):
        opened(line, KEY.public_key(), "here")


@pytest.mark.parametrize("payload", [b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_signed_and_no_statement_is_refused(payload: bytes) -> None:
    kind = "application/vnd.in-toto+json"
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [
            {"sig": base64.b64encode(KEY.sign(pre_authentication(kind, payload))).decode()}
        ],
    }
    with pytest.raises(MalformedFile, match="expected a statement as JSON"):
        opened(json.dumps(envelope), KEY.public_key(), "here")
