"""The gate opens on evidence only, whatever the server says; here without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerprint.errors import EnvironmentFailure, UnsafeFile, UsageError
from fingerprint.mlflow import Keeper, gate, register_version, versions
from fingerprint.mlflow.fetching import Fetched
from fingerprint.mlflow.uris import ModelUri
from fingerprint.policy import Outcome
from fingerprint.verification import Verification
from registry import Registry
from tests.cli.fakes import candidate, verification
from tests.support.fingerprints import make_model

VERSION = "models:/cats/3"


class Server:
    """Remembers what it was told, in order."""

    told: list[tuple[str, Any]]
    tagging: Exception | None

    def tag(self, uri: ModelUri, values: Mapping[str, str]) -> None:
        if self.tagging is not None:
            raise self.tagging
        self.told.append((str(uri), dict(values)))

    def move(self, uri: ModelUri, **place: str) -> None:
        self.told.append((str(uri), place))


class Named:
    """A registered model."""

    def __init__(self, name: str, path: str | None = None) -> None:
        self.name, self.model_digest, self.commitment, self.file_path = name, "aa", "bb", path


class Kept:
    """A registry that gives one verdict."""

    def __init__(self, verdict: Verification, path: str | None = None) -> None:
        self.verdict, self.path = verdict, path

    def model(self, name: str) -> Named:
        return Named(name)

    def verify(self, suspect: Any, **options: Any) -> Verification:
        return self.verdict

    def register(self, model: Any, *, name: str | None = None, **options: Any) -> Named:
        return Named(name or "", self.path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Server]:
    @contextmanager
    def fetched(uri: str, *, folder: Path | None = None) -> Iterator[Fetched]:
        pinned = ModelUri.parse(uri.replace("@challenger", "/3"))
        yield Fetched(uri=pinned, path=str(tmp_path), keep=lambda: kept.append(folder))

    kept: list[Path | None] = []
    Server.told, Server.tagging = [], None
    monkeypatch.setattr(versions, "Server", Server)
    monkeypatch.setattr(versions, "fetched", fetched)
    monkeypatch.setattr(versions, "load_suspect", lambda path, **options: make_model())
    monkeypatch.setattr(versions, "load_source", lambda path, **options: make_model())
    monkeypatch.setattr(Server, "kept", kept, raising=False)
    return Server


def moves(server: type[Server]) -> list[Any]:
    return [said for _, said in server.told if "alias" in said]


def test_a_registry_is_what_is_asked_for() -> None:
    keeper: Keeper = Registry("sqlite://")
    assert keeper.verify(make_model()).candidates == ()


@pytest.mark.parametrize(
    ("verdict", "expect", "forbid", "outcome"),
    [
        (verification(candidate("ours", "same")), ["ours"], [], "passed"),
        (verification(candidate("ours", "same")), [], ["ours"], "failed"),
        (verification(candidate("ours", "independent")), [], ["ours"], "passed"),
        (verification(candidate("ours", "independent")), ["ours"], [], "failed"),
        (verification(candidate("ours", "inconclusive")), [], ["ours"], "inconclusive"),
        (verification(candidate("theirs", "independent")), [], ["ours"], "inconclusive"),
        (verification(), [], ["ours"], "inconclusive"),
        (verification(verdict="independent"), [], ["ours"], "inconclusive"),
        (
            verification(candidate("ours", "derived", relation="shares_origin")),
            [],
            ["ours"],
            "inconclusive",
        ),
        (
            verification(candidate("ours", "same"), candidate("theirs", "inconclusive")),
            ["ours"],
            ["theirs"],
            "inconclusive",
        ),
    ],
)
def test_an_alias_is_set_if_and_only_if_every_policy_holds(
    server: type[Server],
    verdict: Verification,
    expect: list[str],
    forbid: list[str],
    outcome: str,
) -> None:
    gated = gate(Kept(verdict), VERSION, alias="champion", expect=expect, forbid=forbid)
    assert gated.outcome == outcome
    assert gated.passed is (outcome == "passed") is not bool(gated.reasons)
    assert moves(server) == ([{"alias": "champion", "stage": ""}] if gated.passed else [])
    _, tags = server.told[0]
    assert tags["policy"].startswith(f"{outcome}: ")
    assert tags["verdict"] == verdict.verdict


def test_an_alias_is_pinned_to_the_version_that_was_asked(server: type[Server]) -> None:
    gate(Kept(verification(candidate("ours", "same"))), "models:/cats@challenger", **GATE)
    assert {uri for uri, _ in server.told} == {VERSION}


GATE: dict[str, Any] = {"alias": "champion", "expect": ["ours"]}


def test_a_tag_that_cannot_be_written_keeps_the_gate_shut(server: type[Server]) -> None:
    server.tagging = EnvironmentFailure("no")
    with pytest.raises(EnvironmentFailure):
        gate(Kept(verification(candidate("ours", "same"))), VERSION, **GATE)
    assert server.told == []


def test_a_file_that_is_refused_leaves_no_older_pass_in_the_tags(
    server: type[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, **options: Any) -> None:
        raise UnsafeFile("a pickle")

    monkeypatch.setattr(versions, "load_suspect", refuse)
    with pytest.raises(UnsafeFile):
        gate(Kept(verification(candidate("ours", "same"))), VERSION, **GATE)
    assert moves(server) == []
    assert server.told[0][1]["policy"] == "inconclusive: UnsafeFile"


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        (VERSION, {"alias": "champion"}),
        (VERSION, {"expect": ["ours"]}),
        (VERSION, {"alias": "a", "stage": "b", "expect": ["ours"]}),
        (VERSION, {"alias": "champion", "expect": "ours"}),
        (VERSION, {"alias": "champion", "forbid": "ours"}),
        ("runs:/abc/model", {"alias": "champion", "expect": ["ours"]}),
        ("cats.pt", {"alias": "champion", "expect": ["ours"]}),
    ],
)
def test_a_call_that_would_let_anything_pass_is_refused(
    server: type[Server], uri: str, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="expected"):
        gate(Kept(verification(candidate("ours", "same"))), uri, **options)
    assert server.told == []


def test_a_stage_is_moved_in_place_of_an_alias(server: type[Server]) -> None:
    kept = Kept(verification(candidate("ours", "same")))
    assert gate(kept, VERSION, stage="Production", expect=["ours"]).outcome is Outcome.PASSED
    assert server.told[-1] == (VERSION, {"alias": "", "stage": "Production"})


def test_a_registered_version_is_tagged_and_its_files_kept_where_they_are_loaded_from(
    server: type[Server], tmp_path: Path
) -> None:
    verdict = verification(candidate("base", "derived"), verification=7)
    register_version(Kept(verdict, str(tmp_path / "w.pt")), VERSION, folder=tmp_path)
    ((uri, tags),) = server.told
    assert uri == VERSION
    assert tags == {
        "name": "cats-3",
        "fingerprint": "bb",
        "digest": tags["digest"],
        "verdict": "derived",
        "best": "base",
        "verification": "7",
    }
    assert server.kept == [tmp_path]
    register_version(Kept(verdict, "/elsewhere/w.pt"), VERSION, folder=tmp_path)
    assert server.kept == [tmp_path]
