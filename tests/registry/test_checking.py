"""``check`` names every damaged row, and nothing in a whole registry."""

from __future__ import annotations

import pytest

from registry import Registry, RegistryCorrupt
from tests.registry.conftest import sqlite_only, tamper, verdict


@pytest.fixture
def used(family: Registry) -> Registry:
    """A registry with two verdicts and a removed model."""
    family.record(verdict(), suspect_digest="ab" * 32)
    family.record(verdict(), suspect_digest=None)
    family.remove("other")
    family.check()
    return family


def test_a_reference_to_a_missing_row_is_named(used: Registry) -> None:
    tamper(used, "DELETE FROM models WHERE id = 2")
    with pytest.raises(RegistryCorrupt) as refusal:
        used.check()
    if used.path is not None:  # A server never leaves a reference unchecked.
        assert "fingerprints 2: refers to a missing row of models" in refusal.value.rows
    assert "models 2 ('derived'): is in the chain but missing" in refusal.value.rows


def test_all_damage_is_reported_at_once(used: Registry) -> None:
    tamper(
        used,
        "UPDATE probe_sets SET blob = x'00'",
        "UPDATE verifications SET verdict = 'same'",
    )
    with pytest.raises(RegistryCorrupt) as refusal:
        used.check()
    assert len([row for row in refusal.value.rows if row.startswith("probe_sets")]) == 2
    assert len([row for row in refusal.value.rows if row.startswith("verifications")]) == 2
    assert "\n" not in str(refusal.value)


@sqlite_only
def test_damaged_pages_are_found(used: Registry) -> None:
    assert used.path is not None
    used.close()
    content = bytearray(used.path.read_bytes())
    # An index page in the middle of the file, overwritten.
    for page in range(2, len(content) // 4096):
        if content[page * 4096] == 10:
            content[page * 4096 + 8 : page * 4096 + 200] = b"\xff" * 192
    used.path.write_bytes(content)
    with pytest.raises(RegistryCorrupt), Registry(used.path) as registry:
        registry.check()
