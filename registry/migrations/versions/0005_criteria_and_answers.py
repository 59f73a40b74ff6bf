"""What a verdict was going to rest on, written down before anything was asked, and the answers.

Revision: 0005, after 0004. The new tables are empty and no other is touched, so the chain speaks of
every row as it did. Verdicts from before have no answers that could be judged again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "criteria",
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("commitment", name="pk_criteria"),
    )
    op.create_table(
        "answers",
        sa.Column("verification_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("verification_id", name="pk_answers"),
        sa.ForeignKeyConstraint(
            ["verification_id"],
            ["verifications.id"],
            name="fk_answers_verification_id",
            ondelete="CASCADE",
        ),
    )
