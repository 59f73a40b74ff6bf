"""A model goes to another registry as a file, and a file from anybody is believed in nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import EnvironmentFailure, InputRefused, MalformedFile, UsageError
from fingerprint.probes.codec import decode, encode
from registry import NameTaken, Registry
from registry.model_file import MAGIC
from tests.registry.conftest import place_of, put
from tests.registry.places import Place
from tests.registry.test_registration import QUICK, saved
from tests.support.fingerprints import make_model


@pytest.fixture(scope="module")
def exported(made: dict[str, Place], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    Registry(folder / "elsewhere.db").close()
    with Registry(made["family"]) as family:
        family.export_model("derived", folder / "derived.model")
    return folder


@pytest.fixture
def file(exported: Path, tmp_path: Path) -> Path:
    """``derived``, as the family's registry exports it."""
    return Path(shutil.copy(exported / "derived.model", tmp_path))


@pytest.fixture
def elsewhere(exported: Path, tmp_path: Path) -> Registry:
    """An empty registry of another seed."""
    return Registry(shutil.copy(exported / "elsewhere.db", tmp_path))


def parts(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    length = int.from_bytes(content[9:17], "little")
    document: dict[str, Any] = json.loads(content[17 : 17 + length])
    return document, content[17 + length :]


def write(file: Path, document: object, blob: bytes) -> None:
    text = document if isinstance(document, bytes) else canonical(document).encode()
    file.write_bytes(MAGIC + b"\1" + len(text).to_bytes(8, "little") + text + blob)


def test_a_model_comes_back_as_it_was_with_its_origin(
    family: Registry, elsewhere: Registry, file: Path
) -> None:
    source, found = family.model("derived"), elsewhere.import_model(file)
    for name in ("name", "model_digest", "architecture", "input", "output", "domain"):
        assert getattr(found, name) == getattr(source, name)
    assert (found.registered, found.commitment) == (source.registered, source.commitment)
    assert (found.facts, found.load_options) == (source.facts, source.load_options)
    assert (found.file_path, found.file_sha256) == (None, source.file_sha256)
    assert found.origin is not None
    assert found.origin["head"] == family.head()
    assert elsewhere.fingerprint("derived").to_dict() == family.fingerprint("derived").to_dict()
    # Where it comes from is no place on this machine.
    assert b"/models/" not in file.read_bytes()
    elsewhere.check()


def test_a_parent_is_known_by_its_weights(
    family: Registry, elsewhere: Registry, file: Path
) -> None:
    assert elsewhere.import_model(file).warnings[-1].endswith("is not registered here")
    assert elsewhere.model("derived").parent is None
    elsewhere.remove("derived")
    put(elsewhere, "what we call it", 0)
    assert elsewhere.import_model(file, name="theirs").parent == "what we call it"
    with pytest.raises(NameTaken):
        elsewhere.import_model(file, name="theirs")


def test_a_verdict_that_rests_on_an_imported_model_says_so(
    registry: Registry, elsewhere: Registry, tmp_path: Path
) -> None:
    suspect = saved(tmp_path, "first", 0)
    registry.register(suspect, probes=24)
    registry.export_model("first", tmp_path / "first.model")
    elsewhere.import_model(tmp_path / "first.model", name="theirs")
    found = elsewhere.verify(suspect)
    assert (found.verdict, found.best) == ("same", "theirs")
    (line,) = [line for line in found.warnings if "was imported" in line]
    assert line.startswith("'theirs' was imported: its probes derive from the seed of another")
    stranger = elsewhere.verify(saved(tmp_path, "stranger", 7))
    assert not [line for line in stranger.warnings if "was imported" in line]
    # A later model is asked its probes like any other's; nobody can ask it those of others.
    put(elsewhere, "before", 1)
    elsewhere.register(saved(tmp_path, "third", 3), **QUICK)  # type: ignore[arg-type]
    assert [one.other for one in elsewhere.pairs("theirs")] == ["third"]
    with pytest.raises(InputRefused, match="the registry it comes of"):
        elsewhere.export_model("theirs", tmp_path / "again.model")


def with_other_bases(file: Path) -> Path:
    """Changes the bases of an exported model by one level, and every hash that can be made anew."""
    document, blob = parts(file)
    found = decode(blob)
    picked = replace(found, bases=found.bases ^ 1)
    forged = encode(picked)
    document["commitment"] = picked.commitment(sha256_of(forged), document["registered"])
    document["origin"]["entry"]["payload"]["commitment"] = document["commitment"]
    write(file, document, forged)
    return file


def test_bases_that_do_not_follow_from_the_seed_are_refused(
    registry: Registry, elsewhere: Registry, tmp_path: Path
) -> None:
    registry.register(saved(tmp_path, "first", 0), **QUICK)  # type: ignore[arg-type]
    registry.export_model("first", tmp_path / "first.model")
    with pytest.raises(MalformedFile, match="bases are not those that its seed gives"):
        elsewhere.import_model(with_other_bases(tmp_path / "first.model"))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(name="a\nb"),
        lambda d: d.update(name=["x"]),
        lambda d: d.update(name="x" * 101),
        lambda d: d.update(model_digest="0" * 64),
        lambda d: d.update(model_digest="short"),
        lambda d: d.update(commitment="0" * 64),
        lambda d: d.update(registered="yesterday"),
        lambda d: d.update(registered=7),
        lambda d: d.update(file_sha256="../../etc"),
        lambda d: d.update(architecture="x" * 5000),
        lambda d: d.update(architecture=None),
        lambda d: d.update(output_field={"a": 1}),
        lambda d: d.update(architecture="timm:\ud800"),
        lambda d: d.update(output_field="\udfff"),
        lambda d: d.update(output_field=True),
        lambda d: d.update(role="owner"),
        lambda d: d.update(role=None),
        lambda d: d.update(from_scratch=1),
        lambda d: d.update(file_sha256="0" * 64),
        lambda d: d.update(method=3),
        lambda d: d.update(warnings="x"),
        lambda d: d.update(warnings=["x"] * 5000),
        lambda d: d.update(warnings=[["x"]]),
        lambda d: d.update(parent_digest="nobody"),
        lambda d: d.pop("origin"),
        lambda d: d["origin"].update(registry="0" * 64),
        lambda d: d["origin"].update(entry=[]),
        lambda d: d["origin"]["entry"].update(surprise=1),
        lambda d: d["origin"]["entry"].update(payload=[]),
        lambda d: d["origin"]["entry"].update(created="then"),
        lambda d: d["origin"]["entry"]["payload"].update(commitment="0" * 64),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    elsewhere: Registry, file: Path, change: Change
) -> None:
    document, blob = parts(file)
    change(document)
    write(file, document, blob)
    refused(elsewhere, file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:12],
        lambda content: content[:-40],
        lambda content: content[: len(content) // 3],
        lambda content: content + b"more",
        lambda content: b"NULLPRNT" + content[8:],
        lambda content: content[:8] + b"\x09" + content[9:],
        lambda content: content[:9] + b"\xff" * 8 + content[17:],
        lambda content: content[:-40] + bytes(40),
        lambda content: content[:17] + b"\xff" + content[18:],
    ],
)
def test_a_damaged_file_is_refused(
    elsewhere: Registry, file: Path, damage: Callable[[bytes], bytes]
) -> None:
    file.write_bytes(damage(file.read_bytes()))
    refused(elsewhere, file)


