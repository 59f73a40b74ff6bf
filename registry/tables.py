"""The tables of a registry, as this version of the program knows them.

Databases are made by ``registry/migrations``, old and new alike; a test holds that the
migrations end in exactly these tables. Probes live in a table of their own so that listing
models never reads them. Every row of every table but the chain's own is bound into the chain,
with all its columns: see :mod:`registry.ledger`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "AliasRow",
    "AnswersRow",
    "Base",
    "ChainRow",
    "CriteriaRow",
    "FingerprintRow",
    "ModelRow",
    "PairRow",
    "ProbeSetRow",
    "SettingRow",
    "VerificationRow",
    "WatchBaselineRow",
    "WatchRow",
    "WatchRunRow",
]

Document = dict[str, Any]
Documents = list[Any]


class Base(DeclarativeBase):
    """Root of the tables; every constraint has a name so that migrations can speak of it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {Document: JSON, Documents: JSON}  # noqa: RUF012 - SQLAlchemy's own form


class ModelRow(Base):
    """A registered model: its name, its weights, and how to load them again.

    ``from_scratch`` is the owner's statement that it has no parent. ``origin`` says of which
    registry an imported model comes; a model registered here has none.
    """

    __tablename__ = "models"
    # Ids are never used twice: their order is the order of registration, whatever the clock says.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    role: Mapped[str] = mapped_column(String(20), server_default="model")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", ondelete="RESTRICT"))
    from_scratch: Mapped[bool] = mapped_column(server_default="0")
    digest: Mapped[str] = mapped_column(String(64), index=True)
    file_path: Mapped[str | None] = mapped_column(Text)
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    architecture: Mapped[str] = mapped_column(Text)
    domain: Mapped[str] = mapped_column(Text, index=True)
    input: Mapped[Document]
    output: Mapped[Document]
    load_options: Mapped[Document]
    origin: Mapped[Document | None] = mapped_column(JSON(none_as_null=True))
    warnings: Mapped[Documents]
    created: Mapped[str] = mapped_column(String(32))


class AliasRow(Base):
    """A second name of a registered model."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    created: Mapped[str] = mapped_column(String(32))


class FingerprintRow(Base):
    """What is known of a model's probes without opening them.

    ``method`` says what they were asked to be, before any work; ``facts`` is what
    ``Fingerprint.to_dict()`` told of them, and ``version`` that of the bytes they are kept in.
    """

    __tablename__ = "fingerprints"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    method: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    facts: Mapped[Document]
    commitment: Mapped[str] = mapped_column(String(64))


class ProbeSetRow(Base):
    """The probes themselves: one versioned binary blob."""

    __tablename__ = "probe_sets"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    blob: Mapped[bytes] = mapped_column(LargeBinary)


class PairRow(Base):
    """How one model's probes act on another that was registered later and is not its kin.

    ``ratios`` holds what each test found, a document for each test, depth and kind of answer;
    none where the answers were no evidence.
    """

    __tablename__ = "pairs"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    other_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    ratios: Mapped[Documents]
    verdict: Mapped[str] = mapped_column(String(20))
    created: Mapped[str] = mapped_column(String(32))


class VerificationRow(Base):
    """A verdict that was given, with all its evidence. It outlives the models it speaks of."""

    __tablename__ = "verifications"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    suspect_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    verdict: Mapped[str] = mapped_column(String(20))
    best: Mapped[str | None] = mapped_column(String(100))
    queries: Mapped[int]
    evidence: Mapped[Document]
    created: Mapped[str] = mapped_column(String(32))


class WatchRow(Base):
    """A target that is watched: how it is reached, and how often it may be wrongly accused.

    It outlives the model it may have been held against.
    """

    __tablename__ = "watches"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    target: Mapped[Document]
    settings: Mapped[Document]
    created: Mapped[str] = mapped_column(String(32))


class WatchBaselineRow(Base):
    """What a watched target was asked and answered first: one versioned binary blob."""

    __tablename__ = "watch_baselines"

    watch_id: Mapped[int] = mapped_column(
        ForeignKey("watches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    blob: Mapped[bytes] = mapped_column(LargeBinary)


class WatchRunRow(Base):
    """One look at a watched target."""

    __tablename__ = "watch_runs"

    watch_id: Mapped[int] = mapped_column(
        ForeignKey("watches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(20))
    document: Mapped[Document]
    created: Mapped[str] = mapped_column(String(32))


class CriteriaRow(Base):
    """What a verdict was going to rest on, written down before anything was asked.

    ``commitment`` is the hash of ``document``: see :mod:`registry.criteria`.
    """

    __tablename__ = "criteria"

    commitment: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[Document]
    created: Mapped[str] = mapped_column(String(32))


class AnswersRow(Base):
    """What a suspect answered, so that a verdict can be judged again.

    ``blob`` is ``Answers.to_bytes()``; ``facts`` what else the verdict took from the suspect.
    """

    __tablename__ = "answers"

    verification_id: Mapped[int] = mapped_column(
        ForeignKey("verifications.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    commitment: Mapped[str] = mapped_column(String(64))
    facts: Mapped[Document]
    blob: Mapped[bytes] = mapped_column(LargeBinary)


class ChainRow(Base):
    """One action on the registry, hashed together with the one before it."""

    __tablename__ = "chain"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    action: Mapped[str] = mapped_column(String(20))
    payload: Mapped[Document]
    created: Mapped[str] = mapped_column(String(32))


class SettingRow(Base):
    """A fact about the registry itself: its seed, when it was made, the head of its chain."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
