"""Models, their fingerprints and probes, verdicts, and the chain that binds them.

Revision: 0001, the first.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# "nulp": marks the file as a registry, so that no other program's database is taken for one.
APPLICATION_ID = 0x6E756C70
# A plain integer would hold 2 GiB at most on some servers.
FILE_SIZE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_models()
    create_fingerprints()
    create_verifications()
    create_chain()
    settings = op.create_table(
        "settings",
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    op.bulk_insert(
        settings,
        [{"key": "seed", "value": secrets.token_hex(32)}, {"key": "created", "value": now}],
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("file_path", sa.Text(), nullable=True),
        sa.Column("file_sha256", sa.String(64), nullable=True),
        sa.Column("file_size", FILE_SIZE, nullable=True),
        sa.Column("file_format", sa.String(20), nullable=True),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("input", sa.JSON(), nullable=False),
        sa.Column("output", sa.JSON(), nullable=False),
        sa.Column("load_options", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["models.id"], name="fk_models_parent_id", ondelete="RESTRICT"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_models_digest", "models", ["digest"])
    op.create_index("ix_models_domain", "models", ["domain"])


def create_fingerprints() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(40), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("seed", sa.String(64), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("source_harm_ratio", sa.JSON(), nullable=False),
        sa.Column("spaces", sa.JSON(), nullable=False),
        sa.Column("screened_against", sa.JSON(), nullable=False),
        sa.Column("redrawn", sa.Integer(), nullable=False),
        sa.Column("cost", sa.JSON(), nullable=False),
        sa.Column("tolerance", sa.Float(53), nullable=False),
        sa.Column("device", sa.JSON(), nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_fingerprints"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_fingerprints_model_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "probe_sets",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_probe_sets"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_probe_sets_model_id", ondelete="CASCADE"
        ),
    )


def create_verifications() -> None:
    op.create_table(
        "verifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("suspect_digest", sa.String(64), nullable=True),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("best", sa.String(100), nullable=True),
        sa.Column("queries", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verifications"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_verifications_suspect_digest", "verifications", ["suspect_digest"])


def create_chain() -> None:
    op.create_table(
        "chain",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_chain"),
        sa.UniqueConstraint("digest", name="uq_chain_digest"),
    )
