"""A verification is read as it was written, and as releases before this one wrote it."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from fingerprint.errors import MalformedFile
from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.verification import Candidate, Verification
from registry import Registry

GOLDEN = Path(__file__).parents[1] / "registry" / "golden"
RESULT = Verification(
    suspect={"label": "it"},
    verdict="derived",
    reason="so it is",
    best="ours",
    queries=55,
    alpha=0.01,
    candidates=(
        Candidate(
            name="ours",
            verdict="derived",
            relation="shares_origin",
            reason="so it is",
            harm_ratio=0.2,
            harm_ratio_ci=(0.1, math.inf),
            p_value=1e-9,
            margin=0.5,
            margin_source="registry",
            margin_pairs=3,
            margin_floor=0.25,
            label_agreement=0.5,
            identical_weights=True,
            findings=(
                Finding(
                    test="harm_ratio",
                    depth="network",
                    speaks_for="family",
                    statistic=0.2,
                    interval=(0.1, math.inf),
                    p_value=1e-10,
                    least_p=1e-12,
                    margin=Margin(0.5, "registry", pairs=3, floor=0.25),
                    decides="kin",
                    used=24,
                    detail={"per_probe": [{"base": 0, "used": True}]},
                ),
                Finding(test="equality"),
            ),
        ),
        Candidate(name="theirs", verdict="inconclusive", reason="no evidence"),
    ),
    not_asked=("far",),
    warnings=("a line",),
    seconds=1.5,
    verification=7,
)


def test_it_is_read_as_it_was_written() -> None:
    assert Verification.from_dict(json.loads(json.dumps(RESULT.to_dict()))) == RESULT


def test_a_candidate_without_a_deciding_finding_has_nulls() -> None:
    _, silent = RESULT.to_dict()["candidates"]
    empty = ("relation", "harm_ratio", "harm_ratio_ci", "p_value", "margin", "margin_source")
    assert [silent[key] for key in empty] == [None] * len(empty)


@pytest.fixture
def old(tmp_path: Path) -> Registry:
    """A registry of the release that wrote schema 1."""
    path = tmp_path / "registry.db"
    path.write_bytes(gzip.decompress((GOLDEN / "release-0002" / "registry.db.gz").read_bytes()))
    return Registry(path)


def test_a_stored_document_of_schema_1_is_read(old: Registry) -> None:
    with old as registry:
        recorded = registry.verifications()
    assert recorded
    for one in recorded:
        document = one.evidence
        assert document["schema"] == 1
        read = Verification.from_dict(document)
        assert (read.verdict, read.best, read.queries) == (one.verdict, one.best, one.queries)
        for then, now in zip(document["candidates"], read.candidates, strict=True):
            assert (now.name, now.verdict, now.relation) == (then["name"], then["verdict"], None)
            assert (now.margin, now.p_value) == (then["margin"], then["p_value"])
            assert now.margin_source != "decoys"
            assert sum(part.used for part in now.findings) == then["probes_used"]
        again = Verification.from_dict(json.loads(json.dumps(read.to_dict())))
        assert again == read


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 3},
        {"schema": None},
        {"schema": [1]},
        {"verdict": "guilty"},
        {"verdict": []},
        {"candidates": None},
        {"candidates": [{}]},
        {"candidates": ["ours"]},
        {"queries": "many"},
        {"suspect": 7},
    ],
    ids=str,
)
def test_a_damaged_document_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedFile, match="verification"):
        Verification.from_dict(RESULT.to_dict() | change)


def test_a_resemblance_in_the_place_of_a_harm_ratio_is_read_as_one() -> None:
    """Until it had a field of its own."""
    panel = Finding(test="resemblance", statistic=0.9, interval=(0.8, 1.0))
    document = Candidate(name="ours", verdict="derived", reason="", findings=(panel,)).to_dict()
    del document["resemblance"], document["resemblance_ci"]
    found = Candidate.from_dict({**document, "harm_ratio": 0.9, "harm_ratio_ci": [0.8, 1.0]})
    assert (found.harm_ratio, found.harm_ratio_ci) == (None, None)
    assert (found.resemblance, found.resemblance_ci) == (0.9, (0.8, 1.0))
