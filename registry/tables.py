"""The tables of a registry, as this version of the program knows them.

Databases are made by ``registry/migrations``, old and new alike; a test holds that the
migrations end in exactly these tables. Probes live in a table of their own so that listing
models never reads them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = [
    "Base",
    "ChainRow",
    "FingerprintRow",
    "ModelRow",
    "ProbeSetRow",
    "ScreeningRow",
    "SettingRow",
    "VerificationRow",
]

Document = dict[str, Any]
Documents = list[Any]
# Plain types would hold 2 GiB and 64 KiB at most on some servers; SQLite keeps its own.
FileSize = BigInteger().with_variant(Integer(), "sqlite")
Blob = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


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
    """A registered model: its name, its weights, and how to load them again."""

    __tablename__ = "models"
    # Ids are never used twice: their order is the order of registration, whatever the clock says.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", ondelete="RESTRICT"))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    file_path: Mapped[str | None] = mapped_column(Text)
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    file_size: Mapped[int | None] = mapped_column(FileSize)
    file_format: Mapped[str | None] = mapped_column(String(20))
    architecture: Mapped[str] = mapped_column(Text)
    domain: Mapped[str] = mapped_column(Text, index=True)
    input: Mapped[Document]
    output: Mapped[Document]
    load_options: Mapped[Document]
    warnings: Mapped[Documents]
    created: Mapped[str] = mapped_column(String(32))

    parent: Mapped[ModelRow | None] = relationship(remote_side=[id])
    fingerprint: Mapped[FingerprintRow] = relationship(
        back_populates="model", cascade="all, delete-orphan", passive_deletes=True
    )
    probe_set: Mapped[ProbeSetRow] = relationship(
        back_populates="model", cascade="all, delete-orphan", passive_deletes=True
    )


class FingerprintRow(Base):
    """What shaped a model's probes, readable without opening them."""

    __tablename__ = "fingerprints"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
    )
    method: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[Document]
    seed: Mapped[str] = mapped_column(String(64))
    probes: Mapped[int]
    source_harm_ratio: Mapped[Document]
    spaces: Mapped[Documents]
    screened_against: Mapped[Documents]
    redrawn: Mapped[int]
    cost: Mapped[Document]
    tolerance: Mapped[float] = mapped_column(Float(53))
    device: Mapped[Document]
    commitment: Mapped[str] = mapped_column(String(64))

    model: Mapped[ModelRow] = relationship(back_populates="fingerprint")


class ProbeSetRow(Base):
    """The probes themselves: one versioned binary blob and its hash."""

    __tablename__ = "probe_sets"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[bytes] = mapped_column(Blob)

    model: Mapped[ModelRow] = relationship(back_populates="probe_set")


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


class ScreeningRow(Base):
    """How one model's probes act on another model that is not its kin.

    ``screened`` pairs were chosen to look independent (the other model was there first, and
    probes that failed on it were drawn again), so only unscreened pairs can calibrate a margin.
    """

    __tablename__ = "screenings"
    __table_args__ = (UniqueConstraint("model_id", "other_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    other_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    harm_ratio: Mapped[float] = mapped_column(Float(53))
    screened: Mapped[bool]
    verdict: Mapped[str] = mapped_column(String(20))
    created: Mapped[str] = mapped_column(String(32))


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