@pytest.mark.parametrize(
    "document",
    [b"", b"[1]", b"{", b"null", b"[" * 200_000, b'{"name": 1e999}', b"\xff\xfe", b'{"a":' * 9999],
)
def test_a_document_that_is_none_is_refused(
    elsewhere: Registry, file: Path, document: bytes
) -> None:
    write(file, document, parts(file)[1])
    refused(elsewhere, file)


def refused(registry: Registry, file: Path) -> None:
    head = registry.head()
    with pytest.raises((MalformedFile, UsageError)) as refusal:
        registry.import_model(file)
    assert str(refusal.value).startswith(str(file))
    assert "\n" not in str(refusal.value)
    assert (registry.models(), registry.head()) == ([], head)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    elsewhere: Registry, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(MalformedFile, match="regular file"):
            elsewhere.import_model(path)
    with pytest.raises(UsageError, match="no such file"):
        elsewhere.import_model(tmp_path / "nowhere")


def test_a_file_that_cannot_be_written_leaves_nothing(family: Registry, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EnvironmentFailure):
        family.export_model("source", tmp_path / "no such folder" / "file")
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_line_takes_a_model_there_and_back(family: Registry, tmp_path: Path) -> None:
    def fp(registry: object, *words: str) -> Any:
        options = ("--registry", str(registry), "--json")
        return CliRunner().invoke(app, ["registry", *words, *options], prog_name="fp")

    file, other = str(tmp_path / "source.model"), tmp_path / "other.db"
    exported = fp(place_of(family), "export", "source", "-o", file)
    assert (exported.exit_code, json.loads(exported.stdout)["name"]) == (0, "source")
    assert "holds the secret seed" in exported.stderr
    imported = json.loads(fp(other, "import", file, "--name", "theirs").stdout)
    assert (imported["schema"], imported["name"]) == (2, "theirs")
    assert imported["model_digest"] == make_model(0).digest
    assert imported["origin"]["head"] == json.loads(fp(place_of(family), "head").stdout)["head"]
    (tmp_path / "bad.model").write_bytes(b"PK")
    assert fp(other, "import", str(tmp_path / "bad.model")).exit_code == 3
    assert json.loads(fp(other, "check").stdout)["whole"]
    head = json.loads(fp(other, "head").stdout)["head"]
    assert fp(other, "check", "--head", head).exit_code == 0
    assert fp(place_of(family), "check", "--head", head).exit_code == 5
    assert fp(other, "check", "--head", "nonsense").exit_code == 2
    assert json.loads(fp(other, "mend").stdout) == {
        "schema": 2,
        "measured": [],
        "left": 0,
        "reasons": [],
    }
