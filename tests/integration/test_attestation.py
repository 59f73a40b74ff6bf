"""From a verdict to what is handed on with a model, and what whoever gets it can check."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from fingerprint.attestation.envelope import opened, sealed
from fingerprint.attestation.keys import make_key, private_key, public_key
from registry import Registry
from tests.registry.conftest import put, tamper
from tests.support.fingerprints import make_model

HOW = ("--arch", "tests.support.fingerprints:small", "--input-size", "3,4,4", "--black-box")


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry, a suspect, two keys, and what was attested of the suspect."""
    folder = tmp_path_factory.mktemp("attested")
    with Registry(folder / "registry.db") as registry:
        put(registry, "ours", 0)
        put(registry, "other", 2)
    save_file(make_model(9).module.state_dict(), folder / "suspect.safetensors")
    make_key(folder / "audit.key", None)
    make_key(folder / "foreign.key", None)
    ran = run(folder, "verify", "suspect.safetensors", *HOW, "--registry", "registry.db")
    assert ran.exit_code in (0, 4)
    assert attest(folder).exit_code == 0
    return folder


@pytest.fixture
def at(handed: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(handed, tmp_path / "at")
    return tmp_path / "at"


def run(folder: Path, command: str, *words: str) -> Any:
    """Runs ``fp`` with the files of a folder."""
    there = [str(folder / word) if (folder / word).exists() else word for word in words]
    return CliRunner().invoke(app, [command, *there], prog_name="fp")


def attest(folder: Path, *words: str, key: str = "audit.key", number: str = "1") -> Any:
    target = str(folder / "suspect.intoto.jsonl")
    given = ("--key", key, "--registry", "registry.db", "-o", target, *words)
    return run(folder, "attest", number, *given)


def check(folder: Path, *words: str, key: str = "audit.key.pub") -> Any:
    """Checks what is attested; its message is one line."""
    result = run(folder, "verify-attestation", "suspect.intoto.jsonl", "--key", key, *words)
    if result.exit_code not in (0, 1) and "--require-passed" not in words:
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
    return result


WITH_ALL = ("--registry", "registry.db", "--suspect", "suspect.safetensors")


def statements(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "suspect.intoto.jsonl").read_text()
    return [opened(one, public_key(folder / "audit.key.pub"), "x") for one in text.splitlines()]


def sign(folder: Path, *made: dict[str, Any], key: str = "audit.key") -> None:
    """Puts statements of one's own in place of those that were attested."""
    lines = [sealed(one, private_key(folder / key, None)) for one in made]
    (folder / "suspect.intoto.jsonl").write_text("\n".join(lines) + "\n")


def test_what_is_attested_holds(handed: Path) -> None:
    result = check(handed, *WITH_ALL, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["checked"] == ["signature", "file", "verdict"]
    identity, tests = document["statements"]
    assert identity["_type"] == tests["_type"] == "https://in-toto.io/Statement/v1"
    assert identity["subject"] == tests["subject"]
    (subject,) = identity["subject"]
    assert subject["name"] == "suspect.safetensors"
    assert tests["predicate"]["result"] == "WARNED"
    assert tests["predicate"]["warnedTests"] == ["verdict"]
    assert check(handed).exit_code == 0


def test_neither_seed_nor_answers_nor_probes_are_shown(handed: Path) -> None:
    with Registry(handed / "registry.db") as registry:
        seed = registry.seed
    text = json.dumps(statements(handed))
    assert seed not in text
    assert "per_probe" not in text
    assert str(handed) not in text


def test_policies_are_attested_and_required(at: Path) -> None:
    assert attest(at, "--forbid", "ours", "--expect", "other").exit_code == 0
    predicate = statements(at)[1]["predicate"]
    assert sorted(predicate["warnedTests"]) == ["expect other", "forbid ours"]
    assert check(at, *WITH_ALL).exit_code == 0
    assert check(at, "--require-passed").exit_code == 4
    identity, tests = statements(at)
    for result, code in (("FAILED", 1), ("PASSED", 0), ("WARNED", 4)):
        sign(at, identity, {**tests, "predicate": {**tests["predicate"], "result": result}})
        found = check(at, "--require-passed")
        assert (found.exit_code, "--require-passed" in found.stderr) == (code, code != 0)
    sign(at, identity)
    assert check(at, "--require-passed").exit_code == 4, "left out is not passed"


def test_policies_that_were_not_committed_to_are_said_to_be_so(at: Path) -> None:
    again = ("verify", "suspect.safetensors", *HOW, "--registry", "registry.db")
    assert run(at, *again, "--forbid", "ours").exit_code == 4
    late = "expect other: was not committed to before the suspect was asked"
    result = attest(at, number="2")
    assert (result.exit_code, late in result.stderr) == (0, False)
    identity, tests = statements(at)
    assert identity["predicate"]["policies"] == {"expect": [], "forbid": ["ours"]}
    assert tests["predicate"]["warnedTests"] == ["forbid ours"]
    result = attest(at, "--forbid", "ours", "--expect", "other", number="2")
    assert late in result.stderr
    assert "forbid ours: was not" not in result.stderr
    result = check(at, *WITH_ALL)
    assert (result.exit_code, late in result.stderr) == (0, True)
    predicate = {**identity["predicate"], "policies": {"forbid": 3, "expect": ["x"]}}
    sign(at, {**identity, "predicate": predicate}, tests)
    assert check(at).exit_code == 0


def test_every_changed_character_of_the_file_is_noticed_or_of_no_account(at: Path) -> None:
    path = at / "suspect.intoto.jsonl"
    whole = path.read_text()
    stated = statements(at)
    for place in range(0, len(whole), 37):
        changed = "B" if whole[place] != "B" else "C"
        path.write_text(whole[:place] + changed + whole[place + 1 :])
        if check(at).exit_code == 0:  # a key's id, and the name of a field beside it
            assert statements(at) == stated
        else:
            assert check(at).exit_code == 3


def test_another_key_opens_nothing(at: Path) -> None:
    refused = check(at, key="foreign.key.pub")
    assert refused.exit_code == 3
    assert "signed with another key" in refused.stderr
    assert attest(at, key="foreign.key").exit_code == 0
    assert check(at).exit_code == 3
    assert check(at, key="foreign.key.pub").exit_code == 0
    assert check(at, key="audit.key").exit_code == 3, "a private key is none to check with"
    assert check(at, key="nowhere.pub").exit_code == 2


def test_another_file_is_not_what_was_attested(at: Path) -> None:
    with (at / "suspect.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")
    result = check(at, "--suspect", "suspect.safetensors")
    assert result.exit_code == 1
    assert "is not what was attested: expected SHA-256" in result.stderr
    assert check(at, "--suspect", "nowhere").exit_code == 2


def said(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(statement: dict[str, Any]) -> None:
        statement["predicate"][field] = value

    return change


def of_first(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(statement: dict[str, Any]) -> None:
        statement["predicate"]["candidates"][0][field] = value

    return change


def subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "ab" * 32


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (said("verdict", "independent"), "verdict: is not what the registry has"),
        (said("alpha", 0.5), "alpha: is not"),
        (said("queries", 1), "queries: is not"),
        (said("answers", {"sha256": "ab" * 32}), "answers: is not"),
        (said("more", 1), "more: is not"),
        (of_first("pValue", 0.5), "candidates: is not"),
        (of_first("fingerprint", "ab" * 32), "candidates: is not"),
    ],
)
def test_who_holds_the_key_cannot_state_what_the_registry_does_not_say(
    at: Path, change: Callable[[dict[str, Any]], None], line: str
) -> None:
    identity, tests = statements(at)
    change(identity)
    sign(at, identity, tests)
    assert check(at).exit_code == 0, "without the registry a signature is all there is"
    result = check(at, "--registry", "registry.db")
    assert result.exit_code == 1
    assert line in result.stderr


def test_another_subject_or_other_test_results_are_noticed(at: Path) -> None:
    identity, tests = statements(at)
    passed = {**tests["predicate"], "result": "PASSED", "passedTests": ["verdict"]}
    sign(at, identity, {**tests, "predicate": {**passed, "warnedTests": []}})
    result = check(at, "--registry", "registry.db")
    assert (result.exit_code, "passedTests: is not" in result.stderr) == (1, True)
    for one in (identity, tests):
        subject(one)
    sign(at, identity, tests)
    result = check(at, "--registry", "registry.db")
    assert (result.exit_code, "subject: is not" in result.stderr) == (1, True)


def test_statements_of_two_verdicts_do_not_go_together(at: Path) -> None:
    identity, tests = statements(at)
    subject(tests)
    untyped = {**tests, "subject": identity["subject"], "_type": 1}
    for lines in ((identity, tests), (identity, identity), (tests,), (identity, untyped)):
        sign(at, *lines)
        assert check(at).exit_code == 3


@pytest.mark.parametrize(
    "field",
    ["subject", "predicate", "predicateType", "_type", "criteria", "record", "verification"],
)
@pytest.mark.parametrize("value", [None, 7, [], {}, "x", [{}]])
def test_what_is_signed_and_no_statement_of_ours_is_refused(
    at: Path, field: str, value: Any
) -> None:
    identity, _ = statements(at)
    holder = identity
    if field in ("criteria", "record"):
        holder = identity["predicate"]
    if field == "verification":
        holder = identity["predicate"]["record"]
    holder[field] = value
    sign(at, identity)
    assert check(at, "--registry", "registry.db").exit_code in (2, 3)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers SET blob = replace(blob, substr(blob, -4), x'00000000')",
        "UPDATE verifications SET evidence = replace(evidence, 'inconclusive', 'same')",
        "UPDATE criteria SET document = replace(document, '0.001', '0.5')",
        "DELETE FROM answers",
    ],
)
def test_a_registry_that_was_changed_confirms_nothing(at: Path, statement: str) -> None:
    tamper(at / "registry.db", statement)
    result = check(at, "--registry", "registry.db")
    assert result.exit_code == 5
    assert "is damaged" in result.stderr
    assert attest(at).exit_code == 5


