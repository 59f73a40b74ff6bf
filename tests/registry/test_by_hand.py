"""Exports are in the chain, and only answers to one of them are taken."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select, update

from fingerprint.errors import EnvironmentFailure, IncompatibleModel, InputRefused, UsageError
from fingerprint.suspects import ModelSuspect
from registry import Registry, RegistryCorrupt, RegistryReadOnly, UnknownModel, ledger
from registry.tables import ChainRow
from tests.registry.conftest import place_of, put, result_of
from tests.registry.places import unguarded
from tests.support.fingerprints import make_model


def shown(folder: Path) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for file in sorted((folder / "pictures").iterdir()):
        with Image.open(file) as picture:
            found[file.name] = np.asarray(picture, np.uint8).transpose(2, 0, 1)
    return found


def answer(folder: Path, seed: int, target: Path, kept: Callable[[int], bool] = bool) -> Path:
    """Answers an export as a model does, with logits."""
    pictures = shown(folder)
    rows = ModelSuspect(make_model(seed)).answer(np.stack(list(pictures.values())))
    with target.open("w", newline="") as stream:
        writer = csv.writer(stream)
        for place, (name, row) in enumerate(zip(pictures, rows, strict=True), start=1):
            if kept(place):
                writer.writerow([name, *map(float, row)])
    return target


@pytest.fixture
def export(family: Registry, tmp_path: Path) -> Path:
    family.export_probes(["source"], tmp_path / "out")
    return tmp_path / "out"


def test_an_export_is_an_entry_of_the_chain(family: Registry, tmp_path: Path) -> None:
    before = family.head()
    export = family.export_probes(["source", "other"], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert export.models == ("source", "other")
    assert (manifest["export"], manifest["commitment"]) == (export.id, export.commitment)
    assert manifest["pictures"] == export.pictures == len(shown(tmp_path / "out"))
    assert family.head() != before
    family.check()
    with family._books() as books:
        entry = books.entries[-1]
    assert entry.action == "hand out"
    assert {f"{name}.png" for name in entry.payload["pictures"]} == shown(tmp_path / "out").keys()
    assert json.dumps(export.to_dict())


def test_answers_are_verified_as_the_model_that_gave_them_is(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    suspect = family.read_answers(answer(export, 0, tmp_path / "a.csv"))
    assert suspect.models == ("source",)
    by_hand = family.verify(suspect)
    direct = family.verify(make_model(0), against=["source"])
    assert by_hand.verdict == direct.verdict
    for one, other in zip(by_hand.candidates, direct.candidates, strict=True):
        assert (one.verdict, one.harm_ratio, one.p_value) == (
            *(other.verdict, other.harm_ratio, other.p_value),
        )
    kept = family.verifications()[-2].evidence["suspect"]
    assert kept["export"] == json.loads((export / "manifest.json").read_text())["export"]
    assert kept["answered"] == kept["pictures"] == by_hand.queries
    assert kept["said"] == "5 numbers: logits, or an embedding"


def test_few_answers_are_inconclusive_and_none_is_an_error(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    few = family.read_answers(answer(export, 0, tmp_path / "few.csv", lambda place: place <= 5))
    assert family.verify(few).verdict == "inconclusive"
    with pytest.raises(EnvironmentFailure, match="no picture was answered"):
        family.read_answers(export / "answers.csv")


def test_answers_to_another_export_or_to_two_are_told_apart(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    family.export_probes(["other"], tmp_path / "second")
    one = answer(export, 0, tmp_path / "a.csv")
    other = answer(tmp_path / "second", 0, tmp_path / "b.csv")
    assert family.read_answers(other).models == ("other",)
    (tmp_path / "both.csv").write_text(one.read_text() + other.read_text())
    with pytest.raises(InputRefused, match="answers to one export, got some to"):
        family.read_answers(tmp_path / "both.csv")


def test_pictures_of_another_registry_are_refused(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    with Registry(tmp_path / "elsewhere.db") as elsewhere:
        put(elsewhere, "source", 0)
        with pytest.raises(InputRefused, match="nothing was exported from this registry"):
            elsewhere.read_answers(answer(export, 0, tmp_path / "a.csv"))
        elsewhere.export_probes(["source"], tmp_path / "there")
        with pytest.raises(InputRefused, match="pictures of an export of this registry"):
            elsewhere.read_answers(tmp_path / "a.csv")


def test_models_that_were_removed_since_are_left_out_and_said(
    family: Registry, tmp_path: Path
) -> None:
    family.export_probes(["derived", "other"], tmp_path / "out")
    answers = answer(tmp_path / "out", 0, tmp_path / "a.csv")
    family.remove("other")
    put(family, "other", 7)
    found = family.read_answers(answers)
    assert found.models == ("derived",)
    assert "since removed or renewed: other" in found.facts()["notes"]
    family.remove("derived")
    with pytest.raises(InputRefused, match="derived, other, since removed or renewed; export"):
        family.read_answers(answers)


def test_a_model_that_was_not_exported_is_not_decided_on(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    suspect = family.read_answers(answer(export, 0, tmp_path / "a.csv"))
    result = family.verify(suspect, expect=["other"])
    (other,) = [one for one in result.candidates if one.name == "other"]
    assert other.verdict == "inconclusive"
    # By which a report finds it.
    assert result.suspect["file_sha256"] == suspect.identity.file_sha256


def test_what_cannot_be_exported_leaves_no_trace(family: Registry, tmp_path: Path) -> None:
    family.commit(result_of(family, "wide", make_model(5, shape=(3, 6, 6))))
    head = family.head()
    (tmp_path / "there").mkdir()
    calls: Sequence[tuple[Sequence[str], str, type[Exception]]] = (
        (["nobody"], "out", UnknownModel),
        ([], "out", UsageError),
        (["source", "wide"], "out", IncompatibleModel),
        (["source"], "there", UsageError),
        (["source"], "missing/out", EnvironmentFailure),
    )
    for names, folder, error in calls:
        with pytest.raises(error):
            family.export_probes(names, tmp_path / folder)
    family.read_only = True
    with pytest.raises(RegistryReadOnly):
        family.export_probes(["source"], tmp_path / "out")
    assert family.head() == head
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commitment": "ab" * 32}, "is not what its commitment says"),
        ({"pictures": ["a"]}, "is not what its commitment says"),
        ({"models": None}, "is not what its commitment says"),
    ],
)
def test_a_chain_that_was_written_anew_around_another_table_shows(
    family: Registry, export: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """Its hashes may be right; the commitment that the manifest showed is not."""
    with family._books() as books:
        payload = {**books.entries[-1].payload, **change}
    with family._writing() as session:
        ledger.append(session, "hand out", payload, seed=family.seed)
    with pytest.raises(RegistryCorrupt, match=message):
        family.read_answers(answer(export, 0, tmp_path / "a.csv"))


def test_an_export_without_a_table_is_damage(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    with family._writing() as session:
        ledger.append(session, "hand out", {"models": {}}, seed=family.seed)
    with pytest.raises(RegistryCorrupt, match="has no 'pictures'"):
        family.read_answers(answer(export, 0, tmp_path / "a.csv"))


def test_a_name_that_stands_for_another_picture_shows(
    family: Registry, export: Path, tmp_path: Path
) -> None:
    answers = answer(export, 0, tmp_path / "a.csv")
    with unguarded(place_of(family)) as connection:
        query = select(ChainRow.seq, ChainRow.payload).where(ChainRow.action == "hand out")
        ((seq, payload),) = connection.execute(query).all()
        first, second, *_ = payload["pictures"]
        swapped = {first: payload["pictures"][second], second: payload["pictures"][first]}
        payload["pictures"] |= swapped
        connection.execute(update(ChainRow).where(ChainRow.seq == seq).values(payload=payload))
    with pytest.raises(RegistryCorrupt, match="does not hash"):
        family.read_answers(answers)
