"""A chain shows what was edited, deleted, inserted or cut off; judging it needs no database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.errors import UsageError
from registry import Registry, RegistryCorrupt
from registry.ledger import Entry, Head, broken, origin, standing
from tests.registry.conftest import place_of, put, tamper
from tests.support.fingerprints import make_model

SEED = "5e" * 32


def chain_of(*payloads: dict[str, Any]) -> list[Entry]:
    entries: list[Entry] = []
    head = origin(SEED)
    for payload in payloads:
        entry = Entry(
            seq=head.seq + 1,
            previous=head.digest,
            action="register",
            payload=payload,
            created="2026-01-31T12:00:00.000000Z",
        )
        entries.append(replace(entry, digest=entry.computed_digest))
        head = Head(entry.seq, entries[-1].digest)
    return entries


def head_of(entries: list[Entry]) -> str:
    return str(Head(entries[-1].seq, entries[-1].digest)) if entries else str(origin(SEED))


def problems(entries: list[Entry], head: str) -> tuple[str, ...]:
    return broken(entries, seed=SEED, head=head)


FIVE = chain_of(*[{"name": f"model {index}"} for index in range(5)])
HEAD = head_of(FIVE)


def test_a_whole_chain_has_no_problems() -> None:
    assert problems(FIVE, HEAD) == ()
    assert broken([], seed=SEED, head=None) == ()


def test_an_entry_hashes_its_whole_content() -> None:
    entry = FIVE[2]
    document = {
        "seq": 3,
        "previous": FIVE[1].digest,
        "action": "register",
        "payload": {"name": "model 2"},
        "created": "2026-01-31T12:00:00.000000Z",
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert entry.digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("index", range(5))
def test_a_deleted_entry_is_missed_wherever_it_was(index: int) -> None:
    assert problems(FIVE[:index] + FIVE[index + 1 :], HEAD)


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize(
    "change",
    [
        {"payload": {"name": "somebody else"}},
        {"action": "remove"},
        {"created": "2020-01-01T00:00:00.000000Z"},
        {"previous": "0" * 64},
        {"digest": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edited_entry_is_named(index: int, change: dict[str, object]) -> None:
    edited = [*FIVE]
    edited[index] = replace(edited[index], **change)  # type: ignore[arg-type]
    assert any(line.startswith(f"chain {index + 1}:") for line in problems(edited, HEAD))


@pytest.mark.parametrize("index", range(4))
def test_an_entry_edited_and_hashed_again_breaks_the_link_after_it(index: int) -> None:
    edited = replace(FIVE[index], payload={"name": "somebody else"})
    forged = [*FIVE]
    forged[index] = replace(edited, digest=edited.computed_digest)
    assert problems(forged, HEAD) == (f"chain {index + 2}: does not follow the entry before it",)


def test_a_chain_cut_off_and_its_head_kept_is_noticed() -> None:
    assert problems(FIVE[:3], HEAD) == ("chain 3: is not the recorded end of the chain",)
    assert problems([], HEAD) != ()


def test_a_chain_of_another_registry_is_noticed() -> None:
    assert broken(FIVE, seed="00" * 32, head=HEAD) != ()


@given(st.permutations(range(5)))
def test_any_other_order_is_noticed(order: list[int]) -> None:
    whole = order == sorted(order)
    assert (problems([FIVE[index] for index in order], HEAD) == ()) is whole


def test_what_stands_is_what_was_written_last_and_not_deleted_since() -> None:
    entries = chain_of(
        {"rows": {"models": {"1": "a", "2": "b"}}},
        {"rows": {"models": {"1": "c"}, "pairs": {"1/2": "d"}}},
        {"rows": {"models": {"2": None}}},
        {"rows": "nonsense"},
        {"no": "rows"},
    )
    assert standing(entries) == {"models": {"1": "c"}, "pairs": {"1/2": "d"}}


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE chain SET payload = replace(payload, 'derived', 'mine') WHERE seq = 3", "chain 3"),
        ("UPDATE chain SET payload = '[1]' WHERE seq = 3", "chain 3"),
        ("UPDATE chain SET payload = 'no json' WHERE seq = 3", "chain 3"),
        ("UPDATE chain SET created = '2020-01-01T00:00:00Z' WHERE seq = 2", "chain 2"),
        ("UPDATE chain SET digest = 'x' WHERE seq = 4", "chain 4"),
        ("DELETE FROM chain WHERE seq = 1", "chain 1"),
        ("DELETE FROM chain WHERE seq = 3", "chain 3"),
        ("DELETE FROM chain WHERE seq = 4", "chain 3"),
        ("DELETE FROM settings WHERE key = 'chain_head'", "chain 4"),
        ("UPDATE settings SET value = '" + "00" * 32 + "' WHERE key = 'seed'", "chain 1"),
    ],
)
def test_a_chain_changed_in_the_file_is_noticed(family: Registry, statement: str, row: str) -> None:
    family.head()
    if not tamper(family, statement):
        return  # A server keeps what is no JSON out by itself.
    with Registry(place_of(family)) as again:
        for look in (again.head, again.check, lambda: again.verify(make_model(9))):
            with pytest.raises(RegistryCorrupt, match=row):
                look()
        assert again.verifications() == []


def test_a_deleted_end_is_noticed_even_after_more_was_appended(family: Registry) -> None:
    tamper(family, "DELETE FROM chain WHERE seq = 4")
    family.remove("other")
    with pytest.raises(RegistryCorrupt, match="chain 4: missing"):
        family.check()


def test_a_head_kept_elsewhere_tells_whether_the_chain_went_through_it(family: Registry) -> None:
    kept = family.head()
    put(family, "later", 5)
    for head in (kept, kept.partition(":")[2], family.head()):
        family.check(head=head)
    with pytest.raises(RegistryCorrupt, match="has not gone through"):
        family.check(head="4:" + "0" * 64)
    with pytest.raises(RegistryCorrupt, match="has not gone through"):
        family.check(head="3:" + kept.partition(":")[2])
    for nonsense in ("", "4", "x:" + "0" * 64, "0" * 63 + "g"):
        with pytest.raises(UsageError, match="head: expected"):
            family.check(head=nonsense)


def test_a_registry_written_anew_as_a_whole_is_told_by_the_head_alone(
    family: Registry, tmp_path: Path
) -> None:
    kept = family.head()
    with Registry(tmp_path / "forged.db") as forged:
        for seed, name in enumerate(("source", "derived", "other")):
            put(forged, name, seed)
        forged.check()
        with pytest.raises(RegistryCorrupt, match="has not gone through"):
            forged.check(head=kept)


def test_entries_say_who_acted_and_what_changed_no_row(path: Path) -> None:
    with Registry(path, by={"token": "alice", "job": "7"}) as registry:
        put(registry, "ours")
        registry.note("look", {"verification": 3})
    with Registry(path) as registry:
        put(registry, "theirs", 1)
        *_, register, look, last = registry.entries()
        registry.check()
    assert register.action == "register"
    assert register.payload["by"] == {"token": "alice", "job": "7"}
    assert (look.action, look.payload["verification"]) == ("look", 3)
    assert look.payload["by"]["token"] == "alice"
    assert look.payload["rows"] == {}
    assert "by" not in last.payload
