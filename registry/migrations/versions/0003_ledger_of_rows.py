"""Every row in the chain; pairs by test, depth and kind of answer; aliases; statements of origin.

Revision: 0003, after 0002. Old chains speak of models, probes and verdicts, not of every column.
What they do speak of is compared first, and a registry that is not what its chain says is left
as it is: binding its rows now would make good what somebody changed. Then one entry binds every
row as it stands. What the old chain did not speak of (measured pairs, parents, load options) is
taken as it is found; no later program can tell whether it was changed before.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

from fingerprint.canonical import canonical, sha256_of, utc_now
from registry.errors import RegistryCorrupt
from registry.ledger import Entry, Head, broken, key_of, origin, row_digest

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNBOUND = {"chain", "alembic_version"}
_HEAD_KEY = "chain_head"
# What a row that was changed from outside can end in.
_UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


def upgrade() -> None:
    where = str(context.config.attributes.get("where", "given"))
    try:
        _upgrade(op.get_bind(), where)
    except _UNREADABLE as error:
        raise RegistryCorrupt(where, (f"a row that cannot be read ({error})",)) from error


def _upgrade(bind: sa.Connection, where: str) -> None:
    chain = _entries(bind)
    settings = _rows(bind, "settings")
    facts = {row["key"]: row["value"] for row in settings}
    seed = str(facts.get("seed"))
    damage = [
        *broken(chain, seed=seed, head=facts.get(_HEAD_KEY)),
        *_models_damage(bind, chain),
        *_verdicts_damage(bind, chain),
    ]
    if damage:
        raise RegistryCorrupt(where, tuple(damage))
    is_new = not chain and not _rows(bind, "models")
    _models()
    _fingerprints(bind)
    op.drop_column("probe_sets", "sha256")
    _aliases()
    _pairs(bind)
    _bind_all(bind, chain, seed, "create" if is_new else "upgrade")


# What the old chain says.


def _rows(bind: sa.Connection, name: str) -> list[dict[str, Any]]:
    table = sa.Table(name, sa.MetaData(), autoload_with=bind)
    query = sa.select(table).order_by(*table.primary_key)
    return [dict(row) for row in bind.execute(query).mappings()]


def _entries(bind: sa.Connection) -> list[Entry]:
    return [Entry(**row) for row in _rows(bind, "chain")]


def _models_damage(bind: sa.Connection, chain: list[Entry]) -> list[str]:
    expected: dict[str, dict[str, Any]] = {}
    for entry in chain:
        if entry.action == "register":
            expected[str(entry.payload.get("name"))] = entry.payload
        elif entry.action == "remove":
            expected.pop(str(entry.payload.get("name")), None)
    commitments = {row["model_id"]: row["commitment"] for row in _rows(bind, "fingerprints")}
    blobs = sa.table("probe_sets", sa.column("model_id"), sa.column("sha256"), sa.column("blob"))
    probes: dict[int, str | None] = {}
    for model_id, recorded, blob in bind.execute(sa.select(blobs)):
        whole = isinstance(blob, bytes | memoryview) and sha256_of(bytes(blob)) == recorded
        probes[model_id] = recorded if whole else None
    found = []
    for row in _rows(bind, "models"):
        payload = expected.pop(row["name"], None)
        at = f"models {row['id']} ({str(row['name'])!r})"
        known = {
            "model_digest": row["digest"],
            "file_sha256": row["file_sha256"],
            "commitment": commitments.get(row["id"]),
            "probes_sha256": probes.get(row["id"]),
        }
        if payload is None:
            found.append(f"{at}: has no entry in the chain")
        elif any(payload.get(key) != value for key, value in known.items()):
            found.append(f"{at}: is not what the chain says")
    return found + [f"models ({name!r}): is in the chain but missing" for name in expected]


def _verdicts_damage(bind: sa.Connection, chain: list[Entry]) -> list[str]:
    expected = {one.payload.get("number"): one.payload for one in chain if one.action == "verify"}
    found = []
    for row in _rows(bind, "verifications"):
        payload = expected.pop(row["id"], None)
        known = {
            "suspect_digest": row["suspect_digest"],
            "verdict": row["verdict"],
            "best": row["best"],
            "evidence_sha256": sha256_of(canonical(row["evidence"])),
        }
        if payload is None:
            found.append(f"verifications {row['id']}: has no entry in the chain")
        elif any(payload.get(key) != value for key, value in known.items()):
            found.append(f"verifications {row['id']}: is not what the chain says")
    return found + [f"verifications {number}: is in the chain but missing" for number in expected]


# The new tables.


def _models() -> None:
    # Columns are added and dropped one by one: SQLite would else make the table again, and
    # dropping the old one would take everything with it that refers to its rows.
    op.add_column(
        "models", sa.Column("role", sa.String(20), nullable=False, server_default="model")
    )
    op.add_column(
        "models",
        sa.Column("from_scratch", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("models", sa.Column("origin", sa.JSON(none_as_null=True), nullable=True))
    op.drop_column("models", "file_size")
    op.drop_column("models", "file_format")


def _fingerprints(bind: sa.Connection) -> None:
    old = _rows(bind, "fingerprints")
    op.drop_table("fingerprints")
    table = op.create_table(
        "fingerprints",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_fingerprints"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_fingerprints_model_id", ondelete="CASCADE"
        ),
    )
    new = [
        {
            "model_id": row["model_id"],
            "method": _method(row),
            "version": 1,
            "facts": _facts(row),
            "commitment": row["commitment"],
        }
        for row in old
    ]
    if new:
        op.bulk_insert(table, new)


def _method(row: dict[str, Any]) -> str:
    """Tells what the probes were asked to be; the pictures of natural bases are not known."""
    parameters = row["parameters"]
    chosen = bool(parameters.get("start_comparison"))
    start = "auto" if chosen else parameters.get("start")
    return f"probes={row['probes']} start={start} bases={parameters.get('bases', 'colours')}"


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in row if key not in ("model_id", "method", "commitment")}
    return kept | {"start": row["parameters"].get("start"), "depths": []}


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_aliases_model_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_aliases_model_id", "aliases", ["model_id"])


def _pairs(bind: sa.Connection) -> None:
    old = _rows(bind, "screenings")
    op.drop_table("screenings")
    table = op.create_table(
        "pairs",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("other_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ratios", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "other_id", name="pk_pairs"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_pairs_model_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["other_id"], ["models.id"], name="fk_pairs_other_id", ondelete="CASCADE"
        ),
    )
    new = [
        {
            "model_id": row["model_id"],
            "other_id": row["other_id"],
            # The least over kinds of probe was kept, and models at hand answer with logits.
            "ratios": [
                {
                    "test": "harm_ratio",
                    "depth": None,
                    "answer_kind": "logits",
                    "ratio": row["harm_ratio"],
                }
            ],
            "verdict": row["verdict"],
            "created": row["created"],
        }
        for row in old
        # Probes that failed on a model that was there first were drawn again, so how the rest
        # act on it says nothing of independent models; nobody reads it.
        if not row["screened"]
    ]
    if new:
        op.bulk_insert(table, new)


def _bind_all(bind: sa.Connection, chain: list[Entry], seed: str, action: str) -> None:
    """Appends the entry that lists every row as it is now."""
    found = sa.MetaData()
    found.reflect(bind)
    rows: dict[str, dict[str, str]] = {}
    for name in sorted(set(found.tables) - _UNBOUND):
        table = found.tables[name]
        for row in bind.execute(sa.select(table)).mappings():
            if (name, row[next(iter(table.primary_key)).key]) != ("settings", _HEAD_KEY):
                rows.setdefault(name, {})[key_of(table, dict(row))] = row_digest(dict(row))
    last = Head(chain[-1].seq, chain[-1].digest) if chain else origin(seed)
    entry = Entry(
        seq=last.seq + 1,
        previous=last.digest,
        action=action,
        payload={"schema": revision, "rows": rows},
        created=utc_now(),
    )
    digest = entry.computed_digest
    bind.execute(sa.insert(found.tables["chain"]).values(**{**vars(entry), "digest": digest}))
    settings = found.tables["settings"]
    bind.execute(sa.delete(settings).where(settings.c.key == _HEAD_KEY))
    bind.execute(sa.insert(settings).values(key=_HEAD_KEY, value=str(Head(entry.seq, digest))))
