"""Every document is held to its public schema, and every signature to a reader of others."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.attesting import statements_of
from cli.errors import ExitCode
from cli.formats.bom import bom
from cli.formats.junit import junit
from cli.formats.sarif import sarif
from cli.policy import checks
from fingerprint.attestation.envelope import PAYLOAD_TYPE, opened, sealed
from fingerprint.attestation.keys import key_id
from fingerprint.verification import Commitment, Verification
from registry.rejudging import Proof
from registry.values import RecordedVerification
from tests.cli.fakes import HOSTILE, candidate, verification

pytestmark = pytest.mark.attest
SCHEMAS = Path(__file__).parent / "schemas"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def verdicts() -> Iterator[Verification]:
    """Verdicts of every kind, with and without numbers, names and policies of every kind."""
    nothing = {
        "harm_ratio": None,
        "harm_ratio_ci": None,
        "p_value": None,
        "margin": None,
        "margin_source": None,
        "label_agreement": None,
        "findings": (),
    }
    origin = candidate("tuned", relation="shares_origin")
    first = candidate()
    for candidates in (
        (),
        (first,),
        (candidate("ours", "same"), origin, candidate("base", reference=True)),
        (candidate("ours", "inconclusive", **nothing), candidate("theirs", "independent")),
        (candidate(HOSTILE, reason=HOSTILE),),
    ):
        result = verification(*candidates, warnings=(HOSTILE,), verification=3)
        yield replace(
            result,
            suspect={"file": f"/a/{HOSTILE}", "file_sha256": "ab" * 32},
            commitment=Commitment(digest="cd" * 32, entry="7:" + "ef" * 32),
        )


def proofs() -> Iterator[Proof]:
    known = {"file_sha256": "ab" * 32, "model_digest": "12" * 32}
    for result in verdicts():
        for identity in (known, {**known, "file_sha256": None}, dict.fromkeys(known)):
            names = [one.name for one in result.candidates]
            yield Proof(
                registry="01" * 32,
                recorded=RecordedVerification(
                    number=3,
                    recorded="2026-01-02T03:04:05.000000Z",
                    suspect_digest=None,
                    verdict=result.verdict,
                    best=result.best,
                    queries=result.queries,
                    evidence=result.to_dict(),
                ),
                entry="8:" + "ab" * 32,
                criteria={
                    "suspect": {"identity": {**identity, "label": "https://models.example/m"}},
                    "tests": ["harm_ratio"],
                    "release": "0.1.0",
                    "kinship": {"digests": dict.fromkeys(names, "34" * 32)},
                    "candidates": dict.fromkeys(names, "56" * 32),
                },
                commitment="cd" * 32,
                committed="7:" + "ef" * 32,
                answers_sha256="78" * 32,
            )


def statements() -> Iterator[dict[str, Any]]:
    for proof in proofs():
        names = [one["name"] for one in proof.recorded.evidence["candidates"]]
        yield from statements_of(proof, expect=names[:1], forbid=names)


def test_sarif_is_sarif() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the CI step test-attest")
    schema = json.loads((SCHEMAS / "sarif-2.1.0.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(
        schema, format_checker=jsonschema.FormatChecker()
    )
    for result in verdicts():
        names = [one.name for one in result.candidates]
        for policies in ({}, {"expect": names, "forbid": names}):
            for suspect in ("a b.pt", "../ü.onnx", "https://models.example/v2", "a\udcff", HOSTILE):
                found = checks(result, **policies)
                log = sarif(result, found, suspect, code=ExitCode.OK, version="0.1.0")
                validator.validate(json.loads(log))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"version": "2.1.0", "runs": [{"results": []}]})


def test_junit_is_junit() -> None:
    etree = pytest.importorskip("lxml.etree", reason="needs the CI step test-attest")
    schema = etree.XMLSchema(etree.parse(str(SCHEMAS / "junit-10.xsd")))
    for result in verdicts():
        names = [one.name for one in result.candidates]
        for policies in ({}, {"expect": names, "forbid": names}):
            text = junit(replace(result, seconds=61.25), checks(result, **policies), HOSTILE)
            schema.assertValid(etree.fromstring(text))
    assert not schema.validate(etree.fromstring("<testsuites><test/></testsuites>"))


def test_a_bill_of_materials_is_cyclonedx_1_7() -> None:
    pytest.importorskip("jsonschema", reason="needs the CI step test-attest")
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="needs the CI step test-attest"
    )
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_7)
    for statement in statements():
        if "candidates" not in statement["predicate"]:
            continue
        text = bom(statement, ("suspect.intoto.jsonl", "ab" * 32), version="0.1.0")
        assert validator.validate_str(text) is None
        document = json.loads(text)
        assert document["specVersion"] == "1.7"
        model = document["metadata"]["component"]
        assert model["type"] == "machine-learning-model"
        relations = {
            kind: [one["name"] for one in model["pedigree"].get(kind, ())]
            for kind in ("ancestors", "variants")
        }
        stated = {one["name"]: one for one in statement["predicate"]["candidates"]}
        if "tuned" in stated:
            assert relations == {"ancestors": ["base", "ours"], "variants": ["tuned"]}
        if "theirs" in stated:
            assert relations == {"ancestors": [], "variants": []}
    broken = json.dumps({**document, "specVersion": "1.7", "components": [{"name": "x"}]})
    assert validator.validate_str(broken) is not None


def test_statements_are_in_toto_statements() -> None:
    pytest.importorskip("in_toto_attestation", reason="needs the CI step test-attest")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    for statement in statements():
        message = json_format.ParseDict(statement, statement_pb2.Statement())
        Statement.copy_from_pb(message).validate()
        predicate = statement["predicate"]
        if "result" in predicate:
            json_format.ParseDict(predicate, test_result_pb2.TestResult())
            assert predicate["result"] in ("PASSED", "WARNED", "FAILED")
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({"result": "PASSED", "tests": []}, test_result_pb2.TestResult())


def test_envelopes_are_those_of_another_implementation() -> None:
    dsse = pytest.importorskip("securesystemslib.dsse", reason="needs the CI step test-attest")
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import CryptoSigner, SSlibKey

    statement = next(statements())
    theirs = SSlibKey.from_crypto(KEY.public_key(), keyid=key_id(KEY.public_key()))
    envelope = dsse.Envelope.from_dict(json.loads(sealed(statement, KEY)))
    assert envelope.verify([theirs], 1)
    assert json.loads(envelope.payload) == statement
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([theirs], 1)

    payload = json.dumps(statement).encode()
    made = dsse.Envelope(payload, PAYLOAD_TYPE, {})
    made.sign(CryptoSigner(KEY))
    line = json.dumps(made.to_dict())
    assert json.loads(line)["payload"] == base64.b64encode(payload).decode()
    assert opened(line, KEY.public_key(), "here") == statement


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cyclonedx.schema", None)
    from fingerprint.errors import EnvironmentFailure

    with pytest.raises(EnvironmentFailure, match=r"pip install 'nullprint\[attest\]'"):
        bom(next(statements()), ("a", "ab" * 32), version="0.1.0")