def test_what_cannot_be_judged_again_is_inconclusive(at: Path) -> None:
    with Registry(at / "registry.db") as registry:
        registry.remove("other")
    result = check(at, "--registry", "registry.db")
    assert result.exit_code == 4
    assert "removed or renewed since" in result.stderr


def test_another_registry_does_not_know_it(at: Path) -> None:
    with Registry(at / "new.db") as registry:
        put(registry, "ours", 0)
    assert check(at, "--registry", "new.db").exit_code == 2
    ran = run(at, "verify", "suspect.safetensors", *HOW, "--registry", "new.db")
    assert ran.exit_code in (0, 4)
    result = check(at, "--registry", "new.db")
    assert result.exit_code == 3
    assert "got one of another" in result.stderr


def test_a_bad_call_writes_nothing(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (at / "suspect.intoto.jsonl").unlink()
    monkeypatch.delenv("FP_KEY_PASSPHRASE", raising=False)
    make_key(at / "closed.key", b"secret")
    assert attest(at, number="7").exit_code == 2
    assert attest(at, "--forbid", "nobody").exit_code == 2
    assert attest(at, key="nowhere").exit_code == 2
    assert attest(at, key="audit.key.pub").exit_code == 3
    refused = attest(at, key="closed.key")
    assert (refused.exit_code, "FP_KEY_PASSPHRASE" in refused.stderr) == (2, True)
    monkeypatch.setenv("FP_KEY_PASSPHRASE", "wrong")
    assert attest(at, key="closed.key").exit_code == 3
    assert not (at / "suspect.intoto.jsonl").exists()
    monkeypatch.setenv("FP_KEY_PASSPHRASE", "secret")
    assert attest(at, key="closed.key").exit_code == 0
    assert check(at, key="closed.key.pub").exit_code == 0


@pytest.mark.attest
def test_a_bill_of_materials_refers_to_the_attestation(at: Path) -> None:
    pytest.importorskip("cyclonedx", reason="needs the CI step test-attest")
    assert attest(at, "--bom", str(at / "suspect.cdx.json")).exit_code == 0
    model = json.loads((at / "suspect.cdx.json").read_text())["metadata"]["component"]
    assert model["name"] == "suspect.safetensors"
    (reference,) = model["externalReferences"]
    assert (reference["type"], reference["url"]) == ("attestation", "suspect.intoto.jsonl")
    digest = hashlib.sha256((at / "suspect.intoto.jsonl").read_bytes()).hexdigest()
    assert reference["hashes"] == [{"alg": "SHA-256", "content": digest}]
    (hashed,) = model["hashes"]
    whole = (at / "suspect.safetensors").read_bytes()
    assert hashed["content"] == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("missing", ["cyclonedx.schema", "cryptography"])
def test_a_missing_extra_is_one_line_and_nothing_is_written(
    at: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (at / "suspect.intoto.jsonl").unlink()
    monkeypatch.setitem(sys.modules, missing, None)
    refused = attest(at, "--bom", str(at / "suspect.cdx.json"))
    assert (refused.exit_code, refused.stderr.count("\n")) == (5, 1)
    assert "pip install 'nullprint[attest]'" in refused.stderr
    assert not list(at.glob("*.cdx.json")) + list(at.glob("*.jsonl"))


def test_a_key_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FP_KEY_PASSPHRASE", raising=False)
    path = str(tmp_path / "audit.key")
    refused = run(tmp_path, "keygen", path)
    assert (refused.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--no-passphrase" in refused.stderr
    monkeypatch.setenv("FP_KEY_PASSPHRASE", "secret")
    made = run(tmp_path, "keygen", path, "--json")
    assert made.exit_code == 0
    assert json.loads(made.stdout)["public"] == f"{path}.pub"
    assert b"ENCRYPTED" in Path(path).read_bytes()
    assert run(tmp_path, "keygen", path).exit_code == 2
