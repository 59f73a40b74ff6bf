"""Harm ratios of a model's probes on other registered models, for calibration.

Revision: 0002, after 0001. Registries from before start without any: a ratio can only be
measured when both models are at hand.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "screenings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("other_id", sa.Integer(), nullable=False),
        sa.Column("harm_ratio", sa.Float(53), nullable=False),
        sa.Column("screened", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_screenings"),
        sa.UniqueConstraint("model_id", "other_id", name="uq_screenings_model_id_other_id"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_screenings_model_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["other_id"], ["models.id"], name="fk_screenings_other_id", ondelete="CASCADE"
        ),
    )
